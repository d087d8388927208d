//! From vSphere's faults to the tool's errors.

use super::wire::{Fault, REPEATED};
use crate::{providers::ProviderError, secrets::excerpt};

/// Says what a fault means while something was done, such as `power on vm-12`.
pub fn explain(fault: &Fault, doing: &str) -> ProviderError {
    let text = |rest: String| format!("{doing}: {rest}");
    match fault.kind.as_str() {
        "InvalidLogin" => ProviderError::login(text("the user name or password was refused".into())),
        "NotAuthenticated" => ProviderError::login(text("the session ended and a new login did not help".into())),
        "NoPermission" => {
            let privilege = fault.detail.get("privilegeId").filter(|p| !p.is_empty()).unwrap_or("(not named)");
            let object = fault.detail.get("object").unwrap_or("the object");
            ProviderError::operation(text(format!("the user lacks the privilege {privilege} on {object}")))
        }
        "ManagedObjectNotFound" => {
            let object = fault.detail.get("obj").unwrap_or("the object");
            ProviderError::not_found(text(format!("{object} does not exist (any more)")))
        }
        "InvalidPowerState" => {
            let is = fault.detail.get("existingState").unwrap_or("unknown");
            let wanted = fault.detail.get("requestedState").unwrap_or("another");
            ProviderError::operation(text(format!("the VM is {is}, the operation needs {wanted}")))
        }
        "MethodNotFound" | "NotSupported" | "NotImplemented" => ProviderError::unsupported(text(words(fault))),
        _ => ProviderError::operation(text(words(fault))).said(words(fault)),
    }
}

/// The fault's type, its message and the messages below it, each once.
pub fn words(fault: &Fault) -> String {
    let below = fault.detail.children_named("faultMessage").filter_map(|m| m.get("message"));
    let data = ["invalidProperty", "name", "reason"].into_iter().filter_map(|key| fault.detail.get(key));
    let mut out = fault.kind.clone();
    let mut seen: Vec<&str> = Vec::new();
    for part in std::iter::once(fault.message.as_str()).chain(below).chain(data) {
        let part = part.trim();
        if !part.is_empty() && part.trim_start_matches("*types.") != fault.kind && !seen.contains(&part) {
            out.push_str(": ");
            out.push_str(&excerpt(part, REPEATED));
            seen.push(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use mtv_api::xml::Node;

    use super::*;

    fn fault(kind: &str, message: &str, detail: Node) -> Fault {
        Fault { kind: kind.into(), message: message.into(), detail }
    }

    #[test]
    fn each_fault_says_what_to_do() {
        let none = || Node::new("fault");
        let cases = [
            (fault("InvalidLogin", "Login failure", none()), "Login(\"log in: the user name or password was refused\")"),
            (
                fault("NoPermission", "", none().field("object", "vm-1").field("privilegeId", "VirtualMachine.Provisioning.Clone")),
                "Operation(\"log in: the user lacks the privilege VirtualMachine.Provisioning.Clone on vm-1\")",
            ),
            (fault("ManagedObjectNotFound", "", none().field("obj", "vm-9")), "NotFound(\"log in: vm-9 does not exist (any more)\")"),
            (
                fault("InvalidPowerState", "", none().field("existingState", "poweredOn").field("requestedState", "poweredOff")),
                "Operation(\"log in: the VM is poweredOn, the operation needs poweredOff\")",
            ),
            (fault("MethodNotFound", "no such method", none()), "Unsupported(\"log in: MethodNotFound: no such method\")"),
            (fault("DuplicateName", "*types.DuplicateName", none().field("name", "web")), "Operation(\"log in: DuplicateName: web\")"),
            (
                fault("GenericVmConfigFault", "", none().with(Node::new("faultMessage").field("message", "disk is locked"))),
                "Operation(\"log in: GenericVmConfigFault: disk is locked\")",
            ),
        ];
        for (fault, expected) in cases {
            let error = explain(&fault, "log in");
            assert_eq!(format!("{:?}({:?})", error.kind(), error.to_string()), expected, "{}", fault.kind);
        }
    }
}
