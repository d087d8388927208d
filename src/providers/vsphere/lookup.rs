//! Virtual machines by name and by mark: one collection over the whole inventory, never a request per VM.

use std::collections::BTreeMap;

use super::{
    collector::retrieve,
    props::{Object, again, along, filter, named, properties, start},
    session::Session,
    wire::MoRef,
};
use crate::providers::{MarkedVm, ProviderError, ProviderResult, SourceVm};

/// Key of the extra configuration that proves which run made a clone.
pub const MARK: &str = "mtv-test.run";
/// The mark as a property path; only this one value crosses the wire, not the whole configuration.
pub const MARK_PATH: &str = "config.extraConfig[\"mtv-test.run\"]";
/// Names from here on (Jaro-Winkler, 0 to 1) are worth a "did you mean".
const SIMILAR: f64 = 0.8;
/// So many of them.
const HINTS: usize = 3;

/// All virtual machines and templates with name and mark.
pub async fn all(session: &Session) -> ProviderResult<Vec<SourceVm>> {
    let objects = retrieve(session, |live| {
        filter(
            "specSet",
            [properties("VirtualMachine", &["name", MARK_PATH])],
            [start(&live.view, true, [along("ContainerView", "view", [])])],
        )
    })
    .await
    .map_err(|error| error.explained("list virtual machines"))?;
    Ok(objects.iter().filter_map(read).collect())
}

/// A VM without a name is one that is being made or removed: nobody can mean it.
fn read(object: &Object) -> Option<SourceVm> {
    let name = object.text("name")?.to_owned();
    Some(SourceVm { id: object.id.value.clone(), name, run: run_of(object) })
}

/// The mark of a VM, if it was collected and is set.
pub fn run_of(object: &Object) -> Option<String> {
    object.props.get(MARK_PATH).and_then(|option| option.get("value")).filter(|run| !run.is_empty()).map(str::to_owned)
}

/// The VMs of these names.
pub async fn by_names(session: &Session, names: &[String]) -> ProviderResult<Vec<SourceVm>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut by_name: BTreeMap<&str, Vec<SourceVm>> = names.iter().map(|name| (name.as_str(), Vec::new())).collect();
    for vm in all(session).await? {
        if let Some(found) = by_name.get_mut(vm.name.as_str()) {
            found.push(vm);
        }
    }
    let mut out = Vec::new();
    for (name, found) in by_name {
        out.extend(only(session, name, found).await?);
    }
    Ok(out)
}

/// The VMs that carry a run's mark.
pub async fn by_run(session: &Session, run: &str) -> ProviderResult<Vec<SourceVm>> {
    Ok(all(session).await?.into_iter().filter(|vm| vm.run.as_deref() == Some(run)).collect())
}

/// The VMs that carry the mark of any run, with the time at which they were made (vSphere 6.7 and newer tell).
pub async fn marked(session: &Session) -> ProviderResult<Vec<MarkedVm>> {
    let objects = retrieve(session, |live| {
        filter(
            "specSet",
            [properties("VirtualMachine", &["name", "config.createDate", MARK_PATH])],
            [start(&live.view, true, [along("ContainerView", "view", [])])],
        )
    })
    .await
    .map_err(|error| error.explained("list virtual machines"))?;
    let marked = objects.iter().filter_map(|object| {
        let vm = read(object).filter(|vm| vm.run.is_some())?;
        Some(MarkedVm { vm, created: object.text("config.createDate").and_then(|time| time.parse().ok()) })
    });
    Ok(marked.collect())
}

/// The one VM of this name; none is an error with similar names.
pub async fn one(session: &Session, name: &str) -> ProviderResult<SourceVm> {
    let vms = all(session).await?;
    let count = vms.len();
    let (found, others): (Vec<_>, Vec<_>) = vms.into_iter().partition(|vm| vm.name == name);
    match only(session, name, found).await? {
        Some(vm) => Ok(vm),
        None => Err(ProviderError::not_found(format!(
            "no VM or template is called `{name}`{} ({count} were looked at)",
            hint(name, others.iter().map(|vm| vm.name.as_str()))
        ))),
    }
}

