//! Windows: what `ipconfig /all` says. Labels are in the guest's language; English ones are known.

use std::net::{IpAddr, Ipv4Addr};

use super::network::{Address, GuestNic, is_local};

/// Adapters with their addresses.
pub const ADAPTERS: &str = "ipconfig /all";

/// Reads `ipconfig /all`: `Ethernet adapter NAME:` begins an adapter, lines `Label . . . : value` tell of it, and a further
/// indented line without a label is one more value of the label before.
pub fn adapters(text: &str) -> Vec<GuestNic> {
    let mut nics: Vec<GuestNic> = Vec::new();
    let mut label = String::new();
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        if !line.starts_with(char::is_whitespace) {
            label.clear();
            if let Some((_, name)) = line.strip_suffix(':').and_then(|head| head.split_once(" adapter ")) {
                nics.push(GuestNic { name: name.to_owned(), ..GuestNic::default() });
            }
            continue;
        }
        let value = match line.split_once(" : ").or_else(|| line.strip_suffix(" :").map(|l| (l, ""))) {
            Some((name, value)) => {
                name.trim().trim_end_matches(['.', ' ']).clone_into(&mut label);
                value.trim()
            }
            None => line.trim(),
        };
        if let Some(nic) = nics.last_mut() {
            tell(nic, &label, value);
        }
    }
    nics.retain(|nic| !nic.mac.is_empty());
    nics
}

fn tell(nic: &mut GuestNic, label: &str, value: &str) {
    // `10.0.0.5(Preferred)`, `fe80::1%12(Preferred)`
    let plain = value.split(['(', '%']).next().unwrap_or_default().trim();
    match label {
        "Physical Address" => nic.mac = value.replace('-', ":").to_lowercase(),
        "IPv4 Address" | "IP Address" | "IPv6 Address" => {
            if let Some(ip) = plain.parse().ok().filter(|ip| !is_local(ip)) {
                nic.addresses.push(Address { ip, prefix: None, dynamic: false });
            }
        }
        "Subnet Mask" => {
            if let (Some(address), Ok(mask)) = (nic.addresses.iter_mut().rfind(|a| a.ip.is_ipv4()), plain.parse::<Ipv4Addr>()) {
                address.prefix = u8::try_from(u32::from(mask).leading_ones()).ok();
            }
        }
        "Default Gateway" => nic.gateways.extend(plain.parse::<IpAddr>().ok().filter(|ip| !is_local(ip))),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipconfig_is_read() {
        let text = "\r
Windows IP Configuration\r
\r
   Host Name . . . . . . . . . . . . : WIN2019\r
\r
Ethernet adapter Ethernet Instance 0:\r
\r
   Connection-specific DNS Suffix  . : lab\r
   Description . . . . . . . . . . . : Red Hat VirtIO Ethernet Adapter\r
   Physical Address. . . . . . . . . : 00-50-56-AB-00-01\r
   DHCP Enabled. . . . . . . . . . . : No\r
   Link-local IPv6 Address . . . . . : fe80::1%12(Preferred)\r
   IPv4 Address. . . . . . . . . . . : 172.20.7.10(Preferred)\r
   Subnet Mask . . . . . . . . . . . : 255.255.0.0\r
   IPv4 Address. . . . . . . . . . . : 172.20.7.11(Preferred)\r
   Subnet Mask . . . . . . . . . . . : 255.255.255.0\r
   Default Gateway . . . . . . . . . : fe80::9%12\r
                                       172.20.0.1\r
   DNS Servers . . . . . . . . . . . : 10.0.0.1\r
                                       10.0.0.2\r
\r
Tunnel adapter isatap.lab:\r
\r
   Media State . . . . . . . . . . . : Media disconnected\r
";
        let nics = adapters(text);
        assert_eq!(nics.len(), 1);
        let nic = &nics[0];
        assert_eq!((nic.name.as_str(), nic.mac.as_str()), ("Ethernet Instance 0", "00:50:56:ab:00:01"));
        let all: Vec<_> = nic.addresses.iter().map(|a| format!("{}/{}", a.ip, a.prefix.unwrap())).collect();
        assert_eq!(all, ["172.20.7.10/16", "172.20.7.11/24"]);
        assert_eq!(nic.gateways, ["172.20.0.1".parse::<IpAddr>().unwrap()]);
    }
}
