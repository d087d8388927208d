//! Services, endpoints, policies, and what else stands between pods.

use serde_json::{Map, Value, json};

use super::{
    super::{
        resource::Resource,
        status::{Answer, Cause},
        write::random,
    },
    default, list_mut, one_of,
};

/// The network of services, as kube-apiserver's `--service-cluster-ip-range` has it in most clusters.
const SERVICES: [u8; 2] = [10, 96];
/// First and number of the ports that nodes keep for services.
const NODE_PORTS: (u16, u16) = (30_000, 2_768);

/// The defaults of each kind.
pub fn fill(resource: &Resource, object: &mut Value) {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Service") => service(object),
        ("", "Endpoints") => {
            for subset in list_mut(object, "subsets") {
                for port in list_mut(subset, "ports") {
                    default(port, "/protocol", "TCP".into());
                }
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in list_mut(object, "ports") {
                default(port, "/name", "".into());
                default(port, "/protocol", "TCP".into());
            }
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            for way in ["ingress", "egress"] {
                for rule in object.get_mut("spec").into_iter().flat_map(|spec| list_mut(spec, way)) {
                    for port in list_mut(rule, "ports") {
                        default(port, "/protocol", "TCP".into());
                    }
                }
            }
            let out = object["spec"]["egress"].as_array().is_some_and(|rules| !rules.is_empty());
            let types = if out { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            default(object, "/spec/policyTypes", types);
        }
        ("networking.k8s.io", "IngressClass") => default(object, "/spec/parameters/scope", "Cluster".into()),
        _ => {}
    }
}

fn service(object: &mut Value) {
    default(object, "/spec", json!({}));
    default(object, "/spec/type", "ClusterIP".into());
    default(object, "/spec/sessionAffinity", "None".into());
    if object["spec"]["sessionAffinity"] == "ClientIP" {
        default(object, "/spec/sessionAffinityConfig", json!({ "clientIP": { "timeoutSeconds": 10800 } }));
    }
    for port in object.get_mut("spec").into_iter().flat_map(|spec| list_mut(spec, "ports")) {
        default(port, "/protocol", "TCP".into());
        let target = port["port"].clone();
        if matches!(&port["targetPort"], Value::Null) || port["targetPort"] == 0 || port["targetPort"] == "" {
            port["targetPort"] = target;
        }
    }
    let kind = object["spec"]["type"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        default(object, "/spec/externalTrafficPolicy", "Cluster".into());
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        default(object, "/spec/internalTrafficPolicy", "Cluster".into());
    }
    if kind == "LoadBalancer" {
        default(object, "/spec/allocateLoadBalancerNodePorts", true.into());
    }
    default(object, "/status", json!({ "loadBalancer": {} }));
}

/// Gives a service its addresses and ports; what the old one has stays.
pub fn allocate(old: Option<&Value>, object: &mut Value) -> Answer<()> {
    let kind = object["spec"]["type"].as_str().unwrap_or_default().to_owned();
    if kind == "ExternalName" {
        return Ok(());
    }
    if let Some(old) = old {
        for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
            let value = old["spec"][field].clone();
            if !value.is_null() && object["spec"][field].is_null() {
                object["spec"][field] = value;
            }
        }
        for port in object.get_mut("spec").into_iter().flat_map(|spec| list_mut(spec, "ports")) {
            let same = |known: &&Value| known["port"] == port["port"] && known["protocol"] == port["protocol"];
            let known = old["spec"]["ports"].as_array().into_iter().flatten().find(same).map(|known| known["nodePort"].clone());
            if let Some(number) = known.filter(|number| number.is_number() && kind != "ClusterIP") {
                default(port, "/nodePort", number);
            }
        }
    }
    let spec = &mut object["spec"];
    let [third, fourth] = random::<2>()?;
    let address = format!("{}.{}.{third}.{}", SERVICES[0], SERVICES[1], fourth.clamp(2, 254));
    default(spec, "/clusterIP", address.into());
    let (own, headless) = (spec["clusterIP"].clone(), spec["clusterIP"] == "None");
    default(spec, "/clusterIPs", json!([own]));
    let unselected = headless && spec["selector"].as_object().is_none_or(Map::is_empty);
    default(spec, "/ipFamilies", if unselected { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
    default(spec, "/ipFamilyPolicy", if unselected { "RequireDualStack" } else { "SingleStack" }.into());
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        for port in list_mut(spec, "ports") {
            let number = u16::from_be_bytes(random::<2>()?) % NODE_PORTS.1 + NODE_PORTS.0;
            default(port, "/nodePort", number.into());
        }
    }
    Ok(())
}

/// The name of a port in a list of ports of a pod.
fn port_name(name: &str) -> Vec<&'static str> {
    let mut problems = Vec::new();
    if name.len() > 15 {
        problems.push("must be no more than 15 characters");
    }
    if !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.bytes().any(|byte| byte.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        problems.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        problems.push("must not begin or end with a hyphen");
    }
    problems
}

