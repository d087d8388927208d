//! Virtual machines and templates by name and by mark, with the engine's own search: never a request per VM.

use jiff::Timestamp;
use serde_json::Value;

use super::{
    session::Session,
    wire::{self, members, number, term, text},
};
use crate::{
    config::suggest::nearest,
    providers::{MarkedVm, ProviderError, ProviderResult, SourceVm},
};

/// Beginning of the comment that proves which run made a clone.
const MARK: &str = "mtv-test.run=";
/// Names in one search: a URL of this many stays far below the 8 KiB that servers accept.
const BATCH: usize = 20;
/// Where the engine ends an unnamed list (`max` is needed to get more): far above what a data centre holds.
const ALL: u32 = 100_000;

/// The comment of a clone.
pub fn mark(run: &str) -> String {
    format!("{MARK}{run}")
}

/// The run that made a VM, by its comment. A mark that names no run is none.
pub fn run_of(vm: &Value) -> Option<String> {
    text(vm, "/comment").strip_prefix(MARK).filter(|run| !run.is_empty()).map(str::to_owned)
}

fn read(vm: &Value) -> SourceVm {
    SourceVm { id: text(vm, "/id").to_owned(), name: text(vm, "/name").to_owned(), run: run_of(vm) }
}

async fn search(session: &Session, kind: &str, member: &str, query: &str, doing: &str) -> ProviderResult<Vec<Value>> {
    let query = wire::search(query);
    let body = session.get(&format!("GET {kind}"), &format!("/{kind}?{query}&max={ALL}"), doing).await?;
    Ok(members(&body, member).to_vec())
}

/// The VMs of these names. The engine compares without case and reads `*` as anything: what it finds is compared again.
pub async fn by_names(session: &Session, names: &[String]) -> ProviderResult<Vec<SourceVm>> {
    let mut out: Vec<SourceVm> = Vec::new();
    for batch in names.chunks(BATCH) {
        let query = batch.iter().map(|name| term("name", name)).collect::<Vec<_>>().join(" or ");
        let found = search(session, "vms", "vm", &query, "look virtual machines up by name").await?;
        for vm in found.iter().map(read).filter(|vm| batch.contains(&vm.name)) {
            if let Some(other) = out.iter().find(|other| other.name == vm.name) {
                return Err(ProviderError::not_found(format!(
                    "two VMs are called `{}`: {} and {}, in different data centers; rename one",
                    vm.name, other.id, vm.id
                )));
            }
            out.push(vm);
        }
    }
    Ok(out)
}

/// The VMs that carry a run's mark.
pub async fn by_run(session: &Session, run: &str) -> ProviderResult<Vec<SourceVm>> {
    let found = search(session, "vms", "vm", &term("comment", &mark(run)), "list the virtual machines of a run").await?;
    Ok(found.iter().map(read).filter(|vm| vm.run.as_deref() == Some(run)).collect())
}

/// The VMs that carry the mark of any run, with the time at which they were made.
pub async fn marked(session: &Session) -> ProviderResult<Vec<MarkedVm>> {
    let all = search(session, "vms", "vm", "", "list virtual machines").await?;
    let marked = all.iter().filter_map(|vm| {
        let millis = i64::try_from(number(vm, "/creation_time")).ok().filter(|millis| *millis > 0);
        let created = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
        Some(MarkedVm { vm: read(vm), created }).filter(|marked| marked.vm.run.is_some())
    });
    Ok(marked.collect())
}

/// The template of this name; of several versions the newest.
pub async fn template(session: &Session, name: &str) -> ProviderResult<Value> {
    let doing = format!("look up the template `{name}`");
    let found = search(session, "templates", "template", &term("name", name), &doing).await?;
    let newest = found.into_iter().filter(|t| text(t, "/name") == name).max_by_key(|t| number(t, "/version/version_number"));
    match newest {
        Some(template) => Ok(template),
        None => Err(missing(session, name).await),
    }
}

/// Why there is no such template: it is a VM, or its name is another one.
async fn missing(session: &Session, name: &str) -> ProviderError {
    let vms = by_names(session, &[name.to_owned()]).await.unwrap_or_default();
    if !vms.is_empty() {
        return ProviderError::not_found(format!("no template is called `{name}`, but a VM is"))
            .hint("oVirt clones templates: make a template of the VM");
    }
    let all = search(session, "templates", "template", "", "list templates").await.unwrap_or_default();
    let names: Vec<&str> = all.iter().map(|t| text(t, "/name")).collect();
    let hint = nearest(name, names.iter().copied()).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    ProviderError::not_found(format!("no template is called `{name}`{hint} ({} were looked at)", names.len()))
}
