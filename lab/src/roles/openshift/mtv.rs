//! MTV as its operator leaves it: Deployments and pods, OLM objects, settings, the `host` Provider, the inventory's Route.

use kube::api::DynamicObject;
use mtv_api::kinds;
use serde_json::{Value, json};

use super::{Addresses, Item, MANAGER, cluster::condition};
use crate::{
    datacenter::ClusterModel,
    roles::{Context, write},
};

/// Name of the settings object that the operator makes.
pub(super) const CONTROLLER: &str = "forklift-controller";
/// Route of the inventory service.
const ROUTE: &str = "forklift-inventory";

/// Router that has admitted the lab's Routes.
const ROUTER: &str = "lab";

/// Deployment, labels beside `app: forklift`, and containers.
const DEPLOYMENTS: [(&str, (&str, &str), &[&str]); 7] = [
    ("forklift-operator", ("name", "controller-manager"), &["forklift-operator"]),
    ("forklift-controller", ("control-plane", "controller-manager"), &["main", "inventory"]),
    ("forklift-api", ("service", "forklift-api"), &["forklift-api"]),
    ("forklift-validation", ("service", "forklift-validation"), &["forklift-validation"]),
    ("forklift-volume-populator-controller", ("service", "forklift-populator"), &["forklift-populator-controller"]),
    ("forklift-ui-plugin", ("service", "forklift-ui-plugin"), &["forklift-ui-plugin"]),
    ("forklift-cli-download", ("service", "forklift-cli-download"), &["forklift-cli-download"]),
];

/// Images of the release that a must-gather or a report looks for.
const IMAGES: [&str; 6] =
    ["mtv-api-rhel9", "mtv-controller-rhel9", "mtv-must-gather-rhel9", "mtv-rhel9-operator", "mtv-validation-rhel9", "mtv-virt-v2v-rhel9"];

/// Preference of KubeVirt for a guest id of vSphere.
const OS_MAP: [(&str, &str); 8] = [
    ("rhel7_64Guest", "rhel.7"),
    ("rhel8_64Guest", "rhel.8"),
    ("rhel9_64Guest", "rhel.9"),
    ("windows9Server64Guest", "windows.2k16"),
    ("windows2019srv_64Guest", "windows.2k19"),
    ("windows2019srvNext_64Guest", "windows.2k22"),
    ("centos8_64Guest", "centos.stream8"),
    ("fedora64Guest", "fedora"),
];

fn image(name: &str) -> String {
    let digest = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("registry.redhat.io/migration-toolkit-virtualization/{name}@sha256:{}", format!("{digest:016x}").repeat(4))
}

/// Everything but the Route.
pub(super) fn items(model: &ClusterModel, addresses: &Addresses, now: &str) -> Vec<Item> {
    let namespace = model.mtv_namespace.as_str();
    let mut items = olm(model, now);
    for (name, label, containers) in DEPLOYMENTS {
        items.extend(deployment(namespace, name, label, containers, now));
    }
    for (name, data) in [
        ("forklift-vsphere-osmap", OS_MAP.iter().map(|(id, name)| ((*id).to_owned(), (*name).into())).collect::<serde_json::Map<_, _>>()),
        ("forklift-ovirt-osmap", serde_json::Map::new()),
        ("forklift-virt-customize", serde_json::Map::new()),
        ("forklift-controller-config", serde_json::Map::new()),
    ] {
        items.push(Item::new(&kinds::CONFIG_MAP, json!({ "metadata": { "name": name, "namespace": namespace }, "data": data })));
    }
    let port = addresses.inventory.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok()).unwrap_or(443);
    items.push(Item::new(
        &kinds::SERVICE,
        json!({ "metadata": { "name": ROUTE, "namespace": namespace }, "spec": { "type": "ExternalName", "externalName": "localhost", "ports": [{ "name": "https", "port": port, "protocol": "TCP" }] } }),
    ));
    let settings = json!({ "feature_ui_plugin": "true", "feature_validation": "true", "feature_volume_populator": "true", "controller_max_vm_inflight": 20 });
    items.push(Item::new(
        &kinds::FORKLIFT_CONTROLLER,
        json!({ "metadata": { "name": CONTROLLER, "namespace": namespace }, "spec": settings }),
    ));
    items.push(Item::new(
        &kinds::PROVIDER,
        json!({ "metadata": { "name": "host", "namespace": namespace }, "spec": { "type": "openshift", "url": "", "secret": {} } }),
    ));
    items
}

