//! A real forklift-controller beside the lab, if somebody has put one into the assets folder: it is not built here.

use std::path::Path;

use crate::{Process, assets};

/// What the controller needs to know of the lab.
#[derive(Debug)]
pub struct Lab<'a> {
    /// Folder of `lab serve`: kubeconfig, `inventory.pem` and `inventory.key` lie there.
    pub folder: &'a Path,
    /// Port at which clients of the lab expect the inventory service.
    pub inventory_port: u16,
    /// Certificate authority of the lab, PEM file.
    pub ca: &'a Path,
    /// Namespace of MTV.
    pub namespace: &'a str,
    /// Minutes between two copies of a warm migration.
    pub precopy_interval: u32,
}

/// Starts the controller with its inventory, as the operator configures it; `None` if there is none (and says so).
///
/// # Errors
/// It does not start.
pub fn controller(lab: &Lab<'_>) -> anyhow::Result<Option<Process>> {
    let Some(program) = assets::optional("forklift-controller") else { return Ok(None) };
    let at = |name: &str| lab.folder.join(name).display().to_string();
    let settings = [
        ("KUBECONFIG", at("kubeconfig")),
        ("HOME", at("")),
        ("WORKING_DIR", at("")),
        ("ROLE", "main,inventory".to_owned()),
        ("POD_NAMESPACE", lab.namespace.to_owned()),
        ("API_HOST", "localhost".to_owned()),
        ("API_PORT", lab.inventory_port.to_string()),
        ("API_TLS_CERTIFICATE", at("inventory.pem")),
        ("API_TLS_KEY", at("inventory.key")),
        ("API_TLS_CA", lab.ca.display().to_string()),
        ("AUTH_REQUIRED", "true".to_owned()),
        ("METRICS_PORT", "0".to_owned()),
        ("LOG_LEVEL", "3".to_owned()),
        ("OPENSHIFT", "true".to_owned()),
        ("OPENSHIFT_VERSION", "4.20.0".to_owned()),
        ("PRECOPY_INTERVAL", lab.precopy_interval.to_string()),
        ("VSPHERE_OS_MAP", "forklift-vsphere-osmap".to_owned()),
        ("OVIRT_OS_MAP", "forklift-ovirt-osmap".to_owned()),
        ("VIRT_CUSTOMIZE_MAP", "forklift-virt-customize".to_owned()),
        // Images that the lab's kubelet never pulls; the controller wants names.
        ("VIRT_V2V_IMAGE", "lab.invalid/virt-v2v".to_owned()),
        ("VIRT_V2V_IMAGE_XFS", "lab.invalid/virt-v2v-xfs".to_owned()),
        ("DEEP_INSPECTION_IMAGE", "lab.invalid/inspection".to_owned()),
        ("DEEP_INSPECTION_IMAGE_XFS", "lab.invalid/inspection-xfs".to_owned()),
        ("FEATURE_VSPHERE_INCREMENTAL_BACKUP", "true".to_owned()),
        ("FEATURE_OVIRT_WARM_MIGRATION", "true".to_owned()),
        ("FEATURE_COPY_OFFLOAD", "true".to_owned()),
        ("FEATURE_OCP_LIVE_MIGRATION", "true".to_owned()),
    ];
    // `env` starts it with these settings and no others of this process.
    let mut arguments = vec!["-i".to_owned()];
    arguments.extend(settings.into_iter().map(|(name, value)| format!("{name}={value}")));
    arguments.push(program.display().to_string());
    Process::start(Path::new("env"), &arguments, lab.folder).map(Some)
}
