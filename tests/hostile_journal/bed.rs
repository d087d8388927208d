//! A look at everything that a cluster holds, and runs that died in the middle.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams, PostParams},
    discovery::{Discovery, Scope, verbs},
};
use mtv_api::kinds::{self, Kind};
use mtv_test::run::names;
use serde_json::{Value, json};

use crate::{
    support::{Lab, binary},
    traces::wait_for_folder,
};

/// `clean` in the lab's folder with its kubeconfig and profiles.
pub fn clean(lab: &Lab, arguments: &[&str]) -> Output {
    clean_with(lab, &["--providers", "lab/providers.toml"], arguments)
}

/// The same with other profiles, or none.
pub fn clean_with(lab: &Lab, profiles: &[&str], arguments: &[&str]) -> Output {
    let mut command = binary();
    command.current_dir(&lab.folder).arg("clean").args(arguments).args(["--kubeconfig", "lab/kubeconfig"]).args(profiles);
    command.output().unwrap()
}

/// Id of a lab's cluster.
pub async fn cluster_id(client: &Client) -> String {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &kinds::NAMESPACE.resource());
    api.get("kube-system").await.unwrap().metadata.uid.unwrap()
}

/// An object that must stay, and what of it must not change: all but what controllers write.
#[derive(Debug, Clone, PartialEq)]
pub struct Victim {
    pub api_version: String,
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
    pub content: Value,
}

