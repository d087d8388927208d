//! Settings of the ForkliftController that change while it runs.

use std::time::Duration;

use mtv_api::kinds::FORKLIFT_CONTROLLER;
use serde_json::Value;

use super::cluster::{Cluster, Look};

/// What the controllers read from the ForkliftController; defaults are the operator's.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `controller_precopy_interval`, in minutes there: pause between precopies.
    pub precopy_interval: Duration,
    /// `controller_max_vm_inflight`: VMs, or disks, that are moved from one ESXi host at once.
    pub max_in_flight: usize,
    /// `vddk_image`: for providers that name none.
    pub vddk_image: String,
    /// `controller_pvc_name_template`.
    pub pvc_name_template: String,
    /// `feature_windows_wait_for_reboot`.
    pub wait_for_reboot: bool,
    /// `wait_for_final_snapshot_consolidation`.
    pub wait_for_consolidation: bool,
    /// `feature_vmware_system_serial_number`.
    pub vmware_serial: bool,
    /// `feature_copy_offload`.
    pub copy_offload: bool,
    /// `controller_blocker_grace_period_minutes`: how long a blocker may last while a migration runs.
    pub blocker_grace: Duration,
}

impl Settings {
    /// Reads them.
    pub async fn read(cluster: &Cluster, namespace: &str) -> kube::Result<Self> {
        let controller = cluster.list(&FORKLIFT_CONTROLLER, namespace, "").await?.into_iter().next();
        Ok(Self::from_spec(&controller.map(|c| c["spec"].clone()).unwrap_or_default()))
    }

    fn from_spec(spec: &Value) -> Self {
        let number = |name: &str, default: u64| match &spec[name] {
            Value::Number(n) => n.as_u64().unwrap_or(default),
            Value::String(s) => s.parse().unwrap_or(default),
            _ => default,
        };
        let flag = |name: &str| match &spec[name] {
            Value::Bool(b) => *b,
            Value::String(s) => s != "false",
            _ => true,
        };
        Self {
            precopy_interval: Duration::from_mins(number("controller_precopy_interval", 60)),
            max_in_flight: usize::try_from(number("controller_max_vm_inflight", 20)).unwrap_or(usize::MAX),
            vddk_image: spec.text("/vddk_image").to_owned(),
            pvc_name_template: spec.text("/controller_pvc_name_template").replace("\\{", "{").replace("\\}", "}"),
            wait_for_reboot: flag("feature_windows_wait_for_reboot"),
            wait_for_consolidation: flag("wait_for_final_snapshot_consolidation"),
            vmware_serial: flag("feature_vmware_system_serial_number"),
            copy_offload: flag("feature_copy_offload"),
            blocker_grace: Duration::from_mins(number("controller_blocker_grace_period_minutes", 5)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_flags_come_as_text_too() {
        let settings = Settings::from_spec(&json!({ "controller_precopy_interval": "1", "feature_windows_wait_for_reboot": "false" }));
        assert_eq!(settings.precopy_interval, Duration::from_mins(1));
        assert!(!settings.wait_for_reboot && settings.wait_for_consolidation);
        assert_eq!(Settings::from_spec(&json!({})).max_in_flight, 20);
    }
}
