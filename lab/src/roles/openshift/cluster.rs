//! The cluster itself: version, nodes, storage classes, virtualization.

use mtv_api::kinds;
use serde_json::{Value, json};

use super::{Addresses, CONFIG_MANAGED, Item, NODE_PROVIDER};
use crate::{
    datacenter::{ClusterModel, StorageClassModel},
    roles::{kubevirt, provisioner},
    vsphere::model::uuid,
};

/// CPUs and memory of each worker: enough for every scenario at once.
const WORKER: (&str, &str) = ("32", "131072Mi");

/// Everything but MTV.
pub(super) fn items(model: &ClusterModel, addresses: &Addresses, now: &str) -> Vec<Item> {
    let mut items = vec![version(model, now), infrastructure(model, addresses), virtctl(addresses), ingress_certificate(addresses)];
    items.extend(model.workers.iter().enumerate().map(|(index, name)| node(name, index, model, now)));
    items.extend(model.storage_classes.iter().enumerate().map(|(index, class)| storage_class(class, index == 0)));
    items.push(
        Item::new(&kinds::KUBEVIRT, json!({ "metadata": { "name": "kubevirt-kubevirt-hyperconverged", "namespace": kubevirt::NAMESPACE }, "spec": {} })).with(
            json!({ "phase": "Deployed", "observedKubeVirtVersion": "v1.6.2", "operatorVersion": "v1.6.2",
                "conditions": [{ "type": "Available", "status": "True", "reason": "AllComponentsReady", "message": "All components are ready.", "lastTransitionTime": now, "lastProbeTime": now }] }),
        ),
    );
    items.push(
        Item::new(&kinds::CDI, json!({ "metadata": { "name": "cdi-kubevirt-hyperconverged" }, "spec": {} }))
            .with(json!({ "phase": "Deployed", "observedVersion": "v1.63.1", "operatorVersion": "v1.63.1", "targetVersion": "v1.63.1" })),
    );
    items
}

fn version(model: &ClusterModel, now: &str) -> Item {
    let version = &model.openshift_version;
    let minor = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let image = format!("quay.io/openshift-release-dev/ocp-release:{version}-x86_64");
    Item::new(
        &kinds::CLUSTER_VERSION,
        json!({ "metadata": { "name": "version" }, "spec": { "clusterID": uuid(0x4a, &model.infrastructure_name), "channel": format!("stable-{minor}") } }),
    )
    .with(json!({
        "desired": { "version": version, "image": image },
        "history": [{ "state": "Completed", "version": version, "image": image, "startedTime": now, "completionTime": now, "verified": true }],
        "observedGeneration": 1,
        "versionHash": "lab",
        "availableUpdates": [],
        "conditions": [
            { "type": "Available", "status": "True", "message": format!("Done applying {version}"), "lastTransitionTime": now },
            { "type": "Progressing", "status": "False", "message": format!("Cluster version is {version}"), "lastTransitionTime": now },
        ],
    }))
}

fn infrastructure(model: &ClusterModel, addresses: &Addresses) -> Item {
    Item::new(
        &kinds::INFRASTRUCTURE,
        json!({ "metadata": { "name": "cluster" }, "spec": { "cloudConfig": { "name": "" }, "platformSpec": { "type": "None" } } }),
    )
    .with(json!({
        "apiServerURL": addresses.api,
        "apiServerInternalURI": addresses.api,
        "infrastructureName": model.infrastructure_name,
        "etcdDiscoveryDomain": "",
        "controlPlaneTopology": "HighlyAvailable",
        "infrastructureTopology": "HighlyAvailable",
        "cpuPartitioning": "None",
        "platform": "None",
        "platformStatus": { "type": "None" },
    }))
}

/// What signs the certificates of routes.
fn ingress_certificate(addresses: &Addresses) -> Item {
    let metadata = json!({ "name": "default-ingress-cert", "namespace": CONFIG_MANAGED });
    Item::new(&kinds::CONFIG_MAP, json!({ "metadata": metadata, "data": { "ca-bundle.crt": addresses.ca } }))
}

/// Names the archives as OpenShift Virtualization does; the lab has no virtctl to give, its port-forward needs none.
fn virtctl(addresses: &Addresses) -> Item {
    let link = |os: &str, arch: &str, label: &str, file: &str| json!({ "href": format!("https://{}/{arch}/{os}/{file}", addresses.inventory), "text": format!("Download virtctl for {label}") });
    let links = [
        link("linux", "amd64", "Linux for x86_64", "virtctl.tar.gz"),
        link("linux", "arm64", "Linux for ARM 64", "virtctl.tar.gz"),
        link("macos", "amd64", "Mac for x86_64", "virtctl.zip"),
        link("windows", "amd64", "Windows for x86_64", "virtctl.zip"),
    ];
    Item::new(
        &kinds::CONSOLE_CLI_DOWNLOAD,
        json!({ "metadata": { "name": "virtctl-clidownloads-kubevirt-hyperconverged" },
            "spec": { "displayName": "virtctl - KubeVirt command line interface", "description": "The virtctl client is a supplemental command-line utility for managing virtualization resources.", "links": links } }),
    )
}

fn node(name: &str, index: usize, model: &ClusterModel, now: &str) -> Item {
    let minor = model.openshift_version.split('.').nth(1).and_then(|m| m.parse::<u32>().ok()).unwrap_or(20);
    let resources = json!({ "cpu": WORKER.0, "memory": WORKER.1, "pods": "250", "ephemeral-storage": "100Gi", "devices.kubevirt.io/kvm": "1k", "devices.kubevirt.io/tun": "1k", "devices.kubevirt.io/vhost-net": "1k" });
    let labels = json!({
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "node-role.kubernetes.io/worker": "",
        "node.openshift.io/os_id": "rhel",
        "kubevirt.io/schedulable": "true",
        "topology.kubernetes.io/zone": format!("lab-{index}"),
    });
    let condition = |kind: &str, status: &str, reason: &str| json!({ "type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": now, "lastHeartbeatTime": now });
    Item::new(&kinds::NODE, json!({ "metadata": { "name": name, "labels": labels }, "spec": { "providerID": format!("{NODE_PROVIDER}{name}") } })).with(json!({
        "capacity": resources,
        "allocatable": resources,
        "addresses": [{ "type": "InternalIP", "address": format!("192.168.126.{}", 11 + index) }, { "type": "Hostname", "address": "localhost" }],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID"),
            condition("Ready", "True", "KubeletReady"),
        ],
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "bootID": name, "machineID": name, "systemUUID": name,
            "containerRuntimeVersion": format!("cri-o://1.{}.0", minor + 13), "kubeletVersion": format!("v1.{}.2", minor + 13), "kubeProxyVersion": "",
            "kernelVersion": "5.14.0-570.el9.x86_64", "osImage": format!("Red Hat Enterprise Linux CoreOS {}", model.openshift_version),
        },
    }))
}

fn storage_class(class: &StorageClassModel, default: bool) -> Item {
    let mut annotations = json!({});
    if default {
        annotations =
            json!({ "storageclass.kubernetes.io/is-default-class": "true", "storageclass.kubevirt.io/is-default-virt-class": "true" });
    }
    Item::new(
        &kinds::STORAGE_CLASS,
        json!({ "metadata": { "name": class.name, "annotations": annotations }, "provisioner": provisioner::DRIVER, "reclaimPolicy": "Delete", "volumeBindingMode": "Immediate", "allowVolumeExpansion": true }),
    )
}

/// Condition of an OLM or apps object.
pub(super) fn condition(kind: &str, reason: &str, now: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now, "lastUpdateTime": now })
}
