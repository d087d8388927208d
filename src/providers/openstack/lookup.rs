//! Servers by name and by mark: one filtered list, never a request per server.

use serde_json::Value;

use super::{
    remains,
    session::{Service, Session},
    wire::{escaped, literal, text},
};
use crate::{
    config::suggest::nearest,
    providers::{MarkedVm, ProviderError, ProviderResult, SourceVm},
};

/// Key of the metadata by which everything that a run made is known: of servers, volumes and volume snapshots.
pub const MARK: &str = "mtv-test.run";
/// The same for images, whose properties are named in one level.
pub const IMAGE_MARK: &str = "mtv_test_run";
/// Servers of a page; clouds allow a thousand at most.
const PAGE: u32 = 1000;

fn read(server: &Value) -> SourceVm {
    SourceVm { id: text(server, "/id").to_owned(), name: text(server, "/name").to_owned(), run: run_of(server) }
}

/// The run in a server's mark. A mark that names no run is none.
fn run_of(server: &Value) -> Option<String> {
    server["metadata"][MARK].as_str().filter(|run| !run.is_empty()).map(str::to_owned)
}

async fn servers(session: &Session, filter: &str, doing: &str) -> ProviderResult<Vec<Value>> {
    session.list(Service::Compute, "servers", &format!("/servers/detail?limit={PAGE}{filter}"), doing).await
}

/// Servers of these names, with all that Nova says of them.
pub async fn named(session: &Session, names: &[String]) -> ProviderResult<Vec<Value>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let any = names.iter().map(|name| literal(name)).collect::<Vec<_>>().join("|");
    let filter = format!("&name={}", escaped(&format!("^({any})$")));
    let mut found = servers(session, &filter, "look servers up by name").await?;
    found.retain(|server| names.iter().any(|name| name == text(server, "/name")));
    Ok(found)
}

/// The servers of these names, each at most once.
pub async fn by_names(session: &Session, names: &[String]) -> ProviderResult<Vec<SourceVm>> {
    let found: Vec<SourceVm> = named(session, names).await?.iter().map(read).collect();
    for name in names {
        let same: Vec<&str> = found.iter().filter(|vm| vm.name == *name).map(|vm| vm.id.as_str()).collect();
        if same.len() > 1 {
            return Err(ProviderError::not_found(format!(
                "{} servers are called `{name}`: {}; rename all but one",
                same.len(),
                same.join(", ")
            )));
        }
    }
    Ok(found)
}

/// The one server of this name; none is an error with a similar name.
pub async fn one(session: &Session, name: &str) -> ProviderResult<String> {
    if let Some(vm) = by_names(session, &[name.to_owned()]).await?.into_iter().next() {
        return Ok(vm.id);
    }
    let all = servers(session, "", "list servers").await?;
    let hint = nearest(name, all.iter().map(|server| text(server, "/name"))).map(|near| format!("; did you mean `{near}`?"));
    Err(ProviderError::not_found(format!(
        "no server is called `{name}` in project `{}`{} ({} were looked at)",
        session.project().await,
        hint.unwrap_or_default(),
        all.len()
    )))
}

/// The servers that carry a mark, and clones of which only something else is there: a run may have died before it had a server.
/// Nova cannot filter by metadata, so all of the project are listed.
pub async fn marked(session: &Session) -> ProviderResult<Vec<MarkedVm>> {
    let all = servers(session, "", "list the servers that runs have made").await?;
    let marked = all.iter().filter(|server| run_of(server).is_some());
    let mut marked: Vec<MarkedVm> =
        marked.map(|server| MarkedVm { vm: read(server), created: text(server, "/created").parse().ok() }).collect();
    let rest = remains::clones(session).await?;
    let new = |clone: &MarkedVm| !marked.iter().any(|known| known.vm.name == clone.vm.name && known.vm.run == clone.vm.run);
    let rest: Vec<MarkedVm> = rest.into_iter().filter(new).collect();
    marked.extend(rest);
    Ok(marked)
}

/// The clones that carry a run's mark.
pub async fn by_run(session: &Session, run: &str) -> ProviderResult<Vec<SourceVm>> {
    Ok(marked(session).await?.into_iter().map(|marked| marked.vm).filter(|vm| vm.run.as_deref() == Some(run)).collect())
}
