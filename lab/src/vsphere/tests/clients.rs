//! Whole requests as foreign clients write them: other prefixes, other orders of attributes, headers.

use super::{Lab, Node};

async fn post(lab: &Lab, text: &str) -> (u16, Node) {
    let response = lab.client.post(format!("{}/sdk", lab.url)).body(text.to_owned()).send().await.unwrap();
    let status = response.status().as_u16();
    let envelope = Node::parse(&response.text().await.unwrap()).unwrap();
    (status, envelope.child("Body").unwrap().children.first().unwrap().clone())
}

#[tokio::test]
async fn go_style_envelopes_are_read() {
    let lab = Lab::start().await;
    lab.login().await;
    let text = r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Header><id xmlns="">7a1b</id></Header><Body><RetrievePropertiesEx xmlns="urn:vim25"><_this type="PropertyCollector">propertyCollector</_this><specSet><propSet><type>SessionManager</type><pathSet>currentSession</pathSet></propSet><objectSet><obj type="SessionManager">SessionManager</obj></objectSet></specSet><options></options></RetrievePropertiesEx></Body></Envelope>"#;
    let (status, body) = post(&lab, text).await;
    assert_eq!((status, body.name.as_str()), (200, "RetrievePropertiesExResponse"));
    let value = body.at(&["returnval", "objects", "propSet", "val"]).unwrap();
    assert_eq!(value.xsi_type(), Some("UserSession"));
}

#[tokio::test]
async fn other_prefixes_are_read() {
    let lab = Lab::start().await;
    lab.login().await;
    let text = r#"<S:Envelope xmlns:S="http://schemas.xmlsoap.org/soap/envelope/" xmlns:v="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><S:Body>
        <v:FindByInventoryPath><v:_this i:type="v:ManagedObjectReference" type="SearchIndex">SearchIndex</v:_this><v:inventoryPath>/DC0/vm/mtv-tests-rhel8</v:inventoryPath></v:FindByInventoryPath></S:Body></S:Envelope>"#;
    let (status, body) = post(&lab, text).await;
    assert_eq!((status, body.get("returnval")), (200, Some(lab.vm("mtv-tests-rhel8").id.as_str())));
}

#[tokio::test]
async fn garbage_is_an_invalid_request() {
    let lab = Lab::start().await;
    for text in ["", "<a>", "<Envelope/>", "{}"] {
        let (status, body) = post(&lab, text).await;
        let detail = body.child("detail").unwrap().children.first().unwrap();
        assert_eq!((status, detail.xsi_type()), (500, Some("InvalidRequest")), "{text}");
    }
}
