//! Files on datastores.

use std::{collections::BTreeMap, time::Duration};

use mtv_api::xml::Node;

use super::{Context, Model, Outcome, needed_text, unknown};
use crate::vsphere::{
    fault::Fault,
    ids::MoRef,
    model::{Kind, reconfigure::flag},
    soap::{Reply, Request},
    tasks::{self, Job},
    value::{Object, Value},
};

/// Looking through a folder.
const SEARCH: Duration = Duration::from_millis(500);

/// Methods of datastore browsers and of the file manager.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let user = cx.user();
    match request.method.as_str() {
        "SearchDatastore_Task" | "SearchDatastoreSubFolders_Task" => {
            let below = request.method == "SearchDatastoreSubFolders_Task";
            let path = needed_text(request, "datastorePath")?.to_owned();
            let spec = request.body.child("searchSpec").cloned().unwrap_or_default();
            let job = Job {
                entity: browsed(cx, request),
                description: "HostDatastoreBrowser.search",
                method: if below { "SearchDatastoreSubFolders_Task" } else { "SearchDatastore_Task" },
                takes: SEARCH,
                exclusive: false,
                cancelable: true,
            };
            let work = Box::new(move |model: &mut Model| search(model, &path, &spec, below).map(Some));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        "MakeDirectory" => {
            let path = needed_text(request, "name")?;
            let parents = flag(&request.body, "createParentDirectories").unwrap_or(false);
            cx.server.change(|model| {
                let (datastore, folder) = model.datastore_path(path)?;
                let folder = folder.trim_end_matches('/').to_owned();
                if folders(model, &datastore).contains(&folder) {
                    return Err(Fault::file_already_exists(path));
                }
                if let Some((parent, _)) = folder.rsplit_once('/')
                    && !parents
                    && !folders(model, &datastore).iter().any(|f| f == parent)
                {
                    return Err(Fault::file_not_found(path));
                }
                if let Some(Kind::Datastore { folders, .. }) = model.entities.get_mut(&datastore).map(|e| &mut e.kind) {
                    folders.push(folder);
                }
                Ok(Reply::Empty)
            })
        }
        "DeleteDatastoreFile_Task" => {
            let path = needed_text(request, "name")?.to_owned();
            let entity = cx.look(|s| s.model.datastore_path(&path).map(|(id, _)| MoRef::new("Datastore", id)))?;
            let job = Job {
                entity,
                description: "FileManager.deleteFile",
                method: "DeleteDatastoreFile_Task",
                takes: SEARCH,
                exclusive: false,
                cancelable: false,
            };
            let work = Box::new(move |model: &mut Model| delete(model, &path).map(|()| None));
            Ok(tasks::start(&cx.server, &user, job, Box::new(|_| Ok(())), work).into())
        }
        _ => Err(unknown(request)),
    }
}

/// The entity that a browser belongs to.
fn browsed(cx: &Context, request: &Request) -> MoRef {
    let id = request.this.id.trim_start_matches("datastoreBrowser-").to_owned();
    cx.look(|s| s.model.moref(&id, "Datastore"))
}

/// Folders on a datastore: those that hold files of machines, and those that clients made.
fn folders(model: &Model, datastore: &str) -> Vec<String> {
    let mut out = match model.entity(datastore).map(|e| &e.kind) {
        Some(Kind::Datastore { folders, .. }) => folders.clone(),
        _ => Vec::new(),
    };
    out.extend(model.files(datastore).into_iter().filter_map(|(file, _)| file.rsplit_once('/').map(|(folder, _)| folder.to_owned())));
    out
}

fn delete(model: &mut Model, path: &str) -> Result<(), Fault> {
    let (datastore, rest) = model.datastore_path(path)?;
    let rest = rest.trim_end_matches('/').to_owned();
    let used = model
        .vms()
        .any(|(_, vm)| vm.backing_files().iter().any(|f| f == path || f.starts_with(&format!("{}/", path.trim_end_matches('/')))));
    if used {
        return Err(Fault::new("FileLocked", format!("{path} is in use")).with("file", path));
    }
    let known_file = model.world.disks.get(path).is_some();
    model.world.disks.remove(path);
    let Some(Kind::Datastore { folders, .. }) = model.entities.get_mut(&datastore).map(|e| &mut e.kind) else { return Ok(()) };
    let before = folders.len();
    folders.retain(|f| *f != rest && !f.starts_with(&format!("{rest}/")));
    if known_file || folders.len() < before { Ok(()) } else { Err(Fault::file_not_found(path)) }
}

