//! The service instance and its managers.

use super::{Sight, event, host};
use crate::vsphere::{
    ids::MoRef,
    model::{Model, build::ROOT},
    value::{Object, Value, any, int, refs, strings},
};

/// Managers: field of `ServiceContent`, type, moRef value.
pub const MANAGERS: &[(&str, &str, &str)] = &[
    ("propertyCollector", "PropertyCollector", "propertyCollector"),
    ("viewManager", "ViewManager", "ViewManager"),
    ("setting", "OptionManager", "VpxSettings"),
    ("userDirectory", "UserDirectory", "UserDirectory"),
    ("sessionManager", "SessionManager", "SessionManager"),
    ("authorizationManager", "AuthorizationManager", "AuthorizationManager"),
    ("serviceManager", "ServiceManager", "ServiceMgr"),
    ("perfManager", "PerformanceManager", "PerfMgr"),
    ("scheduledTaskManager", "ScheduledTaskManager", "ScheduledTaskManager"),
    ("alarmManager", "AlarmManager", "AlarmManager"),
    ("eventManager", "EventManager", "EventManager"),
    ("taskManager", "TaskManager", "TaskManager"),
    ("extensionManager", "ExtensionManager", "ExtensionManager"),
    ("customizationSpecManager", "CustomizationSpecManager", "CustomizationSpecManager"),
    ("customFieldsManager", "CustomFieldsManager", "CustomFieldsManager"),
    ("diagnosticManager", "DiagnosticManager", "DiagMgr"),
    ("licenseManager", "LicenseManager", "LicenseManager"),
    ("searchIndex", "SearchIndex", "SearchIndex"),
    ("fileManager", "FileManager", "FileManager"),
    ("datastoreNamespaceManager", "DatastoreNamespaceManager", "DatastoreNamespaceManager"),
    ("virtualDiskManager", "VirtualDiskManager", "virtualDiskManager"),
    ("vmProvisioningChecker", "VirtualMachineProvisioningChecker", "ProvChecker"),
    ("vmCompatibilityChecker", "VirtualMachineCompatibilityChecker", "CompatChecker"),
    ("ovfManager", "OvfManager", "OvfManager"),
    ("ipPoolManager", "IpPoolManager", "IpPoolManager"),
    ("dvSwitchManager", "DistributedVirtualSwitchManager", "DVSManager"),
    ("hostProfileManager", "HostProfileManager", "HostProfileManager"),
    ("clusterProfileManager", "ClusterProfileManager", "ClusterProfileManager"),
    ("storageResourceManager", "StorageResourceManager", "StorageResourceManager"),
    ("guestOperationsManager", "GuestOperationsManager", "guestOperationsManager"),
];

/// Managers behind the manager of guest operations: its property, type, moRef value.
const GUEST_MANAGERS: [(&str, &str, &str); 3] = [
    ("authManager", "GuestAuthManager", "guestOperationsAuthManager"),
    ("fileManager", "GuestFileManager", "guestOperationsFileManager"),
    ("processManager", "GuestProcessManager", "guestOperationsProcessManager"),
];

/// The service instance's moRef value.
pub const INSTANCE: &str = "ServiceInstance";

/// `8.0.3` as the API's version `8.0.3.0`.
pub fn api_version(version: &str) -> String {
    let mut parts: Vec<&str> = version.split('.').collect();
    parts.resize(4, "0");
    parts.join(".")
}

/// `about` of the service.
pub fn about(model: &Model) -> Object {
    let version = &model.world.datacenter.vsphere.version;
    Object::new("AboutInfo")
        .set("name", "VMware vCenter Server")
        .set("fullName", format!("VMware vCenter Server {version} build-24022515"))
        .set("vendor", "VMware, Inc.")
        .set("version", version)
        .set("patchLevel", "00000")
        .set("build", "24022515")
        .set("localeVersion", "INTL")
        .set("localeBuild", "000")
        .set("osType", "linux-x64")
        .set("productLineId", "vpx")
        .set("apiType", "VirtualCenter")
        .set("apiVersion", api_version(version))
        .set("instanceUuid", &model.instance_uuid)
        .set("licenseProductName", "VMware VirtualCenter Server")
        .set("licenseProductVersion", "8.0")
}

/// `ServiceContent`. Managers that a host agent does not have are left out of its answer on the way.
pub fn content(sight: Sight<'_>) -> Object {
    let model = sight.model;
    let mut content = Object::new("ServiceContent").set("rootFolder", MoRef::new("Folder", ROOT));
    for (at, (field, kind, id)) in MANAGERS.iter().enumerate() {
        if sight.face.has_manager(field) {
            content = content.set(field, MoRef::new(*kind, *id));
        }
        if at == 1 {
            let about = if sight.face.is_vcenter() { about(model) } else { host::product(&model.world.datacenter.vsphere.version) };
            content = content.set("about", about);
        }
    }
    content
}

/// Type of a manager.
pub fn manager(id: &str) -> Option<&'static str> {
    if id == INSTANCE {
        return Some("ServiceInstance");
    }
    MANAGERS.iter().chain(&GUEST_MANAGERS).find(|m| m.2 == id).map(|m| m.1)
}

