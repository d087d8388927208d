//! Task and event managers, and the collectors that read their history.

use mtv_api::xml::Node;

use super::{Context, Outcome, unknown};
use crate::vsphere::{
    fault::Fault,
    ids::MoRef,
    model::{
        Model,
        events::Event,
        reconfigure::{number, reference},
        task::Task,
    },
    sessions::Owned,
    soap::{Reply, Request},
    types::{event, task},
    value::Value,
};

/// A history collector: what it selects and where it stands.
pub struct History {
    events: bool,
    entity: Option<MoRef>,
    kinds: Vec<String>,
    /// Number of the last entry that was read; none: before the first one.
    at: u64,
    page: usize,
}

/// Entries of `latestPage` unless the client says otherwise.
const PAGE: usize = 10;

impl History {
    fn read(node: &Node, events: bool) -> Self {
        let filter = node.child("filter");
        Self {
            events,
            entity: filter.and_then(|f| f.child("entity")).and_then(|e| reference(e, "entity")),
            kinds: filter.map(|f| f.children_named("eventTypeId").map(|t| t.text.clone()).collect()).unwrap_or_default(),
            at: 0,
            page: PAGE,
        }
    }

    fn wants_event(&self, model: &Model, event: &Event) -> bool {
        let kind = self.kinds.is_empty() || self.kinds.iter().any(|k| k == event.kind || k.rsplit('.').next() == Some(event.kind));
        kind && self.entity.as_ref().is_none_or(|entity| match &event.vm {
            Some((vm, _)) => *vm == entity.id || model.ancestors(vm).any(|a| a.id == entity.id),
            None => model.entity(&entity.id).is_some_and(|e| e.parent.is_none()),
        })
    }

    fn wants_task(&self, model: &Model, task: &Task) -> bool {
        self.entity.as_ref().is_none_or(|entity| task.entity.id == entity.id || model.ancestors(&task.entity.id).any(|a| a.id == entity.id))
    }

    /// All entries that it selects, oldest first, with their numbers.
    fn entries(&self, model: &Model) -> Vec<(u64, Value)> {
        if self.events {
            let wanted = model.events.iter().filter(|e| self.wants_event(model, e));
            return wanted.map(|e| (u64::try_from(e.key).unwrap_or(0), event::event(model, e))).collect();
        }
        let wanted = model.tasks.values().filter(|t| self.wants_task(model, t));
        wanted.map(|t| (t.number, Value::Object(task::info(model, t)))).collect()
    }

    fn list(&self, values: Vec<Value>) -> Value {
        Value::List(if self.events { "Event" } else { "TaskInfo" }, values)
    }

    /// The newest entries, newest first.
    pub fn latest(&self, model: &Model) -> Value {
        self.list(self.entries(model).into_iter().rev().take(self.page).map(|(_, v)| v).collect())
    }

    fn next(&mut self, model: &Model, most: usize) -> Value {
        let entries: Vec<_> = self.entries(model).into_iter().filter(|(n, _)| *n > self.at).take(most).collect();
        if let Some((last, _)) = entries.last() {
            self.at = *last;
        }
        self.list(entries.into_iter().map(|(_, v)| v).collect())
    }

    fn previous(&mut self, model: &Model, most: usize) -> Value {
        let entries: Vec<_> = self.entries(model).into_iter().rev().filter(|(n, _)| *n < self.at).take(most).collect();
        if let Some((last, _)) = entries.last() {
            self.at = *last;
        }
        self.list(entries.into_iter().map(|(_, v)| v).collect())
    }
}

/// Methods of both managers and of history collectors.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let body = &request.body;
    match request.method.as_str() {
        "QueryEvents" => {
            let history = History::read(body, true);
            let found = cx.look(|s| history.entries(s.model).into_iter().map(|(_, v)| v).collect());
            Ok(Reply::Value(history.list(found)))
        }
        "CreateCollectorForEvents" => collector(cx, body, true),
        "CreateCollectorForTasks" => collector(cx, body, false),
        "CreateTask" | "PostEvent" | "LogUserEvent" => Err(Fault::not_supported(format!("{} is not offered here.", request.method))),
        "QueryEventCategory" | "RetrieveArgumentDescription" => Err(unknown(request)),
        _ => own(cx, request),
    }
}

fn collector(cx: &Context, body: &Node, events: bool) -> Outcome {
    let history = History::read(body, events);
    let id = cx.session(|session, _| session.keep(Owned::History(history)))?;
    Ok(Value::Ref(MoRef::new(if events { "EventHistoryCollector" } else { "TaskHistoryCollector" }, id)).into())
}

fn own(cx: &Context, request: &Request) -> Outcome {
    let most = number(&request.body, "maxCount").unwrap_or(usize::MAX);
    let method = request.method.as_str();
    if method == "DestroyCollector" {
        cx.session(|session, _| session.objects.remove(&request.this.id))?;
        return Ok(Reply::Empty);
    }
    cx.session(|session, model| {
        let Some(Owned::History(history)) = session.objects.get_mut(&request.this.id) else { return Err(unknown(request)) };
        match method {
            "ReadNextEvents" | "ReadNextTasks" => Ok(Reply::Value(history.next(model, most))),
            "ReadPreviousEvents" | "ReadPreviousTasks" => Ok(Reply::Value(history.previous(model, most))),
            "RewindCollector" => {
                history.at = 0;
                Ok(Reply::Empty)
            }
            "ResetCollector" => {
                history.at = u64::MAX;
                Ok(Reply::Empty)
            }
            "SetCollectorPageSize" => {
                history.page = most.clamp(1, 1_000);
                Ok(Reply::Empty)
            }
            _ => Err(unknown(request)),
        }
    })?
}
