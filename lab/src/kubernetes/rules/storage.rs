//! Volumes, claims, classes and drivers.

use serde_json::{Map, Value, json};

use super::{
    super::{quantity::Quantity, resource::Resource, status::Cause, write::metadata},
    default, immutable, one_of,
};

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// The defaults of each kind.
pub fn fill(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "PersistentVolumeClaim") => {
            default(object, "/spec/volumeMode", "Filesystem".into());
            default(object, "/status", json!({}));
            default(object, "/status/phase", "Pending".into());
            sources(&mut object["spec"]);
        }
        ("", "PersistentVolume") => {
            default(object, "/spec/volumeMode", "Filesystem".into());
            default(object, "/spec/persistentVolumeReclaimPolicy", "Retain".into());
            default(object, "/spec/hostPath/type", "".into());
            default(object, "/status", json!({}));
            default(object, "/status/phase", "Pending".into());
        }
        ("storage.k8s.io", "StorageClass") => {
            default(object, "/reclaimPolicy", "Delete".into());
            default(object, "/volumeBindingMode", "Immediate".into());
        }
        ("storage.k8s.io", "CSIDriver") => {
            for (pointer, value) in [
                ("/spec/attachRequired", Value::from(true)),
                ("/spec/podInfoOnMount", false.into()),
                ("/spec/volumeLifecycleModes", json!(["Persistent"])),
                ("/spec/storageCapacity", false.into()),
                ("/spec/fsGroupPolicy", "ReadWriteOnceWithFSType".into()),
                ("/spec/requiresRepublish", false.into()),
                ("/spec/seLinuxMount", false.into()),
            ] {
                default(object, pointer, value);
            }
        }
        _ => {}
    }
}

/// A claim has two fields for what it is filled from; each stands for the other.
fn sources(spec: &mut Value) {
    let Some(map) = spec.as_object_mut() else { return };
    let known = |source: &Value| {
        let group = source["apiGroup"].as_str().unwrap_or_default();
        matches!(
            (group, source["kind"].as_str()),
            ("", Some("PersistentVolumeClaim")) | ("snapshot.storage.k8s.io", Some("VolumeSnapshot"))
        )
    };
    let (source, reference) = (map.get("dataSource").cloned().unwrap_or_default(), map.get("dataSourceRef").cloned().unwrap_or_default());
    match (source.is_object(), reference.is_object()) {
        (true, false) if known(&source) => {
            map.insert("dataSourceRef".to_owned(), source);
        }
        (true, false) => {
            map.shift_remove("dataSource");
        }
        (false, true) if reference["namespace"].as_str().is_none_or(str::is_empty) => {
            map.insert("dataSource".to_owned(), reference);
        }
        _ => {}
    }
}

/// Finalizers that admission gives to new storage objects; a controller takes them away when nobody uses the object.
pub fn protect(resource: &Resource, object: &mut Value) {
    let finalizer = match resource.plural.as_str() {
        "persistentvolumeclaims" => "kubernetes.io/pvc-protection",
        "persistentvolumes" => "kubernetes.io/pv-protection",
        _ => return,
    };
    let finalizers = metadata(object).entry("finalizers").or_insert_with(|| json!([]));
    if let Some(finalizers) = finalizers.as_array_mut().filter(|finalizers| !finalizers.iter().any(|known| known == finalizer)) {
        finalizers.push(finalizer.into());
    }
}

/// When a volume came into its phase.
pub fn phase_changed(old: Option<&Value>, new: &mut Value) {
    let phase = |object: &Value| object["status"]["phase"].clone();
    if old.is_none_or(|old| phase(old) != phase(new)) && new["status"]["phase"].is_string() {
        new["status"]["lastPhaseTransitionTime"] = super::super::write::now().into();
    }
}

