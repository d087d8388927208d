//! Who may do what, and the reviews that answer the question.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    auth::Caller,
    operation::Operation,
    request::Target,
    response::{self, Body},
    status::{Answer, Cause, Failure},
    write::now,
};

/// Reviews that every authenticated user may ask about itself.
const OWN_REVIEWS: &[&str] = &["selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"];

fn allowed(caller: &Caller, verb: &str, target: &Target) -> bool {
    caller.is_master() || (caller.is_authenticated() && verb == "create" && OWN_REVIEWS.contains(&target.plural.as_str()))
}

/// 403 unless the caller may.
pub fn authorize(caller: &Caller, verb: &str, target: &Target) -> Answer<()> {
    if allowed(caller, verb, target) {
        return Ok(());
    }
    let plural = if target.subresource.is_empty() { target.plural.clone() } else { format!("{}/{}", target.plural, target.subresource) };
    let place =
        if target.namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {:?}", target.namespace) };
    let why = format!("User {:?} cannot {verb} resource {plural:?} in API group {:?} {place}", caller.name, target.group);
    Err(Failure::forbidden(&target.group, &target.plural, &target.name, &why))
}

/// 403 unless the caller may read this path. Discovery is open to everyone with a token.
pub fn authorize_path(caller: &Caller, verb: &str, path: &str) -> Answer<()> {
    let discovery = ["/api", "/apis", "/openapi"].iter().any(|open| path == *open || path.starts_with(&format!("{open}/")));
    if caller.is_master() || (discovery && verb == "get" && caller.is_authenticated()) {
        return Ok(());
    }
    let path = if path.is_empty() { "/" } else { path };
    Err(Failure::path_forbidden(&caller.name, path, verb))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether a user with these groups may do what an access review describes.
fn reviewed(groups: &[String], user: &str, spec: &Value) -> bool {
    let groups: Vec<String> = groups.to_vec();
    let caller = Caller { name: user.to_owned(), groups };
    if let Some(attributes) = spec["nonResourceAttributes"].as_object() {
        let path = attributes.get("path").and_then(Value::as_str).unwrap_or_default();
        let verb = attributes.get("verb").and_then(Value::as_str).unwrap_or_default();
        return authorize_path(&caller, verb, path).is_ok() || matches!(path, "/healthz" | "/livez" | "/readyz" | "/version");
    }
    let attributes = &spec["resourceAttributes"];
    let target = Target {
        group: text(&attributes["group"]),
        version: text(&attributes["version"]),
        plural: text(&attributes["resource"]),
        namespace: text(&attributes["namespace"]),
        name: text(&attributes["name"]),
        subresource: text(&attributes["subresource"]),
    };
    allowed(&caller, attributes["verb"].as_str().unwrap_or_default(), &target)
}

fn verdict(allowed: bool) -> Value {
    if allowed { json!({ "allowed": true }) } else { json!({ "allowed": false }) }
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
    if !spec.is_null() {
        super::managed::created(op, &mut review, &super::managed::Writer::Update);
    }
    review["status"] = match op.resource.kind.as_str() {
        "SelfSubjectAccessReview" => verdict(reviewed(&op.caller.groups, &op.caller.name, &spec)),
        "SubjectAccessReview" | "LocalSubjectAccessReview" => {
            let mut groups: Vec<String> = spec["groups"].as_array().into_iter().flatten().map(text).collect();
            let user = text(&spec["user"]);
            // A review may name the user alone: the table knows its groups.
            if groups.is_empty() {
                groups = op
                    .server
                    .users
                    .token_of(&user)
                    .and_then(|token| op.server.users.by_token(token))
                    .map(|caller| caller.groups)
                    .unwrap_or_default();
            }
            verdict(reviewed(&groups, &user, &spec))
        }
        "SelfSubjectRulesReview" => rules(op.caller),
        "SelfSubjectReview" => json!({ "userInfo": { "username": op.caller.name, "uid": op.caller.name, "groups": op.caller.groups } }),
        "TokenReview" => match op.server.users.by_token(spec["token"].as_str().unwrap_or_default()) {
            Some(caller) => {
                json!({ "authenticated": true, "user": { "username": caller.name, "uid": caller.name, "groups": caller.groups },
                "audiences": ["https://kubernetes.default.svc"] })
            }
            None => json!({ "user": {}, "error": "invalid bearer token" }),
        },
        other => return Err(Failure::internal(format!("no review {other}"))),
    };
    if op.resource.kind == "SelfSubjectReview" {
        super::write::metadata(&mut review).insert("creationTimestamp".to_owned(), now().into());
    } else {
        super::write::metadata(&mut review);
    }
    response::object(StatusCode::CREATED, &review, op.format, &[])
}

fn rules(caller: &Caller) -> Value {
    if caller.is_master() {
        return json!({ "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] }],
            "nonResourceRules": [{ "verbs": ["*"], "nonResourceURLs": ["*"] }], "incomplete": false });
    }
    json!({ "resourceRules": [{ "verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"] }],
        "nonResourceRules": [{ "verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version"] }],
        "incomplete": false })
}
