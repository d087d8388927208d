//! What is there of a run, and what must stay as it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Child,
};

use futures::future::join_all;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use mtv_api::kinds::{self, Kind};
use mtv_test::{config::profile_file::ProfileFile, journal::Entry, providers, providers::Source};
use serde_json::Value;

use crate::{sources::Sources, support::Lab};

/// Kinds in which a run can leave something, and those that it changes.
const KINDS: &[&Kind] = &[
    &kinds::NAMESPACE,
    &kinds::SECRET,
    &kinds::CONFIG_MAP,
    &kinds::PVC,
    &kinds::PV,
    &kinds::POD,
    &kinds::JOB,
    &kinds::VM,
    &kinds::VMI,
    &kinds::DATA_VOLUME,
    &kinds::NAD,
    &kinds::PROVIDER,
    &kinds::STORAGE_MAP,
    &kinds::NETWORK_MAP,
    &kinds::PLAN,
    &kinds::MIGRATION,
    &kinds::CONVERSION,
    &kinds::HOOK,
    &kinds::HOST,
    &kinds::SERVICE_ACCOUNT,
    &kinds::CLUSTER_ROLE_BINDING,
    &kinds::FORKLIFT_CONTROLLER,
    &kinds::STORAGE_PROFILE,
    &kinds::NODE,
];

/// Kinds in which a run can leave something on another cluster that VMs come from.
const SOURCE_KINDS: &[&Kind] = &[
    &kinds::NAMESPACE,
    &kinds::SECRET,
    &kinds::CONFIG_MAP,
    &kinds::PVC,
    &kinds::PV,
    &kinds::POD,
    &kinds::VM,
    &kinds::VMI,
    &kinds::DATA_VOLUME,
    &kinds::NAD,
];

/// Looks into a lab.
pub struct Eyes {
    client: Client,
    another: Client,
    source: Box<dyn Source>,
    sources: Sources,
}

impl Eyes {
    pub async fn of(lab: &Lab) -> Self {
        let client = lab.client().await;
        let file = ProfileFile::load(&lab.path("lab/providers.toml")).unwrap();
        let (profile, _) = file.select("vsphere", &|_| None).unwrap();
        let sources = Sources::of(&lab.path("lab/providers.toml"));
        let another = lab.client_of("kubeconfig-remote").await;
        Self { client, another, source: providers::connect(&profile).await.unwrap(), sources }
    }

    pub fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        }
    }

    pub fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// All objects of the kinds above, by `Kind namespace/name`.
    pub async fn all(&self) -> BTreeMap<String, DynamicObject> {
        objects(&self.client, KINDS).await
    }

    /// Everything that names a run, wherever: name, namespace, label, annotation, specification; and what it made on the sources.
    pub async fn traces(&self, run: &str) -> Vec<String> {
        let another = objects(&self.another, SOURCE_KINDS);
        let (objects, another, vms, beside) =
            tokio::join!(self.all(), another, self.source.cloner().unwrap().of_run(run), self.sources.all());
        let naming = |objects: BTreeMap<String, DynamicObject>| {
            objects.into_iter().filter(|(_, object)| serde_json::to_string(object).unwrap().contains(run)).map(|(key, _)| key)
        };
        let mut traces: Vec<String> = naming(objects).collect();
        traces.extend(naming(another).map(|key| format!("{key} on the source")));
        traces.extend(vms.unwrap().into_iter().map(|vm| format!("VM {} on the source", vm.name)));
        traces.extend(beside.into_iter().filter(|(_, shown)| shown.contains(run)).map(|(key, _)| format!("{key} on the source")));
        traces
    }

    /// Keys of a run that an ESXi host lets in, or has in a file that was to take the place of another: keys name no run, its
    /// journal does.
    pub async fn keys_of(&self, journal: &Path) -> Vec<String> {
        let Ok(read) = mtv_test::journal::read(journal) else { return Vec::new() };
        let keys = read.records.iter().filter_map(|record| match &record.entry {
            Entry::AuthorizedKey { key, .. } => key.split_whitespace().nth(1),
            _ => None,
        });
        let keys: Vec<&str> = keys.collect();
        if keys.is_empty() {
            return Vec::new();
        }
        let files = self.sources.keys().await;
        let of_run = files.into_iter().filter(|(_, text)| keys.iter().any(|key| text.contains(key)));
        of_run.map(|(name, _)| format!("an SSH key in {name} of the ESXi host")).collect()
    }

    /// What stands on all sources but the vCenter, and which keys ESXi hosts let in.
    pub async fn beside(&self) -> (BTreeSet<String>, BTreeMap<String, String>) {
        let (all, keys) = tokio::join!(self.sources.all(), self.sources.keys());
        (all.into_keys().collect(), keys)
    }

    /// The shared settings that a warm run changes, with annotations.
    pub async fn settings(&self) -> Vec<Value> {
        let controllers = self.api(&kinds::FORKLIFT_CONTROLLER, None).list(&ListParams::default()).await.unwrap();
        let part = |object: DynamicObject| {
            let annotations = object.metadata.annotations.unwrap_or_default();
            serde_json::json!({"spec": object.data["spec"], "annotations": annotations})
        };
        controllers.items.into_iter().map(part).collect()
    }
}

/// All objects of some kinds, by `Kind namespace/name`.
async fn objects(client: &Client, wanted: &[&Kind]) -> BTreeMap<String, DynamicObject> {
    let lists = join_all(wanted.iter().map(|kind| async move {
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &kind.resource());
        let list = api.list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|object| (key(kind, &object), object)).collect::<Vec<_>>()
    }))
    .await;
    lists.into_iter().flatten().collect()
}

pub fn key(kind: &Kind, object: &DynamicObject) -> String {
    let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
    format!("{} {namespace}/{}", kind.kind, object.metadata.name.as_deref().unwrap_or_default())
}

/// The folder of the only run below a results folder, with its id; none if the run had not come so far.
pub fn only_run(results: &Path) -> Option<(PathBuf, String)> {
    let folders: Vec<PathBuf> =
        std::fs::read_dir(results).ok()?.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir() && !path.is_symlink()).collect();
    assert!(folders.len() < 2, "more than one run in {}", results.display());
    let folder = folders.into_iter().next()?;
    let run = folder.file_name()?.to_str()?.rsplit('-').next()?.to_owned();
    Some((folder, run))
}

/// Waits until a run has its folder, which tells its id.
pub fn wait_for_folder(run: &mut Child, results: &Path) -> (PathBuf, String) {
    loop {
        if let Some(found) = only_run(results) {
            return found;
        }
        assert!(run.try_wait().unwrap().is_none(), "the run ended before it had a folder");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
