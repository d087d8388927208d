//! Faults of the vSphere API: what a method or a task ends with when it cannot do its work.

use mtv_api::xml::Node;

use super::{
    ids::MoRef,
    value::{Object, Value},
};

/// A typed fault with a message for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The fault's data object.
    pub detail: Object,
    /// `faultstring`, or `localizedMessage` of a task's error.
    pub message: String,
}

/// Types of faults without fields of their own that rules may name: those that a vCenter under load, in a restart or with a
/// lost host gives.
pub const KNOWN: [&str; 14] = [
    "ConcurrentAccess",
    "FileLocked",
    "GenericVmConfigFault",
    "HostCommunication",
    "InsufficientResourcesFault",
    "InvalidCollectorVersion",
    "InvalidState",
    "NotAuthenticated",
    "RequestCanceled",
    "ResourceInUse",
    "RuntimeFault",
    "SystemError",
    "TaskInProgress",
    "Timedout",
];

/// The type of a fault that a rule may name; none if it may not.
pub fn known(kind: &str) -> Option<&'static str> {
    KNOWN.into_iter().find(|known| *known == kind)
}

impl Fault {
    /// A fault without fields.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { detail: Object::new(kind), message: message.into() }
    }

    /// Sets a field of the fault.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.detail = self.detail.set(name, value);
        self
    }

    /// The object does not exist, or does no longer.
    pub fn not_found(object: &MoRef) -> Self {
        let message = format!("The object '{}:{}' is gone or was never there", kind_path(&object.kind), object.id);
        Self::new("ManagedObjectNotFound", message).with("obj", object.clone())
    }

    /// No session, or one that has ended.
    pub fn not_authenticated(object: &MoRef) -> Self {
        Self::new("NotAuthenticated", "No session is logged in.").with("object", object.clone()).with("privilegeId", "System.View")
    }

    /// Wrong user name or password.
    pub fn invalid_login() -> Self {
        Self::new("InvalidLogin", "Login refused: user name or password is wrong.")
    }

    /// The type of the object has no such method.
    pub fn method_not_found(object: &MoRef, method: &str) -> Self {
        Self::new("MethodNotFound", format!("{} has no method {method}", object.kind))
            .with("receiver", object.clone())
            .with("method", method)
    }

    /// The request itself is malformed.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new("InvalidRequest", message)
    }

    /// The method exists but this server does not offer it.
    pub fn not_supported(message: impl Into<String>) -> Self {
        Self::new("NotSupported", message)
    }

    /// An argument is missing or makes no sense.
    pub fn invalid_argument(property: &str) -> Self {
        Self::new("InvalidArgument", format!("A parameter is not valid: {property}")).with("invalidProperty", property)
    }

    /// A property path that the type does not have.
    pub fn invalid_property(name: &str) -> Self {
        Self::new("InvalidProperty", format!("no such property: {name}")).with("name", name)
    }

    /// The name is taken in this place.
    pub fn duplicate_name(name: &str, object: MoRef) -> Self {
        Self::new("DuplicateName", format!("The name '{name}' is taken.")).with("name", name).with("object", object)
    }

    /// The machine's power state forbids the operation.
    pub fn invalid_power_state(existing: &str, requested: Option<&str>) -> Self {
        let mut fault = Self::new("InvalidPowerState", format!("The power state ({existing}) does not permit the operation."));
        if let Some(requested) = requested {
            fault.detail = fault.detail.choice("requestedState", "VirtualMachinePowerState", requested);
        }
        fault.detail = fault.detail.choice("existingState", "VirtualMachinePowerState", existing);
        fault
    }

    /// The operation does not go with what the object is, for example power on of a template.
    pub fn invalid_state(message: impl Into<String>) -> Self {
        Self::new("InvalidState", message)
    }

    /// Guest operations need running tools.
    pub fn tools_unavailable() -> Self {
        Self::new("ToolsUnavailable", "VMware Tools do not run in this machine.")
    }

    /// Another operation works on the object.
    pub fn task_in_progress(task: MoRef) -> Self {
        Self::new("TaskInProgress", "Another task works on this object.").with("task", task)
    }

    /// The task was cancelled by a client.
    pub fn request_canceled() -> Self {
        Self::new("RequestCanceled", "A client cancelled the task.")
    }

    /// A change to a device is not valid.
    pub fn invalid_device_spec(index: usize, property: &str) -> Self {
        Self::new("InvalidDeviceSpec", format!("Device change {index} is not valid."))
            .with("property", format!("virtualDeviceSpec.{property}"))
            .with("deviceIndex", super::value::int(index))
    }

    /// A file that is not there.
    pub fn file_not_found(file: &str) -> Self {
        Self::new("FileNotFound", format!("There is no file {file}")).with("file", file)
    }

    /// A file that is already there.
    pub fn file_already_exists(file: &str) -> Self {
        Self::new("FileAlreadyExists", format!("{file} exists already")).with("file", file)
    }

    /// The body of a SOAP response.
    pub fn soap(&self) -> Node {
        let mut detail = Value::Object(self.detail.clone()).typed(&format!("{}Fault", self.detail.kind));
        detail.attrs.insert(0, ("xmlns".to_owned(), "urn:vim25".to_owned()));
        Node::new("soapenv:Fault")
            .field("faultcode", "ServerFaultCode")
            .field("faultstring", &self.message)
            .with(Node::new("detail").with(detail))
    }

    /// As a value: `LocalizedMethodFault`, the error of a task or an entry of a `missingSet`.
    pub fn localized(&self) -> Object {
        Object::new("LocalizedMethodFault").set("fault", self.detail.clone()).set("localizedMessage", &self.message)
    }
}

/// Managed object types as vCenter's messages name them.
fn kind_path(kind: &str) -> String {
    match kind {
        "Task" | "VirtualMachine" | "Folder" | "Datacenter" | "HostSystem" | "Datastore" | "Network" => format!("vim.{kind}"),
        "VirtualMachineSnapshot" => "vim.vm.Snapshot".to_owned(),
        "ContainerView" | "ListView" => format!("vim.view.{kind}"),
        "PropertyFilter" => "vmodl.query.PropertyCollector.Filter".to_owned(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_its_type_twice() {
        let text = Fault::not_found(&MoRef::new("VirtualMachine", "vm-9")).soap().to_string();
        assert!(
            text.contains(
                r#"<ManagedObjectNotFoundFault xmlns="urn:vim25" xsi:type="ManagedObjectNotFound"><obj type="VirtualMachine">vm-9</obj>"#
            ),
            "{text}"
        );
    }
}
