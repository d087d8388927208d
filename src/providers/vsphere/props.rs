//! Properties of managed objects: what to collect, and what came back. No IO.

use std::collections::BTreeMap;

use mtv_api::xml::Node;

use super::wire::{Fault, MoRef};

/// An object with the properties that were asked for. Unset properties are missing.
#[derive(Debug, Clone)]
pub struct Object {
    /// Which object.
    pub id: MoRef,
    /// Values by property path.
    pub props: BTreeMap<String, Node>,
    /// Why properties are missing, by path.
    pub missing: BTreeMap<String, Fault>,
}

impl Object {
    /// Reads an `ObjectContent`.
    pub fn read(node: &Node) -> Option<Self> {
        let id = MoRef::read(node.child("obj")?)?;
        let read = |property: &Node| {
            let (path, mut value) = (property.get("name")?.to_owned(), property.child("val")?.clone());
            if path == "name" {
                value.text = decoded(&value.text);
            }
            Some((path, value))
        };
        let props = node.children_named("propSet").filter_map(read).collect();
        let missing = node
            .children_named("missingSet")
            .filter_map(|m| Some((m.get("path")?.to_owned(), Fault::localized(m.child("fault")?))))
            .collect();
        Some(Self { id, props, missing })
    }

    /// The text of a property.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.props.get(path).map(|node| node.text.as_str()).filter(|text| !text.is_empty())
    }

    /// A property that refers to an object.
    pub fn reference(&self, path: &str) -> Option<MoRef> {
        self.props.get(path).and_then(MoRef::read)
    }

    /// A property that refers to many objects.
    pub fn references(&self, path: &str) -> Vec<MoRef> {
        self.props.get(path).map(MoRef::read_all).unwrap_or_default()
    }

    /// The elements of a property that is an array.
    pub fn array(&self, path: &str) -> &[Node] {
        self.props.get(path).map(|node| node.children.as_slice()).unwrap_or_default()
    }
}

/// A managed entity's name as people write it: vSphere has `%`, `/` and `\` in names as `%25`, `%2f` and `%5c`, in either case.
pub fn decoded(name: &str) -> String {
    // `%25` is last, so that an escaped percent sign does not begin another escape.
    name.replace("%2f", "/").replace("%2F", "/").replace("%5c", "\\").replace("%5C", "\\").replace("%25", "%")
}

/// A name as vSphere takes it for a new managed entity.
pub fn encoded(name: &str) -> String {
    name.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c")
}

/// A `PropertySpec`: these paths of objects of this type (and of types derived from it).
pub fn properties(kind: &str, paths: &[&str]) -> Node {
    Node::new("propSet").field("type", kind).field("all", false).all(paths.iter().map(|path| Node::text("pathSet", path)))
}

/// A `TraversalSpec`: from objects of a type along a property, and from there on.
pub fn along(kind: &str, path: &str, further: impl IntoIterator<Item = Node>) -> Node {
    Node::new("selectSet").typed("TraversalSpec").field("type", kind).field("path", path).field("skip", false).all(further)
}

/// A traversal with a name, to which [`again`] can refer.
pub fn named(name: &str, kind: &str, path: &str, further: impl IntoIterator<Item = Node>) -> Node {
    Node::new("selectSet")
        .typed("TraversalSpec")
        .field("name", name)
        .field("type", kind)
        .field("path", path)
        .field("skip", false)
        .all(further)
}

/// Follows a named traversal once more: recursion.
pub fn again(name: &str) -> Node {
    Node::new("selectSet").typed("SelectionSpec").field("name", name)
}

/// An `ObjectSpec`: where to start. `skip` leaves the object itself out.
pub fn start(at: &MoRef, skip: bool, along: impl IntoIterator<Item = Node>) -> Node {
    Node::new("objectSet").with(at.node("obj")).field("skip", skip).all(along)
}

/// A `PropertyFilterSpec` under an element name (`specSet` for retrieving, `spec` for filters).
pub fn filter(element: &str, props: impl IntoIterator<Item = Node>, objects: impl IntoIterator<Item = Node>) -> Node {
    Node::new(element).all(props).all(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_sent_as_vsphere_escapes_them() {
        for (name, sent) in [
            ("web", "web"),
            ("a/b\\c%d", "a%2fb%5cc%25d"),
            ("fast (50%)", "fast (50%25)"),
            ("a%2fb", "a%252fb"),
            ("%", "%25"),
            ("%25", "%2525"),
            ("ä/ü", "ä%2fü"),
        ] {
            assert_eq!(encoded(name), sent);
            assert_eq!(decoded(sent), name);
            let kinds = ["VirtualMachine", "Network", "Datastore", "ResourcePool", "HostSystem", "Folder"];
            for kind in kinds {
                let text = format!(
                    r#"<objects><obj type="{kind}">x-1</obj><propSet><name>name</name><val>{sent}</val></propSet>
                        <propSet><name>config.name</name><val>{sent}</val></propSet></objects>"#
                );
                let object = Object::read(&Node::parse(&text).unwrap()).unwrap();
                assert_eq!((object.text("name"), object.text("config.name")), (Some(name), Some(sent)), "{kind}");
            }
        }
        assert_eq!(decoded("A%2FB%5CC"), "A/B\\C");
    }

    #[test]
    fn objects_read_with_missing_and_unset_properties() {
        let node = Node::parse(
            r#"<objects xmlns:xsi="x"><obj type="VirtualMachine">vm-1</obj>
                <propSet><name>name</name><val xsi:type="xsd:string">web</val></propSet>
                <propSet><name>guest</name></propSet>
                <missingSet><path>config</path><fault><fault xsi:type="NotAuthenticated"/><localizedMessage>x</localizedMessage></fault></missingSet>
            </objects>"#,
        )
        .unwrap();
        let object = Object::read(&node).unwrap();
        assert_eq!(object.id, MoRef::vm("vm-1"));
        assert_eq!(object.text("name"), Some("web"));
        assert!(!object.props.contains_key("guest"));
        assert_eq!(object.missing["config"].kind, "NotAuthenticated");
    }
}
