//! Cloning: a VM with disks of its own from a template, marked with the run in its comment.

use std::time::Duration;

use futures::FutureExt as _;
use serde_json::{Value, json};

use super::{
    lookup, operate,
    session::{New, Session},
    wire::{members, number, search, term, text},
};
use crate::{
    config::profile::ProviderKind,
    providers::{CloneRequest, ProviderError, ProviderResult, poll::Wait},
};

/// Longest wait for the copies of all disks: mtv-api-tests' 1 200 s.
const COPY: Duration = Duration::from_mins(20);
/// Key of the profile that names the data center.
const DATA_CENTER: &str = "data_center";

/// Makes the clone and waits until its disks are copied; it is down then. Returns its id.
pub async fn clone(session: &Session, request: &CloneRequest) -> ProviderResult<String> {
    let doing = format!("clone template `{}` to `{}`", request.source, request.name);
    request.must_be_plain(ProviderKind::Ovirt)?;
    let template = lookup::template(session, &request.source).await?;
    let cluster = text(&template, "/cluster/id");
    check_data_center(session, cluster, &request.source).await?;
    let mut body = json!({
        "name": request.name,
        "comment": lookup::mark(&request.run),
        "template": {"id": text(&template, "/id")},
        // Guaranteed memory of a template may be more than a host has free; the clone needs none reserved.
        "memory_policy": {"guaranteed": 0},
    });
    if !cluster.is_empty() {
        body["cluster"] = json!({"id": cluster});
    }
    let correlation = correlation(&request.name);
    let path = format!("/vms?clone=true&correlation_id={correlation}");
    // It may not be known whether the engine began: the mark tells whether a VM of that name is this one.
    let look = || mine(session, request).boxed();
    let id = session.make(New { service: (), name: "POST vms", path: &path, body: &body, id: "/id", doing: &doing }, &look).await?;
    match wait_for_copy(session, &id, &doing, &correlation).await {
        Ok(()) => Ok(id),
        Err(error) => {
            // Nothing half-made stays; what cannot be removed now is in the journal.
            if let Err(left) = operate::delete(session, &id).await {
                tracing::warn!(vm = id, "a clone that failed is still there: {left}");
            }
            Err(error)
        }
    }
}

/// The VM that an earlier request for this clone has made.
async fn mine(session: &Session, request: &CloneRequest) -> ProviderResult<Option<String>> {
    let found = lookup::by_names(session, std::slice::from_ref(&request.name)).await?;
    Ok(found.into_iter().find(|vm| vm.run.as_deref() == Some(request.run.as_str())).map(|vm| vm.id))
}

/// What the engine writes beside each event of the operation; it takes letters, digits, `-` and `_`, 50 at most.
fn correlation(name: &str) -> String {
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
    clean.chars().rev().take(50).collect::<Vec<_>>().into_iter().rev().collect()
}

async fn wait_for_copy(session: &Session, id: &str, doing: &str, correlation: &str) -> ProviderResult<()> {
    let mut wait = Wait::new(format!("to {doing}"), COPY);
    let state = loop {
        let vm = session.get_if_there("GET vms/ID", &format!("/vms/{id}"), doing).await?;
        match vm.as_ref().map(|vm| text(vm, "/status")) {
            Some("down") => return Ok(()),
            // The engine removes a VM whose disks could not be copied.
            None => break "the engine removed the VM",
            Some("unassigned" | "not_responding") => break "the VM is in no usable state",
            Some(status) => wait.pause(status).await?,
        }
    };
    let why = why(session, correlation).await.unwrap_or_else(|| state.to_owned());
    Err(ProviderError::operation(format!("failed to {doing}: {why}")))
}

/// What the engine says of a failed operation: its events of severity error, the oldest first, else the job that failed. The last
/// event only says that it failed; what stands before it says why.
async fn why(session: &Session, correlation: &str) -> Option<String> {
    let query = search(&term("correlation_id", correlation));
    let events = session.get("GET events", &format!("/events?{query}&max=20"), "read events").await.ok()?;
    let bad = |event: &&Value| matches!(text(event, "/severity"), "error" | "alert");
    let mut told: Vec<&Value> = members(&events, "event").iter().filter(bad).collect();
    told.sort_by_key(|event| number(event, "/index"));
    let mut texts: Vec<&str> = told.iter().map(|event| text(event, "/description")).collect();
    texts.dedup();
    if !texts.is_empty() {
        return Some(texts.join("; "));
    }
    let jobs = session.get("GET jobs", &format!("/jobs?{query}"), "read jobs").await.ok()?;
    members(&jobs, "job")
        .iter()
        .find(|job| text(job, "/status") == "failed")
        .map(|job| format!("job failed: {}", text(job, "/description")))
}

/// The data center of the clone: the one that the profile names, else whichever the template's cluster is in. It must be up.
async fn check_data_center(session: &Session, cluster: &str, template: &str) -> ProviderResult<()> {
    if cluster.is_empty() {
        return Ok(());
    }
    let doing = format!("read the data center of template `{template}`");
    let body = session.get("GET clusters/ID", &format!("/clusters/{cluster}?follow=data_center"), &doing).await?;
    let (name, status) = (text(&body, "/data_center/name"), text(&body, "/data_center/status"));
    if let Some(wanted) = session.data_center().filter(|wanted| *wanted != name) {
        return Err(ProviderError::not_found(format!(
            "template `{template}` is in data center `{name}`, not in `{wanted}` that the profile names with `{DATA_CENTER}`"
        )));
    }
    if status.is_empty() || status == "up" {
        return Ok(());
    }
    Err(ProviderError::operation(format!("data center `{name}` is {status}, so nothing can be cloned there"))
        .hint("activate its storage domains"))
}

/// At connection time: a data center that the profile names must exist.
pub async fn find_data_center(session: &Session) -> ProviderResult<()> {
    let Some(wanted) = session.data_center() else { return Ok(()) };
    let body = session.get("GET datacenters", "/datacenters", "list data centers").await?;
    let all = members(&body, "data_center");
    if all.iter().any(|center| text(center, "/name") == wanted) {
        return Ok(());
    }
    let names: Vec<&str> = all.iter().map(|center| text(center, "/name")).collect();
    Err(ProviderError::not_found(format!(
        "no data center is called `{wanted}` (profile `{}`, `{DATA_CENTER}`); the engine has: {}",
        session.profile().name,
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_ids_are_what_the_engine_takes() {
        assert_eq!(correlation("mtv-test rhel8.a"), "mtv-test_rhel8_a");
        assert_eq!(correlation(&"x".repeat(80)).len(), 50);
    }
}
