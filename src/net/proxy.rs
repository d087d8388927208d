//! Which proxy a connection goes through: one answer for the cluster, the sources, Jira and the certificate probe.
//!
//! The variables are those of curl and Go: `HTTPS_PROXY` for `https://`, `HTTP_PROXY` for `http://`, `ALL_PROXY` for both,
//! `NO_PROXY` for exceptions; upper case wins over lower case. Loopback is always an exception. A proxy that a kubeconfig names
//! (`proxy-url`) is used for everything of that cluster, as kubectl does.

use std::{fmt, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use reqwest::Url;

use crate::secrets::Secret;

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `CONNECT` over plain TCP.
    Http,
    /// `CONNECT` over TLS.
    Https,
    /// SOCKS 5; the proxy resolves names.
    Socks5,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Its host; brackets of an IPv6 address are cut.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// User and password.
    login: Option<(String, Secret)>,
    /// Where it was configured, such as `HTTPS_PROXY`.
    from: String,
}

impl Proxy {
    /// Reads the URL of a proxy. `from` says where it was found, for messages; the URL itself is not repeated, because it may
    /// hold a password.
    ///
    /// # Errors
    /// It is not a URL, or its scheme is not supported.
    pub fn parse(text: &str, from: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let expected = "expected http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT";
        let invalid = || format!("the proxy of {from} is not a valid URL; {expected}");
        let url = Url::parse(&text).map_err(|_| invalid())?;
        let (protocol, port) = match url.scheme() {
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            "socks5" | "socks5h" => (Protocol::Socks5, 1080),
            other => return Err(format!("the proxy of {from} has the unsupported scheme `{other}`; {expected}")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(invalid)?;
        let login = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let password = url.password().unwrap_or_default();
            // Both spellings are masked: the one in the variable, and the one that is sent.
            drop(Secret::new(password));
            (decoded(url.username()), Secret::new(decoded(password)))
        });
        Ok(Self {
            protocol,
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port().unwrap_or(port),
            login,
            from: from.to_owned(),
        })
    }

    /// The value of `Proxy-Authorization`.
    pub fn basic_auth(&self) -> Option<Secret> {
        let (user, password) = self.login.as_ref()?;
        Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{}", password.expose())))))
    }

    /// User and password, for SOCKS.
    pub fn login(&self) -> Option<(&str, &str)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.expose()))
    }

    /// The URL with user and password, for a client that takes one.
    pub fn url(&self) -> Option<Url> {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks5 => "socks5h",
        };
        let mut url = Url::parse(&format!("{scheme}://{}:{}", bracketed(&self.host), self.port)).ok()?;
        if let Some((user, password)) = &self.login {
            url.set_username(user).ok()?;
            url.set_password(Some(password.expose())).ok()?;
        }
        Some(url)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}:{} ({})", bracketed(&self.host), self.port, self.from)
    }
}

/// A host as URLs have it: IPv6 addresses between brackets.
pub fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// Percent escapes as what they stand for; what is not an escape stays.
fn decoded(text: &str) -> String {
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = bytes.get(at) {
        let digit = |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                at += 3;
            }
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether a host is this machine: such connections never go through a proxy of the environment.
pub fn is_loopback(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback() || ip.is_unspecified())
}

/// The proxy of the environment for a URL; `None` for a direct connection.
///
/// # Errors
/// The variable that applies does not hold the URL of a proxy.
pub fn of_environment(url: &Url) -> Result<Option<Proxy>, String> {
    choose(url, &|name| std::env::var(name).ok())
}

/// The same with the environment as a function.
fn choose(url: &Url, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>, String> {
    let Some(host) = url.host_str() else { return Ok(None) };
    let host = host.trim_matches(['[', ']']);
    if is_loopback(host) {
        return Ok(None);
    }
    let first = |name: &str| {
        let names = [name.to_owned(), name.to_lowercase()];
        names.into_iter().find_map(|name| variable(&name).filter(|value| !value.trim().is_empty()).map(|value| (name, value)))
    };
    let own = if url.scheme() == "http" { "HTTP_PROXY" } else { "HTTPS_PROXY" };
    let Some((name, value)) = first(own).or_else(|| first("ALL_PROXY")) else { return Ok(None) };
    let exceptions = first("NO_PROXY").map(|(_, value)| value).unwrap_or_default();
    if excepted(&exceptions, host, url.port_or_known_default()) {
        return Ok(None);
    }
    Proxy::parse(&value, &name).map(Some)
}

/// Whether `NO_PROXY` names a host: by name (with all names below it, with or without a dot in front), address or network, each
/// with a port or without, or everything by `*`.
fn excepted(list: &str, host: &str, port: Option<u16>) -> bool {
    let host = host.trim_end_matches('.').to_lowercase();
    let address: Option<IpAddr> = host.parse().ok().map(|ip: IpAddr| ip.to_canonical());
    list.split([',', ' ', '\t']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let (name, wanted) = host_and_port(entry);
        if wanted.is_some() && wanted != port {
            return false;
        }
        let name = name.trim_end_matches('.').to_lowercase();
        match (address, name.parse::<IpAddr>()) {
            (Some(address), Ok(ip)) => ip.to_canonical() == address,
            (Some(address), Err(_)) => in_network(&name, address),
            (None, _) => {
                let domain = name.strip_prefix("*.").or_else(|| name.strip_prefix('.')).unwrap_or(&name);
                !domain.is_empty() && (host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')))
            }
        }
    })
}

/// An entry's host and port: `h`, `h:1`, `[v6]`, `[v6]:1`. An IPv6 address without brackets has no port.
fn host_and_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port.parse().ok()),
        _ => (entry, None),
    }
}