fn service_ports(spec: &Value, causes: &mut Vec<Cause>) {
    const RANGE: &str = "must be between 1 and 65535, inclusive";
    let ports: Vec<&Value> = spec["ports"].as_array().into_iter().flatten().collect();
    if ports.is_empty() && spec["clusterIP"] != "None" && spec["type"] != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    let mut names: Vec<&str> = Vec::new();
    for (index, port) in ports.iter().enumerate() {
        let at = format!("spec.ports[{index}]");
        match port["name"].as_str().unwrap_or_default() {
            "" if ports.len() > 1 => causes.push(Cause::required(format!("{at}.name"), "")),
            "" => {}
            name => {
                if names.contains(&name) {
                    causes.push(Cause::duplicate(format!("{at}.name"), &name.into()));
                }
                names.push(name);
            }
        }
        let number = port["port"].as_i64().unwrap_or(0);
        if !(1..=65535).contains(&number) {
            causes.push(Cause::invalid(format!("{at}.port"), &number.into(), RANGE));
        }
        one_of(&port["protocol"], &["SCTP", "TCP", "UDP"], &format!("{at}.protocol"), causes);
        match &port["targetPort"] {
            Value::String(name) => {
                causes.extend(port_name(name).iter().map(|why| Cause::invalid(format!("{at}.targetPort"), &name.as_str().into(), why)));
            }
            target => {
                let number = target.as_i64().unwrap_or(0);
                if !(1..=65535).contains(&number) {
                    causes.push(Cause::invalid(format!("{at}.targetPort"), &number.into(), RANGE));
                }
            }
        }
    }
}

/// What is wrong with an object of one of these kinds.
pub fn validate(resource: &Resource, old: Option<&Value>, object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Service") => {
            if let Some(old) = old
                && old["spec"]["type"] != "ExternalName"
                && spec["type"] != "ExternalName"
                && old["spec"]["clusterIP"] != spec["clusterIP"]
            {
                causes.push(Cause::invalid("spec.clusterIPs[0]", &json!([spec["clusterIP"]]), "may not change once set"));
            }
            service_ports(spec, causes);
            one_of(&spec["sessionAffinity"], &["ClientIP", "None"], "spec.sessionAffinity", causes);
            one_of(&spec["type"], &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], "spec.type", causes);
        }
        ("", "Endpoints") => {
            for (index, subset) in object["subsets"].as_array().into_iter().flatten().enumerate() {
                for (place, address) in subset["addresses"].as_array().into_iter().flatten().enumerate() {
                    let text = address["ip"].as_str().unwrap_or_default();
                    if text.parse::<std::net::IpAddr>().is_err() {
                        let at = format!("subsets[{index}].addresses[{place}].ip");
                        for detail in ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)", "must be a valid IP address"] {
                            causes.push(Cause::invalid(at.clone(), &text.into(), detail));
                        }
                    }
                }
            }
        }
        ("coordination.k8s.io", "Lease") => {
            if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
                causes.push(Cause::invalid("spec.leaseDurationSeconds", &seconds.into(), "must be greater than 0"));
            }
        }
        ("policy", "PodDisruptionBudget") => {
            let (least, most) = (&spec["minAvailable"], &spec["maxUnavailable"]);
            if !least.is_null() && !most.is_null() {
                // The real server shows its own type here, whose fields have other names.
                let shown = json!({ "MinAvailable": least, "Selector": spec["selector"], "MaxUnavailable": most,
                    "UnhealthyPodEvictionPolicy": spec["unhealthyPodEvictionPolicy"] });
                causes.push(Cause::invalid("spec", &shown, "minAvailable and maxUnavailable cannot be both set"));
            }
            for (field, value) in [("spec.minAvailable", least), ("spec.maxUnavailable", most)] {
                let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|text| text.parse::<u32>().ok());
                if percent.is_some_and(|percent| percent > 100) {
                    causes.push(Cause::invalid(field, value, "must not be greater than 100%"));
                }
            }
        }
        _ => {}
    }
}