/// At most one VM may have a name that somebody uses; the error names where each stands.
async fn only(session: &Session, name: &str, found: Vec<SourceVm>) -> ProviderResult<Option<SourceVm>> {
    if found.len() < 2 {
        return Ok(found.into_iter().next());
    }
    let ids: Vec<_> = found.iter().map(|vm| MoRef::vm(&vm.id)).collect();
    let mut paths = paths(session, &ids).await?;
    paths.sort();
    Err(ProviderError::not_found(format!("{} VMs are called `{name}`: {}; rename all but one", found.len(), paths.join(", "))))
}

/// Inventory paths, from the parents of all of them in one collection.
async fn paths(session: &Session, vms: &[MoRef]) -> ProviderResult<Vec<String>> {
    let objects = retrieve(session, |_| {
        let up = || named("up", "ManagedEntity", "parent", [again("up")]);
        filter("specSet", [properties("ManagedEntity", &["name", "parent"])], vms.iter().map(|vm| start(vm, false, [up()])))
    })
    .await
    .map_err(|error| error.explained("read inventory paths"))?;
    let by_id: BTreeMap<_, _> = objects.iter().map(|object| (&object.id, object)).collect();
    Ok(vms.iter().map(|vm| path(vm, &by_id)).collect())
}

fn path(vm: &MoRef, by_id: &BTreeMap<&MoRef, &Object>) -> String {
    let mut parts = Vec::new();
    let mut next = Some(vm.clone());
    // Bounded by the number of objects: a parent that is its own ancestor must not hang us.
    for _ in 0..=by_id.len() {
        let Some(object) = next.as_ref().and_then(|id| by_id.get(id)) else { break };
        next = object.reference("parent");
        // The root folder is not part of a path.
        if next.is_some() {
            parts.push(object.text("name").unwrap_or("?").to_owned());
        }
    }
    parts.reverse();
    format!("/{}", parts.join("/"))
}

/// "; did you mean …?", or nothing.
pub fn hint<'a>(name: &str, others: impl Iterator<Item = &'a str>) -> String {
    let mut near: Vec<(f64, &str)> =
        others.map(|other| (strsim::jaro_winkler(name, other), other)).filter(|(score, _)| *score >= SIMILAR).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.dedup();
    if near.is_empty() {
        return String::new();
    }
    let names: Vec<_> = near.iter().take(HINTS).map(|(_, name)| format!("`{name}`")).collect();
    format!("; did you mean {}?", names.join(", "))
}

#[cfg(test)]
mod tests {
    use mtv_api::xml::Node;

    use super::*;

    fn entity(kind: &str, id: &str, name: &str, parent: Option<MoRef>) -> Object {
        let mut props = BTreeMap::from([("name".to_owned(), Node::text("val", name))]);
        props.extend(parent.map(|p| ("parent".to_owned(), p.node("val"))));
        Object { id: MoRef::new(kind, id), props, missing: BTreeMap::new() }
    }

    #[test]
    fn paths_leave_the_root_out_and_end() {
        let root = entity("Folder", "f1", "Datacenters", None);
        let dc = entity("Datacenter", "d1", "DC0", Some(root.id.clone()));
        let vm = entity("VirtualMachine", "v1", "a/b", Some(dc.id.clone()));
        let lost = entity("VirtualMachine", "v2", "own parent", Some(MoRef::vm("v2")));
        let by_id = [&root, &dc, &vm, &lost].into_iter().map(|o| (&o.id, o)).collect();
        assert_eq!(path(&vm.id, &by_id), "/DC0/a/b");
        assert!(path(&lost.id, &by_id).starts_with("/own parent"));
    }

    #[test]
    fn hints_are_few_and_near() {
        let others = ["rhel8-vm", "rhel9-vm", "windows", "rhel9-vm2", "rhel9-wm"];
        assert_eq!(hint("rhel9-vn", others.into_iter()), "; did you mean `rhel9-vm`, `rhel9-vm2`, `rhel8-vm`?");
        assert_eq!(hint("zzz", others.into_iter()), "");
    }
}
