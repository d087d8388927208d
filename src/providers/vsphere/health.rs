//! Whether a VM is whole enough to be used, in the words that help a person mend it.

use super::props::Object;
use crate::providers::{ProviderError, ProviderResult};

/// Refuses a VM that vCenter lists but that cannot be cloned, described or migrated.
///
/// Needs `name`, `runtime.connectionState`, `config.hardware` and `datastore` of the VM and `summary.accessible` of its datastores.
pub fn check(vm: &Object, around: &[Object]) -> ProviderResult<()> {
    let name = vm.text("name").unwrap_or(&vm.id.value);
    let bad = |why: String| Err(ProviderError::operation(format!("VM `{name}` ({}) is not usable: {why}", vm.id.value)));
    match vm.text("runtime.connectionState") {
        Some(state @ ("inaccessible" | "invalid")) => {
            return bad(format!("its connection state is `{state}`: vCenter cannot read its configuration (datastore or .vmx file lost?)"));
        }
        Some(state @ ("orphaned" | "disconnected")) => {
            return bad(format!("its connection state is `{state}`: its host does not serve it"));
        }
        _ => {}
    }
    if !vm.props.contains_key("config.hardware") {
        return bad("it has no configuration (its .vmx file is missing)".into());
    }
    let datastores = vm.references("datastore");
    if datastores.is_empty() {
        return bad("it has no datastore".into());
    }
    for id in datastores {
        let Some(datastore) = around.iter().find(|o| o.id == id) else {
            return bad(format!("its datastore {} does not exist", id.value));
        };
        if datastore.text("summary.accessible") == Some("false") {
            return bad(format!("its datastore `{}` is not accessible", datastore.text("name").unwrap_or(&id.value)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mtv_api::xml::Node;

    use super::*;
    use crate::providers::vsphere::wire::MoRef;

    fn vm(state: &str, config: bool, datastore: Option<&str>) -> Object {
        let mut props = BTreeMap::from([
            ("name".to_owned(), Node::text("val", "web")),
            ("runtime.connectionState".to_owned(), Node::text("val", state)),
        ]);
        if config {
            props.insert("config.hardware".to_owned(), Node::new("val"));
        }
        let stores = Node::new("val").all(datastore.map(|id| MoRef::new("Datastore", id).node("ManagedObjectReference")));
        props.insert("datastore".to_owned(), stores);
        Object { id: MoRef::vm("vm-1"), props, missing: BTreeMap::new() }
    }

    #[test]
    fn what_is_broken_is_said() {
        let store = |id: &str, accessible: &str| Object {
            id: MoRef::new("Datastore", id),
            props: BTreeMap::from([
                ("name".to_owned(), Node::text("val", "nfs")),
                ("summary.accessible".to_owned(), Node::text("val", accessible)),
            ]),
            missing: BTreeMap::new(),
        };
        let around = [store("d1", "true"), store("d2", "false")];
        let cases = [
            (vm("connected", true, Some("d1")), None),
            (vm("inaccessible", true, Some("d1")), Some("`inaccessible`")),
            (vm("orphaned", true, Some("d1")), Some("`orphaned`")),
            (vm("connected", false, Some("d1")), Some("no configuration")),
            (vm("connected", true, None), Some("no datastore")),
            (vm("connected", true, Some("d2")), Some("datastore `nfs` is not accessible")),
            (vm("connected", true, Some("d3")), Some("datastore d3 does not exist")),
        ];
        for (vm, expected) in cases {
            let got = check(&vm, &around).err().map(|error| error.to_string());
            match expected {
                None => assert_eq!(got, None),
                Some(words) => assert!(got.as_deref().is_some_and(|got| got.contains(words)), "{words}: {got:?}"),
            }
        }
    }
}
