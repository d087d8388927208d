//! The columns of the built-in kinds, as kubectl shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    resource::Resource,
    table::{Column, age, duration, first},
};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn count(value: &Value) -> usize {
    value.as_object().map_or_else(|| value.as_array().map_or(0, Vec::len), serde_json::Map::len)
}

fn or(value: String, absent: &str) -> Value {
    if value.is_empty() { absent.into() } else { value.into() }
}

fn or_none(value: String) -> Value {
    or(value, "<none>")
}

fn number(value: &Value) -> Value {
    value.as_i64().unwrap_or(0).into()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn join<'a>(all: impl Iterator<Item = &'a Value>, with: &str) -> String {
    all.filter_map(Value::as_str).collect::<Vec<_>>().join(with)
}

/// How long ago, or `absent` if it was never.
fn since(moment: &Value, absent: &str) -> Value {
    if moment.is_string() { age(moment, Timestamp::now()) } else { absent.into() }
}

/// Labels as `a=b,c=d`.
fn labels(value: &Value) -> Value {
    let mut pairs: Vec<String> = value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}={}", text(value))).collect();
    pairs.sort();
    or_none(pairs.join(","))
}

/// A label selector in its text form.
fn selector(value: &Value) -> Value {
    let labels = value["matchLabels"].as_object().into_iter().flatten().map(|(key, value)| (key.clone(), format!("{key}={}", text(value))));
    let expressions = items(&value["matchExpressions"]).iter().map(|term| {
        let (key, values) = (text(&term["key"]), join(items(&term["values"]).iter(), ","));
        let shown = match term["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        };
        (key, shown)
    });
    let mut terms: Vec<(String, String)> = labels.chain(expressions).collect();
    terms.sort();
    or_none(terms.into_iter().map(|(_, term)| term).collect::<Vec<_>>().join(","))
}

/// A field of each container of a pod template.
fn named(template: &Value, field: &str) -> Value {
    join(items(&template["spec"]["containers"]).iter().map(|container| &container[field]), ",").into()
}

fn holds(object: &Value, condition: &str) -> bool {
    items(&object["status"]["conditions"]).iter().any(|c| c["type"] == condition && c["status"] == "True")
}

/// What kubectl tells of a pod: ready containers, status, restarts.
struct PodState {
    ready: usize,
    containers: usize,
    reason: String,
    restarts: i64,
    restarted: Option<Timestamp>,
}

impl PodState {
    fn note(&mut self, container: &Value) {
        self.restarts += container["restartCount"].as_i64().unwrap_or(0);
        let ended = container["lastState"]["terminated"]["finishedAt"].as_str().and_then(|text| text.parse().ok());
        self.restarted = self.restarted.max(ended);
    }

    fn of(pod: &Value) -> Self {
        let (spec, status) = (&pod["spec"], &pod["status"]);
        let phase = text(&status["phase"]);
        let mut state = Self {
            ready: 0,
            containers: count(&spec["containers"]),
            reason: status["reason"].as_str().filter(|reason| !reason.is_empty()).unwrap_or(&phase).to_owned(),
            restarts: 0,
            restarted: None,
        };
        let gated = |c: &&Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
        if items(&status["conditions"]).iter().any(|condition| gated(&condition)) {
            "SchedulingGated".clone_into(&mut state.reason);
        }
        let ended = |state: &Value, prefix: &str| {
            let ended = &state["terminated"];
            match (ended["reason"].as_str().filter(|reason| !reason.is_empty()), ended["signal"].as_i64().unwrap_or(0)) {
                (Some(reason), _) => format!("{prefix}{reason}"),
                (None, 0) => format!("{prefix}ExitCode:{}", ended["exitCode"].as_i64().unwrap_or(0)),
                (None, signal) => format!("{prefix}Signal:{signal}"),
            }
        };
        let waits = |state: &Value| state["waiting"]["reason"].as_str().filter(|reason| !reason.is_empty()).map(str::to_owned);
        // A sidecar is an init container that goes on.
        let sidecar = |name: &Value| items(&spec["initContainers"]).iter().any(|c| c["name"] == *name && c["restartPolicy"] == "Always");
        state.containers += items(&spec["initContainers"]).iter().filter(|c| c["restartPolicy"] == "Always").count();
        let mut initializing = false;
        let (mut kept, mut kept_date) = (0, None);
        for (index, container) in items(&status["initContainerStatuses"]).iter().enumerate() {
            let now = &container["state"];
            state.note(container);
            let goes_on = sidecar(&container["name"]);
            if goes_on {
                kept += container["restartCount"].as_i64().unwrap_or(0);
                kept_date = state.restarted;
            }
            if now["terminated"].is_object() && now["terminated"]["exitCode"].as_i64().unwrap_or(0) == 0 {
                continue;
            }
            if goes_on && container["started"] == true {
                state.ready += usize::from(container["ready"] == true);
                continue;
            }
            state.reason = if now["terminated"].is_object() {
                ended(now, "Init:")
            } else {
                match waits(now).filter(|reason| reason != "PodInitializing") {
                    Some(reason) => format!("Init:{reason}"),
                    None => format!("Init:{index}/{}", count(&spec["initContainers"])),
                }
            };
            initializing = true;
            break;
        }
        if !initializing || holds(pod, "Initialized") {
            (state.restarts, state.restarted) = (kept, kept_date);
            let mut running = false;
            for container in items(&status["containerStatuses"]).iter().rev() {
                state.note(container);
                let now = &container["state"];
                if let Some(reason) = waits(now) {
                    state.reason = reason;
                } else if now["terminated"].is_object() {
                    state.reason = ended(now, "");
                } else if container["ready"] == true && now["running"].is_object() {
                    running = true;
                    state.ready += 1;
                }
            }
            if state.reason == "Completed" && running {
                if holds(pod, "Ready") { "Running" } else { "NotReady" }.clone_into(&mut state.reason);
            }
        }
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if status["reason"] == "NodeLost" {
                "Unknown".clone_into(&mut state.reason);
            } else if !matches!(phase.as_str(), "Succeeded" | "Failed") {
                "Terminating".clone_into(&mut state.reason);
            }
        }
        state
    }
}

