//! The resources that the server has from the start: Kubernetes' own kinds, and the kinds of MTV, KubeVirt, CDI, Multus,
//! OpenShift and OLM as custom resources.

use std::sync::Arc;

use mtv_api::kinds;
use serde_json::{Value, json};

use super::{
    meta::NameRule,
    printers,
    resource::{ALL_VERBS, CREATE_ONLY, NAMESPACE_VERBS, Registry, Resource, Scale},
    schemas, table, types,
};

/// One built-in resource, as a line of a table.
struct Line {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    short: &'static [&'static str],
    namespaced: bool,
    status: bool,
    generation: bool,
    fields: &'static [&'static str],
}

macro_rules! lines {
    ($($group:literal $kind:literal $plural:literal $short:expr, $namespaced:literal $status:literal $generation:literal $fields:expr;)*) => {
        vec![$(Line { group: $group, kind: $kind, plural: $plural, short: &$short, namespaced: $namespaced, status: $status,
            generation: $generation, fields: &$fields }),*]
    };
}

fn lines() -> Vec<Line> {
    // group, kind, plural, short names, namespaced, status, generation, selectable fields
    lines! {
        "" "Namespace" "namespaces" ["ns"], false true false ["status.phase"];
        "" "Node" "nodes" ["no"], false true false ["spec.unschedulable"];
        "" "Secret" "secrets" [], true false false ["type"];
        "" "ConfigMap" "configmaps" ["cm"], true false false [];
        "" "Pod" "pods" ["po"], true true true ["spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
            "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs", "status.nominatedNodeName"];
        "" "Service" "services" ["svc"], true true false ["spec.clusterIP", "spec.type"];
        "" "Endpoints" "endpoints" ["ep"], true false false [];
        "" "ServiceAccount" "serviceaccounts" ["sa"], true false false [];
        "" "Event" "events" ["ev"], true false false ["involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
            "involvedObject.apiVersion", "involvedObject.resourceVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"];
        "" "PersistentVolumeClaim" "persistentvolumeclaims" ["pvc"], true true false [];
        "" "PersistentVolume" "persistentvolumes" ["pv"], false true false [];
        "" "Binding" "bindings" [], true false false [];
        "" "PodTemplate" "podtemplates" [], true false true [];
        "" "ReplicationController" "replicationcontrollers" ["rc"], true true true ["status.replicas"];
        "" "LimitRange" "limitranges" ["limits"], true false false [];
        "" "ResourceQuota" "resourcequotas" ["quota"], true true false [];
        "apps" "Deployment" "deployments" ["deploy"], true true true [];
        "apps" "ReplicaSet" "replicasets" ["rs"], true true true [];
        "apps" "StatefulSet" "statefulsets" ["sts"], true true true [];
        "apps" "DaemonSet" "daemonsets" ["ds"], true true true [];
        "apps" "ControllerRevision" "controllerrevisions" [], true false false [];
        "batch" "Job" "jobs" [], true true true ["status.successful"];
        "batch" "CronJob" "cronjobs" ["cj"], true true true [];
        "autoscaling" "HorizontalPodAutoscaler" "horizontalpodautoscalers" ["hpa"], true true false [];
        "discovery.k8s.io" "EndpointSlice" "endpointslices" [], true false true [];
        "scheduling.k8s.io" "PriorityClass" "priorityclasses" ["pc"], false false false [];
        "storage.k8s.io" "CSINode" "csinodes" [], false false false [];
        "storage.k8s.io" "CSIStorageCapacity" "csistoragecapacities" [], true false false [];
        "storage.k8s.io" "VolumeAttributesClass" "volumeattributesclasses" ["vac"], false false false [];
        "storage.k8s.io" "StorageClass" "storageclasses" ["sc"], false false false [];
        "storage.k8s.io" "CSIDriver" "csidrivers" [], false false false [];
        "storage.k8s.io" "VolumeAttachment" "volumeattachments" [], false true false [];
        "rbac.authorization.k8s.io" "Role" "roles" [], true false false [];
        "rbac.authorization.k8s.io" "RoleBinding" "rolebindings" [], true false false [];
        "rbac.authorization.k8s.io" "ClusterRole" "clusterroles" [], false false false [];
        "rbac.authorization.k8s.io" "ClusterRoleBinding" "clusterrolebindings" [], false false false [];
        "networking.k8s.io" "Ingress" "ingresses" ["ing"], true true true [];
        "networking.k8s.io" "IngressClass" "ingressclasses" [], false false true [];
        "networking.k8s.io" "NetworkPolicy" "networkpolicies" ["netpol"], true false true [];
        "policy" "PodDisruptionBudget" "poddisruptionbudgets" ["pdb"], true true true [];
        "coordination.k8s.io" "Lease" "leases" [], true false false [];
        "events.k8s.io" "Event" "events" ["ev"], true false false ["regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
            "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath", "reason", "reportingController", "type"];
        "apiextensions.k8s.io" "CustomResourceDefinition" "customresourcedefinitions" ["crd", "crds"], false true true [];
        "apiregistration.k8s.io" "APIService" "apiservices" [], false true false [];
        "authentication.k8s.io" "TokenReview" "tokenreviews" [], false false false [];
        "authentication.k8s.io" "SelfSubjectReview" "selfsubjectreviews" [], false false false [];
        "authorization.k8s.io" "SubjectAccessReview" "subjectaccessreviews" [], false false false [];
        "authorization.k8s.io" "SelfSubjectAccessReview" "selfsubjectaccessreviews" [], false false false [];
        "authorization.k8s.io" "SelfSubjectRulesReview" "selfsubjectrulesreviews" [], false false false [];
        "authorization.k8s.io" "LocalSubjectAccessReview" "localsubjectaccessreviews" [], true false false [];
    }
}

