//! The service instance and settings.

use super::{Context, Outcome, unknown};
use crate::vsphere::{
    fault::Fault,
    model::Model,
    soap::{Reply, Request},
    types::service,
    value::Value,
};

/// Methods of the service instance.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    match request.method.as_str() {
        "RetrieveServiceContent" => Ok(Value::Object(cx.look(service::content)).into()),
        "CurrentTime" => Ok(Value::Time(Model::now()).into()),
        _ => Err(unknown(request)),
    }
}

/// Methods of option managers.
///
/// # Errors
/// `InvalidName` for a setting that is not there, otherwise the method's fault.
pub fn options(cx: &Context, request: &Request) -> Outcome {
    if request.method != "QueryOptions" {
        return Err(unknown(request));
    }
    let wanted = request.body.get("name").unwrap_or_default();
    let matches = |key: &str| wanted.is_empty() || key == wanted || (wanted.ends_with('.') && key.starts_with(wanted));
    let found: Vec<Value> = cx.look(|sight| {
        let fits = |o: &crate::vsphere::value::Object| o.get("key").and_then(Value::text).is_some_and(|k| matches(&k));
        service::settings(sight, &request.this.id).filter(fits).map(Value::Object).collect()
    });
    if found.is_empty() {
        return Err(Fault::new("InvalidName", format!("there is no setting {wanted}")).with("name", wanted));
    }
    Ok(Reply::Value(Value::List("OptionValue", found)))
}
