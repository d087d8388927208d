//! How Forklift reaches a source: fields of the Provider's Secret and its settings, by kind of source.

use std::collections::BTreeMap;

use crate::{
    config::{
        copyoffload::EsxiCloneMethod,
        profile::{Details, Profile},
    },
    providers::Access,
    secrets::SecretValue,
};

/// What a profile says. `ca` are the certificates of the endpoint, unless its TLS is not to be verified.
pub fn access(profile: &Profile, ca: Option<&str>) -> Access {
    let plain = |value: &str| SecretValue::Plain(value.to_owned());
    let insecure = if profile.insecure_skip_verify { "true" } else { "false" };
    let mut secret = vec![("url", plain(&profile.api_url)), ("insecureSkipVerify", plain(insecure))];
    match &profile.details {
        Details::Vsphere(_) | Details::Ovirt(_) => {
            secret.extend([("user", plain(&profile.username)), ("password", SecretValue::Secret(profile.password.clone()))]);
        }
        Details::Openstack(cloud) => secret.extend([
            ("username", plain(&profile.username)),
            ("password", SecretValue::Secret(profile.password.clone())),
            ("regionName", plain(&cloud.region_name)),
            ("projectName", plain(&cloud.project_name)),
            ("domainName", plain(&cloud.user_domain_name)),
        ]),
        // A cluster says itself with what token; a share of OVA files has no login.
        Details::Openshift | Details::Ova => {}
    }
    secret.extend(ca.map(|ca| ("cacert", plain(ca))));
    Access { url: profile.api_url.clone(), secret }
}

/// `Provider.spec.settings`.
pub fn settings(profile: &Profile) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let Some(vsphere) = profile.vsphere() else { return settings };
    if let Some(image) = &vsphere.vddk_init_image {
        settings.insert("vddkInitImage".to_owned(), image.clone());
    }
    if vsphere.clone_provider.is_some() {
        settings.insert("sdkEndpoint".to_owned(), "esxi".to_owned());
    }
    if vsphere.copyoffload.as_ref().is_some_and(|offload| offload.clone_method == EsxiCloneMethod::Ssh) {
        settings.insert("esxiCloneMethod".to_owned(), EsxiCloneMethod::Ssh.name().to_owned());
    }
    settings
}