fn pod() -> Vec<Column> {
    vec![
        Column::computed("Ready", |o| {
            let state = PodState::of(o);
            format!("{}/{}", state.ready, state.containers).into()
        }),
        Column::computed("Status", |o| PodState::of(o).reason.into()),
        Column::computed("Restarts", |o| {
            let state = PodState::of(o);
            match state.restarted.filter(|_| state.restarts != 0) {
                Some(moment) => format!("{} ({} ago)", state.restarts, duration(Timestamp::now().duration_since(moment).as_secs())).into(),
                None => state.restarts.to_string().into(),
            }
        }),
        Column::age(),
        Column::computed("IP", |o| or_none(text(&o["status"]["podIPs"][0]["ip"]))).wide(),
        Column::computed("Node", |o| or_none(text(&o["spec"]["nodeName"]))).wide(),
        Column::computed("Nominated Node", |o| or_none(text(&o["status"]["nominatedNodeName"]))).wide(),
        Column::computed("Readiness Gates", |o| {
            let gates = items(&o["spec"]["readinessGates"]);
            let open = gates.iter().filter(|gate| gate["conditionType"].as_str().is_some_and(|kind| holds(o, kind))).count();
            if gates.is_empty() { "<none>".into() } else { format!("{open}/{}", gates.len()).into() }
        })
        .wide(),
    ]
}

/// Conditions of a row: a pod that is over is told apart.
pub fn row_conditions(resource: &Resource, object: &Value) -> Option<Value> {
    if !resource.is_core("pods") {
        return None;
    }
    let (reason, message) = match object["status"]["phase"].as_str()? {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{ "type": "Completed", "status": "True", "reason": reason, "message": message }]))
}