/// Whether an address is in a network such as `10.0.0.0/8`.
fn in_network(network: &str, address: IpAddr) -> bool {
    let Some((base, bits)) = network.split_once('/') else { return false };
    let (Ok(base), Ok(bits)) = (base.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let same = |a: u128, b: u128, width: u32| bits <= width && (bits == 0 || a >> (width - bits) == b >> (width - bits));
    match (base, address) {
        (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: &str, variables: &[(&str, &str)]) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        choose(&Url::parse(url).unwrap(), &variable).unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn picks_the_proxy_of_the_scheme_and_honours_exceptions() {
        let api = "https://api.example.com:6443";
        let all = Some("http://p:3128 (HTTPS_PROXY)".to_owned());
        let with = |url: &str, no: &str| chosen(url, &[("HTTPS_PROXY", "http://p:3128"), ("NO_PROXY", no)]);
        for (url, no, direct) in [
            (api, "", false),
            (api, "example.com", true),
            (api, ".example.com", true),
            (api, "*.example.com", true),
            (api, "ample.com", false),
            (api, "API.Example.COM", true),
            (api, "api.example.com:6443", true),
            (api, "api.example.com:443", false),
            (api, "other.com, example.com", true),
            (api, "other.com example.com", true),
            (api, "*", true),
            (api, "10.0.0.0/8", false),
            ("https://10.1.2.3:6443", "10.0.0.0/8", true),
            ("https://10.1.2.3", "10.1.2.3", true),
            ("https://10.1.2.3:6443", "10.1.2.3:443", false),
            ("https://11.1.2.3", "10.0.0.0/8", false),
            ("https://11.1.2.3", "0.0.0.0/0", true),
            ("https://[2001:db8::1]:6443", "2001:db8::/32", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]", true),
            ("https://[2001:db8::1]:6443", "[2001:db8::1]:6443", true),
            ("https://[2001:db8::1]:6443", "2001:db8::1", true),
            ("https://[2001:db8::1]:6443", "2001:db9::/32", false),
            ("https://api.example.com.:6443", "example.com", true),
            ("https://localhost:6443", "", true),
            ("https://127.0.0.1:6443", "", true),
            ("https://127.9.9.9:6443", "", true),
            ("https://[::1]:6443", "", true),
            ("https://[::ffff:127.0.0.1]:6443", "", true),
            ("https://a.localhost", "", true),
            ("https://localhost.example.com", "", false),
        ] {
            assert_eq!(with(url, no), if direct { None } else { all.clone() }, "{url} with NO_PROXY={no}");
        }
    }

    #[test]
    fn upper_case_wins_and_all_proxy_is_the_last_resort() {
        let some = |text: &str| Some(text.to_owned());
        for (url, variables, expected) in [
            ("https://h", &[("HTTPS_PROXY", "a:1"), ("https_proxy", "b:1")][..], some("http://a:1 (HTTPS_PROXY)")),
            ("https://h", &[("HTTPS_PROXY", ""), ("https_proxy", "b:1")], some("http://b:1 (https_proxy)")),
            ("https://h", &[("HTTP_PROXY", "a:1")], None),
            ("http://h", &[("HTTP_PROXY", "a:1"), ("HTTPS_PROXY", "b:1")], some("http://a:1 (HTTP_PROXY)")),
            ("https://h", &[("ALL_PROXY", "socks5h://u:a-long-proxy-password@[::1]")], some("socks5://[::1]:1080 (ALL_PROXY)")),
            ("https://h", &[("all_proxy", "https://p")], some("https://p:443 (all_proxy)")),
        ] {
            assert_eq!(chosen(url, variables), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_proxy_s_login_is_read_and_never_shown() {
        let proxy = Proxy::parse("http://joe:pa%40ss-of-proxy@p:3128", "proxy-url").unwrap();
        assert_eq!(proxy.login(), Some(("joe", "pa@ss-of-proxy")));
        assert_eq!(proxy.to_string(), "http://p:3128 (proxy-url)");
        assert_eq!(proxy.url().unwrap().as_str(), "http://joe:pa%40ss-of-proxy@p:3128/");
        for wrong in ["ftp://joe:pa-of-wrong@p", "http://joe:pa-of-wrong@", "http://joe:pa-of-wrong@p:99999"] {
            let error = Proxy::parse(wrong, "proxy-url").unwrap_err();
            assert!(error.contains("proxy-url") && !error.contains("pa-of-wrong"), "{error}");
        }
    }
}
