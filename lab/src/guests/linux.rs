//! Commands of a Linux guest.

use std::{fmt::Write as _, time::Duration};

use serde_json::{Value, json};

use super::{
    Guest, Output,
    shell::{self, Link},
};

/// The kernel that goes with every Linux of the lab.
const KERNEL: &str = "5.14.0-503.11.1.el9_5.x86_64";

/// Runs a command line.
pub(super) async fn run(guest: &Guest, line: &str) -> Output {
    let commands = match shell::parse(line) {
        Ok(commands) => commands,
        Err(error) => return Output::failed(2, format!("bash: -c: line 1: {error}\n")),
    };
    let mut all = Output::default();
    for command in commands {
        let skip = match command.link {
            Link::Always => false,
            Link::And => all.code != 0,
            Link::Or => all.code == 0,
        };
        if skip {
            continue;
        }
        let mut one = Box::pin(one(guest, &command.words, all.code)).await;
        if command.err_to_out {
            one.out.push_str(&std::mem::take(&mut one.err));
        }
        match &command.to_file {
            Some(file) => guest.files.write(file, &one.out),
            None if !command.no_out => all.out.push_str(&one.out),
            None => {}
        }
        match &command.err_file {
            Some(file) => guest.files.write(file, &one.err),
            None if !command.no_err => all.err.push_str(&one.err),
            None => {}
        }
        all.code = one.code;
        if command.words.first().is_some_and(|w| w == "exit") {
            break;
        }
    }
    all
}

async fn one(guest: &Guest, words: &[String], last: u32) -> Output {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (name, arguments) = words.split_first().map_or(("", &[][..]), |(name, rest)| (*name, rest));
    match name.rsplit('/').next().unwrap_or(name) {
        "echo" => Output::ok(echo(arguments, last)),
        "true" | ":" => Output::default(),
        "false" => Output::failed(1, ""),
        "exit" => Output::failed(arguments.first().and_then(|c| c.parse().ok()).unwrap_or(last), ""),
        "sleep" => sleep(guest, arguments).await,
        "sudo" => {
            let rest: Vec<String> = arguments.iter().skip_while(|a| a.starts_with('-')).map(|a| (*a).to_owned()).collect();
            Box::pin(one(guest, &rest, last)).await
        }
        "sh" | "bash" if arguments.first().is_some_and(|a| a.ends_with('c')) => run(guest, arguments.get(1).unwrap_or(&"")).await,
        "uname" => Output::ok(uname(guest, arguments)),
        "hostname" | "hostnamectl" => Output::ok(format!("{}\n", guest.model.host_name)),
        "whoami" => Output::ok(format!("{}\n", guest.model.login.user)),
        "id" if arguments == ["-u"] => Output::ok("0\n"),
        "id" => Output::ok("uid=0(root) gid=0(root) groups=0(root)\n"),
        "uptime" => Output::ok(" 10:00:00 up 1 min,  0 users,  load average: 0.00, 0.00, 0.00\n"),
        "cat" => cat(guest, arguments),
        "sync" => Output::default(),
        "mkdir" | "chmod" if arguments.len() > 1 => Output::default(),
        "rm" => {
            for file in arguments.iter().filter(|a| !a.starts_with('-')) {
                guest.files.remove(file);
            }
            Output::default()
        }
        "test" | "[" => test(guest, arguments),
        "ip" => ip(guest, arguments),
        "nmcli" => nmcli(guest, arguments),
        "lsblk" => lsblk(guest, arguments),
        "systemctl" if arguments.first() == Some(&"is-system-running") => Output::ok("running\n"),
        _ => Output::failed(127, format!("bash: {name}: command not found\n")),
    }
}

fn echo(arguments: &[&str], last: u32) -> String {
    let (newline, words) = if arguments.first() == Some(&"-n") { ("", &arguments[1..]) } else { ("\n", arguments) };
    words.join(" ").replace("$?", &last.to_string()) + newline
}

async fn sleep(guest: &Guest, arguments: &[&str]) -> Output {
    let Some(seconds) = arguments.first().and_then(|s| s.parse::<f64>().ok()).filter(|s| s.is_finite() && *s >= 0.0) else {
        return Output::failed(1, format!("sleep: invalid time interval '{}'\n", arguments.join(" ")));
    };
    // A day is more than any test waits; it keeps the conversion from overflowing.
    guest.clock.sleep(Duration::from_secs_f64(seconds.min(86_400.0))).await;
    Output::default()
}