fn node_status(node: &Value) -> Value {
    let ready = first(node, ".status.conditions[?(@.type==\"Ready\")].status").and_then(Value::as_str);
    let status = match ready {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if node["spec"]["unschedulable"] == true { format!("{status},SchedulingDisabled").into() } else { status.into() }
}

fn node_roles(node: &Value) -> Value {
    let labels = node["metadata"]["labels"].as_object();
    let mut roles: Vec<&str> = Vec::new();
    for (key, value) in labels.into_iter().flatten() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/").filter(|role| !role.is_empty()) {
            roles.push(role);
        } else if key == "kubernetes.io/role" {
            roles.extend(value.as_str().filter(|role| !role.is_empty()));
        }
    }
    roles.sort_unstable();
    roles.dedup();
    or_none(roles.join(","))
}

fn node_address(node: &Value, kind: &str) -> Value {
    or_none(items(&node["status"]["addresses"]).iter().find(|a| a["type"] == kind).map(|a| text(&a["address"])).unwrap_or_default())
}

fn access_modes(modes: &Value) -> String {
    let short = |mode: &Value| match mode.as_str() {
        Some("ReadWriteOnce") => "RWO",
        Some("ReadOnlyMany") => "ROX",
        Some("ReadWriteMany") => "RWX",
        Some("ReadWriteOncePod") => "RWOP",
        _ => "",
    };
    items(modes).iter().map(short).collect::<Vec<_>>().join(",")
}

/// The phase of a volume or claim; one that is being deleted is terminating.
fn phase(object: &Value) -> Value {
    if object["metadata"]["deletionTimestamp"].is_null() { text(&object["status"]["phase"]).into() } else { "Terminating".into() }
}

fn volume_mode(object: &Value) -> Value {
    object["spec"]["volumeMode"].as_str().unwrap_or("<unset>").into()
}

fn attributes_class(object: &Value) -> Value {
    object["spec"]["volumeAttributesClassName"].as_str().filter(|name| !name.is_empty()).unwrap_or("<unset>").into()
}

fn job_status(job: &Value) -> Value {
    let deleting = !job["metadata"]["deletionTimestamp"].is_null();
    let conditions = ["Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet"];
    let found = conditions.into_iter().find(|kind| if kind.is_empty() { deleting } else { holds(job, kind) });
    match found {
        Some("") => "Terminating".into(),
        Some(kind) => kind.into(),
        None => "Running".into(),
    }
}

fn job_completions(job: &Value) -> Value {
    let done = job["status"]["succeeded"].as_i64().unwrap_or(0);
    match (job["spec"]["completions"].as_i64(), job["spec"]["parallelism"].as_i64().unwrap_or(0)) {
        (Some(wanted), _) => format!("{done}/{wanted}").into(),
        (None, parallel) if parallel > 1 => format!("{done}/1 of {parallel}").into(),
        (None, _) => format!("{done}/1").into(),
    }
}

fn job_duration(job: &Value) -> Value {
    let at = |key: &str| job["status"][key].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match at("startTime") {
        Some(start) => duration(at("completionTime").unwrap_or_else(Timestamp::now).duration_since(start).as_secs()).into(),
        None => "".into(),
    }
}

fn service_ports(service: &Value) -> Value {
    let port = |port: &Value| {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        match port["nodePort"].as_i64().filter(|node| *node > 0) {
            Some(node) => format!("{}:{node}/{protocol}", port["port"]),
            None => format!("{}/{protocol}", port["port"]),
        }
    };
    or_none(items(&service["spec"]["ports"]).iter().map(port).collect::<Vec<_>>().join(","))
}

fn service_outside(service: &Value) -> Value {
    let spec = &service["spec"];
    let given = join(items(&spec["externalIPs"]).iter(), ",");
    match spec["type"].as_str().unwrap_or("ClusterIP") {
        "ExternalName" => text(&spec["externalName"]).into(),
        "LoadBalancer" => {
            let ingress = items(&service["status"]["loadBalancer"]["ingress"])
                .iter()
                .map(|i| if i["ip"].is_string() { &i["ip"] } else { &i["hostname"] });
            let all = [join(ingress, ","), given].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(",");
            or(all, "<pending>")
        }
        _ => or_none(given),
    }
}

/// Most addresses that are shown.
const SHOWN: usize = 3;

