//! Custom attributes.

use super::{Context, Outcome, needed, needed_text, unknown};
use crate::vsphere::{
    fault::Fault,
    model::reconfigure::number,
    soap::{Reply, Request},
    types::service::field_definition,
    value::Value,
};

/// Methods of the custom fields manager.
///
/// # Errors
/// `DuplicateName` for the name of a definition, `InvalidArgument` for an unknown key, otherwise the method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let key = || number::<i32>(&request.body, "key").ok_or_else(|| Fault::invalid_argument("key"));
    cx.server.change(|model| match request.method.as_str() {
        "AddCustomFieldDef" => {
            let name = needed_text(request, "name")?;
            if model.custom_fields.iter().any(|(_, n, _)| n == name) {
                return Err(Fault::duplicate_name(name, request.this.clone()));
            }
            let number = i32::try_from(model.count("custom field")).unwrap_or(i32::MAX);
            let field = (number, name.to_owned(), request.body.get("moType").map(str::to_owned));
            let shown = Value::Object(field_definition(&field));
            model.custom_fields.push(field);
            Ok(shown.into())
        }
        "RemoveCustomFieldDef" => {
            let key = key()?;
            model.custom_fields.retain(|(k, _, _)| *k != key);
            for entity in model.entities.values_mut() {
                entity.custom.remove(&key);
            }
            Ok(Reply::Empty)
        }
        "RenameCustomFieldDef" => {
            let key = key()?;
            let name = needed_text(request, "name")?.to_owned();
            let field = model.custom_fields.iter_mut().find(|(k, _, _)| *k == key).ok_or_else(|| Fault::invalid_argument("key"))?;
            field.1 = name;
            Ok(Reply::Empty)
        }
        "SetField" => {
            let key = key()?;
            let entity = needed(request, "entity")?;
            if !model.custom_fields.iter().any(|(k, _, _)| *k == key) {
                return Err(Fault::invalid_argument("key"));
            }
            let value = needed_text(request, "value")?.to_owned();
            let entity = model.find_mut(&entity)?;
            if value.is_empty() {
                entity.custom.remove(&key);
            } else {
                entity.custom.insert(key, value);
            }
            Ok(Reply::Empty)
        }
        _ => Err(unknown(request)),
    })
}
