//! How Forklift reaches a source: fields of the Provider's Secret and its settings, by kind of source.

use std::collections::BTreeMap;

use crate::{
    config::{
        copyoffload::EsxiCloneMethod,
        profile::{Profile, ProviderKind},
    },
    providers::{Access, Field},
};

/// What a profile says. `ca` are the certificates of the endpoint, unless its TLS is not to be verified.
pub fn access(profile: &Profile, ca: Option<&str>) -> Access {
    let plain = |value: &str| Field::Plain(value.to_owned());
    let extra = |key: &str| plain(profile.extra.get(key).map_or("", String::as_str));
    let insecure = if profile.insecure_skip_verify { "true" } else { "false" };
    let mut secret = vec![("url", plain(&profile.api_url)), ("insecureSkipVerify", plain(insecure))];
    match profile.kind {
        ProviderKind::Vsphere | ProviderKind::Ovirt => {
            secret.extend([("user", plain(&profile.username)), ("password", Field::Secret(profile.password.clone()))]);
        }
        ProviderKind::Openstack => secret.extend([
            ("username", plain(&profile.username)),
            ("password", Field::Secret(profile.password.clone())),
            ("regionName", extra("region_name")),
            ("projectName", extra("project_name")),
            ("domainName", extra("user_domain_name")),
        ]),
        ProviderKind::Hyperv => secret.extend([
            ("username", plain(&profile.username)),
            ("password", Field::Secret(profile.password.clone())),
            ("smbUrl", extra("smb_url")),
        ]),
        // A cluster says itself with what token; a share of OVA files has no login.
        ProviderKind::Openshift | ProviderKind::Ova => {}
    }
    secret.extend(ca.map(|ca| ("cacert", plain(ca))));
    Access { url: profile.api_url.clone(), secret }
}

/// `Provider.spec.settings`.
pub fn settings(profile: &Profile) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    if let Some(image) = &profile.vddk_init_image {
        settings.insert("vddkInitImage".to_owned(), image.clone());
    }
    if profile.clone_provider.is_some() {
        settings.insert("sdkEndpoint".to_owned(), "esxi".to_owned());
    }
    if profile.copyoffload.as_ref().is_some_and(|offload| offload.clone_method == EsxiCloneMethod::Ssh) {
        settings.insert("esxiCloneMethod".to_owned(), EsxiCloneMethod::Ssh.name().to_owned());
    }
    settings
}
