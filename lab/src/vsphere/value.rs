//! Values of the vSphere API: what properties hold and methods return, with the type names that go into `xsi:type`.

use mtv_api::xml::Node;

use super::ids::MoRef;

/// A value of the API.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `xsd:boolean`
    Bool(bool),
    /// `xsd:short`
    Short(i16),
    /// `xsd:int`
    Int(i32),
    /// `xsd:long`
    Long(i64),
    /// `xsd:string`
    Str(String),
    /// `xsd:dateTime`
    Time(String),
    /// A value of an enumeration: type and name.
    Enum(&'static str, String),
    /// A reference to a managed object.
    Ref(MoRef),
    /// A data object.
    Object(Object),
    /// An array: type of the elements as in `ArrayOf…`, and the elements.
    List(&'static str, Vec<Value>),
    /// A value in a place whose declared type is `anyType`: its own type is always written.
    Any(Box<Value>),
}

/// A data object: its type and its fields in the order of the schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Type name.
    pub kind: &'static str,
    /// Fields that are set.
    pub fields: Vec<(&'static str, Value)>,
}

impl Object {
    /// A data object without fields.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, fields: Vec::new() }
    }

    /// Sets a field.
    #[must_use]
    pub fn set(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Sets a field if there is a value.
    #[must_use]
    pub fn opt(self, name: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.set(name, value),
            None => self,
        }
    }

    /// Sets a field to a value of an enumeration.
    #[must_use]
    pub fn choice(self, name: &'static str, kind: &'static str, value: impl Into<String>) -> Self {
        self.set(name, Value::Enum(kind, value.into()))
    }

    /// Sets a field to an array.
    #[must_use]
    pub fn list(self, name: &'static str, kind: &'static str, items: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.set(name, Value::List(kind, items.into_iter().map(Into::into).collect()))
    }

    /// Adds the fields of another object: how a type extends another one.
    #[must_use]
    pub fn extend(mut self, base: Object) -> Self {
        self.fields.extend(base.fields);
        self
    }

    /// A field's value.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v)
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<i16> for Value {
    fn from(v: i16) -> Self {
        Self::Short(v)
    }
}
impl From<i32> for Value {
    fn from(v: i32) -> Self {
        Self::Int(v)
    }
}
impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Self::Long(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Self::Str(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Self::Str(v)
    }
}
impl From<&String> for Value {
    fn from(v: &String) -> Self {
        Self::Str(v.clone())
    }
}
impl From<MoRef> for Value {
    fn from(v: MoRef) -> Self {
        Self::Ref(v)
    }
}
impl From<Object> for Value {
    fn from(v: Object) -> Self {
        Self::Object(v)
    }
}

/// An array of references.
pub fn refs(items: impl IntoIterator<Item = MoRef>) -> Value {
    Value::List("ManagedObjectReference", items.into_iter().map(Value::Ref).collect())
}

/// An array of strings.
pub fn strings(items: impl IntoIterator<Item = impl Into<String>>) -> Value {
    Value::List("String", items.into_iter().map(|s| Value::Str(s.into())).collect())
}

/// A value in a place of type `anyType`.
pub fn any(value: impl Into<Value>) -> Value {
    Value::Any(Box::new(value.into()))
}

/// A number of the model as the API's `int`: the API has no unsigned numbers.
pub fn int(n: impl TryInto<i32>) -> Value {
    Value::Int(n.try_into().unwrap_or(i32::MAX))
}

/// A number of the model as the API's `long`.
pub fn long(n: impl TryInto<i64>) -> Value {
    Value::Long(n.try_into().unwrap_or(i64::MAX))
}

impl Value {
    /// The name for `xsi:type`.
    pub fn type_name(&self) -> String {
        match self {
            Self::Bool(_) => "xsd:boolean".to_owned(),
            Self::Short(_) => "xsd:short".to_owned(),
            Self::Int(_) => "xsd:int".to_owned(),
            Self::Long(_) => "xsd:long".to_owned(),
            Self::Str(_) => "xsd:string".to_owned(),
            Self::Time(_) => "xsd:dateTime".to_owned(),
            Self::Enum(kind, _) => (*kind).to_owned(),
            Self::Ref(_) => "ManagedObjectReference".to_owned(),
            Self::Object(o) => o.kind.to_owned(),
            Self::List(kind, _) => format!("ArrayOf{kind}"),
            Self::Any(inner) => inner.type_name(),
        }
    }

    /// The text of simple values.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Bool(v) => Some(v.to_string()),
            Self::Short(v) => Some(v.to_string()),
            Self::Int(v) => Some(v.to_string()),
            Self::Long(v) => Some(v.to_string()),
            Self::Str(v) | Self::Time(v) | Self::Enum(_, v) => Some(v.clone()),
            Self::Ref(v) => Some(v.id.clone()),
            Self::Any(inner) => inner.text(),
            Self::Object(_) | Self::List(..) => None,
        }
    }

    /// References in this value: one, or those of an array.
    pub fn references(&self) -> Vec<MoRef> {
        match self {
            Self::Ref(r) => vec![r.clone()],
            Self::List(_, items) => items.iter().flat_map(Self::references).collect(),
            Self::Any(inner) => inner.references(),
            _ => Vec::new(),
        }
    }

    /// Writes the value where its own type must be told: `val` of a property, a field of type `anyType`.
    pub fn typed(&self, name: &str) -> Node {
        match self {
            Self::Any(inner) => inner.typed(name),
            Self::List(kind, items) => {
                let element = match *kind {
                    "String" => "string",
                    "Int" => "int",
                    "Long" => "long",
                    "Short" => "short",
                    "Boolean" => "boolean",
                    "Byte" => "byte",
                    "AnyType" => "anyType",
                    other => other,
                };
                let mut node = Node::new(name).typed(&self.type_name());
                for item in items {
                    item.append(&mut node, element);
                }
                node
            }
            Self::Object(_) => self.element(name),
            other => {
                let mut node = other.element(name);
                node.attrs.insert(0, ("xsi:type".to_owned(), other.type_name()));
                node
            }
        }
    }

    /// Writes the value as a field: arrays become repeated elements.
    pub fn append(&self, parent: &mut Node, name: &str) {
        match self {
            Self::List(_, items) => {
                for item in items {
                    item.append(parent, name);
                }
            }
            Self::Any(inner) => parent.children.push(inner.typed(name)),
            other => parent.children.push(other.element(name)),
        }
    }

    /// One element: data objects carry their type, simple values do not.
    fn element(&self, name: &str) -> Node {
        match self {
            Self::Object(object) => {
                let mut node = Node::new(name).typed(object.kind);
                for (field, value) in &object.fields {
                    value.append(&mut node, field);
                }
                node
            }
            Self::Ref(r) => Node::text(name, &r.id).attr("type", r.kind.clone()),
            other => Node::text(name, other.text().unwrap_or_default()),
        }
    }

    /// Walks down a property path such as `hardware.device[4000].macAddress` or `extraConfig["key"]`. `None` where a value on the way is unset.
    pub fn walk(&self, path: &str) -> Option<Value> {
        let Some((segment, rest)) = first_segment(path) else { return Some(self.clone()) };
        let here = match self {
            Self::Any(inner) => return inner.walk(path),
            Self::Object(object) => object.get(segment.name)?,
            _ => return None,
        };
        match segment.key {
            None => here.walk(rest),
            Some(key) => here.keyed(key)?.walk(rest),
        }
    }

    /// The element of an array with this key: its `key` field, its own text, or a reference's value.
    pub fn keyed(&self, key: &str) -> Option<&Value> {
        let Self::List(_, items) = self else { return None };
        items.iter().find(|item| match item {
            Self::Object(object) => object.get("key").and_then(Value::text).as_deref() == Some(key),
            other => other.text().as_deref() == Some(key),
        })
    }
}

