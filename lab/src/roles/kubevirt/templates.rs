//! What a virtual machine only refers to: disks that it has made for it, and the size of its instance type.

use kube::{ResourceExt, api::DynamicObject};
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{MANAGER, Shared};
use crate::roles::write;

/// Makes the DataVolumes of a virtual machine's templates that are not there.
pub(super) async fn data_volumes(shared: &Shared, vm: &DynamicObject) -> anyhow::Result<()> {
    let (namespace, uid) = (vm.namespace().unwrap_or_default(), vm.uid().unwrap_or_default());
    let api = write::api(&shared.cx.client, &kinds::DATA_VOLUME, &namespace);
    for template in write::list(&vm.data, "/spec/dataVolumeTemplates") {
        let name = write::text(template, "/metadata/name");
        if name.is_empty() || api.get_opt(name).await?.is_some() {
            continue;
        }
        let mut metadata = template["metadata"].clone();
        metadata["namespace"] = json!(namespace);
        metadata["labels"]["kubevirt.io/created-by"] = json!(uid);
        metadata["ownerReferences"] = json!([write::controller_of(&kinds::VM, &vm.name_any(), &uid)]);
        write::create(&shared.cx.client, MANAGER, &kinds::DATA_VOLUME, json!({ "metadata": metadata, "spec": template["spec"] })).await?;
    }
    Ok(())
}

/// Gives an instance CPUs and memory of the type that its virtual machine names.
pub(super) async fn instance_type(shared: &Shared, vm: &DynamicObject, spec: &mut Value) -> anyhow::Result<()> {
    let name = write::text(&vm.data, "/spec/instancetype/name");
    if name.is_empty() {
        return Ok(());
    }
    let (kind, namespace) = match write::text(&vm.data, "/spec/instancetype/kind").to_lowercase().as_str() {
        "virtualmachineinstancetype" => (&kinds::INSTANCE_TYPE, vm.namespace().unwrap_or_default()),
        _ => (&kinds::CLUSTER_INSTANCE_TYPE, String::new()),
    };
    let found = write::api(&shared.cx.client, kind, &namespace).get_opt(name).await?;
    let found = found.ok_or_else(|| anyhow::anyhow!("{} {name} does not exist", kind.kind))?;
    let guest = |pointer: &str| found.data.pointer(pointer).cloned().unwrap_or_default();
    spec["domain"]["cpu"] = json!({ "sockets": guest("/spec/cpu/guest"), "cores": 1, "threads": 1 });
    spec["domain"]["memory"] = json!({ "guest": guest("/spec/memory/guest") });
    Ok(())
}
