//! Property collectors and their filters.

use std::time::Duration;

use mtv_api::xml::Node;

use super::{Context, Outcome, needed_text, unknown};
use crate::vsphere::{
    collector::{
        filter::{Filter, FilterSpec, Reported},
        read::contents,
        updates,
    },
    face::Face,
    fault::Fault,
    ids::MoRef,
    model::reconfigure::{flag, number},
    sessions::Owned,
    soap::{Reply, Request},
    types::{self, Sight},
    value::{Object, Value},
};

/// Objects in one answer of `WaitForUpdatesEx` when the client names no limit.
const MOST: usize = 500;

/// Methods of property collectors and filters.
///
/// # Errors
/// The method's fault.
pub async fn call(cx: &Context, request: &Request) -> Outcome {
    let body = &request.body;
    match request.method.as_str() {
        "RetrieveProperties" => {
            let found = cx.look(|sight| contents(sight, &specs(body)))?;
            Ok(Reply::Value(Value::List("ObjectContent", found.into_iter().map(Value::Object).collect())))
        }
        "RetrievePropertiesEx" => {
            let limit = body.child("options").and_then(|o| number(o, "maxObjects"));
            let found = cx.look(|sight| contents(sight, &specs(body)))?;
            if cx.cookie.is_none() {
                // Before login there is no session to keep further parts in, and nothing that needs any.
                return Ok(Reply::Value(Object::new("RetrieveResult").list("objects", "ObjectContent", found).into()));
            }
            let first = cx.session(|session, _| session.pages.first(found, limit))?;
            Ok(first.map_or(Reply::Empty, |part| Reply::Value(part.into())))
        }
        "ContinueRetrievePropertiesEx" => {
            let token = needed_text(request, "token")?;
            let part = cx.session(|session, _| session.pages.next(token))?;
            part.map(|part| Reply::Value(part.into())).ok_or_else(|| Fault::invalid_property("token"))
        }
        "CancelRetrievePropertiesEx" => {
            let token = needed_text(request, "token")?;
            if cx.session(|session, _| session.pages.cancel(token))? { Ok(Reply::Empty) } else { Err(Fault::invalid_property("token")) }
        }
        "CreateFilter" => create_filter(cx, request),
        "DestroyPropertyFilter" | "DestroyPropertyCollector" => {
            let this = &request.this.id;
            cx.session(|session, _| {
                session.objects.remove(this);
                session.objects.retain(|_, o| !matches!(o, Owned::Filter(f) if f.collector == *this));
                session.versions.remove(this);
            })?;
            cx.server.notify();
            Ok(Reply::Empty)
        }
        "CreatePropertyCollector" => {
            let id = cx.session(|session, _| session.keep(Owned::Collector))?;
            Ok(Value::Ref(MoRef::new("PropertyCollector", id)).into())
        }
        "WaitForUpdatesEx" => {
            let options = body.child("options");
            let seconds = options.and_then(|o| number::<u64>(o, "maxWaitSeconds"));
            let limit = options.and_then(|o| number::<usize>(o, "maxObjectUpdates")).filter(|n| *n > 0).unwrap_or(MOST);
            wait(cx, request, seconds.map(Duration::from_secs), limit).await
        }
        "WaitForUpdates" => wait(cx, request, None, usize::MAX).await,
        "CheckForUpdates" => wait(cx, request, Some(Duration::ZERO), usize::MAX).await,
        "CancelWaitForUpdates" => {
            cx.session(|session, _| {
                // A wait notices that its version is not the current one any more.
                *session.versions.entry(cancel_key(&request.this.id)).or_default() += 1;
            })?;
            cx.server.notify();
            Ok(Reply::Empty)
        }
        _ => Err(unknown(request)),
    }
}

fn cancel_key(collector: &str) -> String {
    format!("{collector}#cancelled")
}

fn specs(body: &Node) -> Vec<FilterSpec> {
    body.children_named("specSet").map(FilterSpec::read).collect()
}