fn shortened(all: Vec<String>) -> Value {
    let more = all.len().saturating_sub(SHOWN);
    let shown = all.into_iter().take(SHOWN).collect::<Vec<_>>().join(",");
    if more > 0 { format!("{shown} + {more} more...").into() } else { or_none(shown) }
}

fn endpoints(object: &Value) -> Value {
    let mut all = Vec::new();
    for subset in items(&object["subsets"]) {
        if count(&subset["ports"]) == 0 {
            all.extend(items(&subset["addresses"]).iter().map(|address| text(&address["ip"])));
        }
        for port in items(&subset["ports"]) {
            all.extend(items(&subset["addresses"]).iter().map(|address| format!("{}:{}", text(&address["ip"]), port["port"])));
        }
    }
    shortened(all)
}

fn quota(object: &Value, limits: bool) -> Value {
    let mut names: Vec<&String> = object["status"]["hard"].as_object().into_iter().flatten().map(|(name, _)| name).collect();
    names.sort();
    let shown = |name: &&String| {
        let of = |list: &str| object["status"][list][name.as_str()].as_str().unwrap_or("0").to_owned();
        format!("{name}: {}/{}", of("used"), of("hard"))
    };
    let wanted = names.iter().filter(|name| name.starts_with("limits") == limits);
    wanted.map(shown).collect::<Vec<_>>().join(", ").into()
}

fn subjects(object: &Value, kind: &str) -> Value {
    let of_kind = items(&object["subjects"]).iter().filter(|subject| subject["kind"] == kind);
    let shown = of_kind
        .map(|s| if kind == "ServiceAccount" { format!("{}/{}", text(&s["namespace"]), text(&s["name"])) } else { text(&s["name"]) });
    shown.collect::<Vec<_>>().join(", ").into()
}

/// `first seen` and `last seen` of an event of the core group, and how often.
fn seen(event: &Value) -> (Value, Value, Value) {
    let earliest = [&event["firstTimestamp"], &event["eventTime"]].into_iter().find(|moment| moment.is_string()).unwrap_or(&Value::Null);
    let latest = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], earliest].into_iter().find(|moment| moment.is_string());
    let times = match (event["series"]["count"].as_i64(), event["count"].as_i64()) {
        (Some(count), _) => count,
        (None, Some(count)) if count > 0 => count,
        _ => 1,
    };
    (since(earliest, "<unknown>"), since(latest.unwrap_or(&Value::Null), "<unknown>"), times.into())
}

/// An event in the words of the core group, whichever group it was read from.
fn core(event: &Value) -> Value {
    if event["apiVersion"] == "events.k8s.io/v1" { super::event::to_core(event) } else { event.clone() }
}

fn event_source(event: &Value) -> Value {
    let either = |first: &Value, second: &Value| if text(first).is_empty() { text(second) } else { text(first) };
    let component = either(&event["source"]["component"], &event["reportingComponent"]);
    let instance = either(&event["source"]["host"], &event["reportingInstance"]);
    if instance.is_empty() { component.into() } else { format!("{component}, {instance}").into() }
}

fn event() -> Vec<Column> {
    vec![
        Column::computed("Last Seen", |o| seen(&core(o)).1),
        Column::computed("Type", |o| text(&o["type"]).into()),
        Column::computed("Reason", |o| text(&o["reason"]).into()),
        Column::computed("Object", |o| {
            let object = core(o);
            let (kind, name) = (text(&object["involvedObject"]["kind"]).to_lowercase(), text(&object["involvedObject"]["name"]));
            if name.is_empty() { kind.into() } else { format!("{kind}/{name}").into() }
        }),
        Column::computed("Subobject", |o| text(&core(o)["involvedObject"]["fieldPath"]).into()).wide(),
        Column::computed("Source", |o| event_source(&core(o))).wide(),
        Column::computed("Message", |o| text(&core(o)["message"]).trim().into()),
        Column::computed("First Seen", |o| seen(&core(o)).0).wide(),
        Column::computed("Count", |o| seen(&core(o)).2).wide(),
        Column::computed("Name", |o| text(&o["metadata"]["name"]).into()).wide(),
    ]
}