impl Victim {
    fn of(resource: &ApiResource, object: DynamicObject) -> Option<Self> {
        let metadata = &object.metadata;
        let mut content = object.data.clone();
        content.as_object_mut()?.remove("status");
        // Kinds that controllers write all the time are held to their being there.
        if ["Lease", "Event", "Endpoints", "EndpointSlice"].contains(&resource.kind.as_str()) {
            content = Value::Null;
        }
        content["metadata"] = json!({"labels": metadata.labels, "annotations": metadata.annotations,
            "finalizers": metadata.finalizers, "deletionTimestamp": metadata.deletion_timestamp});
        Some(Self {
            api_version: resource.api_version.clone(),
            kind: resource.kind.clone(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone()?,
            uid: metadata.uid.clone()?,
            content,
        })
    }
}

/// Everything that a cluster holds, of every kind that can be listed, by `group/version Kind namespace/name`.
pub async fn everything(client: &Client) -> BTreeMap<String, Victim> {
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    let mut all = BTreeMap::new();
    for (resource, abilities) in discovery.groups().flat_map(kube::discovery::ApiGroup::resources_by_stability) {
        if !abilities.supports_operation(verbs::LIST) {
            continue;
        }
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let Ok(list) = api.list(&ListParams::default()).await else { continue };
        for victim in list.items.into_iter().filter_map(|object| Victim::of(&resource, object)) {
            all.insert(format!("{} {} {}/{}", victim.api_version, victim.kind, victim.namespace, victim.name), victim);
        }
    }
    all
}

/// Makes an object of each kind that can be made with little, in `namespace` or for the cluster: what a kind needs is tried.
pub async fn one_of_every_kind(client: &Client, namespace: &str, name: &str) {
    let discovery = Discovery::new(client.clone()).run().await.unwrap();
    for (resource, abilities) in discovery.groups().flat_map(kube::discovery::ApiGroup::resources_by_stability) {
        if !abilities.supports_operation(verbs::CREATE) || ["Binding", "Event", "Eviction"].contains(&resource.kind.as_str()) {
            continue;
        }
        let api: Api<DynamicObject> = match abilities.scope {
            Scope::Namespaced => Api::namespaced_with(client.clone(), namespace, &resource),
            Scope::Cluster => Api::all_with(client.clone(), &resource),
        };
        for content in contents(&resource.kind, namespace) {
            let mut body = json!({"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}});
            body.as_object_mut().unwrap().extend(content.as_object().unwrap().clone());
            let object: DynamicObject = serde_json::from_value(body).unwrap();
            if api.create(&PostParams::default(), &object).await.is_ok() {
                break;
            }
        }
    }
}

/// What objects of a kind need, as far as it is more than nothing or an empty specification.
fn contents(kind: &str, namespace: &str) -> Vec<Value> {
    let pod = json!({"containers": [{"name": "c", "image": "example.com/image"}], "restartPolicy": "Never"});
    let labels = json!({"app": "theirs"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": pod["containers"]}});
    let workload = json!({"spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}});
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"});
    let special = match kind {
        "Secret" => json!({"stringData": {"password": "of somebody"}}),
        "ConfigMap" => json!({"data": {"a": "b"}}),
        "PersistentVolumeClaim" => {
            json!({"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}})
        }
        "PersistentVolume" => json!({"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"},
            "storageClassName": "none", "persistentVolumeReclaimPolicy": "Retain"}}),
        "Pod" => json!({ "spec": pod }),
        "Job" => json!({"spec": {"suspend": true, "template": {"spec": pod}}}),
        "Deployment" | "StatefulSet" | "ReplicaSet" => workload,
        "DaemonSet" => json!({"spec": {"selector": {"matchLabels": labels}, "template": template}}),
        "Service" => json!({"spec": {"ports": [{"port": 80}], "selector": labels}}),
        "RoleBinding" | "ClusterRoleBinding" => {
            json!({"roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]})
        }
        "Role" | "ClusterRole" => json!({"rules": []}),
        "StorageClass" => json!({"provisioner": "example.com/none"}),
        "NetworkAttachmentDefinition" => json!({"spec": {"config": "{\"cniVersion\":\"0.3.1\",\"type\":\"bridge\"}"}}),
        "Provider" => json!({"spec": {"type": "vsphere", "url": "https://elsewhere.example/sdk", "secret": {}}}),
        "StorageMap" | "NetworkMap" => json!({"spec": {"provider": {"source": {}, "destination": {}}, "map": []}}),
        "Plan" => json!({"spec": {"provider": {"source": {}, "destination": {}}, "map": {"network": {}, "storage": {}},
            "targetNamespace": namespace, "vms": []}}),
        "Migration" => json!({"spec": {"plan": {"namespace": namespace, "name": "elsewhere"}}}),
        "Hook" => json!({"spec": {"image": "example.com/hook", "playbook": ""}}),
        "Host" => json!({"spec": {"id": "host-1", "ipAddress": "192.0.2.1", "provider": {}, "secret": {}}}),
        "VirtualMachine" => json!({"spec": {"runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {}}}}}}),
        "DataVolume" => {
            json!({"spec": {"source": {"blank": {}}, "storage": {"storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}}})
        }
        _ => json!({}),
    };
    vec![special, json!({}), json!({"spec": {}})]
}

/// Makes one object.
pub async fn make(client: &Client, kind: &Kind, namespace: Option<&str>, name: &str, rest: Value) -> DynamicObject {
    let mut body = json!({"apiVersion": kind.api_version(), "kind": kind.kind, "metadata": {"name": name}});
    for (key, value) in rest.as_object().unwrap() {
        match key.as_str() {
            "metadata" => body["metadata"].as_object_mut().unwrap().extend(value.as_object().unwrap().clone()),
            _ => body[key] = value.clone(),
        }
    }
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.resource()),
        None => Api::all_with(client.clone(), &kind.resource()),
    };
    api.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap()
}

/// A run that was killed while its Migration went on: the folder of its results, its id and its namespace.
pub async fn killed(lab: &Lab, results: &str, scenario: &str) -> (PathBuf, String, String) {
    let mut run = lab.run_into(results, &[scenario]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (folder, id) = wait_for_folder(&mut run, &lab.path(results));
    let namespace = names::namespace("mtv-test", &id);
    let of_run = |plan: &DynamicObject| {
        plan.metadata.namespace.as_deref() == Some(namespace.as_str()) && plan.data.pointer("/status/migration/started").is_some()
    };
    lab.wait_for(&kinds::PLAN, of_run).await;
    run.kill().unwrap();
    run.wait().unwrap();
    (folder, id, namespace)
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
