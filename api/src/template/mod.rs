//! Name templates as Forklift evaluates them: Go's text/template with twenty-nine functions of the Sprig library, and the rules
//! for what comes out. Both sides need it: the lab names claims by it, the tool foretells their names.
//!
//! What Go's real implementation gives is committed as data beside the tests (`api/tests/templates.json`), with the Go program
//! that makes it in `tests/servers/templates`. Complex numbers are refused, and limits are lower than Go's: nesting, steps, text.

mod exec;
mod format;
mod functions;
mod lex;
mod node;
mod parse;
mod pvc;
mod regex;
mod strings;
mod text;
mod value;

pub use self::{
    pvc::{ClaimName, DEFAULT_PVC_TEMPLATE, DiskData, claim_name, pvc_data},
    value::{Data, Value},
};
use crate::names;

/// What Forklift calls the template; it stands in Go's errors.
const NAME: &str = "template";

/// Why a template gives no name, in the words that stand in a Plan's condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// It cannot be read. Go's error.
    Syntax(String),
    /// It cannot be filled in. Go's error.
    Execution(String),
    /// Nothing but space comes out.
    Empty,
    /// What comes out is no DNS-1123 label.
    NotALabel(String),
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Syntax(error) => write!(f, "Invalid template syntax caused by: 'template: {error}'"),
            Self::Execution(error) => write!(f, "Template execution failed caused by: 'template: {error}'"),
            Self::Empty => f.write_str("Template output is empty"),
            Self::NotALabel(out) => write!(f, "Template output is invalid k8s label [{out}]"),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Fills a template in.
///
/// # Errors
/// What is wrong with the template.
pub fn render(template: &str, data: Data) -> Result<String, TemplateError> {
    let templates = parse::parse(template, NAME).map_err(|error| TemplateError::Syntax(format!("{NAME}:{error}")))?;
    exec::run(&templates, NAME, template, data).map_err(TemplateError::Execution)
}

/// Fills a template in that must give a DNS-1123 label; blanks around it do not count.
///
/// # Errors
/// What is wrong with the template, and a result that is no label.
pub fn label(template: &str, data: Data) -> Result<String, TemplateError> {
    let out = render(template, data)?;
    let out = out.trim();
    if out.is_empty() {
        return Err(TemplateError::Empty);
    }
    if names::is_label(out) { Ok(out.to_owned()) } else { Err(TemplateError::NotALabel(out.to_owned())) }
}