fn olm(model: &ClusterModel, now: &str) -> Vec<Item> {
    let namespace = model.mtv_namespace.as_str();
    let version = model.mtv_version.as_str();
    let name = format!("mtv-operator.v{version}");
    let minor = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let operator = |version: &str| {
        let env = |name: &str, value: String| json!({ "name": name, "value": value });
        let container = json!({ "name": "manager", "image": image("mtv-rhel9-operator"), "env": [
            env("OPERATOR_NAME", format!("mtv-operator.v{version}")),
            env("MUST_GATHER_IMAGE", image("mtv-must-gather-rhel9")),
            env("VIRT_V2V_IMAGE", image("mtv-virt-v2v-rhel9")),
        ] });
        let labels = json!({ "app": "forklift", "name": "controller-manager" });
        json!({ "name": "forklift-operator", "spec": { "replicas": 1, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } } })
    };
    let related: Vec<Value> = IMAGES.iter().map(|i| json!({ "name": i.replace('-', "_"), "image": image(i) })).collect();
    let annotations = json!({ "operators.openshift.io/must-gather-image": image("mtv-must-gather-rhel9"), "containerImage": image("mtv-rhel9-operator") });
    let csv = json!({
        "metadata": { "name": name, "namespace": namespace, "annotations": annotations },
        "spec": {
            "displayName": "Migration Toolkit for Virtualization Operator", "version": version, "relatedImages": related,
            "install": { "strategy": "deployment", "spec": { "deployments": [operator(version)] } },
            "installModes": [{ "type": "OwnNamespace", "supported": true }],
        },
    });
    let subscription = json!({
        "metadata": { "name": "mtv-operator", "namespace": namespace },
        "spec": { "name": "mtv-operator", "channel": format!("release-v{minor}"), "source": "redhat-operators", "sourceNamespace": "openshift-marketplace", "installPlanApproval": "Automatic" },
    });
    // How QE's clusters take images of a release that is not out yet: by digest, from another registry.
    let mirror = |name: &str| {
        json!({ "source": format!("registry.redhat.io/migration-toolkit-virtualization/{name}"),
            "mirrors": [format!("brew.registry.lab.invalid/rh-osbs/{name}"), format!("quay.lab.invalid/mtv/{name}")] })
    };
    let mirrors = json!({
        "metadata": { "name": format!("devel-testing-for-{}", minor.replace('.', "-")) },
        "spec": { "imageDigestMirrors": IMAGES.iter().map(|name| mirror(name)).collect::<Vec<_>>() },
    });
    vec![
        Item::new(&kinds::IMAGE_DIGEST_MIRROR_SET, mirrors),
        Item::new(&kinds::OPERATOR_GROUP, json!({ "metadata": { "name": "migration", "namespace": namespace }, "spec": { "targetNamespaces": [namespace] } }))
            .with(json!({ "lastUpdated": now, "namespaces": [namespace] })),
        Item::new(&kinds::CSV, csv).with(json!({ "phase": "Succeeded", "reason": "InstallSucceeded", "message": "install strategy completed with no errors", "lastTransitionTime": now, "lastUpdateTime": now })),
        Item::new(&kinds::SUBSCRIPTION, subscription).with(json!({ "installedCSV": name, "currentCSV": name, "state": "AtLatestKnown", "lastUpdated": now })),
    ]
}