fn uname(guest: &Guest, arguments: &[&str]) -> String {
    let name = &guest.model.host_name;
    match arguments.first().copied() {
        None | Some("-s") => "Linux\n".to_owned(),
        Some("-r") => format!("{KERNEL}\n"),
        Some("-n") => format!("{name}\n"),
        Some("-m") => "x86_64\n".to_owned(),
        Some(_) => format!("Linux {name} {KERNEL} #1 SMP PREEMPT_DYNAMIC x86_64 x86_64 x86_64 GNU/Linux\n"),
    }
}

fn cat(guest: &Guest, files: &[&str]) -> Output {
    let mut output = Output::default();
    for file in files {
        match *file {
            "/etc/os-release" | "/usr/lib/os-release" => output.out.push_str(&os_release(guest)),
            "/etc/redhat-release" => output.out.extend([guest.model.full_name.as_str(), "\n"]),
            "/etc/hostname" | "/proc/sys/kernel/hostname" => output.out.extend([guest.model.host_name.as_str(), "\n"]),
            file if guest.files.read(file).is_some() => output.out.push_str(&guest.files.read(file).unwrap_or_default()),
            _ => {
                let _infallible = writeln!(output.err, "cat: {file}: No such file or directory");
                output.code = 1;
            }
        }
    }
    output
}

/// `test -s FILE` and its like.
fn test(guest: &Guest, arguments: &[&str]) -> Output {
    let good = match arguments {
        ["-e" | "-f", file, ..] => guest.files.read(file).is_some(),
        ["-s", file, ..] => guest.files.read(file).is_some_and(|text| !text.is_empty()),
        _ => false,
    };
    if good { Output::default() } else { Output::failed(1, "") }
}

fn os_release(guest: &Guest) -> String {
    let os = &guest.model.os_info;
    let id = os.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    let version = os.trim_start_matches(|c: char| !c.is_ascii_digit());
    let name = &guest.model.full_name;
    format!("NAME=\"{name}\"\nVERSION=\"{version}\"\nID=\"{id}\"\nVERSION_ID=\"{version}\"\nPRETTY_NAME=\"{name}\"\n")
}

/// Address and prefix length of `10.0.0.1/24`.
fn split(address: &str) -> (&str, u32) {
    let (ip, prefix) = address.split_once('/').unwrap_or((address, "24"));
    (ip, prefix.parse().unwrap_or(24))
}

fn ip(guest: &Guest, arguments: &[&str]) -> Output {
    let json = arguments.iter().any(|a| a.starts_with("-j") || *a == "-json");
    let object = arguments.iter().find(|a| !a.starts_with('-')).copied().unwrap_or_default();
    if !object.is_empty() && "route".starts_with(object) {
        return Output::ok(routes(guest));
    }
    let with_addresses = "address".starts_with(object);
    if object.is_empty() || !(with_addresses || "link".starts_with(object)) {
        return Output::failed(1, format!("Object \"{object}\" is unknown, try \"ip help\".\n"));
    }
    let links = links(guest, with_addresses);
    if json {
        return Output::ok(format!("{}\n", Value::from(links)));
    }
    let mut text = String::new();
    for link in links {
        let get = |key: &str| link[key].as_str().unwrap_or_default().to_owned();
        let _infallible =
            writeln!(text, "{}: {}: <UP,LOWER_UP> mtu {} state {}", link["ifindex"], get("ifname"), link["mtu"], get("operstate"));
        let _infallible = writeln!(text, "    link/{} {} brd ff:ff:ff:ff:ff:ff", get("link_type"), get("address"));
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let family = address["family"].as_str().unwrap_or_default();
            let _infallible = writeln!(
                text,
                "    {family} {}/{} scope global{}",
                address["local"].as_str().unwrap_or_default(),
                address["prefixlen"],
                if address["dynamic"] == true { " dynamic" } else { "" }
            );
        }
    }
    Output::ok(text)
}

