//! What `api_url` of a profile must look like, by the kind of the source. Nobody is contacted.

use reqwest::Url;

use super::profile::ProviderKind;

/// What is wrong with an address: as a fragment, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong; the address itself is not repeated, because it can hold a login.
    pub what: String,
    /// How to fix it.
    pub help: String,
}

/// What an address of this kind looks like.
const fn shape(kind: ProviderKind) -> &'static str {
    match kind {
        ProviderKind::Vsphere => "https://HOST/sdk",
        ProviderKind::Ovirt => "https://HOST/ovirt-engine/api",
        ProviderKind::Openstack => "https://HOST:5000/v3",
        ProviderKind::Openshift => "https://HOST:6443",
        ProviderKind::Ova => "HOST:/PATH",
        ProviderKind::Hyperv => "https://HOST:5986",
    }
}

/// Checks an address that is not empty.
///
/// # Errors
/// A run could not use it.
pub fn check(kind: ProviderKind, url: &str) -> Result<(), Wrong> {
    let url = url.trim();
    let wrong = |what: &str| Err(Wrong { what: what.to_owned(), help: format!("write it as {}", shape(kind)) });
    if kind == ProviderKind::Ova {
        return match url.split_once(":/") {
            _ if url.contains("://") => wrong("is a URL, not an NFS share"),
            Some((host, _)) if !host.is_empty() && !host.contains('/') => Ok(()),
            _ => wrong("is not an NFS share"),
        };
    }
    let parsed = match Url::parse(url) {
        _ if !url.contains("://") => return wrong("has no scheme"),
        Ok(parsed) if !matches!(parsed.scheme(), "https" | "http") => {
            return wrong(&format!("has the scheme `{}`, not https", parsed.scheme()));
        }
        Ok(parsed) => parsed,
        Err(error) => return wrong(&format!("is not a valid URL: {error}")),
    };
    if parsed.host_str().is_none_or(str::is_empty) {
        return wrong("has no host");
    }
    if parsed.port() == Some(0) {
        return wrong("has the port 0");
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return wrong("has a query or a fragment (`?…` or `#…`)");
    }
    let path = parsed.path().trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    match kind {
        ProviderKind::Vsphere if path != "/sdk" => wrong("does not lead to the SDK: its path is not /sdk"),
        ProviderKind::Ovirt if !path.trim_end_matches("/v4").ends_with("/api") => wrong("does not end in /api"),
        ProviderKind::Openstack if last != "v3" && is_version(last) => {
            wrong(&format!("ends in /{last}; only version 3 of Keystone is known"))
        }
        _ => Ok(()),
    }
}

/// `v2.0`, `v3`.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// User and password of a URL that holds them.
pub fn login(url: &str) -> Option<&str> {
    url.split_once("://")?.1.split(['/', '?', '#']).next()?.rsplit_once('@').map(|(login, _)| login)
}

/// Whether what is sent there can be read on its way.
pub fn is_plain(url: &str) -> bool {
    url.trim().get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http://"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ProviderKind::{Openshift, Openstack, Ova, Ovirt, Vsphere};

    #[test]
    fn addresses_that_a_run_can_use() {
        for (kind, url) in [
            (Vsphere, "https://vcenter.example.com/sdk"),
            (Vsphere, " https://vcenter.example.com/sdk/ "),
            (Vsphere, "HTTPS://vcenter:8443/sdk"),
            (Vsphere, "https://[::1]:8989/sdk"),
            (Vsphere, "https://vcenter.bücher.example/sdk"),
            (Ovirt, "https://engine.example.com/ovirt-engine/api"),
            (Ovirt, "https://engine.example.com/ovirt-engine/api/v4/"),
            (Openstack, "https://cloud.example.com:5000/v3"),
            (Openstack, "https://cloud.example.com:5000"),
            (Openstack, "https://cloud.example.com/identity/v3/"),
            (Openshift, "https://api.example.com:6443"),
            (Openshift, "https://rancher.example.com/k8s/clusters/c-1"),
            (Ova, "nfs.example.com:/exports/ova"),
            (Ova, "[fe80::1]:/exports"),
        ] {
            assert_eq!(check(kind, url), Ok(()), "{url}");
        }
    }

    #[test]
    fn addresses_that_no_run_can_use() {
        for (kind, url, what) in [
            (Vsphere, "vcenter", "no scheme"),
            (Vsphere, "vcenter/sdk", "no scheme"),
            (Vsphere, "vcenter:443/sdk", "no scheme"),
            (Vsphere, "127.0.0.1:443/sdk", "no scheme"),
            (Vsphere, "ftp://vcenter/sdk", "scheme `ftp`"),
            (Vsphere, "https:///sdk", "path is not /sdk"),
            (Vsphere, "https://", "not a valid URL"),
            (Vsphere, "https://vcenter:99999/sdk", "not a valid URL"),
            (Vsphere, "https://vcenter:0/sdk", "port 0"),
            (Vsphere, "https://::1/sdk", "not a valid URL"),
            (Vsphere, "https://[fe80::1%25eth0]/sdk", "not a valid URL"),
            (Vsphere, "https://vcenter", "path is not /sdk"),
            (Vsphere, "https://vcenter/ui/", "path is not /sdk"),
            (Vsphere, "https://vcenter//sdk/", "path is not /sdk"),
            (Vsphere, "https://vcenter/sdk?x=1", "query"),
            (Ovirt, "https://engine/ovirt-engine", "/api"),
            (Openstack, "https://cloud:5000/v2.0", "version 3"),
            (Ova, "https://h/share", "URL, not an NFS share"),
            (Ova, "/share", "not an NFS share"),
            (Ova, "host", "not an NFS share"),
        ] {
            let wrong = check(kind, url).unwrap_err();
            assert!(wrong.what.contains(what), "{url}: {}", wrong.what);
            assert!(wrong.help.contains("HOST"), "{url}");
        }
    }

    #[test]
    fn logins_are_found_where_they_stand() {
        for (url, found) in [
            ("https://joe:pw@h/sdk", Some("joe:pw")),
            ("https://joe@h", Some("joe")),
            ("https://a@b:c@h/x", Some("a@b:c")),
            ("https://h/sdk?mail=a@b", None),
            ("h:/p@q", None),
        ] {
            assert_eq!(login(url), found, "{url}");
        }
        assert!(is_plain("HTTP://h/sdk") && !is_plain("https://h/sdk") && !is_plain("h:/p"));
    }
}
