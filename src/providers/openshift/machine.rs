//! The shape of a source VM, which is that of mtv-api-tests: instance type, preference and boot source of the cluster, two
//! adapters, a login by cloud-init.

use serde_json::{Value, json};

use super::RUN_LABEL;

/// Size of the VM.
pub const INSTANCE_TYPE: &str = "u1.small";
/// Preferences of its operating system.
pub const PREFERENCE: &str = "rhel.9";
/// Namespace and name of its boot source.
pub const BOOT_SOURCE: (&str, &str) = ("openshift-virtualization-os-images", "rhel9");
/// Size of its disk.
const DISK: &str = "30Gi";
/// Network of the second adapter, in the VM's own namespace.
pub const NETWORK: &str = "cb-source";

/// Namespace of a run's source VMs.
pub fn namespace(run: &str) -> String {
    crate::run::names::source_namespace(run)
}

/// Labels of everything that a run makes here.
pub fn labels(run: &str) -> Value {
    json!({ RUN_LABEL: run, "app.kubernetes.io/managed-by": "mtv-test" })
}

/// The namespace. Its MAC addresses are left to KubeVirt: a migrated VM keeps what its source has.
pub fn namespace_body(run: &str) -> Value {
    let mut labels = labels(run);
    labels["mutatevirtualmachines.kubemacpool.io"] = json!("ignore");
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace(run), "labels": labels } })
}

/// The network of the second adapter.
pub fn network_body(run: &str) -> Value {
    let config = json!({ "cniVersion": "0.3.1", "type": "cnv-bridge", "bridge": "cnv-bridge" });
    json!({
        "apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition",
        "metadata": { "name": NETWORK, "namespace": namespace(run), "labels": labels(run) },
        "spec": { "config": config.to_string() },
    })
}

/// The VM, switched off until somebody starts it. The guest gets the login of the profile's Linux guests, if there is one.
pub fn body(run: &str, name: &str, login: Option<(&str, &str)>) -> Value {
    let namespace = namespace(run);
    let mut volumes = vec![json!({ "name": "rootdisk", "dataVolume": { "name": name } })];
    let mut disks = vec![json!({ "name": "rootdisk", "disk": { "bus": "virtio" } })];
    if let Some((user, password)) = login {
        let text = json!({ "user": user, "password": password, "chpasswd": { "expire": false }, "ssh_pwauth": true });
        volumes.push(json!({ "name": "cloudinit", "cloudInitNoCloud": { "userData": format!("#cloud-config\n{text}\n") } }));
        disks.push(json!({ "name": "cloudinit", "disk": { "bus": "virtio" } }));
    }
    json!({
        "apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine",
        "metadata": { "name": name, "namespace": namespace, "labels": labels(run) },
        "spec": {
            "runStrategy": "Manual",
            "instancetype": { "kind": "VirtualMachineClusterInstancetype", "name": INSTANCE_TYPE },
            "preference": { "kind": "VirtualMachineClusterPreference", "name": PREFERENCE },
            "dataVolumeTemplates": [{
                "metadata": { "name": name },
                "spec": {
                    "sourceRef": { "kind": "DataSource", "namespace": BOOT_SOURCE.0, "name": BOOT_SOURCE.1 },
                    "storage": { "resources": { "requests": { "storage": DISK } } },
                },
            }],
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    "domain": {
                        "devices": {
                            "disks": disks,
                            "interfaces": [
                                { "name": "default", "masquerade": {}, "model": "virtio" },
                                { "name": "net1", "bridge": {}, "model": "virtio" },
                            ],
                        },
                        "resources": {},
                    },
                    "networks": [
                        { "name": "default", "pod": {} },
                        { "name": "net1", "multus": { "networkName": format!("{namespace}/{NETWORK}") } },
                    ],
                    "volumes": volumes,
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_is_a_dns_label_that_names_the_run() {
        let name = namespace("abcdefghij");
        assert!(name.len() <= 63 && name.contains("abcdefghij"), "{name}");
        assert_eq!(namespace_body("r")["metadata"]["labels"][RUN_LABEL], "r");
    }

    #[test]
    fn without_a_login_there_is_no_cloud_init() {
        let volumes = |login| body("r", "vm", login)["spec"]["template"]["spec"]["volumes"].as_array().map(Vec::len);
        assert_eq!(volumes(None), Some(1));
        assert_eq!(volumes(Some(("rhel", "secret"))), Some(2));
    }
}
