//! Kubernetes' own types: which fields they have, in which order Go writes them, and how lists in them merge.
//!
//! The table beside this file comes from the Go types themselves (`tests/servers/kubernetes/types`).

use std::{collections::HashMap, sync::LazyLock};

/// One struct.
#[derive(Debug)]
pub struct Message {
    /// Package and name, such as `core.Pod`.
    pub name: &'static str,
    /// Server-side apply owns it as a whole.
    pub atomic: bool,
    /// Fields in Go's order.
    pub fields: Vec<Field>,
}

/// What stands around the type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The value itself.
    One,
    /// A list.
    List,
    /// A map from strings.
    Map,
}

/// How server-side apply owns a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListKind {
    /// As a whole.
    Atomic,
    /// Member by member.
    Set,
    /// Element by element, by these keys.
    Keyed(Vec<&'static str>),
}

/// How a strategic merge patch treats a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PatchKind {
    /// Replaces it.
    Replace,
    /// Merges elements by this key.
    ByKey(&'static str),
    /// Merges values.
    Values,
}

/// One field of a struct.
#[derive(Debug)]
pub struct Field {
    /// Number in protobuf.
    pub number: u64,
    /// Name in JSON; empty for a struct whose fields stand in the one around it.
    pub name: &'static str,
    /// One, list or map.
    pub shape: Shape,
    /// A pointer: what is absent is not there.
    pub pointer: bool,
    /// A list as the value of a map, or in a list.
    pub nested: bool,
    /// A scalar, a leaf such as `meta.Time`, or a message.
    pub kind: &'static str,
    /// Go's name of a scalar that has a type of its own.
    pub alias: &'static str,
    /// Left out when empty.
    pub omit_empty: bool,
    /// Left out when zero, a struct too.
    pub omit_zero: bool,
    /// A map or struct that server-side apply owns as a whole.
    pub atomic: bool,
    /// How server-side apply owns the list.
    pub list: ListKind,
    /// How a strategic merge patch treats the list.
    pub patch: PatchKind,
    /// What a key of a list is if it is absent.
    pub default: Option<&'static str>,
}

impl Field {
    fn parse(word: &'static str) -> Option<Self> {
        let mut parts = word.splitn(4, ':');
        let (number, name, kind, flags) = (parts.next()?.parse().ok()?, parts.next()?, parts.next()?, parts.next()?);
        let (pointer, kind) = kind.strip_prefix('*').map_or((false, kind), |kind| (true, kind));
        let (shape, kind) = match (kind.strip_prefix("[]"), kind.strip_prefix("{}")) {
            (Some(kind), _) => (Shape::List, kind),
            (_, Some(kind)) => (Shape::Map, kind),
            _ => (Shape::One, kind),
        };
        let (nested, kind) = kind.strip_prefix("[]").map_or((false, kind), |kind| (true, kind));
        let (kind, alias) = kind.split_once('~').unwrap_or((kind, ""));
        let flags: Vec<&str> = flags.split(',').collect();
        let has = |flag: &str| flags.contains(&flag);
        let valued = |flag: &str| flags.iter().find_map(|word| word.strip_prefix(flag));
        Some(Self {
            number,
            name,
            shape,
            pointer,
            nested,
            kind,
            alias,
            omit_empty: has("o"),
            omit_zero: has("z"),
            atomic: has("a"),
            list: match valued("k=") {
                Some(keys) => ListKind::Keyed(keys.split('+').collect()),
                None if has("s") => ListKind::Set,
                None => ListKind::Atomic,
            },
            patch: match valued("p=") {
                Some(key) => PatchKind::ByKey(key),
                None if has("P") => PatchKind::Values,
                None => PatchKind::Replace,
            },
            default: valued("d="),
        })
    }

    /// The struct that it holds, if it is none that writes itself.
    pub fn message(&self) -> Option<&'static Message> {
        message(self.kind)
    }

    /// Go's name of the type, as its decoder shows it.
    pub fn shown(&self) -> String {
        let one = self.shown_item();
        match self.shape {
            Shape::One => one,
            Shape::List => format!("[]{one}"),
            Shape::Map => format!("map[string]{one}"),
        }
    }

    /// The same for what stands in its list or map.
    pub fn shown_item(&self) -> String {
        match (self.alias, self.kind.split_once('.')) {
            ("", None) if self.kind == "bytes" => "[]uint8".to_owned(),
            ("", None) if self.kind == "double" => "float64".to_owned(),
            ("", None) => self.kind.to_owned(),
            ("", Some((_, name))) => format!("v1.{name}"),
            (alias, _) => alias.to_owned(),
        }
    }
}

