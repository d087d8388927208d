//! Methods: one file per managed object or manager.

pub mod authorization;
pub mod collector;
pub mod custom_fields;
pub mod datastore;
pub mod entity;
pub mod folder;
pub mod guest_ops;
pub mod history;
pub mod search;
pub mod service;
pub mod session;
pub mod snapshot;
pub mod task;
pub mod view;
pub mod vm;

use super::{
    Vcenter,
    fault::Fault,
    ids::{MoRef, is_a},
    model::{Model, reconfigure::reference},
    sessions::Session,
    soap::{Reply, Request},
    types::{self, Sight},
};

/// Every method that some object here offers, sorted: what a rule of faults can be about.
pub const METHODS: &[&str] = &[
    "AcknowledgeAlarm",
    "AddCustomFieldDef",
    "CancelRetrievePropertiesEx",
    "CancelTask",
    "CancelWaitForUpdates",
    "CheckForUpdates",
    "CloneVM_Task",
    "ConsolidateVMDisks_Task",
    "ContinueRetrievePropertiesEx",
    "CreateCollectorForEvents",
    "CreateCollectorForTasks",
    "CreateContainerView",
    "CreateFilter",
    "CreateFolder",
    "CreateListView",
    "CreatePropertyCollector",
    "CreateSnapshot_Task",
    "CreateSnapshotEx_Task",
    "CreateTask",
    "CreateTemporaryFileInGuest",
    "CreateVM_Task",
    "CurrentTime",
    "DeleteDatastoreFile_Task",
    "DeleteFileInGuest",
    "Destroy_Task",
    "DestroyCollector",
    "DestroyPropertyCollector",
    "DestroyPropertyFilter",
    "DestroyView",
    "Fetch",
    "FetchUserPrivilegeOnEntities",
    "FindAllByDnsName",
    "FindAllByIp",
    "FindAllByUuid",
    "FindByDatastorePath",
    "FindByDnsName",
    "FindByInventoryPath",
    "FindByIp",
    "FindByUuid",
    "FindChild",
    "HasPrivilegeOnEntities",
    "HasPrivilegeOnEntity",
    "HasUserPrivilegeOnEntities",
    "InitiateFileTransferFromGuest",
    "InitiateFileTransferToGuest",
    "ListProcessesInGuest",
    "Login",
    "Logout",
    "LogUserEvent",
    "MakeDirectory",
    "MakeDirectoryInGuest",
    "MarkAsTemplate",
    "MarkAsVirtualMachine",
    "MigrateVM_Task",
    "ModifyListView",
    "MoveIntoFolder_Task",
    "PostEvent",
    "PowerOffVM_Task",
    "PowerOnVM_Task",
    "QueryChangedDiskAreas",
    "QueryEventCategory",
    "QueryEvents",
    "QueryOptions",
    "ReadNextEvents",
    "ReadNextTasks",
    "ReadPreviousEvents",
    "ReadPreviousTasks",
    "RebootGuest",
    "ReconfigVM_Task",
    "RefreshDatastore",
    "RefreshDatastoreStorageInfo",
    "RefreshStorageInfo",
    "RegisterVM_Task",
    "Reload",
    "RelocateVM_Task",
    "RemoveAllSnapshots_Task",
    "RemoveCustomFieldDef",
    "RemoveSnapshot_Task",
    "Rename_Task",
    "RenameCustomFieldDef",
    "RenameSnapshot",
    "ResetCollector",
    "ResetListView",
    "ResetVM_Task",
    "RetrieveAllPermissions",
    "RetrieveArgumentDescription",
    "RetrieveEntityPermissions",
    "RetrieveProperties",
    "RetrievePropertiesEx",
    "RetrieveServiceContent",
    "RevertToCurrentSnapshot_Task",
    "RevertToSnapshot_Task",
    "RewindCollector",
    "SearchDatastore_Task",
    "SearchDatastoreSubFolders_Task",
    "SessionIsActive",
    "SetCollectorPageSize",
    "SetCustomValue",
    "setCustomValue",
    "SetField",
    "SetLocale",
    "SetTaskDescription",
    "ShutdownGuest",
    "StandbyGuest",
    "StartProgramInGuest",
    "SuspendVM_Task",
    "TerminateProcessInGuest",
    "TerminateSession",
    "UnregisterVM",
    "UpdateServiceMessage",
    "UpgradeVM_Task",
    "ValidateCredentialsInGuest",
    "WaitForUpdates",
    "WaitForUpdatesEx",
];

/// What a method needs to know of its request beyond the arguments.
pub struct Context {
    /// The server.
    pub server: Vcenter,
    /// Cookie of the session, if the client sent one.
    pub cookie: Option<String>,
    /// The client's `User-Agent`.
    pub agent: String,
    /// Cookie that the answer sets.
    pub set_cookie: Option<String>,
}

/// The result of a method.
pub type Outcome = Result<Reply, Fault>;

