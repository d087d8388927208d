//! References to managed objects, and which type of object is which.

use std::fmt;

use mtv_api::xml::Node;

/// A managed object reference: type and value, such as `VirtualMachine` and `vm-101`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MoRef {
    /// Type of the managed object.
    pub kind: String,
    /// The server's own name of the object.
    pub id: String,
}

impl MoRef {
    /// A reference.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Self { kind: kind.into(), id: id.into() }
    }

    /// Reads a reference from a request. The element carries `type` (what it refers to) and often also
    /// `xsi:type="ManagedObjectReference"`; both have the same local name.
    pub fn read(node: &Node) -> Self {
        let kind = node
            .attrs
            .iter()
            .filter(|(name, _)| name == "type")
            .map(|(_, value)| value.rsplit(':').next().unwrap_or(value))
            .find(|value| *value != "ManagedObjectReference")
            .unwrap_or_default();
        Self::new(kind, node.text.trim())
    }
}

impl fmt::Display for MoRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.id)
    }
}

/// Whether an object of type `kind` is also one of type `of`, by the inheritance of the vSphere API.
pub fn is_a(kind: &str, of: &str) -> bool {
    if kind == of || of == "ManagedObject" {
        return true;
    }
    match parent_type(kind) {
        Some(parent) => is_a(parent, of),
        None => false,
    }
}

/// The type that a type extends, as far as this server has objects of it.
fn parent_type(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "VmwareDistributedVirtualSwitch" => "DistributedVirtualSwitch",
        "ClusterComputeResource" => "ComputeResource",
        "DistributedVirtualPortgroup" | "OpaqueNetwork" => "Network",
        "VirtualApp" => "ResourcePool",
        "StoragePod" => "Folder",
        "Folder"
        | "Datacenter"
        | "ComputeResource"
        | "ResourcePool"
        | "HostSystem"
        | "Datastore"
        | "Network"
        | "DistributedVirtualSwitch"
        | "VirtualMachine" => "ManagedEntity",
        "ManagedEntity" | "Task" | "VirtualMachineSnapshot" => "ExtensibleManagedObject",
        "ContainerView" | "ListView" | "InventoryView" => "ManagedObjectView",
        "ManagedObjectView" => "View",
        "TaskHistoryCollector" | "EventHistoryCollector" => "HistoryCollector",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_read_whatever_the_order_of_its_attributes() {
        for text in [
            r#"<obj type="VirtualMachine">vm-1</obj>"#,
            r#"<obj xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="ManagedObjectReference" type="VirtualMachine">vm-1</obj>"#,
            r#"<obj xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" type="VirtualMachine" xsi:type="v:ManagedObjectReference">vm-1</obj>"#,
        ] {
            assert_eq!(MoRef::read(&Node::parse(text).unwrap()), MoRef::new("VirtualMachine", "vm-1"));
        }
    }

    #[test]
    fn types_inherit() {
        assert!(is_a("ClusterComputeResource", "ComputeResource"));
        assert!(is_a("DistributedVirtualPortgroup", "ManagedEntity"));
        assert!(!is_a("Network", "DistributedVirtualPortgroup"));
    }
}
