//! Who may do what, and the reviews that answer the question.

use http::{HeaderMap, Response, StatusCode};
use serde_json::{Value, json};

use super::{
    Inner,
    auth::Caller,
    managed,
    operation::Operation,
    rbac::{self, Verdict, Wish},
    request::Target,
    response::{self, Body},
    status::{Answer, Cause, Failure},
    write,
};

/// The target as roles see it: a namespace lies in itself.
fn seen(target: &Target) -> Target {
    let mut target = target.clone();
    if target.group.is_empty() && target.plural == "namespaces" && target.namespace.is_empty() {
        target.namespace.clone_from(&target.name);
    }
    target
}

/// What a refusal says of roles that bindings name and nobody has written.
fn missing(roles: &[String]) -> String {
    match roles {
        [] => String::new(),
        [one] => format!(": RBAC: {one}"),
        many => format!(": RBAC: [{}]", many.join(", ")),
    }
}

/// 403 unless the caller may.
pub fn authorize(server: &Inner, caller: &Caller, verb: &str, target: &Target) -> Answer<()> {
    if caller.is_master() {
        return Ok(());
    }
    let target = &seen(target);
    let Verdict::Denied(roles) = rbac::verdict(server, caller, verb, &Wish::Resource(target)) else { return Ok(()) };
    let plural = if target.subresource.is_empty() { target.plural.clone() } else { format!("{}/{}", target.plural, target.subresource) };
    let place =
        if target.namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {:?}", target.namespace) };
    let more = missing(&roles);
    let why = format!("User {:?} cannot {verb} resource {plural:?} in API group {:?} {place}{more}", caller.name, target.group);
    Err(Failure::forbidden(&target.group, &target.plural, &target.name, &why))
}

/// 403 unless the caller may do this with a path that is no resource.
pub fn authorize_path(server: &Inner, caller: &Caller, verb: &str, path: &str) -> Answer<()> {
    let path = if path.is_empty() { "/" } else { path };
    if caller.is_master() {
        return Ok(());
    }
    match rbac::verdict(server, caller, verb, &Wish::Path(path)) {
        Verdict::Allowed(_) => Ok(()),
        Verdict::Denied(roles) => Err(Failure::path_forbidden(&caller.name, path, verb, &missing(&roles))),
    }
}

/// Who a request is to come from, if its sender speaks for somebody else.
pub fn impersonated(server: &Inner, caller: Caller, headers: &HeaderMap) -> Answer<Caller> {
    let all =
        |name: &str| -> Vec<String> { headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect() };
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let (user, groups, uid) = (first("impersonate-user"), all("impersonate-group"), first("impersonate-uid"));
    if user.is_empty() {
        if groups.is_empty() && uid.is_empty() {
            return Ok(caller);
        }
        let shown = if groups.is_empty() {
            "[]string(nil)".to_owned()
        } else {
            format!("[]string{{{}}}", groups.iter().map(|group| format!("{group:?}")).collect::<Vec<_>>().join(", "))
        };
        let what = format!("&user.DefaultInfo{{Name:\"\", UID:{uid:?}, Groups:{shown}, Extra:map[string][]string(nil)}}");
        return Err(Failure::bad_request(format!("requested {what} without impersonating a user name")));
    }
    let wish = |plural: &str, name: &str| Target {
        group: String::new(),
        version: "v1".to_owned(),
        plural: plural.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: String::new(),
    };
    let mut wishes = vec![match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
        Some((namespace, name)) => Target { namespace: namespace.to_owned(), ..wish("serviceaccounts", name) },
        None => wish("users", &user),
    }];
    wishes.extend(groups.iter().map(|group| wish("groups", group)));
    for target in &wishes {
        authorize(server, &caller, "impersonate", target)?;
    }
    Ok(Caller::named(&user, groups))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What an access review answers for a user with these groups.
fn reviewed(server: &Inner, groups: Vec<String>, user: &str, spec: &Value) -> Value {
    let caller = Caller { name: user.to_owned(), groups };
    let verdict = if let Some(attributes) = spec["nonResourceAttributes"].as_object() {
        let part = |key: &str| attributes.get(key).and_then(Value::as_str).unwrap_or_default();
        rbac::verdict(server, &caller, part("verb"), &Wish::Path(part("path")))
    } else {
        let attributes = &spec["resourceAttributes"];
        let target = Target {
            group: text(&attributes["group"]),
            version: text(&attributes["version"]),
            plural: text(&attributes["resource"]),
            namespace: text(&attributes["namespace"]),
            name: text(&attributes["name"]),
            subresource: text(&attributes["subresource"]),
        };
        rbac::verdict(server, &caller, attributes["verb"].as_str().unwrap_or_default(), &Wish::Resource(&target))
    };
    match verdict {
        // Masters are let through before anybody looks at roles.
        _ if caller.is_master() => json!({ "allowed": true }),
        Verdict::Allowed(reason) => json!({ "allowed": true, "reason": reason }),
        Verdict::Denied(roles) if roles.is_empty() => json!({ "allowed": false }),
        Verdict::Denied(roles) => json!({ "allowed": false, "evaluationError": roles.join(", ") }),
    }
}