impl Context {
    /// Reads with the session's own objects in sight.
    pub fn look<T>(&self, look: impl FnOnce(Sight<'_>) -> T) -> T {
        let sessions = self.server.sessions();
        let session = self.cookie.as_deref().and_then(|c| sessions.get(c));
        look(Sight { model: &self.server.model(), face: self.server.face(), session })
    }

    /// Changes the session.
    ///
    /// # Errors
    /// `NotAuthenticated` if it has ended in the meantime.
    pub fn session<T>(&self, change: impl FnOnce(&mut Session, &Model) -> T) -> Result<T, Fault> {
        let mut sessions = self.server.sessions();
        let gone = || Fault::not_authenticated(&MoRef::new("ServiceInstance", types::service::INSTANCE));
        let session = self.cookie.as_deref().and_then(|c| sessions.get_mut(c)).ok_or_else(gone)?;
        Ok(change(session, &self.server.model()))
    }

    /// The user who is logged in.
    pub fn user(&self) -> String {
        self.look(|sight| sight.session.map(|s| s.user.clone())).unwrap_or_default()
    }
}

/// A reference that the request must have.
///
/// # Errors
/// `InvalidArgument`.
pub fn needed(request: &Request, name: &str) -> Result<MoRef, Fault> {
    reference(&request.body, name).ok_or_else(|| Fault::invalid_argument(name))
}

/// A text that the request must have.
///
/// # Errors
/// `InvalidArgument`.
pub fn needed_text<'a>(request: &'a Request, name: &str) -> Result<&'a str, Fault> {
    request.body.get(name).ok_or_else(|| Fault::invalid_argument(name))
}

/// Carries out a call.
///
/// # Errors
/// The method's fault.
pub async fn call(cx: &mut Context, request: &Request) -> Outcome {
    let living = cx.cookie.as_deref().is_some_and(|c| cx.server.sessions().touch(c));
    if !living {
        cx.cookie = None;
        if !open_to_all(request) {
            return Err(Fault::not_authenticated(&request.this));
        }
    }
    let Some(kind) = cx.look(|sight| types::kind(sight, &request.this)) else {
        return Err(Fault::not_found(&request.this));
    };
    if !cx.server.face().offers(&request.method) {
        return Err(Fault::not_supported("The operation is not supported on the object."));
    }
    let kind = types::service::manager(&request.this.id).map_or(kind, str::to_owned);
    if request.method == "Fetch" {
        return collector::fetch(cx, request);
    }
    match kind.as_str() {
        "PropertyCollector" | "PropertyFilter" => collector::call(cx, request).await,
        "ServiceInstance" => service::call(cx, request),
        "SessionManager" => session::call(cx, request),
        "ViewManager" | "ContainerView" | "ListView" => view::call(cx, request),
        "SearchIndex" => search::call(cx, request),
        "AuthorizationManager" => authorization::call(cx, request),
        "CustomFieldsManager" => custom_fields::call(cx, request),
        "TaskManager" | "EventManager" | "TaskHistoryCollector" | "EventHistoryCollector" => history::call(cx, request),
        "Task" => task::call(cx, request),
        "HostDatastoreBrowser" | "FileManager" => datastore::call(cx, request),
        "GuestAuthManager" | "GuestFileManager" | "GuestProcessManager" => guest_ops::call(cx, request),
        "OptionManager" => service::options(cx, request),
        "VirtualMachineSnapshot" => snapshot::call(cx, request),
        "VirtualMachine" => vm::call(cx, request),
        kind if is_a(kind, "Folder") => folder::call(cx, request),
        kind if is_a(kind, "ManagedEntity") => entity::call(cx, request),
        _ => Err(unknown(request)),
    }
}

/// The fault for a method that an object does not have, or that this server does not offer.
pub fn unknown(request: &Request) -> Fault {
    match types::service::manager(&request.this.id) {
        Some(_) => Fault::not_supported(format!("{} is not offered here.", request.method)),
        None => Fault::method_not_found(&request.this, &request.method),
    }
}

/// Calls that need no session: how clients find out whom they talk to, and log in.
fn open_to_all(request: &Request) -> bool {
    match request.method.as_str() {
        "RetrieveServiceContent" | "Login" | "CurrentTime" => true,
        "Fetch" => request.this.id == types::service::INSTANCE,
        "RetrieveProperties" | "RetrievePropertiesEx" => {
            let objects: Vec<_> = request.body.children_named("specSet").flat_map(|s| s.children_named("objectSet")).collect();
            let allowed = [types::service::INSTANCE, "SessionManager"];
            !objects.is_empty()
                && objects.iter().all(|o| {
                    o.child("selectSet").is_none() && o.child("obj").is_some_and(|obj| allowed.contains(&MoRef::read(obj).id.as_str()))
                })
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::METHODS;

    /// Arms of a `match` on the method, and names of tasks wherever they stand, are methods.
    #[test]
    fn every_method_that_is_answered_is_known_by_its_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/vsphere/methods");
        let mut missing = BTreeSet::new();
        for file in fs::read_dir(folder).unwrap() {
            let text = fs::read_to_string(file.unwrap().path()).unwrap();
            let names = text.split('"').skip(1).step_by(2).filter(|word| word.ends_with("_Task") && word.len() > "_Task".len());
            missing.extend(names.filter(|name| !METHODS.contains(name) && !name.contains('*')).map(str::to_owned));
        }
        assert!(missing.is_empty(), "{missing:?}");
        for name in ["Login", "RetrievePropertiesEx", "WaitForUpdatesEx", "StartProgramInGuest", "FindByInventoryPath"] {
            assert!(METHODS.contains(&name), "{name}");
        }
        let sorted: BTreeSet<&str> = METHODS.iter().copied().collect();
        assert_eq!(sorted.len(), METHODS.len(), "one is named twice");
    }
}