fn modes(spec: &Value, causes: &mut Vec<Cause>) {
    let given = spec["accessModes"].as_array();
    if given.is_none_or(Vec::is_empty) {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in given.into_iter().flatten() {
        one_of(mode, ACCESS_MODES, "spec.accessModes", causes);
    }
    let alone = given.is_some_and(|modes| modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod"));
    if alone {
        causes.push(Cause::forbidden("spec.accessModes", "may not use ReadWriteOncePod with other access modes"));
    }
}

/// What is wrong with an object of one of these kinds.
pub fn validate(resource: &Resource, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "PersistentVolumeClaim") => claim(old, object, causes),
        ("", "PersistentVolume") => volume(old, object, causes),
        ("storage.k8s.io", "StorageClass") => {
            if object["provisioner"].as_str().is_none_or(str::is_empty) {
                causes.push(Cause::required("provisioner", ""));
            }
            one_of(&object["reclaimPolicy"], &["Delete", "Retain"], "reclaimPolicy", causes);
            one_of(&object["volumeBindingMode"], &["Immediate", "WaitForFirstConsumer"], "volumeBindingMode", causes);
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if let Some(old) = old {
                    immutable(field, &old[field], &object[field], causes);
                }
            }
        }
        _ => {}
    }
}

fn claim(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let Some(old) = old else {
        modes(spec, causes);
        match Quantity::of(&spec["resources"]["requests"]["storage"]) {
            None => causes.push(Cause::required("spec.resources[storage]", "")),
            Some(size) if size.nano() <= 0 => {
                causes.push(Cause::invalid("spec.resources[storage]", &size.text().into(), "must be greater than zero"));
            }
            Some(_) => {}
        }
        one_of(&spec["volumeMode"], &["Block", "Filesystem"], "spec.volumeMode", causes);
        return;
    };
    let bound = old["status"]["phase"] == "Bound";
    let rest = |claim: &Value| {
        let mut spec = claim["spec"].as_object().cloned().unwrap_or_default();
        let requests = spec.get_mut("resources").and_then(|resources| resources.get_mut("requests")).and_then(Value::as_object_mut);
        if let Some(requests) = requests.filter(|_| bound) {
            requests.shift_remove("storage");
        }
        spec.shift_remove("volumeAttributesClassName");
        // A default class may be found later.
        if old["spec"]["storageClassName"].is_null() {
            spec.shift_remove("storageClassName");
        }
        // The binder may set the volume of a claim that has none yet.
        if old["spec"]["volumeName"].as_str().is_none_or(str::is_empty) {
            spec.shift_remove("volumeName");
        }
        spec
    };
    if rest(old) != rest(object) {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", detail));
    } else if let (Some(has), Some(wanted)) =
        (Quantity::of(&old["status"]["capacity"]["storage"]), Quantity::of(&spec["resources"]["requests"]["storage"]))
        && wanted.nano() < has.nano()
    {
        causes.push(Cause::forbidden("spec.resources.requests.storage", "field can not be less than status.capacity"));
    }
}

/// Fields of a volume's spec that are no source.
const NO_SOURCE: &[&str] = &[
    "capacity",
    "accessModes",
    "claimRef",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "mountOptions",
    "volumeMode",
    "nodeAffinity",
    "volumeAttributesClassName",
];

fn source(object: &Value) -> Map<String, Value> {
    let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
    spec.retain(|field, value| !NO_SOURCE.contains(&field.as_str()) && !value.is_null());
    spec
}

fn volume(old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let Some(old) = old else {
        if spec["accessModes"].as_array().is_none_or(Vec::is_empty) {
            causes.push(Cause::required("spec.accessModes", ""));
        }
        let capacity = &spec["capacity"];
        if capacity.as_object().is_none_or(Map::is_empty) {
            causes.push(Cause::required("spec.capacity", ""));
        }
        if capacity["storage"].is_null() || capacity.as_object().is_some_and(|all| all.len() > 1) {
            causes.push(Cause::not_supported("spec.capacity", capacity, &["storage".to_owned()]));
        }
        if source(object).is_empty() {
            causes.push(Cause::required("spec", "must specify a volume type"));
        }
        return;
    };
    if source(old) != source(object) {
        causes.push(Cause::forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation"));
    }
    immutable("spec.volumeMode", &old["spec"]["volumeMode"], &spec["volumeMode"], causes);
}