/// Columns of what makes pods of a template.
fn template_columns() -> [Column; 2] {
    [
        Column::computed("Containers", |o| named(&o["spec"]["template"], "name")).wide(),
        Column::computed("Images", |o| named(&o["spec"]["template"], "image")).wide(),
    ]
}

fn with_template(mut columns: Vec<Column>, selector_of: Option<fn(&Value) -> Value>) -> Vec<Column> {
    columns.extend(template_columns());
    columns.extend(selector_of.map(|selector_of| Column::computed("Selector", selector_of).wide()));
    columns
}

fn replicas() -> Vec<Column> {
    vec![
        Column::computed("Desired", |o| number(&o["spec"]["replicas"])).of_type("integer"),
        Column::computed("Current", |o| number(&o["status"]["replicas"])).of_type("integer"),
        Column::computed("Ready", |o| number(&o["status"]["readyReplicas"])).of_type("integer"),
        Column::age(),
    ]
}

fn ready_of_wanted(object: &Value) -> Value {
    format!("{}/{}", object["status"]["readyReplicas"].as_i64().unwrap_or(0), object["spec"]["replicas"].as_i64().unwrap_or(1)).into()
}

fn bound(value: &Value, absent: &str) -> Value {
    match value {
        Value::Null => absent.into(),
        Value::String(text) => text.as_str().into(),
        other => other.to_string().into(),
    }
}

fn flag(value: &Value, default: bool) -> Value {
    value.as_bool().unwrap_or(default).into()
}