/// What an access review has to say, or the refusal.
fn checked(spec: &Value, names_user: bool) -> Answer<()> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    let mut causes = Vec::new();
    match (resource.is_object(), path.is_object()) {
        (true, true) => {
            // The real server shows its own type here, whose fields have other names.
            let shown = json!({ "Path": text(&path["path"]), "Verb": text(&path["verb"]) });
            causes.push(Cause::invalid("spec.nonResourceAttributes", &shown, "cannot be specified in combination with resourceAttributes"));
        }
        (false, false) => {
            let detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            causes.push(Cause::invalid("spec.resourceAttributes", &Value::Null, detail));
        }
        _ => {}
    }
    if names_user && text(&spec["user"]).is_empty() && spec["groups"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::invalid("spec.user", &"".into(), "at least one of user or group must be specified"));
    }
    if causes.is_empty() { Ok(()) } else { Err(Failure::invalid("authorization.k8s.io", "", "", &causes)) }
}

/// `POST` of a review: answered at once, never stored.
pub fn review(op: &Operation) -> Answer<Response<Body>> {
    let mut review = op.object()?;
    let given = review["kind"].as_str().unwrap_or_default();
    if !given.is_empty() && given != op.resource.kind {
        return Err(Failure::bad_request(format!("{given} in version \"v1\" cannot be handled as a {}", op.resource.kind)));
    }
    review["kind"] = op.resource.kind.as_str().into();
    review["apiVersion"] = op.resource.api_version().into();
    let spec = review["spec"].clone();
    match op.resource.kind.as_str() {
        "SelfSubjectAccessReview" => checked(&spec, false)?,
        "SubjectAccessReview" | "LocalSubjectAccessReview" => checked(&spec, true)?,
        "TokenReview" if text(&spec["token"]).is_empty() => {
            return Err(Failure::bad_request("token is required for TokenReview in authentication"));
        }
        _ => {}
    }
    let kind = op.resource.kind.as_str();
    if kind == "LocalSubjectAccessReview" {
        write::metadata(&mut review).insert("namespace".to_owned(), op.target.namespace.as_str().into());
        let given = text(&spec["resourceAttributes"]["namespace"]);
        if given != op.target.namespace {
            let cause = Cause::invalid("spec.resourceAttributes.namespace", &given.into(), "must match metadata.namespace");
            return Err(Failure::invalid("authorization.k8s.io", kind, "", &[cause]));
        }
    }
    let asks_for_rules = kind == "SelfSubjectRulesReview";
    if asks_for_rules && text(&spec["namespace"]).is_empty() {
        return Err(Failure::bad_request("no namespace on request"));
    }
    if !spec.is_null() && !asks_for_rules {
        managed::created(op, &mut review, &managed::Writer::Update);
    }
    let server = op.server;
    review["status"] = match kind {
        "SelfSubjectAccessReview" => reviewed(server, op.caller.groups.clone(), &op.caller.name, &spec),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let mut groups: Vec<String> = spec["groups"].as_array().into_iter().flatten().map(text).collect();
            let user = text(&spec["user"]);
            // A review may name the user alone: the table knows its groups.
            if groups.is_empty() {
                let known = server.users.token_of(&user).and_then(|token| server.users.by_token(token));
                groups = known.map(|caller| caller.groups).unwrap_or_default();
            }
            reviewed(server, groups, &user, &spec)
        }
        "SelfSubjectRulesReview" => {
            let (resources, paths) = rbac::rules(server, op.caller, &text(&spec["namespace"]));
            review["spec"] = json!({});
            json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false })
        }
        "SelfSubjectReview" => json!({ "userInfo": { "username": op.caller.name, "uid": op.caller.name, "groups": op.caller.groups } }),
        "TokenReview" => match server.users.by_token(spec["token"].as_str().unwrap_or_default()) {
            Some(caller) => {
                json!({ "authenticated": true, "user": { "username": caller.name, "uid": caller.name, "groups": caller.groups },
                "audiences": ["https://kubernetes.default.svc"] })
            }
            None => json!({ "user": {}, "error": "invalid bearer token" }),
        },
        other => return Err(Failure::internal(format!("no review {other}"))),
    };
    if kind == "SelfSubjectReview" {
        write::metadata(&mut review).insert("creationTimestamp".to_owned(), write::now().into());
    } else {
        write::metadata(&mut review);
    }
    response::object(StatusCode::CREATED, &review, op.format, &[])
}
