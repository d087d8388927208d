//! The VirtualMachine of an OpenShift source: a copy of the source's own, with other networks and claims.

use mtv_api::forklift::VmStatus;
use serde_json::{Value, json};

use super::{disks, rows};
use crate::forklift::{
    cluster::Look,
    plan::Work,
    source::{Collection, Machine},
};

/// Spec of the copy; `run_strategy` is the target's own.
pub async fn spec(work: &Work<'_>, vm: &VmStatus, machine: &Machine, claims: &[Value], run_strategy: &str) -> anyhow::Result<Value> {
    let source = machine.object.as_ref().map(|vm| vm["spec"].clone()).unwrap_or_default();
    let mut spec = source.clone();
    if let Some(spec) = spec.as_object_mut() {
        spec.remove("dataVolumeTemplates");
        spec.remove("running");
    }
    spec["runStrategy"] = json!(run_strategy);
    let (mut interfaces, mut networks) = (Vec::new(), Vec::new());
    let old = &source["template"]["spec"];
    for (interface, nic) in old.items("/domain/devices/interfaces").iter().zip(&machine.nics) {
        let rows = rows(work, work.network.as_ref(), Collection::Networks, &nic.network).await?;
        let row = rows.first().ok_or_else(|| anyhow::anyhow!("network {} of vm {} is not mapped", nic.network, vm.name))?;
        let destination = &row["destination"];
        let name = interface.text("/name");
        let was_pod = interface.get("masquerade").is_some();
        match destination.text("/type") {
            "pod" if was_pod => networks.push(json!({ "name": name, "pod": {} })),
            "multus" if !was_pod => {
                let full = format!("{}/{}", destination.text("/namespace"), destination.text("/name"));
                networks.push(json!({ "name": name, "multus": { "networkName": full } }));
            }
            // As the real controller of this release does: an adapter that changes its kind of network is lost.
            _ => continue,
        }
        interfaces.push(interface.clone());
    }
    spec["template"]["spec"]["networks"] = json!(networks);
    spec["template"]["spec"]["domain"]["devices"]["interfaces"] = json!(interfaces);
    let volumes: Vec<Value> = old.items("/volumes").iter().map(|volume| replaced(volume, machine, claims)).collect();
    spec["template"]["spec"]["volumes"] = json!(volumes);
    Ok(spec)
}

/// A volume with the claim that its disk was copied to; others, such as cloud-init, stay.
fn replaced(volume: &Value, machine: &Machine, claims: &[Value]) -> Value {
    let name = [volume.text("/persistentVolumeClaim/claimName"), volume.text("/dataVolume/name")].into_iter().find(|n| !n.is_empty());
    let Some(name) = name else { return volume.clone() };
    let task = format!("{}/{name}", machine.namespace);
    let claim = claims.iter().find(|c| c.annotation(disks::SOURCE) == Some(task.as_str()));
    let claim = claim.map(|c| c.text("/metadata/name")).unwrap_or_default();
    json!({ "name": volume["name"], "persistentVolumeClaim": { "claimName": claim } })
}
