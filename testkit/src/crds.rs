//! Real CustomResourceDefinitions from a folder: CRDs as YAML, and schemas as JSON that get an envelope here.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};

/// Environment variable that names another folder than `../shared/crds` beside the repository.
const FOLDER: &str = "MTV_TEST_CRDS";
/// Longest wait for a definition to be established; 51 of them took 2 s.
const ESTABLISHED: Duration = Duration::from_mins(1);

/// Kinds whose projects publish a schema only: file name, group, kind, plural, whether it is namespaced.
const SCHEMAS: [(&str, &str, &str, &str, bool); 10] = [
    ("virtualmachine_v1", "kubevirt.io", "VirtualMachine", "virtualmachines", true),
    ("virtualmachineinstance_v1", "kubevirt.io", "VirtualMachineInstance", "virtualmachineinstances", true),
    ("virtualmachineinstancemigration_v1", "kubevirt.io", "VirtualMachineInstanceMigration", "virtualmachineinstancemigrations", true),
    ("virtualmachineinstancetype_v1beta1", "instancetype.kubevirt.io", "VirtualMachineInstancetype", "virtualmachineinstancetypes", true),
    ("virtualmachinepreference_v1beta1", "instancetype.kubevirt.io", "VirtualMachinePreference", "virtualmachinepreferences", true),
    (
        "virtualmachineclusterinstancetype_v1beta1",
        "instancetype.kubevirt.io",
        "VirtualMachineClusterInstancetype",
        "virtualmachineclusterinstancetypes",
        false,
    ),
    (
        "virtualmachineclusterpreference_v1beta1",
        "instancetype.kubevirt.io",
        "VirtualMachineClusterPreference",
        "virtualmachineclusterpreferences",
        false,
    ),
    ("datasource_v1beta1", "cdi.kubevirt.io", "DataSource", "datasources", true),
    ("datavolume_v1beta1", "cdi.kubevirt.io", "DataVolume", "datavolumes", true),
    ("storageprofile_v1beta1", "cdi.kubevirt.io", "StorageProfile", "storageprofiles", false),
];

/// The folder of real CRDs: the one that `MTV_TEST_CRDS` names, or `../shared/crds` beside the repository. `None` says
/// so on standard output.
pub fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/crds");
    // In a git worktree of the repository the folder is one level further up.
    let further = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/crds");
    let found = std::env::var_os(FOLDER).map(PathBuf::from).into_iter().chain([beside, further]).find(|folder| folder.is_dir());
    if found.is_none() {
        println!("ignored: no folder ../shared/crds (or {FOLDER}) with real CRDs");
    }
    found
}

/// All definitions of the folder, in the order of their names.
///
/// # Errors
/// A file cannot be read, or is a schema of a kind that is not listed here.
pub fn read(folder: &Path) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for project in fs::read_dir(folder).with_context(|| format!("failed to read {}", folder.display()))? {
        let project = project?.path();
        if !project.is_dir() {
            continue;
        }
        for file in fs::read_dir(&project)? {
            let file = file?.path();
            let text = fs::read_to_string(&file).with_context(|| format!("failed to read {}", file.display()))?;
            let definition = match file.extension().and_then(|e| e.to_str()) {
                Some("yaml") => serde_saphyr::from_str(&text).with_context(|| format!("failed to parse {}", file.display()))?,
                Some("json") => {
                    envelope(&file, serde_json::from_str(&text).with_context(|| format!("failed to parse {}", file.display()))?)?
                }
                _ => continue,
            };
            all.push(definition);
        }
    }
    all.sort_by_key(|definition| definition["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    Ok(all)
}

fn envelope(file: &Path, schema: Value) -> anyhow::Result<Value> {
    let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
    let (_, group, kind, plural, namespaced) =
        SCHEMAS.iter().find(|known| known.0 == stem).with_context(|| format!("{} is a schema of no known kind", file.display()))?;
    let version = stem.rsplit('_').next().unwrap_or_default();
    let mut schema = schema;
    pruned_like_a_definition(&mut schema);
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("{plural}.{group}"), "annotations": { "api-approved.kubernetes.io": "unapproved, in tests" } },
        "spec": {
            "group": group, "scope": if *namespaced { "Namespaced" } else { "Cluster" },
            "names": { "plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List") },
            "versions": [{ "name": version, "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": schema } }],
        },
    }))
}

/// The catalogue adds `additionalProperties: false` so that editors complain; a CRD may not have it.
fn pruned_like_a_definition(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.get("additionalProperties") == Some(&Value::Bool(false)) {
                map.remove("additionalProperties");
            }
            map.values_mut().for_each(pruned_like_a_definition);
        }
        Value::Array(items) => items.iter_mut().for_each(pruned_like_a_definition),
        _ => {}
    }
}

/// Creates the definitions and waits until each is established.
///
/// # Errors
/// The server refuses one, or does not establish it within a minute.
pub async fn install(client: &Client, definitions: &[Value]) -> anyhow::Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
    for definition in definitions {
        let object: DynamicObject = serde_json::from_value(definition.clone())?;
        let name = object.metadata.name.clone().unwrap_or_default();
        api.create(&PostParams::default(), &object).await.with_context(|| format!("failed to create the definition {name}"))?;
    }
    for definition in definitions {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let established = |object: Option<&DynamicObject>| {
            let conditions = object.and_then(|object| object.data["status"]["conditions"].as_array());
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
        };
        let waiting = await_condition(api.clone(), name, established);
        tokio::time::timeout(ESTABLISHED, waiting)
            .await
            .with_context(|| format!("the definition {name} was not established after {ESTABLISHED:?}"))??;
    }
    Ok(())
}