/// A part of a property path.
#[derive(Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Name of the property.
    pub name: &'a str,
    /// Key in square brackets, without quotes.
    pub key: Option<&'a str>,
}

/// Cuts a property path after its first part. Keys may hold dots.
pub fn first_segment(path: &str) -> Option<(Segment<'_>, &str)> {
    if path.is_empty() {
        return None;
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    if let Some(inner) = rest.strip_prefix('[') {
        let (key, after) = match inner.strip_prefix('"') {
            Some(quoted) => quoted.split_once("\"]")?,
            None => inner.split_once(']')?,
        };
        return Some((Segment { name, key: Some(key) }, after.strip_prefix('.').unwrap_or(after)));
    }
    Some((Segment { name, key: None }, rest.strip_prefix('.').unwrap_or(rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Value {
        let option = |key: &str, value: &str| Object::new("OptionValue").set("key", key).set("value", any(value));
        Value::Object(
            Object::new("VirtualMachineConfigInfo")
                .set("name", "a<b")
                .list("extraConfig", "OptionValue", [option("scsi0:0.ctkEnabled", "TRUE"), option("b", "2")])
                .set(
                    "hardware",
                    Object::new("VirtualHardware").list("device", "VirtualDevice", [Object::new("VirtualDisk").set("key", 2000)]),
                ),
        )
    }

    #[test]
    fn paths_lead_to_nested_values() {
        let config = config();
        for (path, want) in [
            ("name", Some("a<b")),
            ("hardware.device[2000].key", Some("2000")),
            (r#"extraConfig["scsi0:0.ctkEnabled"].value"#, Some("TRUE")),
            ("annotation", None),
            ("hardware.device[1].key", None),
            ("hardware.device.key", None),
        ] {
            assert_eq!(config.walk(path).and_then(|v| v.text()).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn arrays_are_wrapped_as_values_and_repeated_as_fields() {
        let hardware = config().walk("hardware").unwrap();
        assert_eq!(
            hardware.typed("val").to_string(),
            r#"<val xsi:type="VirtualHardware"><device xsi:type="VirtualDisk"><key>2000</key></device></val>"#
        );
        let devices = config().walk("hardware.device").unwrap();
        assert_eq!(
            devices.typed("val").to_string(),
            r#"<val xsi:type="ArrayOfVirtualDevice"><VirtualDevice xsi:type="VirtualDisk"><key>2000</key></VirtualDevice></val>"#
        );
        assert_eq!(strings(["x"]).typed("val").to_string(), r#"<val xsi:type="ArrayOfString"><string>x</string></val>"#);
    }
}
