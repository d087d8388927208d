//! Commands of a Windows guest, in `cmd.exe`.

use std::fmt::Write as _;

use super::{Guest, Interface, Output};

/// Runs a command line.
pub(super) fn run(guest: &Guest, line: &str) -> Output {
    let line = line.trim();
    let inner = ["cmd /c ", "cmd.exe /c "].iter().find_map(|prefix| {
        let head = line.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| line[prefix.len()..].trim_matches('"'))
    });
    if let Some(inner) = inner {
        return run(guest, inner);
    }
    let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
    let all = rest.split_whitespace().any(|a| a.eq_ignore_ascii_case("/all"));
    match name.to_lowercase().trim_end_matches(".exe") {
        "echo" => Output::ok(format!("{rest}\r\n")),
        "ver" => Output::ok(format!("\r\nMicrosoft Windows [{}]\r\n", version(guest))),
        "hostname" => Output::ok(format!("{}\r\n", guest.model.host_name)),
        "whoami" => Output::ok(format!("{}\\{}\r\n", guest.model.host_name, guest.model.login.user).to_lowercase()),
        "exit" => Output::failed(rest.split_whitespace().last().and_then(|c| c.parse().ok()).unwrap_or(0), ""),
        "ipconfig" => Output::ok(ipconfig(guest, all)),
        "systeminfo" => Output::ok(format!(
            "\r\nHost Name:                 {}\r\nOS Name:                   {}\r\n",
            guest.model.host_name, guest.model.full_name
        )),
        name => Output::failed(
            1,
            format!("'{name}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"),
        ),
    }
}

fn version(guest: &Guest) -> &'static str {
    if guest.model.os_info.contains("22") { "Version 10.0.20348.2700" } else { "Version 10.0.17763.6414" }
}

/// A line of `ipconfig`: dots in every second column up to the colon in column 37.
fn field(text: &mut String, name: &str, value: &str) {
    let mut label = format!("   {name}");
    while label.len() < 37 {
        label.push_str(if label.len() % 2 == 0 { " " } else { "." });
    }
    let _infallible = write!(text, "{label}: {value}\r\n");
}

fn ipconfig(guest: &Guest, all: bool) -> String {
    let mut text = "\r\nWindows IP Configuration\r\n\r\n".to_owned();
    if all {
        field(&mut text, "Host Name", &guest.model.host_name);
        field(&mut text, "Primary Dns Suffix", "");
        field(&mut text, "Node Type", "Hybrid");
        field(&mut text, "IP Routing Enabled", "No");
        field(&mut text, "WINS Proxy Enabled", "No");
    }
    for interface in &guest.interfaces {
        adapter(&mut text, interface, all);
    }
    text
}

fn adapter(text: &mut String, interface: &Interface, all: bool) {
    let _infallible = write!(text, "\r\nEthernet adapter {}:\r\n\r\n", interface.name);
    field(text, "Connection-specific DNS Suffix", "");
    let preferred = if all { "(Preferred)" } else { "" };
    if all {
        field(text, "Description", "Red Hat VirtIO Ethernet Adapter");
        field(text, "Physical Address", &interface.mac.to_uppercase().replace(':', "-"));
        field(text, "DHCP Enabled", if interface.fixed { "No" } else { "Yes" });
        field(text, "Autoconfiguration Enabled", "Yes");
    }
    for address in &interface.addresses {
        let (ip, prefix) = address.split_once('/').unwrap_or((address, "24"));
        if ip.contains(':') {
            field(text, "IPv6 Address", &format!("{ip}{preferred}"));
        } else {
            field(text, "IPv4 Address", &format!("{ip}{preferred}"));
            field(text, "Subnet Mask", &mask(prefix));
        }
    }
    field(text, "Default Gateway", interface.gateway.as_deref().unwrap_or_default());
}

fn mask(prefix: &str) -> String {
    let bits = prefix.parse::<u32>().unwrap_or(24).min(32);
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    std::net::Ipv4Addr::from(mask).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_dotted() {
        for (prefix, expected) in [("16", "255.255.0.0"), ("0", "0.0.0.0"), ("32", "255.255.255.255"), ("x", "255.255.255.0")] {
            assert_eq!(mask(prefix), expected);
        }
    }

    #[test]
    fn fields_line_up() {
        let mut text = String::new();
        field(&mut text, "Physical Address", "00-50");
        field(&mut text, "IPv4 Address", "10.0.0.1");
        let columns: Vec<_> = text.lines().map(|l| l.find(": ").unwrap()).collect();
        assert_eq!(columns, [37, 37]);
        assert!(text.starts_with("   Physical Address. . . . . . . . . : 00-50"), "{text}");
    }
}