impl Message {
    /// A field by its name in JSON, also of structs whose fields stand in this one.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.all().find(|field| field.name == name)
    }

    /// All fields, with those of structs that stand in this one in their place.
    pub fn all(&self) -> Box<dyn Iterator<Item = &'static Field> + '_> {
        let this = message(self.name);
        Box::new(this.into_iter().flat_map(|this| &this.fields).flat_map(|field| -> Box<dyn Iterator<Item = &'static Field>> {
            match field.message().filter(|_| field.name.is_empty()) {
                Some(inner) => Box::new(inner.all()),
                None => Box::new(std::iter::once(field)),
            }
        }))
    }

    /// Go's name of the struct, without its package.
    pub fn short(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }
}

static MESSAGES: LazyLock<HashMap<&'static str, Message>> = LazyLock::new(|| {
    let message = |line: &'static str| {
        let mut words = line.split(' ');
        let head = words.next()?;
        let (name, atomic) = head.strip_suffix('!').map_or((head, false), |name| (name, true));
        Some((name, Message { name, atomic, fields: words.filter_map(Field::parse).collect() }))
    };
    include_str!("types.txt").lines().filter(|line| !line.starts_with('#')).filter_map(message).collect()
});

/// A struct by its name in the table.
pub fn message(name: &str) -> Option<&'static Message> {
    MESSAGES.get(name)
}

/// The name of a built-in kind in the table.
pub fn name_of(group: &str, kind: &str) -> String {
    let package = if group.is_empty() { "core" } else { group.split('.').next().unwrap_or_default() };
    format!("{package}.{kind}")
}

/// The struct of a built-in kind.
pub fn of_kind(group: &str, kind: &str) -> Option<&'static Message> {
    message(&name_of(group, kind))
}

/// The metadata of every object.
pub fn metadata() -> Option<&'static Message> {
    message("meta.ObjectMeta")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types that are no structs of the table.
    const OTHERS: &[&str] = &[
        "string",
        "bool",
        "int32",
        "int64",
        "bytes",
        "double",
        "meta.Time",
        "meta.MicroTime",
        "meta.Duration",
        "meta.FieldsV1",
        "resource.Quantity",
        "intstr.IntOrString",
        "runtime.RawExtension",
        "apiextensions.JSON",
        "apiextensions.JSONSchemaPropsOrArray",
        "apiextensions.JSONSchemaPropsOrBool",
        "apiextensions.JSONSchemaPropsOrStringArray",
    ];

    #[test]
    fn every_type_of_the_table_is_known() {
        assert!(MESSAGES.len() > 300);
        for message in MESSAGES.values() {
            for field in &message.fields {
                assert!(OTHERS.contains(&field.kind) || field.message().is_some(), "{}.{}: {}", message.name, field.name, field.kind);
            }
        }
    }

    #[test]
    fn fields_of_embedded_structs_stand_in_their_place() {
        let volume = message("core.Volume").unwrap();
        let names: Vec<&str> = volume.all().map(|field| field.name).take(3).collect();
        assert_eq!(names, ["name", "hostPath", "emptyDir"]);
        assert_eq!(volume.field("secret").unwrap().kind, "core.SecretVolumeSource");
        let ports = message("core.Container").unwrap().field("ports").unwrap();
        assert_eq!((&ports.list, ports.patch), (&ListKind::Keyed(vec!["containerPort", "protocol"]), PatchKind::ByKey("containerPort")));
        assert_eq!(message("core.ContainerPort").unwrap().field("protocol").unwrap().default, Some("TCP"));
    }

    #[test]
    fn types_as_go_shows_them() {
        let shown = |message_name: &str, field: &str| message(message_name).unwrap().field(field).unwrap().shown();
        assert_eq!(shown("core.PodSpec", "containers"), "[]v1.Container");
        assert_eq!(shown("core.PodSpec", "restartPolicy"), "v1.RestartPolicy");
        assert_eq!(shown("meta.ObjectMeta", "labels"), "map[string]string");
        assert_eq!(shown("apps.DeploymentSpec", "replicas"), "int32");
    }
}
