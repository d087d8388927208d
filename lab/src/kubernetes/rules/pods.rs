//! Pods and templates of pods.

use serde_json::{Map, Value, json};

use super::{
    super::{
        meta::{self, NameRule},
        quantity::Quantity,
        status::Cause,
    },
    default, list_mut, one_of,
};

/// Lists of containers, in the order of the type.
const CONTAINERS: &[&str] = &["initContainers", "containers", "ephemeralContainers"];

/// Whether an image's tag is `latest`, said or not.
fn latest(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    name.ends_with(":latest") || !name.contains([':', '@'])
}

fn container_defaults(container: &mut Value, host_network: bool) {
    let latest = container["image"].as_str().is_some_and(latest);
    default(container, "/resources", json!({}));
    default(container, "/terminationMessagePath", "/dev/termination-log".into());
    default(container, "/terminationMessagePolicy", "File".into());
    default(container, "/imagePullPolicy", if latest { "Always" } else { "IfNotPresent" }.into());
    for port in list_mut(container, "ports") {
        default(port, "/protocol", "TCP".into());
        if host_network {
            let number = port["containerPort"].clone();
            default(port, "/hostPort", number);
        }
    }
    for variable in list_mut(container, "env") {
        default(variable, "/valueFrom/fieldRef/apiVersion", "v1".into());
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        for (field, value) in [("scheme", "HTTP"), ("path", "/")] {
            default(container, &format!("/{probe}/httpGet/{field}"), value.into());
        }
        default(container, &format!("/{probe}/grpc/service"), "".into());
        for (field, value) in [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)] {
            default(container, &format!("/{probe}/{field}"), value.into());
        }
    }
    for hook in ["postStart", "preStop"] {
        for (field, value) in [("scheme", "HTTP"), ("path", "/")] {
            default(container, &format!("/lifecycle/{hook}/httpGet/{field}"), value.into());
        }
    }
}

/// What a pod asks for of a thing that it limits and does not ask for otherwise.
fn requests_from_limits(container: &mut Value) {
    let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    default(container, "/resources/requests", json!({}));
    for (what, limit) in limits {
        if container["resources"]["requests"][&what].is_null() {
            container["resources"]["requests"][what] = limit;
        }
    }
}

fn volume_defaults(volume: &mut Value) {
    let Some(map) = volume.as_object_mut() else { return };
    if map.iter().all(|(field, value)| field == "name" || value.is_null()) {
        map.insert("emptyDir".to_owned(), json!({}));
    }
    for source in ["secret", "configMap", "projected", "downwardAPI"] {
        // 0644, octal, as Go's types write it.
        default(volume, &format!("/{source}/defaultMode"), 420.into());
    }
    default(volume, "/hostPath/type", "".into());
    default(volume, "/iscsi/iscsiInterface", "default".into());
    let mut files = vec!["/downwardAPI/items".to_owned()];
    let sources = volume.pointer("/projected/sources").and_then(Value::as_array).map_or(0, Vec::len);
    for index in 0..sources {
        default(volume, &format!("/projected/sources/{index}/serviceAccountToken/expirationSeconds"), 3600.into());
        files.push(format!("/projected/sources/{index}/downwardAPI/items"));
    }
    for list in files {
        for file in volume.pointer_mut(&list).and_then(Value::as_array_mut).into_iter().flatten() {
            default(file, "/fieldRef/apiVersion", "v1".into());
        }
    }
}

