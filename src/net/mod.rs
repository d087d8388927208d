//! How connections to endpoints are made, for every client of the tool: which proxy they go through, the TCP connection, and
//! the facts of a certificate for error messages.

pub mod certificate;
pub mod dial;
pub mod proxy;

use crate::secrets::Secret;

/// An address without the login that may stand in it (`https://USER:PASSWORD@HOST`). The password is masked from now on.
pub fn without_login(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").map_or((None, address), |(scheme, rest)| (Some(scheme), rest));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    // A password may hold a slash that nobody has escaped: what then stands in the place of a port is not a number.
    let odd = || rest[..end].rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']') && port.parse::<u16>().is_err());
    let Some(at) = rest[..end].rfind('@').or_else(|| rest.rfind('@').filter(|_| odd())) else { return address.to_owned() };
    let (login, host) = (&rest[..at], &rest[at + 1..]);
    let password = login.split_once(':').map_or(login, |(_, password)| password);
    drop(Secret::new(password));
    match scheme {
        Some(scheme) => format!("{scheme}://{host}"),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_taken_out_of_an_address_and_masked() {
        for (address, expected) in [
            ("https://joe:pw-in-address@h:1/x", "https://h:1/x"),
            ("joe:pw-in-address@h", "h"),
            ("https://joe:pw-in/address@h:1", "https://h:1"),
            ("https://pw-in-address@h", "https://h"),
            ("https://h:1/x", "https://h:1/x"),
            ("h/a@b", "h/a@b"),
            ("https://h:1/a@b", "https://h:1/a@b"),
            ("https://[::1]/a@b", "https://[::1]/a@b"),
            ("https://u:pw-in-address@x@h:1?q=a@b", "https://h:1?q=a@b"),
        ] {
            assert_eq!(without_login(address), expected);
        }
        assert!(!crate::secrets::mask("pw-in-address pw-in/address").contains("pw"));
    }
}