/// The columns of a built-in kind, after the name.
pub fn built_in(group: &str, kind: &str) -> Vec<Column> {
    let mut columns = match (group, kind) {
        ("", "Namespace") => vec![Column::path("Status", ".status.phase")],
        ("", "Node") => {
            return vec![
                Column::computed("Status", node_status),
                Column::computed("Roles", node_roles),
                Column::age(),
                Column::computed("Version", |o| text(&o["status"]["nodeInfo"]["kubeletVersion"]).into()),
                Column::computed("Internal-IP", |o| node_address(o, "InternalIP")).wide(),
                Column::computed("External-IP", |o| node_address(o, "ExternalIP")).wide(),
                Column::computed("OS-Image", |o| or(text(&o["status"]["nodeInfo"]["osImage"]), "<unknown>")).wide(),
                Column::computed("Kernel-Version", |o| or(text(&o["status"]["nodeInfo"]["kernelVersion"]), "<unknown>")).wide(),
                Column::computed("Container-Runtime", |o| or(text(&o["status"]["nodeInfo"]["containerRuntimeVersion"]), "<unknown>"))
                    .wide(),
            ];
        }
        ("", "Secret") => vec![Column::path("Type", ".type"), Column::computed("Data", |o| count(&o["data"]).into())],
        ("", "ConfigMap") => vec![Column::computed("Data", |o| (count(&o["data"]) + count(&o["binaryData"])).into())],
        ("", "Pod") => return pod(),
        ("", "Service") => {
            return vec![
                Column::path("Type", ".spec.type"),
                Column::computed("Cluster-IP", |o| or_none(text(&o["spec"]["clusterIPs"][0]))),
                Column::computed("External-IP", service_outside),
                Column::computed("Port(s)", service_ports),
                Column::age(),
                Column::computed("Selector", |o| labels(&o["spec"]["selector"])).wide(),
            ];
        }
        ("", "Endpoints") => vec![Column::computed("Endpoints", endpoints)],
        ("" | "events.k8s.io", "Event") => return event(),
        ("", "PodTemplate") => {
            return vec![
                Column::computed("Containers", |o| named(&o["template"], "name")),
                Column::computed("Images", |o| named(&o["template"], "image")),
                Column::computed("Pod Labels", |o| labels(&o["template"]["metadata"]["labels"])),
            ];
        }
        ("", "ReplicationController") => return with_template(replicas(), Some(|o| labels(&o["spec"]["selector"]))),
        ("", "LimitRange") | ("storage.k8s.io", "CSIStorageCapacity") => return created_at(),
        ("", "ResourceQuota") => vec![Column::computed("Request", |o| quota(o, false)), Column::computed("Limit", |o| quota(o, true))],
        ("", "PersistentVolumeClaim") => {
            return vec![
                Column::computed("Status", phase),
                Column::computed("Volume", |o| text(&o["spec"]["volumeName"]).into()),
                Column::computed("Capacity", |o| if bound_claim(o) { text(&o["status"]["capacity"]["storage"]).into() } else { "".into() }),
                Column::computed(
                    "Access Modes",
                    |o| if bound_claim(o) { access_modes(&o["status"]["accessModes"]).into() } else { "".into() },
                ),
                Column::computed("StorageClass", |o| text(&o["spec"]["storageClassName"]).into()),
                Column::computed("VolumeAttributesClass", attributes_class),
                Column::age(),
                Column::computed("VolumeMode", volume_mode).wide(),
            ];
        }
        ("", "PersistentVolume") => {
            return vec![
                Column::computed("Capacity", |o| text(&o["spec"]["capacity"]["storage"]).into()),
                Column::computed("Access Modes", |o| access_modes(&o["spec"]["accessModes"]).into()),
                Column::path("Reclaim Policy", ".spec.persistentVolumeReclaimPolicy"),
                Column::computed("Status", phase),
                Column::computed("Claim", |o| {
                    let claim = &o["spec"]["claimRef"];
                    if claim.is_null() { "".into() } else { format!("{}/{}", text(&claim["namespace"]), text(&claim["name"])).into() }
                }),
                Column::computed("StorageClass", |o| text(&o["spec"]["storageClassName"]).into()),
                Column::computed("VolumeAttributesClass", attributes_class),
                Column::computed("Reason", |o| text(&o["status"]["reason"]).into()),
                Column::age(),
                Column::computed("VolumeMode", volume_mode).wide(),
            ];
        }
        ("apps", "Deployment") => {
            let columns = vec![
                Column::computed("Ready", ready_of_wanted),
                Column::computed("Up-to-date", |o| number(&o["status"]["updatedReplicas"])),
                Column::computed("Available", |o| number(&o["status"]["availableReplicas"])),
                Column::age(),
            ];
            return with_template(columns, Some(|o| selector(&o["spec"]["selector"])));
        }
        ("apps", "ReplicaSet") => return with_template(replicas(), Some(|o| selector(&o["spec"]["selector"]))),
        ("apps", "StatefulSet") => return with_template(vec![Column::computed("Ready", ready_of_wanted), Column::age()], None),
        ("apps", "DaemonSet") => {
            let columns = vec![
                Column::computed("Desired", |o| number(&o["status"]["desiredNumberScheduled"])).of_type("integer"),
                Column::computed("Current", |o| number(&o["status"]["currentNumberScheduled"])).of_type("integer"),
                Column::computed("Ready", |o| number(&o["status"]["numberReady"])).of_type("integer"),
                Column::computed("Up-to-date", |o| number(&o["status"]["updatedNumberScheduled"])).of_type("integer"),
                Column::computed("Available", |o| number(&o["status"]["numberAvailable"])).of_type("integer"),
                Column::computed("Node Selector", |o| labels(&o["spec"]["template"]["spec"]["nodeSelector"])),
                Column::age(),
            ];
            return with_template(columns, Some(|o| selector(&o["spec"]["selector"])));
        }
        ("apps", "ControllerRevision") => vec![
            Column::computed("Controller", |o| {
                let owner = items(&o["metadata"]["ownerReferences"]).iter().find(|owner| owner["controller"] == true);
                owner.map_or("<none>".into(), |owner| {
                    let version = text(&owner["apiVersion"]);
                    let group = version.split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"));
                    format!("{}{group}/{}", text(&owner["kind"]).to_lowercase(), text(&owner["name"])).into()
                })
            }),
            Column::computed("Revision", |o| number(&o["revision"])),
        ],
        ("batch", "Job") => {
            let columns = vec![
                Column::computed("Status", job_status),
                Column::computed("Completions", job_completions),
                Column::computed("Duration", job_duration),
                Column::age(),
            ];
            return with_template(columns, Some(|o| selector(&o["spec"]["selector"])));
        }
        ("batch", "CronJob") => {
            return vec![
                Column::path("Schedule", ".spec.schedule"),
                Column::computed("Timezone", |o| or_none(text(&o["spec"]["timeZone"]))),
                Column::computed("Suspend", |o| if o["spec"]["suspend"] == true { "True".into() } else { "False".into() })
                    .of_type("boolean"),
                Column::computed("Active", |o| count(&o["status"]["active"]).into()).of_type("integer"),
                Column::computed("Last Schedule", |o| since(&o["status"]["lastScheduleTime"], "<none>")),
                Column::age(),
                Column::computed("Containers", |o| named(&o["spec"]["jobTemplate"]["spec"]["template"], "name")).wide(),
                Column::computed("Images", |o| named(&o["spec"]["jobTemplate"]["spec"]["template"], "image")).wide(),
                Column::computed("Selector", |o| selector(&o["spec"]["jobTemplate"]["spec"]["selector"])).wide(),
            ];
        }
        ("autoscaling", _) => vec![
            Column::computed("Reference", |o| {
                let target = &o["spec"]["scaleTargetRef"];
                format!("{}/{}", text(&target["kind"]), text(&target["name"])).into()
            }),
            Column::computed("Targets", |o| if count(&o["spec"]["metrics"]) == 0 { "<none>".into() } else { "<unknown>".into() }),
            Column::computed("MinPods", |o| bound(&o["spec"]["minReplicas"], "<unset>")),
            Column::computed("MaxPods", |o| number(&o["spec"]["maxReplicas"])),
            Column::computed("Replicas", |o| number(&o["status"]["currentReplicas"])),
        ],
        ("discovery.k8s.io", _) => vec![
            Column::path("AddressType", ".addressType"),
            Column::computed("Ports", |o| {
                let shown = items(&o["ports"]).iter().map(|port| bound(&port["port"], "*")).map(|port| text(&port));
                or(shown.collect::<Vec<_>>().join(","), "<unset>")
            }),
            Column::computed("Endpoints", |o| {
                let all: Vec<String> = items(&o["endpoints"]).iter().flat_map(|e| items(&e["addresses"])).map(text).collect();
                if all.is_empty() { "<unset>".into() } else { shortened(all) }
            }),
        ],
        ("scheduling.k8s.io", _) => {
            return vec![
                Column::computed("Value", |o| number(&o["value"])).of_type("integer"),
                Column::computed("Global-Default", |o| flag(&o["globalDefault"], false)).of_type("boolean"),
                Column::age(),
                Column::computed("PreemptionPolicy", |o| text(&o["preemptionPolicy"]).into()),
            ];
        }
        ("storage.k8s.io", "CSINode") => vec![Column::computed("Drivers", |o| count(&o["spec"]["drivers"]).into()).of_type("integer")],
        ("storage.k8s.io", "VolumeAttributesClass") => vec![Column::path("DriverName", ".driverName")],
        ("storage.k8s.io", "StorageClass") => vec![
            Column::path("Provisioner", ".provisioner"),
            Column::computed("ReclaimPolicy", |o| o["reclaimPolicy"].as_str().unwrap_or("Delete").into()),
            Column::computed("VolumeBindingMode", |o| o["volumeBindingMode"].as_str().unwrap_or("Immediate").into()),
            Column::computed("AllowVolumeExpansion", |o| flag(&o["allowVolumeExpansion"], false)),
        ],
        ("storage.k8s.io", "CSIDriver") => vec![
            Column::computed("AttachRequired", |o| flag(&o["spec"]["attachRequired"], true)).of_type("boolean"),
            Column::computed("PodInfoOnMount", |o| flag(&o["spec"]["podInfoOnMount"], false)).of_type("boolean"),
            Column::computed("StorageCapacity", |o| flag(&o["spec"]["storageCapacity"], false)).of_type("boolean"),
            Column::computed("TokenRequests", |o| {
                let all = items(&o["spec"]["tokenRequests"]).iter().map(|request| text(&request["audience"]));
                or(all.collect::<Vec<_>>().join(","), "<unset>")
            }),
            Column::computed("RequiresRepublish", |o| flag(&o["spec"]["requiresRepublish"], false)).of_type("boolean"),
            Column::computed("Modes", |o| or_none(join(items(&o["spec"]["volumeLifecycleModes"]).iter(), ","))),
        ],
        ("storage.k8s.io", "VolumeAttachment") => vec![
            Column::path("Attacher", ".spec.attacher"),
            Column::computed("PV", |o| text(&o["spec"]["source"]["persistentVolumeName"]).into()),
            Column::path("Node", ".spec.nodeName"),
            Column::computed("Attached", |o| flag(&o["status"]["attached"], false)).of_type("boolean"),
        ],
        ("apiextensions.k8s.io", _) | ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => return created_at(),
        ("rbac.authorization.k8s.io", _) => {
            return vec![
                Column::computed("Role", |o| format!("{}/{}", text(&o["roleRef"]["kind"]), text(&o["roleRef"]["name"])).into()),
                Column::age(),
                Column::computed("Users", |o| subjects(o, "User")).wide(),
                Column::computed("Groups", |o| subjects(o, "Group")).wide(),
                Column::computed("ServiceAccounts", |o| subjects(o, "ServiceAccount")).wide(),
            ];
        }
        ("networking.k8s.io", "Ingress") => vec![
            Column::computed("Class", |o| or_none(text(&o["spec"]["ingressClassName"]))),
            Column::computed("Hosts", |o| {
                let hosts: Vec<String> =
                    items(&o["spec"]["rules"]).iter().map(|rule| text(&rule["host"])).filter(|host| !host.is_empty()).collect();
                if hosts.is_empty() { "*".into() } else { shortened(hosts) }
            }),
            Column::computed("Address", |o| join(items(&o["status"]["loadBalancer"]["ingress"]).iter().map(|i| &i["ip"]), ",").into()),
            Column::computed("Ports", |o| if count(&o["spec"]["tls"]) > 0 { "80, 443".into() } else { "80".into() }),
        ],
        ("networking.k8s.io", "IngressClass") => vec![
            Column::path("Controller", ".spec.controller"),
            Column::computed("Parameters", |o| {
                let parameters = &o["spec"]["parameters"];
                if parameters.is_null() {
                    return "<none>".into();
                }
                let group = parameters["apiGroup"].as_str().map(|group| format!(".{group}")).unwrap_or_default();
                format!("{}{group}/{}", text(&parameters["kind"]), text(&parameters["name"])).into()
            }),
        ],
        ("networking.k8s.io", _) => vec![Column::computed("Pod-Selector", |o| selector(&o["spec"]["podSelector"]))],
        ("policy", _) => vec![
            Column::computed("Min Available", |o| bound(&o["spec"]["minAvailable"], "N/A")),
            Column::computed("Max Unavailable", |o| bound(&o["spec"]["maxUnavailable"], "N/A")),
            Column::computed("Allowed Disruptions", |o| number(&o["status"]["disruptionsAllowed"])).of_type("integer"),
        ],
        ("apiregistration.k8s.io", _) => vec![
            Column::computed("Service", |o| {
                let service = &o["spec"]["service"];
                if service.is_null() {
                    "Local".into()
                } else {
                    format!("{}/{}", text(&service["namespace"]), text(&service["name"])).into()
                }
            }),
            Column::computed("Available", |o| {
                let condition = items(&o["status"]["conditions"]).iter().find(|c| c["type"] == "Available");
                condition.map_or("Unknown".into(), |c| {
                    let status = text(&c["status"]);
                    if status == "True" { status.into() } else { format!("{status} ({})", text(&c["reason"])).into() }
                })
            }),
        ],
        ("coordination.k8s.io", _) => vec![Column::computed("Holder", |o| text(&o["spec"]["holderIdentity"]).into())],
        _ => Vec::new(),
    };
    columns.push(Column::age());
    columns
}

fn bound_claim(claim: &Value) -> bool {
    claim["spec"]["volumeName"].as_str().is_some_and(|name| !name.is_empty())
}

fn created_at() -> Vec<Column> {
    vec![Column::computed("Created At", |o| text(&o["metadata"]["creationTimestamp"]).into()).of_type("date")]
}
