//! Linux: what iproute2 says. Its older releases know no JSON, so its text is read, which has not changed in twenty years.

use super::network::{Address, GuestNic, is_local};

/// Adapters with their addresses.
pub const ADDRESSES: &str = "ip address show";

/// Default routes.
pub const ROUTES: &str = "ip route show default";

/// Reads `ip address show`: a line `2: enp1s0: <…>` begins an adapter, indented ones tell of it.
pub fn adapters(text: &str) -> Vec<GuestNic> {
    let mut nics: Vec<GuestNic> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(char::is_whitespace) {
            // `enp1s0.5@enp1s0:` is the adapter `enp1s0.5`.
            if let Some(name) = words.get(1) {
                let name = name.trim_end_matches(':');
                let name = name.split('@').next().unwrap_or(name);
                nics.push(GuestNic { name: name.to_owned(), ..GuestNic::default() });
            }
            continue;
        }
        let Some(nic) = nics.last_mut() else { continue };
        match words.as_slice() {
            ["link/ether", mac, ..] => nic.mac = mac.to_lowercase(),
            ["inet" | "inet6", address, ..] => {
                let (ip, prefix) = address.split_once('/').unwrap_or((address, ""));
                if let Some(ip) = ip.parse().ok().filter(|ip| !is_local(ip)) {
                    // What DHCP or router advertisements gave is dynamic.
                    nic.addresses.push(Address { ip, prefix: prefix.parse().ok(), dynamic: words.contains(&"dynamic") });
                }
            }
            _ => {}
        }
    }
    nics.retain(|nic| !nic.mac.is_empty());
    nics
}

/// Adds what `ip route show default` says: `default via 10.0.0.1 dev enp1s0 …`.
pub fn add_gateways(nics: &mut [GuestNic], text: &str) {
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1));
        let (Some(via), Some(device)) = (after("via").and_then(|via| via.parse().ok()), after("dev")) else { continue };
        if let Some(nic) = nics.iter_mut().find(|nic| nic.name == **device) {
            nic.gateways.push(via);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iproute_is_read() {
        let text = "\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default qlen 1000
    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00
    inet 127.0.0.1/8 scope host lo
2: enp1s0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400 qdisc fq_codel state UP group default qlen 1000
    link/ether 00:50:56:AB:00:01 brd ff:ff:ff:ff:ff:ff
    inet 10.0.2.2/24 brd 10.0.2.255 scope global dynamic noprefixroute enp1s0
       valid_lft 86312812sec preferred_lft 86312812sec
    inet6 fe80::250:56ff:feab:1/64 scope link noprefixroute
3: enp2s0.7@enp2s0: <BROADCAST,UP> mtu 1500 state UP
    link/ether 00:50:56:ab:00:02 brd ff:ff:ff:ff:ff:ff
    inet 192.168.77.10/24 brd 192.168.77.255 scope global enp2s0.7
    inet6 fd00::5/64 scope global
";
        let mut nics = adapters(text);
        add_gateways(&mut nics, "default via 10.0.2.1 dev enp1s0 proto dhcp metric 100\ndefault via 1.2.3.4 dev gone\n");
        let seen: Vec<_> = nics
            .iter()
            .map(|n| {
                let how = |a: &Address| if a.dynamic { " by DHCP" } else { "" };
                let all: Vec<_> = n.addresses.iter().map(|a| format!("{}/{}{}", a.ip, a.prefix.unwrap(), how(a))).collect();
                format!("{} {} [{}] {:?}", n.name, n.mac, all.join(" "), n.gateways)
            })
            .collect();
        assert_eq!(
            seen,
            ["enp1s0 00:50:56:ab:00:01 [10.0.2.2/24 by DHCP] [10.0.2.1]", "enp2s0.7 00:50:56:ab:00:02 [192.168.77.10/24 fd00::5/64] []"]
        );
    }
}