/// `*` and `?` as in a shell.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    match (pattern.next(), name.next()) {
        (None, None) => true,
        (Some('*'), None) => matches(pattern.as_str(), ""),
        (Some('*'), Some(c)) => {
            matches(pattern.as_str(), &format!("{c}{}", name.as_str())) || matches(&format!("*{}", pattern.as_str()), name.as_str())
        }
        (Some('?'), Some(_)) => matches(pattern.as_str(), name.as_str()),
        (Some(p), Some(c)) if p == c => matches(pattern.as_str(), name.as_str()),
        _ => false,
    }
}

fn search(model: &Model, path: &str, spec: &Node, below: bool) -> Result<Value, Fault> {
    let (datastore, folder) = model.datastore_path(path)?;
    let label = model.entity(&datastore).map(|e| e.name.clone()).unwrap_or_default();
    let patterns: Vec<String> = spec.children_named("matchPattern").map(|p| p.text.clone()).collect();
    let wanted = |name: &str| patterns.is_empty() || patterns.iter().any(|p| matches(p, name));
    let folder = folder.trim_end_matches('/').to_owned();
    // Clients also name a machine's configuration file and mean its folder.
    let folder = if model.files(&datastore).iter().any(|(f, _)| *f == folder) {
        folder.rsplit_once('/').map_or("", |(f, _)| f).to_owned()
    } else {
        folder
    };
    let known = folders(model, &datastore);
    if !folder.is_empty() && !known.iter().any(|f| *f == folder || f.starts_with(&format!("{folder}/"))) {
        return Err(Fault::file_not_found(path));
    }
    let inside = |f: &str| if below { folder.is_empty() || f == folder || f.starts_with(&format!("{folder}/")) } else { f == folder };
    let mut results: BTreeMap<String, Vec<Object>> = BTreeMap::new();
    results.entry(folder.clone()).or_default();
    for (file, size) in model.files(&datastore) {
        let (directory, name) = file.rsplit_once('/').unwrap_or(("", &file));
        if inside(directory) && wanted(name) {
            let kind = match name.rsplit('.').next() {
                Some("vmdk") => "VmDiskFileInfo",
                Some("vmx") => "VmConfigFileInfo",
                Some("vmtx") => "TemplateConfigFileInfo",
                Some("nvram") => "VmNvramFileInfo",
                _ => "FileInfo",
            };
            results.entry(directory.to_owned()).or_default().push(Object::new(kind).set("path", name).set("fileSize", size));
        }
    }
    let mut sub: Vec<&String> = known.iter().filter(|f| f.rsplit_once('/').map_or("", |(p, _)| p) == folder && !f.is_empty()).collect();
    sub.sort();
    sub.dedup();
    for directory in sub {
        let name = directory.rsplit('/').next().unwrap_or(directory);
        if wanted(name) {
            results
                .entry(folder.clone())
                .or_default()
                .push(Object::new("FolderFileInfo").set("path", name).set("fileSize", Value::Long(0)));
        }
    }
    let result = |(directory, files): (String, Vec<Object>)| {
        let slash = if directory.is_empty() { "" } else { "/" };
        Object::new("HostDatastoreBrowserSearchResults")
            .set("datastore", MoRef::new("Datastore", &datastore))
            .set("folderPath", format!("[{label}] {directory}{slash}"))
            .list("file", "FileInfo", files)
    };
    let mut results = results.into_iter().map(result);
    if below {
        return Ok(Value::List("HostDatastoreBrowserSearchResults", results.map(Value::Object).collect()));
    }
    results.next().map(Value::Object).ok_or_else(|| Fault::file_not_found(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, want) in [
            ("*.vmx", "a.vmx", true),
            ("*.vmx", "a.vmdk", false),
            ("a?c", "abc", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), want, "{pattern} {name}");
        }
    }
}
