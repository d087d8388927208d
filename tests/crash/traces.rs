//! What is there of a run, and what must stay as it is.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Child,
};

use futures::future::join_all;
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
};
use mtv_api::kinds::{self, Kind};
use mtv_test::{config::profile_file::ProfileFile, providers, providers::SourceProvider};
use serde_json::Value;

use crate::support::Lab;

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
    &kinds::FORKLIFT_CONTROLLER,
];

/// Looks into a lab.
pub struct Eyes {
    client: Client,
    source: Box<dyn SourceProvider>,
}

impl Eyes {
    pub async fn of(lab: &Lab) -> Self {
        let client = lab.client().await;
        let file = ProfileFile::load(&lab.path("lab/providers.toml")).unwrap();
        let (profile, _) = file.select("vsphere", &|_| None).unwrap();
        Self { client, source: providers::connect(&profile).await.unwrap() }
    }

    pub fn api(&self, kind: &Kind, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        }
    }

    pub fn source(&self) -> &dyn SourceProvider {
        self.source.as_ref()
    }

    /// All objects of the kinds above, by `Kind namespace/name`.
    pub async fn all(&self) -> BTreeMap<String, DynamicObject> {
        let lists = join_all(KINDS.iter().map(|kind| async move {
            let list = self.api(kind, None).list(&ListParams::default()).await.unwrap();
            list.items.into_iter().map(|object| (key(kind, &object), object)).collect::<Vec<_>>()
        }))
        .await;
        lists.into_iter().flatten().collect()
    }

    /// Everything that names a run, wherever: name, namespace, label, annotation, specification; and its VMs on the source.
    pub async fn traces(&self, run: &str) -> Vec<String> {
        let objects = self.all().await.into_iter();
        let mut traces: Vec<String> =
            objects.filter(|(_, object)| serde_json::to_string(object).unwrap().contains(run)).map(|(key, _)| key).collect();
        traces.extend(self.source.of_run(run).await.unwrap().into_iter().map(|vm| format!("VM {} on the source", vm.name)));
        traces
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
