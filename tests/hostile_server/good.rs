//! The beginning of an ordinary conversation, so that what comes later can go wrong.

use serde_json::{Value, json};

use crate::server::{Answer, Asked};

/// The method of a SOAP request.
pub fn method(asked: &Asked) -> &str {
    let body = asked.body.split_once("Body>").map_or("", |(_, rest)| rest);
    let name = body.strip_prefix('<').unwrap_or_default();
    name.split([' ', '>', '/']).next().unwrap_or_default()
}

fn envelope(inner: &str) -> String {
    format!(
        r#"<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{inner}</soapenv:Body></soapenv:Envelope>"#
    )
}

/// A response of a vCenter with what is in it.
pub fn response(method: &str, inner: &str) -> Answer {
    Answer::xml(&envelope(&format!(r#"<{method}Response xmlns="urn:vim25">{inner}</{method}Response>"#)))
}

/// A fault of a vCenter.
pub fn fault(kind: &str) -> Answer {
    let inner = format!(
        r#"<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>no</faultstring><detail><{kind}Fault xmlns="urn:vim25" xsi:type="{kind}"></{kind}Fault></detail></soapenv:Fault>"#
    );
    Answer::Good(500, vec![("content-type", "text/xml".to_owned())], envelope(&inner))
}

/// A vCenter up to the end of the login. `session` names the view of this login.
pub fn vcenter(asked: &Asked, session: usize) -> Option<Answer> {
    let method = method(asked);
    Some(match method {
        "RetrieveServiceContent" => response(
            method,
            r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">propertyCollector</propertyCollector><viewManager type="ViewManager">ViewManager</viewManager><about><fullName>VMware vCenter Server 8.0.3</fullName><apiVersion>8.0.3.0</apiVersion><apiType>VirtualCenter</apiType></about><sessionManager type="SessionManager">SessionManager</sessionManager></returnval>"#,
        ),
        "Login" => response(method, "<returnval><key>s</key></returnval>"),
        "CreateContainerView" => response(method, &format!(r#"<returnval type="ContainerView">view-{session}</returnval>"#)),
        "Logout" => response(method, ""),
        _ => return None,
    })
}

/// An engine up to the end of the login; what comes then is `/ovirt-engine/api/vms?…`.
pub fn engine(asked: &Asked) -> Option<Answer> {
    let api = json!({"product_info": {"name": "oVirt Engine", "version": {"full_version": "4.5.6"}}});
    if asked.path.ends_with("/sso/oauth/token") {
        return Some(Answer::json(json!({"access_token": "a-token-of-the-engine", "exp": "1"})));
    }
    (asked.path == "/ovirt-engine/api").then(|| Answer::json(api))
}

/// A cloud up to the end of the login; what comes then is `/compute/…`.
pub fn cloud(asked: &Asked) -> Option<Answer> {
    if asked.method == "DELETE" && asked.path.ends_with("/auth/tokens") {
        return Some(Answer::Good(204, Vec::new(), String::new()));
    }
    if asked.path.ends_with("/auth/tokens") {
        let host = asked.head.lines().find_map(|line| line.to_lowercase().strip_prefix("host: ").map(str::to_owned)).unwrap();
        let entry = |kind: &str, path: &str| json!({"type": kind, "endpoints": [{"interface": "public", "region_id": "x", "region": "x", "url": format!("https://{host}/{path}")}]});
        let catalog: Vec<Value> =
            [("compute", "compute/v2.1"), ("volumev3", "volume/v3/p"), ("image", "image/v2"), ("network", "network/v2.0")]
                .map(|(kind, path)| entry(kind, path))
                .into();
        let body = json!({"token": {"project": {"id": "p", "name": "x"}, "catalog": catalog}});
        return Some(Answer::Good(201, vec![("x-subject-token", "a-token-of-the-cloud".to_owned())], body.to_string()));
    }
    None
}