/// The defaults of a pod's spec, in a pod or in a template.
pub fn fill(spec: &mut Value) {
    if !spec.is_object() {
        return;
    }
    let host_network = spec["hostNetwork"] == true;
    for list in CONTAINERS {
        for container in list_mut(spec, list) {
            container_defaults(container, host_network);
        }
    }
    for (field, value) in [
        ("/restartPolicy", Value::from("Always")),
        ("/terminationGracePeriodSeconds", 30.into()),
        ("/dnsPolicy", "ClusterFirst".into()),
        ("/securityContext", json!({})),
        ("/schedulerName", "default-scheduler".into()),
    ] {
        default(spec, field, value);
    }
    for volume in list_mut(spec, "volumes") {
        volume_defaults(volume);
    }
    // Two names of one thing.
    let account = spec["serviceAccountName"].as_str().filter(|name| !name.is_empty()).or_else(|| spec["serviceAccount"].as_str());
    if let Some(account) = account.filter(|name| !name.is_empty()).map(str::to_owned) {
        spec["serviceAccountName"] = account.as_str().into();
        spec["serviceAccount"] = account.into();
    }
}

/// The defaults of a pod alone.
pub fn fill_pod(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec") {
        fill(spec);
        for list in ["initContainers", "containers"] {
            for container in list_mut(spec, list) {
                requests_from_limits(container);
            }
        }
        default(spec, "/enableServiceLinks", true.into());
        admit(spec);
    }
    let quality = quality_of_service(&object["spec"]);
    default(object, "/status", json!({}));
    default(object, "/status/phase", "Pending".into());
    default(object, "/status/qosClass", quality.into());
    let status = &mut object["status"];
    let first = status.pointer("/podIPs/0/ip").cloned();
    match (status["podIP"].as_str().map(str::to_owned), first) {
        (Some(address), None) if !address.is_empty() => status["podIPs"] = json!([{ "ip": address }]),
        (None, Some(address)) => status["podIP"] = address,
        _ => {}
    }
}

/// What admission adds to a pod.
fn admit(spec: &mut Value) {
    default(spec, "/priority", 0.into());
    default(spec, "/preemptionPolicy", "PreemptLowerPriority".into());
    default(spec, "/tolerations", json!([]));
    let Some(tolerations) = spec.get_mut("tolerations").and_then(Value::as_array_mut) else { return };
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        // Five minutes, the default of the admission plugin DefaultTolerationSeconds.
        if tolerations.iter().all(|toleration| toleration["key"] != key) {
            tolerations.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
        }
    }
}

/// How a pod is treated when memory runs short: by the requests and limits of its containers.
fn quality_of_service(spec: &Value) -> &'static str {
    let containers = || ["containers", "initContainers"].into_iter().filter_map(|list| spec[list].as_array()).flatten();
    let asked = |kind: &'static str| move |container: &Value, what: &str| container["resources"][kind][what].clone();
    let (request, limit) = (asked("requests"), asked("limits"));
    let guaranteed = |container: &Value| {
        ["cpu", "memory"].into_iter().all(|what| {
            let (request, limit) = (request(container, what), limit(container, what));
            !limit.is_null() && (request.is_null() || request == limit)
        })
    };
    let nothing = |container: &Value| {
        ["cpu", "memory"].into_iter().all(|what| request(container, what).is_null() && limit(container, what).is_null())
    };
    if containers().all(nothing) {
        "BestEffort"
    } else if containers().all(guaranteed) {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

fn ports(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (index, port) in container["ports"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}.ports[{index}]");
        match port["containerPort"].as_i64() {
            None | Some(0) => causes.push(Cause::required(format!("{at}.containerPort"), "")),
            Some(1..=65535) => {}
            Some(number) => {
                causes.push(Cause::invalid(format!("{at}.containerPort"), &number.into(), "must be between 1 and 65535, inclusive"));
            }
        }
        one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &format!("{at}.protocol"), causes);
    }
}

fn mounts(container: &Value, at: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    for (index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{at}.volumeMounts[{index}]");
        let name = mount["name"].as_str().unwrap_or_default();
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !volumes.contains(&name) {
            causes.push(Cause::not_found(format!("{at}.name"), name));
        }
        if mount["mountPath"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.mountPath"), ""));
        }
    }
}

