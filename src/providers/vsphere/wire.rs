//! What goes over the wire: references, envelopes, answers and faults. No IO.

use mtv_api::xml::Node;

use crate::secrets::excerpt;

/// Longest part of a text of the server that an error repeats, characters.
pub const REPEATED: usize = 1000;

/// Namespace of the vSphere API.
const VIM: &str = "urn:vim25";

/// A managed object reference: the type of an object and its id in this vCenter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MoRef {
    /// Type, such as `VirtualMachine`.
    pub kind: String,
    /// Id, such as `vm-12`.
    pub value: String,
}

impl MoRef {
    /// A reference.
    pub fn new(kind: impl Into<String>, value: impl Into<String>) -> Self {
        Self { kind: kind.into(), value: value.into() }
    }

    /// A reference to a virtual machine.
    pub fn vm(id: &str) -> Self {
        Self::new("VirtualMachine", id)
    }

    /// The reference as an element of a request.
    pub fn node(&self, element: &str) -> Node {
        Node::text(element, &self.value).attr("type", &self.kind)
    }

    /// Reads a reference. An element can carry both `type` and `xsi:type`, in any order; the tree knows both as `type`.
    pub fn read(node: &Node) -> Option<Self> {
        let kind = node.attrs.iter().find(|(name, value)| name == "type" && value != "ManagedObjectReference").map(|(_, value)| value)?;
        (!node.text.is_empty()).then(|| Self::new(kind, node.text.trim()))
    }

    /// Reads the references of an `ArrayOfManagedObjectReference`.
    pub fn read_all(node: &Node) -> Vec<Self> {
        node.children.iter().filter_map(Self::read).collect()
    }
}

/// Starts a request: the method's element with its `_this`.
pub fn request(method: &str, this: &MoRef) -> Node {
    Node::new(method).attr("xmlns", VIM).with(this.node("_this"))
}

/// A whole request document.
pub fn envelope(body: &Node) -> String {
    let mut out = String::from(concat!(
        r#"<?xml version="1.0" encoding="UTF-8"?>"#,
        r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/""#,
        r#" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>"#
    ));
    body.write(&mut out);
    out.push_str("</soapenv:Body></soapenv:Envelope>");
    out
}

/// A fault, either of a call or of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Type, such as `InvalidLogin`.
    pub kind: String,
    /// The server's own words; may be empty.
    pub message: String,
    /// The fault's data object.
    pub detail: Node,
}

impl Fault {
    /// Reads a `LocalizedMethodFault`: what tasks and missing properties carry.
    pub fn localized(node: &Node) -> Self {
        let detail = node.child("fault").cloned().unwrap_or_default();
        let kind = detail.xsi_type().unwrap_or("MethodFault").to_owned();
        Self { kind, message: told(node, "localizedMessage"), detail }
    }

    /// Reads a SOAP fault.
    fn soap(node: &Node) -> Self {
        let detail = node.child("detail").and_then(|d| d.children.first()).cloned().unwrap_or_default();
        let kind = match detail.xsi_type() {
            Some(kind) => kind.to_owned(),
            None if detail.name.is_empty() => "MethodFault".to_owned(),
            None => detail.name.strip_suffix("Fault").unwrap_or(&detail.name).to_owned(),
        };
        Self { kind, message: told(node, "faultstring"), detail }
    }

    /// Whether it says that this object does not exist (any more).
    pub fn is_gone(&self, id: &str) -> bool {
        self.kind == "ManagedObjectNotFound" && self.detail.get("obj").is_none_or(|obj| obj.trim() == id)
    }
}

/// The words of a fault.
fn told(node: &Node, name: &str) -> String {
    excerpt(node.get(name).unwrap_or_default().trim(), REPEATED)
}

/// What an answer holds.
#[derive(Debug)]
pub enum Answer {
    /// The method's response element.
    Response(Node),
    /// A fault.
    Fault(Fault),
}

/// Reads an answer.
///
/// # Errors
/// Why it is none: no XML, no envelope, no body.
pub fn answer(text: &str) -> Result<Answer, String> {
    let root = Node::parse(text).map_err(|error| format!("the answer is not XML: {error}"))?;
    let body = root
        .child("Body")
        .filter(|_| root.name == "Envelope")
        .ok_or_else(|| format!("the answer is `{}`, not a SOAP envelope", excerpt(&root.name, REPEATED)))?;
    match body.children.first() {
        Some(fault) if fault.name == "Fault" => Ok(Answer::Fault(Fault::soap(fault))),
        Some(response) => Ok(Answer::Response(response.clone())),
        None => Err("the answer's SOAP body is empty".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_read_with_both_types_in_any_order() {
        let cases = [
            r#"<val type="HostSystem" xsi:type="ManagedObjectReference">host-1</val>"#,
            r#"<val xsi:type="ManagedObjectReference" type="HostSystem">host-1</val>"#,
            r#"<val type="HostSystem">host-1</val>"#,
        ];
        for case in cases {
            let text = case.replacen("<val", r#"<val xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance""#, 1);
            assert_eq!(MoRef::read(&Node::parse(&text).unwrap()), Some(MoRef::new("HostSystem", "host-1")), "{case}");
        }
        assert_eq!(MoRef::read(&Node::text("val", "host-1")), None);
    }

    #[test]
    fn faults_read_by_type_and_by_name() {
        let cases = [
            (r#"<detail><InvalidLoginFault xsi:type="InvalidLogin"/></detail>"#, "InvalidLogin"),
            ("<detail><InvalidLoginFault/></detail>", "InvalidLogin"),
            ("<detail/>", "MethodFault"),
            ("", "MethodFault"),
        ];
        for (detail, kind) in cases {
            let text = format!(
                r#"<e:Envelope xmlns:e="e" xmlns:xsi="x"><e:Body><e:Fault><faultcode>c</faultcode><faultstring>m</faultstring>{detail}</e:Fault></e:Body></e:Envelope>"#
            );
            let Ok(Answer::Fault(fault)) = answer(&text) else { panic!("no fault in {text}") };
            assert_eq!((fault.kind.as_str(), fault.message.as_str()), (kind, "m"), "{detail}");
        }
    }

    #[test]
    fn what_is_no_envelope_is_said() {
        for (text, words) in [("oops", "not XML"), ("<html/>", "`html`, not a SOAP"), ("<Envelope><Body/></Envelope>", "body is empty")] {
            let error = answer(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn an_envelope_reads_back() {
        let node = request("Login", &MoRef::new("SessionManager", "sm")).field("userName", "a&b");
        let back = Node::parse(&envelope(&node)).unwrap();
        let login = back.at(&["Body", "Login"]).unwrap();
        assert_eq!(login.get("userName"), Some("a&b"));
        assert_eq!(MoRef::read(login.child("_this").unwrap()), Some(MoRef::new("SessionManager", "sm")));
    }
}