/// `ip route`: default routes, then the networks of the adapters.
fn routes(guest: &Guest) -> String {
    let mut text = String::new();
    for interface in &guest.interfaces {
        if let Some(gateway) = &interface.gateway {
            let how = if interface.fixed { "static" } else { "dhcp" };
            let _infallible = writeln!(text, "default via {gateway} dev {} proto {how} metric 100", interface.name);
        }
    }
    text
}

fn links(guest: &Guest, with_addresses: bool) -> Vec<Value> {
    let mut links = vec![
        json!({ "ifindex": 1, "ifname": "lo", "flags": ["LOOPBACK", "UP", "LOWER_UP"], "mtu": 65536, "operstate": "UNKNOWN", "link_type": "loopback", "address": "00:00:00:00:00:00", "addr_info": [{ "family": "inet", "local": "127.0.0.1", "prefixlen": 8, "scope": "host", "label": "lo" }] }),
    ];
    for (index, interface) in guest.interfaces.iter().enumerate() {
        let addresses: Vec<_> = interface
            .addresses
            .iter()
            .map(|address| {
                let (ip, prefix) = split(address);
                let family = if ip.contains(':') { "inet6" } else { "inet" };
                json!({ "family": family, "local": ip, "prefixlen": prefix, "scope": "global", "dynamic": !interface.fixed, "label": interface.name })
            })
            .collect();
        links.push(json!({ "ifindex": index + 2, "ifname": interface.name, "flags": ["BROADCAST", "MULTICAST", "UP", "LOWER_UP"], "mtu": 1400, "operstate": "UP", "link_type": "ether", "address": interface.mac, "addr_info": addresses }));
    }
    if !with_addresses {
        for link in &mut links {
            if let Some(fields) = link.as_object_mut() {
                fields.remove("addr_info");
            }
        }
    }
    links
}

fn nmcli(guest: &Guest, arguments: &[&str]) -> Output {
    let known = arguments.iter().filter(|a| !a.starts_with('-')).copied().collect::<Vec<_>>();
    if !matches!(known.as_slice(), ["device" | "dev" | "d", "show", ..]) {
        return Output::failed(
            2,
            format!("Error: argument '{}' not understood. Try passing --help instead.\n", known.first().unwrap_or(&"")),
        );
    }
    let mut text = String::new();
    for interface in guest.interfaces.iter().filter(|i| known.get(2).is_none_or(|name| *name == i.name)) {
        let mut field = |name: &str, value: &str| {
            let _infallible = writeln!(text, "{:<40}{value}", format!("GENERAL.{name}:").replace("GENERAL.IP", "IP"));
        };
        field("DEVICE", &interface.name);
        field("TYPE", "ethernet");
        field("HWADDR", &interface.mac.to_uppercase());
        field("MTU", "1400");
        field("STATE", "100 (connected)");
        for (number, address) in interface.addresses.iter().enumerate() {
            let family = if address.contains(':') { "IP6" } else { "IP4" };
            field(&format!("{family}.ADDRESS[{}]", number + 1), address);
        }
        field("IP4.GATEWAY", interface.gateway.as_deref().unwrap_or("--"));
        text.push('\n');
    }
    Output::ok(text)
}

fn lsblk(guest: &Guest, arguments: &[&str]) -> Output {
    let disks = guest.disks.iter().zip(b'a'..=b'z').map(|(disk, letter)| {
        let mountpoints = if letter == b'a' { json!(["/"]) } else { json!([null]) };
        json!({ "name": format!("vd{}", char::from(letter)), "maj:min": format!("252:{}", u32::from(letter - b'a') * 16), "rm": false, "size": disk.size, "ro": false, "type": "disk", "mountpoints": mountpoints, "serial": disk.serial })
    });
    if arguments.iter().any(|a| *a == "--json" || (a.starts_with('-') && !a.starts_with("--") && a.contains('J'))) {
        return Output::ok(format!("{}\n", json!({ "blockdevices": disks.collect::<Vec<_>>() })));
    }
    let mut text = "NAME MAJ:MIN RM SIZE RO TYPE MOUNTPOINTS\n".to_owned();
    for disk in disks {
        let _infallible = writeln!(
            text,
            "{}  {}  0 {}  0 disk",
            disk["name"].as_str().unwrap_or_default(),
            disk["maj:min"].as_str().unwrap_or_default(),
            disk["size"]
        );
    }
    Output::ok(text)
}