fn create_filter(cx: &Context, request: &Request) -> Outcome {
    let spec = request.body.child("spec").map(FilterSpec::read).ok_or_else(|| Fault::invalid_argument("spec"))?;
    // Wrong paths and missing objects are told now, not by the first wait.
    cx.look(|sight| contents(sight, std::slice::from_ref(&spec)).map(|_| ()))?;
    let filter = Filter {
        collector: request.this.id.clone(),
        spec,
        partial: flag(&request.body, "partialUpdates").unwrap_or(false),
        reported: Reported::new(),
    };
    let id = cx.session(|session, _| session.keep(Owned::Filter(Box::new(filter))))?;
    cx.server.notify();
    Ok(Value::Ref(MoRef::new("PropertyFilter", id)).into())
}

/// Answers with what has changed since the given version; waits for it no longer than `limit`, or for ever.
async fn wait(cx: &Context, request: &Request, limit: Option<Duration>, most: usize) -> Outcome {
    let collector = &request.this.id;
    let version = request.body.get("version").unwrap_or_default().trim().to_owned();
    let deadline = limit.map(|l| tokio::time::Instant::now() + l);
    let cancelled = |session: &crate::vsphere::sessions::Session| session.versions.get(&cancel_key(collector)).copied().unwrap_or(0);
    let before = cx.session(|session, _| cancelled(session))?;
    cx.session(|session, _| {
        let current = session.versions.get(collector).copied().unwrap_or(0);
        if version.is_empty() {
            // From the start: the client knows nothing.
            for object in session.objects.values_mut() {
                if let Owned::Filter(filter) = object
                    && filter.collector == *collector
                {
                    filter.reported.clear();
                }
            }
            return Ok(());
        }
        if version != current.to_string() {
            return Err(Fault::new("InvalidCollectorVersion", format!("{version} is not the last version")));
        }
        Ok(())
    })??;
    // Subscribed before the first look, so that no change falls between look and wait.
    let mut changed = cx.server.inner.changed.subscribe();
    loop {
        changed.borrow_and_update();
        if let Some(update) = cx.session(|session, model| gather(cx.server.face(), session, model, collector, most))?? {
            return Ok(Reply::Value(update.into()));
        }
        let next = async {
            match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, changed.changed()).await.is_ok_and(|c| c.is_ok()),
                None => changed.changed().await.is_ok(),
            }
        };
        if !next.await {
            return Ok(Reply::Empty);
        }
        if cx.session(|session, _| cancelled(session))? != before {
            return Err(Fault::request_canceled());
        }
    }
}

/// `UpdateSet` with what has changed; none if nothing has.
fn gather(
    face: &Face,
    session: &mut crate::vsphere::sessions::Session,
    model: &crate::vsphere::model::Model,
    collector: &str,
    most: usize,
) -> Result<Option<Object>, Fault> {
    let ids: Vec<String> = session.filters(collector).cloned().collect();
    let mut sets = Vec::new();
    let mut left = most;
    let mut truncated = false;
    for id in ids {
        // The filter is taken out while it looks at the session that it belongs to.
        let Some(Owned::Filter(mut filter)) = session.objects.remove(&id) else { continue };
        let result = updates::changes(Sight { model, face, session: Some(session) }, &mut filter, left);
        session.objects.insert(id.clone(), Owned::Filter(filter));
        let (objects, more) = result?;
        truncated |= more;
        left = left.saturating_sub(objects.len());
        if !objects.is_empty() {
            sets.push(Object::new("PropertyFilterUpdate").set("filter", MoRef::new("PropertyFilter", id)).list(
                "objectSet",
                "ObjectUpdate",
                objects,
            ));
        }
        if more {
            break;
        }
    }
    if sets.is_empty() {
        return Ok(None);
    }
    let version = session.versions.entry(collector.to_owned()).or_default();
    *version += 1;
    let update = Object::new("UpdateSet").set("version", version.to_string()).list("filterSet", "PropertyFilterUpdate", sets);
    Ok(Some(if truncated { update.set("truncated", true) } else { update }))
}

/// `Fetch`: one property of one object, as pyVmomi reads them. An unset one is an empty answer.
///
/// # Errors
/// `ManagedObjectNotFound` or `InvalidProperty`.
pub fn fetch(cx: &Context, request: &Request) -> Outcome {
    let name = needed_text(request, "prop")?;
    let value = cx.look(|sight| types::property(sight, &request.this, name))?;
    Ok(value.map_or(Reply::Empty, Reply::Value))
}
