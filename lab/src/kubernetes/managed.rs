//! Managed fields.

use serde_json::Value;

use super::{operation::Operation, write::metadata};

/// How fields were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writer {
    /// Create, update or any patch but apply.
    Update,
}

/// Records the writer of a new object.
pub fn created(_op: &Operation, object: &mut Value) {
    metadata(object).shift_remove("managedFields");
}

/// Records the writer of a change.
pub fn updated(_op: &Operation, _old: &Value, new: &mut Value, _writer: &Writer, _sent: Option<&Value>) {
    metadata(new).shift_remove("managedFields");
}

/// Whether two states differ in nothing that counts.
pub fn same(old: &Value, new: &Value) -> bool {
    old == new
}