/// Objects that belong to entities and have a name made of theirs.
pub fn attached(model: &Model, id: &str) -> Option<&'static str> {
    let known = |rest: &str| model.entity(rest).is_some();
    if let Some(rest) = id.strip_prefix("datastoreBrowser-") {
        return known(rest).then_some("HostDatastoreBrowser");
    }
    if let Some(rest) = id.strip_prefix("envbrowser-") {
        return (known(rest) || known(&format!("vm-{rest}"))).then_some("EnvironmentBrowser");
    }
    for (prefix, kind) in [
        ("datastoreSystem-", "HostDatastoreSystem"),
        ("networkSystem-", "HostNetworkSystem"),
        ("storageSystem-", "HostStorageSystem"),
        ("EsxHostAdvSettings-", "OptionManager"),
    ] {
        if let Some(rest) = id.strip_prefix(prefix) {
            return known(&format!("host-{rest}")).then_some(kind);
        }
    }
    None
}

/// Names of the properties of a manager.
pub fn names(model: &Model, id: &str) -> Option<Vec<&'static str>> {
    let kind = manager(id).or_else(|| attached(model, id))?;
    Some(
        match kind {
            "ServiceInstance" => &["serverClock", "capability", "content"][..],
            "SessionManager" => &["sessionList", "currentSession", "message", "messageLocaleList", "supportedLocaleList", "defaultLocale"],
            "PropertyCollector" => &["filter"],
            "ViewManager" => &["viewList"],
            "AuthorizationManager" => &["privilegeList", "roleList", "description"],
            "EventManager" => &["description", "latestEvent", "maxCollector"],
            "TaskManager" => &["recentTask", "description", "maxCollector"],
            "CustomFieldsManager" => &["field"],
            "OptionManager" => &["supportedOption", "setting"],
            "ExtensionManager" => &["extensionList"],
            "LicenseManager" => &["licenses", "source", "sourceAvailable", "licensedEdition", "evaluation", "featureInfo"],
            "AlarmManager" => &["defaultExpression", "description"],
            "PerformanceManager" => &["description", "historicalInterval", "perfCounter"],
            "HostDatastoreBrowser" => &["datastore", "supportedType"],
            "HostDatastoreSystem" => &["datastore", "capabilities"],
            "GuestOperationsManager" => &["authManager", "fileManager", "processManager", "guestWindowsRegistryManager", "aliasManager"],
            _ => &[],
        }
        .to_vec(),
    )
}

/// A property of a manager.
pub fn property(sight: Sight<'_>, id: &str, name: &str) -> Option<Value> {
    let model = sight.model;
    let kind = manager(id).or_else(|| attached(model, id))?;
    Some(match (kind, name) {
        ("ServiceInstance", "content") => Value::Object(content(sight)),
        ("ServiceInstance", "serverClock") => Value::Time(Model::now()),
        ("ServiceInstance", "capability") => Value::Object(
            Object::new("Capability")
                .set("provisioningSupported", sight.face.is_vcenter())
                .set("multiHostSupported", sight.face.is_vcenter())
                .set("userShellAccessSupported", false)
                .set("networkBackupAndRestoreSupported", true)
                .set("ftDrsWithoutEvcSupported", false),
        ),
        ("GuestOperationsManager", name) => {
            let (_, kind, id) = GUEST_MANAGERS.iter().find(|(property, ..)| *property == name)?;
            Value::Ref(MoRef::new(*kind, *id))
        }
        ("SessionManager", "currentSession") => Value::Object(sight.session?.user_session()),
        ("SessionManager", "sessionList") => Value::List("UserSession", vec![Value::Object(sight.session?.user_session())]),
        ("SessionManager", "message") => "".into(),
        ("SessionManager", "messageLocaleList" | "supportedLocaleList") => strings(["en"]),
        ("SessionManager", "defaultLocale") => "en".into(),
        ("PropertyCollector", "filter") => refs(sight.session?.filters("propertyCollector").map(|id| MoRef::new("PropertyFilter", id))),
        ("ViewManager", "viewList") => refs(sight.session?.views().map(|(id, kind)| MoRef::new(kind, id))),
        ("AuthorizationManager", "description") => Value::Object(
            Object::new("AuthorizationDescription")
                .list("privilege", "ElementDescription", privilege_groups().map(|g| element(g, g)))
                .list("privilegeGroup", "ElementDescription", privilege_groups().map(|g| element(g, g))),
        ),
        ("AuthorizationManager", "privilegeList") => Value::List("AuthorizationPrivilege", PRIVILEGES.iter().map(privilege).collect()),
        ("AuthorizationManager", "roleList") => Value::List("AuthorizationRole", vec![admin_role()]),
        ("EventManager", "latestEvent") => event::event(model, model.events.last()?),
        ("EventManager" | "TaskManager", "maxCollector") => Value::Int(200),
        ("TaskManager", "recentTask") => refs(model.tasks.values().rev().take(50).map(crate::vsphere::model::task::Task::moref)),
        ("CustomFieldsManager", "field") => {
            Value::List("CustomFieldDef", model.custom_fields.iter().map(|f| Value::Object(field_definition(f))).collect())
        }
        ("OptionManager", "setting") => Value::List("OptionValue", settings(sight, id).map(Value::Object).collect()),
        ("OptionManager", "supportedOption") => Value::List("OptionDef", Vec::new()),
        ("ExtensionManager", "extensionList") => Value::List("Extension", Vec::new()),
        ("LicenseManager", "licenses") => Value::List("LicenseManagerLicenseInfo", Vec::new()),
        ("HostDatastoreBrowser" | "HostDatastoreSystem", "datastore") => {
            refs(model.of_type("Datastore").map(crate::vsphere::model::Entity::moref))
        }
        ("PerformanceManager", "perfCounter") => Value::List("PerfCounterInfo", Vec::new()),
        _ => return None,
    })
}

