//! Envelopes: SOAP 1.1 as vSphere speaks it.

use mtv_api::xml::Node;

use super::{fault::Fault, ids::MoRef, value::Value};

/// A call of a method.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the method.
    pub method: String,
    /// The object that it is called on.
    pub this: MoRef,
    /// All arguments, `_this` among them.
    pub body: Node,
}

/// What a method returns.
#[derive(Debug)]
pub enum Reply {
    /// Nothing.
    Empty,
    /// A value; arrays become repeated elements.
    Value(Value),
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// Opens an envelope.
///
/// # Errors
/// `InvalidRequest` for what is no envelope with one call in it.
pub fn open(text: &str) -> Result<Request, Fault> {
    let envelope = Node::parse(text).map_err(|error| Fault::invalid_request(format!("the request is no XML: {error}")))?;
    let body = envelope.child("Body").filter(|_| envelope.name == "Envelope");
    let call =
        body.and_then(|b| b.children.first()).ok_or_else(|| Fault::invalid_request("the request is no SOAP envelope with a call"))?;
    let this = call.child("_this").map(MoRef::read).ok_or_else(|| Fault::invalid_request(format!("{}: _this is missing", call.name)))?;
    Ok(Request { method: call.name.clone(), this, body: call.clone() })
}

/// The envelope of an answer.
pub fn close(method: &str, reply: &Result<Reply, Fault>) -> String {
    let content = match reply {
        Ok(Reply::Empty) => Node::new(format!("{method}Response")).attr("xmlns", "urn:vim25"),
        Ok(Reply::Value(value)) => {
            let mut node = Node::new(format!("{method}Response")).attr("xmlns", "urn:vim25");
            // A single simple value is told with its type where the declared type may be any: Fetch.
            if method == "Fetch" {
                match value {
                    Value::List(..) => node.children.push(value.typed("returnval")),
                    Value::Ref(_) => value.append(&mut node, "returnval"),
                    other => node.children.push(other.typed("returnval")),
                }
            } else {
                value.append(&mut node, "returnval");
            }
            node
        }
        Err(fault) => fault.soap(),
    };
    let envelope = Node::new("soapenv:Envelope")
        .attr("xmlns:soapenc", "http://schemas.xmlsoap.org/soap/encoding/")
        .attr("xmlns:soapenv", "http://schemas.xmlsoap.org/soap/envelope/")
        .attr("xmlns:xsd", "http://www.w3.org/2001/XMLSchema")
        .attr("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")
        .with(Node::new("soapenv:Body").with(content));
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{envelope}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_in_its_envelope() {
        let text = r#"<?xml version="1.0"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Header><vcSessionCookie>1</vcSessionCookie></soapenv:Header>
            <soapenv:Body><Logout xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this></Logout></soapenv:Body></soapenv:Envelope>"#;
        let request = open(text).unwrap();
        assert_eq!((request.method.as_str(), request.this.id.as_str()), ("Logout", "SessionManager"));
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for text in ["", "<a/>", "<Envelope><Body/></Envelope>", "<Envelope><Body><Logout/></Body></Envelope>"] {
            assert_eq!(open(text).unwrap_err().detail.kind, "InvalidRequest", "{text}");
        }
    }
}