fn deployment(namespace: &str, name: &str, label: (&str, &str), containers: &[&str], now: &str) -> [Item; 2] {
    let labels = json!({ "app": "forklift", label.0: label.1 });
    let containers: Vec<_> = containers.iter().map(|c| json!({ "name": c, "image": image(&format!("mtv-{c}")) })).collect();
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
    let deployment = Item::new(
        &kinds::DEPLOYMENT,
        json!({ "metadata": { "name": name, "namespace": namespace, "labels": { "app": "forklift" } }, "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "template": template } }),
    )
    .with(json!({ "observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "updatedReplicas": 1,
        "conditions": [condition("Available", "MinimumReplicasAvailable", now), condition("Progressing", "NewReplicaSetAvailable", now)] }));
    // Suffixes as a ReplicaSet and its pods would have; fixed, because the lab's pods are never replaced.
    let pod_name = format!("{name}-7c9d8b6f5d-{}", &image(name)[image(name).len() - 5..]);
    let statuses: Vec<_> = containers
        .iter()
        .map(|c| json!({ "name": c["name"], "image": c["image"], "imageID": c["image"], "ready": true, "started": true, "restartCount": 0, "lastState": {}, "state": { "running": { "startedAt": now } } }))
        .collect();
    let ready = |kind: &str| json!({ "type": kind, "status": "True", "lastTransitionTime": now, "lastProbeTime": null });
    let pod = Item::new(
        &kinds::POD,
        json!({ "metadata": { "name": pod_name, "namespace": namespace, "labels": template["metadata"]["labels"] }, "spec": { "containers": containers, "nodeName": "worker-0" } }),
    )
    .with(json!({ "phase": "Running", "podIP": "10.128.0.10", "podIPs": [{ "ip": "10.128.0.10" }], "hostIP": "192.168.126.11", "startTime": now,
        "conditions": [ready("Initialized"), ready("Ready"), ready("ContainersReady"), ready("PodScheduled")], "containerStatuses": statuses }));
    [deployment, pod]
}

/// The Route whose host clients call. Real clients use `https://HOST/…` and so port 443, which the lab cannot open:
/// `spec.host` carries the port as well. A server with OpenShift's own definition refuses a port there; the address is
/// then only in `status.ingress`, where routers say under which host they expose the route. The entry has a router name
/// of its own, and so a real router leaves it alone.
pub(super) async fn route(cx: &Context, namespace: &str, name: &str, host: &str, port: &str) -> anyhow::Result<()> {
    let object = |host: &str| {
        json!({
            "metadata": { "name": name, "namespace": namespace, "annotations": { "haproxy.router.openshift.io/timeout": "360s" } },
            "spec": { "host": host, "to": { "kind": "Service", "name": name, "weight": 100 }, "port": { "targetPort": port },
                "tls": { "termination": "reencrypt", "insecureEdgeTerminationPolicy": "Redirect" }, "wildcardPolicy": "None" },
        })
    };
    let api = write::api(&cx.client, &kinds::ROUTE, namespace);
    for asked in [host, "localhost"] {
        match write::create(&cx.client, MANAGER, &kinds::ROUTE, object(asked)).await {
            Ok(Some(_)) => break,
            // Left by an earlier lab on the same API server.
            Ok(None) => match write::merge(&api, MANAGER, name, json!({ "spec": { "host": asked } })).await {
                Ok(_) => break,
                Err(error) => tracing::debug!("route {name}: {error:#}"),
            },
            Err(error) if write::is_gone(&error) => return Ok(()),
            Err(error) if asked == "localhost" => return Err(error),
            Err(error) => tracing::debug!("route {name}: {error:#}"),
        }
    }
    let admitted = json!({ "type": "Admitted", "status": "True", "lastTransitionTime": cx.world.clock.now() });
    let ingress = json!([{ "host": host, "routerName": ROUTER, "wildcardPolicy": "None", "conditions": [admitted] }]);
    write::status(&api, MANAGER, name, json!({ "ingress": ingress })).await.map(drop)
}

/// The Route of the inventory. One of somebody else's, for a service in the place of the lab's, stays as it is. Gives the host.
pub(super) async fn inventory_route(cx: &Context, addresses: &Addresses) -> anyhow::Result<String> {
    let namespace = cx.world.datacenter.cluster.mtv_namespace.as_str();
    if !addresses.inventory_is_ours
        && let Some(there) = write::api(&cx.client, &kinds::ROUTE, namespace).get_opt(ROUTE).await?.as_ref().and_then(foreign)
    {
        return Ok(there.to_owned());
    }
    route(cx, namespace, ROUTE, &addresses.inventory, "https").await?;
    Ok(addresses.inventory.clone())
}

/// The host of a Route that no lab made.
fn foreign(route: &DynamicObject) -> Option<&str> {
    let ingress = write::list(&route.data, "/status/ingress");
    if ingress.iter().any(|entry| entry["routerName"] == ROUTER) {
        return None;
    }
    let host = ingress.first().map_or_else(|| write::text(&route.data, "/spec/host"), |entry| write::text(entry, "/host"));
    (!host.is_empty()).then_some(host)
}