fn name_rule(group: &str, plural: &str) -> NameRule {
    match (group, plural) {
        ("", "namespaces" | "services") => NameRule::Label,
        ("rbac.authorization.k8s.io", _) => NameRule::PathSegment,
        _ => NameRule::Subdomain,
    }
}

impl Line {
    fn scale(&self) -> Option<Scale> {
        let path = |path: &str| path.to_owned();
        matches!(self.plural, "deployments" | "replicasets" | "statefulsets" | "replicationcontrollers").then(|| Scale {
            wanted: path("/spec/replicas"),
            running: path("/status/replicas"),
            selector: path("/spec/selector"),
        })
    }

    fn resource(&self) -> Resource {
        let review = self.group == "authentication.k8s.io" || self.group == "authorization.k8s.io" || self.plural == "bindings";
        let all = matches!(
            self.plural,
            "pods"
                | "services"
                | "deployments"
                | "replicasets"
                | "statefulsets"
                | "daemonsets"
                | "jobs"
                | "cronjobs"
                | "replicationcontrollers"
                | "horizontalpodautoscalers"
        );
        // Events of both groups are the same objects.
        let storage_group = if self.plural == "events" { "" } else { self.group };
        Resource {
            group: self.group.to_owned(),
            version: if self.group == "autoscaling" { "v2" } else { "v1" }.to_owned(),
            kind: self.kind.to_owned(),
            list_kind: format!("{}List", self.kind),
            plural: self.plural.to_owned(),
            singular: self.kind.to_lowercase(),
            short_names: self.short.iter().map(|&s| s.to_owned()).collect(),
            categories: match self.group {
                _ if all => vec!["all".to_owned()],
                "apiextensions.k8s.io" | "apiregistration.k8s.io" => vec!["api-extensions".to_owned()],
                _ => Vec::new(),
            },
            namespaced: self.namespaced,
            status: self.status,
            generation: self.generation,
            custom: false,
            name_rule: name_rule(self.group, self.plural),
            verbs: match self.plural {
                _ if review => CREATE_ONLY,
                "namespaces" => NAMESPACE_VERBS,
                _ => ALL_VERBS,
            },
            storage: Arc::from(format!("{storage_group}/{}", self.plural)),
            schema: None,
            message: types::of_kind(self.group, self.kind),
            scale: self.scale(),
            deprecated: None,
            columns: printers::built_in(self.group, self.kind),
            fields: self.fields.iter().map(|&f| f.to_owned()).collect(),
        }
    }
}

