//! Boot sources, instance types and preferences that OpenShift Virtualization brings.

use mtv_api::kinds;
use serde_json::json;

use super::Item;
use crate::{
    roles::cdi,
    world::{DiskImage, World},
};

/// Namespace of the boot sources.
pub(super) const NAMESPACE: &str = "openshift-virtualization-os-images";
/// Boot sources with the operating system on them, a key of the data centre's `guests`, and their preference.
const SOURCES: &[(&str, &str, &str)] =
    &[("rhel8", "rhel8", "rhel.8"), ("rhel9", "rhel9", "rhel.9"), ("win2k22", "win2022", "windows.2k22")];
/// Instance types: name, CPUs, memory.
const TYPES: &[(&str, u32, &str)] = &[("u1.small", 1, "2Gi"), ("u1.medium", 1, "4Gi"), ("u1.large", 2, "8Gi")];

/// The objects; what stands on the boot sources is put into the world.
pub(super) fn items(world: &World) -> Vec<Item> {
    let mut items = vec![Item::new(&kinds::NAMESPACE, json!({ "metadata": { "name": NAMESPACE } }))];
    for (name, guest, preference) in SOURCES {
        if !world.datacenter.guests.contains_key(*guest) {
            continue;
        }
        world.disks.put(cdi::data_source(NAMESPACE, name), DiskImage { guest: Some((*guest).to_owned()) });
        let metadata = json!({
            "name": name, "namespace": NAMESPACE,
            "labels": { "instancetype.kubevirt.io/default-instancetype": "u1.medium", "instancetype.kubevirt.io/default-preference": preference },
        });
        let source = json!({ "pvc": { "name": name, "namespace": NAMESPACE } });
        let ready = json!([{ "type": "Ready", "status": "True", "reason": "Ready", "message": "DataSource is ready to be consumed" }]);
        items.push(
            Item::new(&kinds::DATA_SOURCE, json!({ "metadata": metadata, "spec": { "source": source } }))
                .with(json!({ "source": source, "conditions": ready })),
        );
        items.push(Item::new(
            &kinds::CLUSTER_PREFERENCE,
            json!({ "metadata": { "name": preference }, "spec": { "devices": { "preferredDiskBus": "virtio" } } }),
        ));
    }
    items.extend(TYPES.iter().map(|(name, cpus, memory)| {
        Item::new(
            &kinds::CLUSTER_INSTANCE_TYPE,
            json!({ "metadata": { "name": name }, "spec": { "cpu": { "guest": cpus }, "memory": { "guest": memory } } }),
        )
    }));
    items
}