fn resources(container: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (what, request) in container["resources"]["requests"].as_object().into_iter().flatten() {
        let limit = &container["resources"]["limits"][what];
        if let (Some(request), Some(limit)) = (Quantity::of(request), Quantity::of(limit))
            && request.nano() > limit.nano()
        {
            let detail = format!("must be less than or equal to {what} limit of {}", limit.text());
            causes.push(Cause::invalid(format!("{at}.resources.requests"), &request.text().into(), &detail));
        }
    }
}

fn container(container: &Value, at: &str, volumes: &[&str], causes: &mut Vec<Cause>) {
    match container["name"].as_str().unwrap_or_default() {
        "" => causes.push(Cause::required(format!("{at}.name"), "")),
        name => causes.extend(NameRule::Label.problems(name).iter().map(|p| Cause::invalid(format!("{at}.name"), &name.into(), p))),
    }
    let image = container["image"].as_str().unwrap_or_default();
    if image.is_empty() {
        causes.push(Cause::required(format!("{at}.image"), ""));
    } else if image.trim() != image {
        causes.push(Cause::invalid(format!("{at}.image"), &image.into(), "must not have leading or trailing whitespace"));
    }
    one_of(&container["imagePullPolicy"], &["Always", "IfNotPresent", "Never"], &format!("{at}.imagePullPolicy"), causes);
    ports(container, at, causes);
    for (index, variable) in container["env"].as_array().into_iter().flatten().enumerate() {
        if variable["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.env[{index}].name"), ""));
        }
    }
    mounts(container, at, volumes, causes);
    resources(container, at, causes);
}