/// A custom resource from one of our kinds.
fn custom(kind: &kinds::Kind) -> Resource {
    let shape = schemas::of(kind);
    Resource {
        group: kind.group.to_owned(),
        version: kind.version.to_owned(),
        kind: kind.kind.to_owned(),
        list_kind: format!("{}List", kind.kind),
        plural: kind.plural.to_owned(),
        singular: if kind.plural == "network-attachment-definitions" {
            "network-attachment-definition".to_owned()
        } else {
            kind.kind.to_lowercase()
        },
        short_names: shape.short_names.iter().map(|&s| s.to_owned()).collect(),
        categories: shape.categories.iter().map(|&s| s.to_owned()).collect(),
        namespaced: kind.namespaced,
        status: shape.status,
        generation: true,
        custom: true,
        name_rule: NameRule::Subdomain,
        verbs: ALL_VERBS,
        storage: Arc::from(format!("{}/{}", kind.group, kind.plural)),
        schema: Some(Arc::new(shape.schema)),
        message: None,
        scale: None,
        deprecated: None,
        columns: shape.columns,
        fields: Vec::new(),
    }
}

/// Everything that is served from the start.
pub fn registry() -> Registry {
    let mut registry = Registry::default();
    for line in lines() {
        registry.add(line.resource());
    }
    for kind in custom_kinds() {
        registry.add(custom(kind));
    }
    registry
}

/// The kinds that are custom resources.
fn custom_kinds() -> impl Iterator<Item = &'static kinds::Kind> {
    let built_in: Vec<_> = lines().iter().map(|line| (line.group, line.kind)).collect();
    kinds::ALL.iter().copied().filter(move |kind| !built_in.contains(&(kind.group, kind.kind)))
}

/// The custom resources as CustomResourceDefinitions, for an API server that does not know them.
pub fn definitions() -> Vec<(&'static kinds::Kind, Value)> {
    custom_kinds()
        .map(|kind| {
            let resource = custom(kind);
            let schema = resource.schema.as_ref().map(|schema| schema.source.clone()).unwrap_or_default();
            let columns: Vec<Value> = resource.columns.iter().filter_map(table::Column::declaration).collect();
            let subresources = if resource.status { json!({ "status": {} }) } else { json!({}) };
            let names = json!({ "kind": resource.kind, "listKind": resource.list_kind, "plural": resource.plural, "singular": resource.singular,
                "shortNames": resource.short_names, "categories": resource.categories });
            let version = json!({ "name": resource.version, "served": true, "storage": true, "schema": { "openAPIV3Schema": schema },
                "subresources": subresources, "additionalPrinterColumns": columns });
            let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
            let spec = json!({ "group": resource.group, "scope": scope, "names": names, "versions": [version] });
            (kind, json!({ "metadata": { "name": format!("{}.{}", resource.plural, resource.group) }, "spec": spec }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_wire_formats_is_served() {
        let registry = registry();
        for kind in kinds::ALL {
            let resource = registry.find(kind.group, kind.version, kind.plural).unwrap();
            assert_eq!((resource.kind.as_str(), resource.namespaced), (kind.kind, kind.namespaced));
            let built_in =
                ["", "apps", "batch"].contains(&kind.group) || kind.group.ends_with(".k8s.io") && kind.group != "k8s.cni.cncf.io";
            assert_eq!(resource.custom, !built_in, "{}", kind.plural);
        }
    }
}