fn element(key: &str, label: &str) -> Object {
    Object::new("ElementDescription").set("label", label).set("summary", label).set("key", key)
}

/// Definition of a custom attribute.
pub fn field_definition((key, name, of): &(i32, String, Option<String>)) -> Object {
    Object::new("CustomFieldDef").set("key", *key).set("name", name).set("type", "string").opt("managedObjectType", of.as_ref())
}

/// Privileges that clients of a migration tool ask for.
pub const PRIVILEGES: &[&str] = &[
    "System.Anonymous",
    "System.View",
    "System.Read",
    "Cryptographer.Access",
    "Datastore.AllocateSpace",
    "Datastore.Browse",
    "Datastore.FileManagement",
    "Global.CancelTask",
    "Host.Config.Connection",
    "Host.Config.Storage",
    "Network.Assign",
    "Resource.AssignVMToPool",
    "Sessions.ValidateSession",
    "VirtualMachine.Config.AddNewDisk",
    "VirtualMachine.Config.ChangeTracking",
    "VirtualMachine.Config.DiskLease",
    "VirtualMachine.GuestOperations.Execute",
    "VirtualMachine.GuestOperations.Modify",
    "VirtualMachine.GuestOperations.Query",
    "VirtualMachine.Interact.PowerOff",
    "VirtualMachine.Interact.PowerOn",
    "VirtualMachine.Inventory.CreateFromExisting",
    "VirtualMachine.Inventory.Delete",
    "VirtualMachine.Provisioning.Clone",
    "VirtualMachine.Provisioning.CloneTemplate",
    "VirtualMachine.Provisioning.CreateTemplateFromVM",
    "VirtualMachine.Provisioning.DeployTemplate",
    "VirtualMachine.Provisioning.DiskRandomAccess",
    "VirtualMachine.Provisioning.DiskRandomRead",
    "VirtualMachine.Provisioning.GetVmFiles",
    "VirtualMachine.State.CreateSnapshot",
    "VirtualMachine.State.RemoveSnapshot",
    "VirtualMachine.State.RevertToSnapshot",
];

fn privilege_groups() -> impl Iterator<Item = &'static str> {
    let mut seen = Vec::new();
    PRIVILEGES.iter().filter_map(move |p| {
        let group = p.rsplit_once('.').map_or(*p, |(group, _)| group);
        if seen.contains(&group) {
            return None;
        }
        seen.push(group);
        Some(group)
    })
}

fn privilege(id: &&'static str) -> Value {
    let (group, name) = id.rsplit_once('.').unwrap_or(("System", id));
    Value::Object(
        Object::new("AuthorizationPrivilege").set("privId", *id).set("onParent", false).set("name", name).set("privGroupName", group),
    )
}

fn admin_role() -> Value {
    let info = Object::new("Description").set("label", "Administrator").set("summary", "Full access rights");
    Value::Object(
        Object::new("AuthorizationRole")
            .set("roleId", int(-1))
            .set("system", true)
            .set("name", "Admin")
            .set("info", info)
            .set("privilege", strings(PRIVILEGES.iter().copied())),
    )
}

/// Settings of the server or of a host.
pub fn settings(sight: Sight<'_>, id: &str) -> impl Iterator<Item = Object> {
    let model = sight.model;
    let vcenter = [
        ("VirtualCenter.FQDN", "vcenter.lab".to_owned()),
        ("config.vpxd.hostnameUrl", "vcenter.lab".to_owned()),
        ("VirtualCenter.InstanceName", model.world.datacenter.vsphere.datacenter.clone()),
    ];
    let host = [("DataMover.HardwareAcceleratedMove", "1".to_owned()), ("UserVars.SuppressShellWarning", "0".to_owned())];
    let agent = [("Config.HostAgent.plugins.solo.enableMob", "false".to_owned()), ("Config.HostAgent.log.level", "info".to_owned())];
    let list: Vec<_> = match (id, sight.face.is_vcenter()) {
        ("VpxSettings", true) => vcenter.to_vec(),
        ("VpxSettings", false) => agent.to_vec(),
        _ => host.to_vec(),
    };
    list.into_iter().map(|(key, value)| Object::new("OptionValue").set("key", key).set("value", any(value)))
}
