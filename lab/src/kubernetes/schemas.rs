//! What the lab's custom resources may hold: our own compact description of the Forklift kinds, anything for the others.

use mtv_api::kinds::Kind;
use serde_json::{Value, json};

use super::{schema::Schema, table::Column};

/// A custom resource: schema and how it shows itself.
pub struct Shape {
    /// Schema of the whole object.
    pub schema: Schema,
    /// Whether `status` is a subresource.
    pub status: bool,
    /// Columns of tables.
    pub columns: Vec<Column>,
    /// Abbreviations.
    pub short_names: &'static [&'static str],
    /// Categories.
    pub categories: &'static [&'static str],
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn boolean(default: Option<bool>) -> Value {
    match default {
        Some(value) => json!({ "type": "boolean", "default": value }),
        None => json!({ "type": "boolean" }),
    }
}

fn free() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

fn one_of(values: &[&str]) -> Value {
    json!({ "type": "string", "enum": values })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn texts() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn object(required: &[&str], properties: &Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

/// A reference to an object of the cluster.
fn reference() -> Value {
    let properties: serde_json::Map<String, Value> = ["apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"]
        .into_iter()
        .map(|key| (key.to_owned(), text()))
        .collect();
    json!({ "type": "object", "properties": properties, "x-kubernetes-map-type": "atomic" })
}

/// A reference to something of the source.
fn source_reference() -> Value {
    object(&[], &json!({ "id": text(), "name": text(), "namespace": text(), "type": text() }))
}

fn providers() -> Value {
    object(&["source", "destination"], &json!({ "source": reference(), "destination": reference() }))
}

fn provider() -> Value {
    object(&["secret", "type"], &json!({ "type": text(), "url": text(), "settings": texts(), "secret": reference() }))
}

fn storage_map() -> Value {
    let destination = object(
        &["storageClass"],
        &json!({ "storageClass": text(), "volumeMode": one_of(&["Filesystem", "Block"]),
            "accessMode": one_of(&["ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany"]) }),
    );
    let pair =
        object(&["destination", "source"], &json!({ "source": source_reference(), "destination": destination, "offloadPlugin": free() }));
    object(&["map", "provider"], &json!({ "provider": providers(), "map": list(&pair) }))
}

fn network_map() -> Value {
    let kinds = one_of(&["pod", "multus", "ignored"]);
    let destination = object(&["type"], &json!({ "type": kinds, "name": text(), "namespace": text() }));
    let mut source = source_reference();
    source["properties"]["vlan"] = text();
    let pair = object(&["destination", "source"], &json!({ "source": source, "destination": destination }));
    object(&["map", "provider"], &json!({ "provider": providers(), "map": list(&pair) }))
}

fn plan() -> Value {
    let hook = object(&["hook", "step"], &json!({ "hook": reference(), "step": text() }));
    let vm = object(
        &[],
        &json!({ "id": text(), "name": text(), "namespace": text(), "type": text(), "hooks": list(&hook), "luks": reference(), "rootDisk": text(),
            "instanceType": text(), "targetName": text(), "targetPowerState": one_of(&["on", "off", "auto"]), "pvcNameTemplate": text(),
            "volumeNameTemplate": text(), "networkNameTemplate": text(), "nbdeClevis": boolean(None), "deleteVmOnFailMigration": boolean(None),
            "migrateSharedDisks": boolean(None), "enableNestedVirtualization": boolean(None), "rdmAsLun": boolean(None), "scsiReservation": boolean(None) }),
    );
    let account = json!({ "type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" });
    let tags = object(&[], &json!({ "disabled": boolean(None), "labelTags": list(&text()) }));
    let map = object(&["network", "storage"], &json!({ "network": reference(), "storage": reference() }));
    object(
        &["map", "provider", "targetNamespace", "vms"],
        &json!({ "archived": boolean(None), "description": text(), "map": map, "provider": providers(), "targetNamespace": text(), "vms": list(&vm),
            "type": one_of(&["cold", "warm", "live", "conversion"]), "warm": boolean(None), "targetPowerState": one_of(&["on", "off", "auto"]),
            "targetLabels": texts(), "targetNodeSelector": texts(), "targetAffinity": free(), "convertorLabels": texts(),
            "convertorNodeSelector": texts(), "convertorAffinity": free(), "customizationScripts": reference(), "diskBus": text(),
            "deleteGuestConversionPod": boolean(None), "deleteVmOnFailMigration": boolean(Some(true)), "enableNestedVirtualization": boolean(None),
            "installLegacyDrivers": boolean(None), "migrateSharedDisks": boolean(Some(true)), "networkNameTemplate": text(),
            "preserveClusterCpuModel": boolean(None), "preserveStaticIPs": boolean(Some(true)), "pvcNameTemplate": text(),
            "pvcNameTemplateUseGenerateName": boolean(None), "runPreflightInspection": boolean(Some(true)), "serviceAccount": account,
            "skipGuestConversion": boolean(Some(false)), "skipZoneNodeSelector": boolean(None), "transferNetwork": reference(),
            "useCompatibilityMode": boolean(Some(true)), "volumeNameTemplate": text(), "xfsCompatibility": boolean(Some(false)), "rdmAsLun": boolean(None), "scsiReservation": boolean(None),
            "tagMapping": tags, "virtV2vImage": text(),
            "conversionTempStorageClass": text(), "conversionTempStorageSize": text() }),
    )
}

fn migration() -> Value {
    let moment = json!({ "type": "string", "format": "date-time" });
    let vm = object(&["cutover", "id"], &json!({ "cutover": moment, "id": { "type": "string", "minLength": 1 } }));
    object(
        &["plan"],
        &json!({ "plan": reference(), "cancel": list(&source_reference()), "cutover": moment, "resumeConversion": boolean(None), "vmCutover": list(&vm) }),
    )
}

fn hook() -> Value {
    let deadline = json!({ "type": "integer", "format": "int64" });
    object(&[], &json!({ "image": text(), "playbook": text(), "deadline": deadline, "serviceAccount": text(), "aap": free() }))
}

fn host() -> Value {
    object(
        &["ipAddress", "provider", "secret"],
        &json!({ "id": text(), "name": text(), "namespace": text(), "type": text(), "ipAddress": text(), "provider": reference(), "secret": reference() }),
    )
}

/// The schema of a kind's spec; none: anything goes.
fn spec(kind: &Kind) -> Option<Value> {
    if kind.group != "forklift.konveyor.io" {
        return None;
    }
    Some(match kind.kind {
        "Provider" => provider(),
        "StorageMap" => storage_map(),
        "NetworkMap" => network_map(),
        "Plan" => plan(),
        "Migration" => migration(),
        "Hook" => hook(),
        "Host" => host(),
        _ => return None,
    })
}

/// A column that shows whether a condition is true.
fn condition(title: &str, kind: &str) -> Column {
    Column::path(title, &format!(".status.conditions[?(@.type==\"{kind}\")].status"))
}

fn columns(kind: &Kind) -> Vec<Column> {
    let mut columns = columns_after_name(kind);
    columns.iter_mut().for_each(Column::custom);
    columns
}

fn columns_after_name(kind: &Kind) -> Vec<Column> {
    let phase = |title: &str| Column::path(title, ".status.phase");
    let ready = || condition("Ready", "Ready");
    let mut columns = match (kind.group, kind.kind) {
        ("forklift.konveyor.io", "Provider") => vec![
            Column::path("Type", ".spec.type"),
            phase("Status"),
            ready(),
            condition("Connected", "ConnectionTestSucceeded"),
            condition("Inventory", "InventoryCreated"),
            Column::path("URL", ".spec.url"),
        ],
        ("forklift.konveyor.io", "StorageMap" | "NetworkMap") => vec![ready()],
        ("forklift.konveyor.io", "Hook") => vec![ready(), Column::path("Image", ".spec.image")],
        ("forklift.konveyor.io", "Host") => vec![ready(), condition("Connected", "ConnectionTestSucceeded")],
        ("forklift.konveyor.io", "Plan") => {
            vec![ready(), condition("Executing", "Executing"), condition("Succeeded", "Succeeded"), condition("Failed", "Failed")]
        }
        ("forklift.konveyor.io", "Migration") => {
            vec![ready(), condition("Running", "Running"), condition("Succeeded", "Succeeded"), condition("Failed", "Failed")]
        }
        ("forklift.konveyor.io", "Conversion") => {
            vec![Column::path("Type", ".spec.type"), phase("Phase"), Column::path("Stage", ".status.stage"), ready()]
        }
        ("kubevirt.io", "VirtualMachine") => {
            return vec![Column::age(), Column::path("Status", ".status.printableStatus"), ready()];
        }
        ("kubevirt.io", "VirtualMachineInstance") => {
            return vec![
                Column::age(),
                phase("Phase"),
                Column::path("IP", ".status.interfaces[0].ipAddress"),
                Column::path("NodeName", ".status.nodeName"),
                ready(),
            ];
        }
        ("cdi.kubevirt.io", "DataVolume") => {
            vec![phase("Phase"), Column::path("Progress", ".status.progress"), Column::path("Restarts", ".status.restartCount")]
        }
        ("route.openshift.io", _) => vec![
            Column::path("Host", ".status.ingress[0].host"),
            condition("Admitted", "Admitted"),
            Column::path("Service", ".spec.to.name"),
            Column::path("TLS", ".spec.tls.type"),
        ],
        ("config.openshift.io", "ClusterVersion") => vec![
            Column::path("Version", ".status.history[?(@.state==\"Completed\")].version"),
            condition("Available", "Available"),
            condition("Progressing", "Progressing"),
        ],
        ("operators.coreos.com", "ClusterServiceVersion") => {
            vec![Column::path("Display", ".spec.displayName"), Column::path("Version", ".spec.version"), phase("Phase")]
        }
        ("operators.coreos.com", "Subscription") => {
            vec![Column::path("Package", ".spec.name"), Column::path("Source", ".spec.source"), Column::path("Channel", ".spec.channel")]
        }
        _ => Vec::new(),
    };
    columns.push(Column::age());
    if kind.group == "forklift.konveyor.io" && kind.kind != "Hook" {
        columns.iter_mut().for_each(Column::shout);
    }
    columns
}

/// How the lab serves one of our kinds.
pub fn of(kind: &Kind) -> Shape {
    let schema = match spec(kind) {
        Some(spec) => json!({ "type": "object", "properties": { "spec": spec, "status": free() } }),
        None => free(),
    };
    let (short_names, categories): (&[&str], &[&str]) = match (kind.group, kind.kind) {
        ("kubevirt.io", "VirtualMachine") => (&["vm", "vms"], &["all"]),
        ("kubevirt.io", "VirtualMachineInstance") => (&["vmi", "vmis"], &["all"]),
        ("cdi.kubevirt.io", "DataVolume") => (&["dv", "dvs"], &["all"]),
        ("kubevirt.io", "VirtualMachineInstanceMigration") => (&["vmim", "vmims"], &["all"]),
        (_, "OvirtVolumePopulator") => (&["ovvp", "ovvps"], &[]),
        (_, "OpenstackVolumePopulator") => (&["osvp", "osvps"], &[]),
        (_, "VSphereXcopyVolumePopulator") => (&["vxvp", "vxvps"], &[]),
        ("config.openshift.io", "ImageDigestMirrorSet") => (&["idms"], &[]),
        ("k8s.cni.cncf.io", _) => (&["net-attach-def"], &[]),
        ("operators.coreos.com", "ClusterServiceVersion") => (&["csv", "csvs"], &["olm"]),
        ("operators.coreos.com", "OperatorGroup") => (&["og"], &["olm"]),
        ("operators.coreos.com", "Subscription") => (&["sub", "subs"], &["olm"]),
        _ => (&[], &[]),
    };
    // The status of a populator is a field like any other.
    let status = !matches!(kind.group, "k8s.cni.cncf.io") && !kind.kind.ends_with("VolumePopulator");
    Shape { schema: Schema::parse(&schema), status, columns: columns(kind), short_names, categories }
}

#[cfg(test)]
mod tests {
    use mtv_api::kinds;

    use super::*;
    use crate::kubernetes::status::Cause;

    fn problems(kind: &Kind, spec: &Value) -> Vec<String> {
        let mut causes: Vec<Cause> = Vec::new();
        of(kind).schema.validate(&json!({ "spec": spec }), "", &mut causes);
        causes.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn what_the_controller_needs_is_required() {
        let both = json!({ "source": {}, "destination": {} });
        assert_eq!(problems(&kinds::MIGRATION, &json!({})), ["spec.plan: Required value"]);
        assert_eq!(
            problems(&kinds::STORAGE_MAP, &json!({ "provider": both, "map": [{ "source": {}, "destination": {} }] })),
            ["spec.map[0].destination.storageClass: Required value"]
        );
        assert_eq!(
            problems(
                &kinds::PLAN,
                &json!({ "provider": both, "map": { "network": {}, "storage": {} }, "targetNamespace": "t", "vms": [] })
            ),
            Vec::<String>::new()
        );
    }
}
