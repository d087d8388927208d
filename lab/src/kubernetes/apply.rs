//! Server-side apply.
//!
//! The applied object is merged into the live one by the structure of its kind. A field that another manager owns with
//! a different value is a conflict, unless the request forces it; a field that this manager applied before and now
//! leaves out goes, unless another manager owns it too.

use std::ops::Bound;

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    declared,
    fields::{self, Difference, Guide, Path, Paths},
    managed::{self, Entry, Writer},
    operation::Operation,
    read,
    response::Body,
    status::{Answer, Cause, Failure},
    write,
};

fn options(op: &Operation) -> Answer<()> {
    if op.query.get("fieldManager").is_empty() {
        let cause = Cause::required("fieldManager", "is required for apply patch");
        return Err(Failure::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    Ok(())
}

/// Whether something at or below a path is in a set.
fn covers(paths: &Paths, path: &[String]) -> bool {
    paths.range::<[String], _>((Bound::Included(path), Bound::Unbounded)).next().is_some_and(|next| next.starts_with(path))
}

/// Removes what this manager applied before and leaves out now.
fn prune(guide: Guide<'_>, merged: &mut Value, last: &Paths, now: &Paths, others: &[&Entry]) {
    let kept = |path: &[String]| covers(now, path) || others.iter().any(|entry| covers(&entry.paths, path));
    let mut gone: Vec<&Path> = last.iter().filter(|path| !kept(path)).collect();
    // The deepest first, so that parents are empty when their turn comes.
    gone.sort_by_key(|path| std::cmp::Reverse(path.len()));
    // What goes with an element of a list needs no look of its own, and the element is found by its key as long as that stands.
    let with_parent =
        |path: &&Path| (1..path.len()).any(|end| path[end - 1].starts_with("k:") && last.contains(&path[..end]) && !kept(&path[..end]));
    gone.retain(|path| !with_parent(path));
    for path in gone {
        fields::remove(guide, merged, path, &kept, 0);
    }
}

/// The order of a set: what ends at a level comes before what goes deeper there.
fn members_first(a: &[String], b: &[String]) -> std::cmp::Ordering {
    let same = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let ends = |path: &[String]| path.len() > same + 1;
    ends(a).cmp(&ends(b)).then_with(|| a.cmp(b))
}

fn conflicts(op: &Operation, live: &Value, wanted: &Value, others: &[&Entry]) -> Answer<()> {
    let mut changed = Difference::default();
    fields::compare(Guide::of(&op.resource), Some(live), Some(wanted), &mut Vec::new(), &mut changed);
    let mut found: Vec<(&Entry, &Path)> = Vec::new();
    for entry in others {
        let mut paths: Vec<&Path> = changed.written.iter().filter(|path| entry.paths.contains(*path)).collect();
        paths.sort_by(|a, b| members_first(a, b));
        found.extend(paths.into_iter().map(|path| (*entry, path)));
    }
    if found.is_empty() {
        return Ok(());
    }
    let causes: Vec<Cause> = found
        .iter()
        .map(|(entry, path)| Cause {
            reason: "FieldManagerConflict",
            message: format!("conflict with {}", entry.shown()),
            field: fields::shown(path),
        })
        .collect();
    let message = match found.as_slice() {
        [(entry, path)] => format!("Apply failed with 1 conflict: conflict with {}: {}", entry.shown(), fields::shown(path)),
        many => {
            let mut managers: Vec<&Entry> = Vec::new();
            for (entry, _) in many {
                if !managers.contains(entry) {
                    managers.push(entry);
                }
            }
            let of = |manager: &&Entry| {
                let paths: Vec<String> =
                    many.iter().filter(|(entry, _)| entry == manager).map(|(_, path)| format!("- {}", fields::shown(path))).collect();
                format!("conflicts with {}:\n{}", manager.shown(), paths.join("\n"))
            };
            format!("Apply failed with {} conflicts: {}", many.len(), managers.iter().map(of).collect::<Vec<_>>().join("\n"))
        }
    };
    Err(Failure::apply_conflict(message, &causes))
}

/// `PATCH` with an apply patch.
pub fn apply(op: &Operation, applied: &Value) -> Answer<Response<Body>> {
    options(op)?;
    if !applied["metadata"]["managedFields"].is_null() {
        return Err(Failure::bad_request("metadata.managedFields must be nil"));
    }
    let (kind, version) = (applied["kind"].as_str().unwrap_or_default(), applied["apiVersion"].as_str().unwrap_or_default());
    if kind != op.resource.kind || version != op.resource.api_version() {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        return Err(Failure::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
    }
    if applied["metadata"]["name"].as_str().is_none_or(str::is_empty) && applied["metadata"]["generateName"].is_null() {
        return Err(Failure::unnamed(&op.target.name));
    }
    let mut applied = applied.clone();
    let own_namespace = applied["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    write::addressed(op, &mut applied)?;
    let mut warnings = Vec::new();
    declared::check(Guide::of(&op.resource), &applied).map_err(|why| {
        let group_version = if op.resource.group.is_empty() { format!("/{version}") } else { op.resource.api_version() };
        let name = &op.target.name;
        let message = format!("failed to create typed patch object ({own_namespace}/{name}; {group_version}, Kind={kind}): {why}");
        Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    })?;
    let guide = Guide::of(&op.resource);
    let named = |object: &Value| {
        let mut paths = Paths::new();
        fields::named(guide, object, &mut Vec::new(), &mut paths);
        managed::owned(paths)
    };
    let mut content = applied.clone();
    if let Some(map) = content.as_object_mut().filter(|_| op.resource.status && op.target.subresource.is_empty()) {
        map.shift_remove("status");
    }
    let now = named(&content);
    if let Some(uid) = applied["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty())
        && op.server.store.read(|state| state.get(&op.key(&op.target.name))).is_none()
    {
        let (group, plural, name) = (&op.resource.group, &op.resource.plural, &op.target.name);
        let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
        return Err(Failure::conflict(group, plural, name, &why));
    }
    let exists = op.server.store.read(|state| state.get(&op.key(&op.target.name)).is_some());
    if !exists && op.target.subresource.is_empty() {
        write::metadata(&mut applied).shift_remove("resourceVersion");
        let stored = write::create_object(op, applied, &Writer::Apply(now), &mut warnings)?;
        return read::answer(op, StatusCode::CREATED, &stored, &warnings);
    }
    let manager = op.manager();
    let force = op.query.flag("force");
    write::change(op, &Writer::Apply(now.clone()), |live| {
        let mut live = live.clone();
        let mut entries = managed::entries(&live);
        write::metadata(&mut live).shift_remove("managedFields");
        if entries.is_empty() {
            entries.push(managed::first(op, &live));
        }
        let own = |entry: &&Entry| entry.operation == "Apply" && entry.manager == manager && entry.subresource == op.target.subresource;
        let last = entries.iter().find(own).map(|entry| entry.paths.clone()).unwrap_or_default();
        let others: Vec<&Entry> = entries.iter().filter(|entry| !own(entry)).collect();
        let mut wanted = live.clone();
        let version = content["metadata"]["resourceVersion"].clone();
        fields::merged(guide, &mut wanted, &content);
        prune(guide, &mut wanted, &last, &now, &others);
        if !force {
            conflicts(op, &live, &wanted, &others)?;
        }
        wanted["metadata"]["resourceVersion"] = if version.is_null() { json!("") } else { version };
        Ok(wanted)
    })
}

/// The same for the subresource `scale`, which owns one number.
pub fn scale(op: &Operation, applied: &Value) -> Answer<Response<Body>> {
    options(op)?;
    let Some(paths) = op.resource.scale.as_ref() else { return Err(Failure::no_such_resource()) };
    let path: Path = paths.wanted.split('/').skip(1).map(|field| format!("f:{field}")).collect();
    let wanted = applied["spec"]["replicas"].clone();
    let (manager, force) = (op.manager(), op.query.flag("force"));
    write::change_object(op, &Writer::Apply(Paths::from([path.clone()])), |live| {
        let entries = managed::entries(live);
        let own = |entry: &&Entry| entry.operation == "Apply" && entry.manager == manager && entry.subresource == "scale";
        let other = entries.iter().find(|entry| !own(entry) && entry.paths.contains(&path));
        if let Some(other) = other.filter(|_| !force && live.pointer(&paths.wanted) != Some(&wanted)) {
            let cause =
                Cause { reason: "FieldManagerConflict", message: format!("conflict with {}", other.shown()), field: fields::shown(&path) };
            let message = format!("Apply failed with 1 conflict: {}: {}", cause.message, cause.field);
            return Err(Failure::apply_conflict(message, &[cause]));
        }
        let mut next = live.clone();
        if let Some(number) = next.pointer_mut(&paths.wanted) {
            *number = wanted.clone();
        }
        next["metadata"]["resourceVersion"] = "".into();
        Ok(next)
    })?;
    super::response::object(StatusCode::OK, &super::scale::of_stored(op)?, op.format, &[])
}