/// What is wrong with a pod's spec.
pub fn validate(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let mut volumes: Vec<&str> = Vec::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let at = format!("{path}.volumes[{index}].name");
        match volume["name"].as_str().unwrap_or_default() {
            "" => causes.push(Cause::required(at, "")),
            name => {
                causes.extend(NameRule::Label.problems(name).iter().map(|p| Cause::invalid(at.clone(), &name.into(), p)));
                if volumes.contains(&name) {
                    causes.push(Cause::duplicate(at, &name.into()));
                }
                volumes.push(name);
            }
        }
    }
    let mut names: Vec<&str> = Vec::new();
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    for list in ["containers", "initContainers"] {
        for (index, one) in spec[list].as_array().into_iter().flatten().enumerate() {
            let at = format!("{path}.{list}[{index}]");
            container(one, &at, &volumes, causes);
            let name = one["name"].as_str().unwrap_or_default();
            if names.contains(&name) && !name.is_empty() {
                causes.push(Cause::duplicate(format!("{at}.name"), &name.into()));
            }
            names.push(name);
        }
    }
    one_of(&spec["restartPolicy"], &["Always", "OnFailure", "Never"], &format!("{path}.restartPolicy"), causes);
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    one_of(&spec["dnsPolicy"], &policies, &format!("{path}.dnsPolicy"), causes);
    for (key, value) in spec["nodeSelector"].as_object().into_iter().flatten() {
        let at = format!("{path}.nodeSelector");
        causes.extend(meta::qualified_name(key).iter().map(|p| Cause::invalid(at.clone(), &key.as_str().into(), p)));
        let text = value.as_str().unwrap_or_default();
        causes.extend(meta::label_value(text).iter().map(|p| Cause::invalid(at.clone(), value, p)));
    }
    for field in ["serviceAccountName", "nodeName"] {
        if let Some(name) = spec[field].as_str().filter(|name| !name.is_empty()) {
            causes.extend(NameRule::Subdomain.problems(name).iter().map(|p| Cause::invalid(format!("{path}.{field}"), &name.into(), p)));
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64().filter(|seconds| *seconds < 1) {
        let detail = "must be between 1 and 2147483647, inclusive";
        causes.push(Cause::invalid(format!("{path}.activeDeadlineSeconds"), &seconds.into(), detail));
    }
}

/// What an update of a pod may not do.
pub fn validate_update(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let (old, new) = (&old["spec"], &new["spec"]);
    for list in ["containers", "initContainers"] {
        let count = |spec: &Value| spec[list].as_array().map_or(0, Vec::len);
        if count(old) != count(new) {
            causes.push(Cause::forbidden(format!("spec.{list}"), "pod updates may not add or remove containers"));
            return;
        }
    }
    match (old["activeDeadlineSeconds"].as_i64(), new["activeDeadlineSeconds"].as_i64()) {
        (Some(before), Some(now)) if now > before => {
            causes.push(Cause::invalid("spec.activeDeadlineSeconds", &now.into(), "must be less than or equal to previous value"));
        }
        (Some(_), None) => {
            causes.push(Cause::invalid("spec.activeDeadlineSeconds", &Value::Null, "must not update from a positive integer to nil value"));
        }
        _ => {}
    }
    let timeless = |toleration: &Value| {
        let mut map = toleration.as_object().cloned().unwrap_or_default();
        map.shift_remove("tolerationSeconds");
        map
    };
    let tolerations =
        |spec: &Value| -> Vec<Map<String, Value>> { spec["tolerations"].as_array().into_iter().flatten().map(timeless).collect() };
    let kept = tolerations(new);
    if tolerations(old).iter().any(|toleration| !kept.contains(toleration)) {
        causes.push(Cause::forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"));
    }
    if !causes.is_empty() {
        return;
    }
    let rest = |spec: &Value| {
        let mut rest = spec.clone();
        for list in ["containers", "initContainers"] {
            for container in list_mut(&mut rest, list) {
                container["image"] = Value::Null;
            }
        }
        rest["activeDeadlineSeconds"] = Value::Null;
        rest["tolerations"] = Value::Null;
        // The two names of the account.
        rest["serviceAccount"] = Value::Null;
        let grace = &mut rest["terminationGracePeriodSeconds"];
        if grace.as_i64().is_some_and(|seconds| seconds < 0) {
            *grace = 1.into();
        }
        rest
    };
    if rest(old) != rest(new) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
                      `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
                      `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        causes.push(Cause::forbidden("spec", detail));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service_follows_requests_and_limits() {
        let both = json!({ "cpu": "1", "memory": "1Gi" });
        for (resources, quality) in [
            (json!({}), "BestEffort"),
            (json!({ "limits": both }), "Guaranteed"),
            (json!({ "limits": both, "requests": both }), "Guaranteed"),
            (json!({ "limits": both, "requests": { "cpu": "2" } }), "Burstable"),
            (json!({ "requests": { "cpu": "1" } }), "Burstable"),
        ] {
            assert_eq!(quality_of_service(&json!({ "containers": [{ "resources": resources }] })), quality, "{resources}");
        }
    }

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, is) in [("i", true), ("i:1", false), ("r:5000/x/i", true), ("i:latest", true), ("i@sha256:0", false)] {
            assert_eq!(latest(image), is, "{image}");
        }
    }

    #[test]
    fn a_pod_may_change_its_images_and_little_else() {
        let pod = |spec: Value| json!({ "spec": spec });
        let old = pod(
            json!({ "nodeName": "a", "containers": [{ "name": "c", "image": "i" }], "tolerations": [{ "key": "k", "tolerationSeconds": 1 }] }),
        );
        for (pointer, value, good) in [
            ("/spec/containers/0/image", json!("j"), true),
            ("/spec/tolerations/0/tolerationSeconds", json!(2), true),
            ("/spec/nodeName", json!("b"), false),
            ("/spec/containers/0/name", json!("d"), false),
            ("/spec/tolerations", json!([]), false),
            ("/spec/containers", json!([]), false),
        ] {
            let mut new = old.clone();
            *new.pointer_mut(pointer).unwrap() = value;
            let mut causes = Vec::new();
            validate_update(&old, &new, &mut causes);
            assert_eq!(causes.is_empty(), good, "{pointer}: {causes:?}");
        }
    }
}
