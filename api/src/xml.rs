//! XML as vSphere's SOAP uses it: a small owned tree. Reading is roxmltree's work, writing is escaping and nesting.
//!
//! `vim25` needs `xsi:type` dispatch, `ArrayOf…` wrappers and look-ups that do not depend on the order of elements, which
//! serde-over-XML does badly; a tree with a few look-ups is all that client and simulator need. Prefixes are resolved on
//! reading: an element is known by its local name, an attribute by its local name too (`type` for `xsi:type`).

use std::fmt;

/// Deepest nesting that is read. Answers of vSphere have some twenty levels; trees are freed and written by recursion.
const DEEPEST: usize = 256;

/// One element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// Local name, without prefix.
    pub name: String,
    /// Attributes: on reading by local name, with prefixes of their values cut (`xsd:string` reads `string`); on writing as given.
    pub attrs: Vec<(String, String)>,
    /// Child elements.
    pub children: Vec<Node>,
    /// Text, without that of children.
    pub text: String,
}

impl Node {
    /// An element without content.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// An element with text.
    pub fn text(name: impl Into<String>, text: impl fmt::Display) -> Self {
        Self { name: name.into(), text: text.to_string(), ..Self::default() }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attr(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attrs.push((name.into(), value.into()));
        self
    }

    /// Says the `xsi:type`.
    #[must_use]
    pub fn typed(self, name: &str) -> Self {
        self.attr("xsi:type", name)
    }

    /// Adds a child.
    #[must_use]
    pub fn with(mut self, child: Node) -> Self {
        self.children.push(child);
        self
    }

    /// Adds a child that holds text.
    #[must_use]
    pub fn field(self, name: &str, text: impl fmt::Display) -> Self {
        self.with(Self::text(name, text))
    }

    /// Adds a child that holds text, if there is any.
    #[must_use]
    pub fn maybe(self, name: &str, text: Option<impl fmt::Display>) -> Self {
        match text {
            Some(text) => self.field(name, text),
            None => self,
        }
    }

    /// Adds many children.
    #[must_use]
    pub fn all(mut self, children: impl IntoIterator<Item = Node>) -> Self {
        self.children.extend(children);
        self
    }

    /// The first child of this name.
    pub fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of this name.
    pub fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// Walks down by child names.
    pub fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self, |node, name| node.child(name))
    }

    /// The text of a child, if it is there.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.child(name).map(|c| c.text.as_str())
    }

    /// An attribute's value by local name.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(n, _)| n == name || n.rsplit(':').next() == Some(name)).map(|(_, v)| v.as_str())
    }

    /// The `xsi:type` without its prefix.
    pub fn xsi_type(&self) -> Option<&str> {
        self.attribute("type").map(|t| t.rsplit(':').next().unwrap_or(t))
    }

    /// Reads a document.
    ///
    /// # Errors
    /// What is malformed and where, in roxmltree's words; doctypes are refused, and so is nesting that nobody means.
    pub fn parse(text: &str) -> Result<Self, roxmltree::Error> {
        let document = roxmltree::Document::parse(text)?;
        Self::from_tree(document.root_element()).ok_or(roxmltree::Error::NodesLimitReached)
    }

    /// Copies a tree without recursion: depth comes from outside and must not end the process. None if it is too deep.
    fn from_tree(root: roxmltree::Node<'_, '_>) -> Option<Self> {
        let mut open: Vec<Node> = Vec::new();
        let mut stack = vec![(root, false)];
        let mut done = Node::default();
        while let Some((node, leaving)) = stack.pop() {
            if leaving {
                let finished = open.pop().unwrap_or_default();
                match open.last_mut() {
                    Some(parent) => parent.children.push(finished),
                    None => done = finished,
                }
                continue;
            }
            if node.is_text() {
                if let (Some(parent), Some(text)) = (open.last_mut(), node.text())
                    && (!text.trim().is_empty() || !node.parent().is_some_and(|p| p.has_children() && p.children().any(|c| c.is_element())))
                {
                    parent.text.push_str(text);
                }
                continue;
            }
            if !node.is_element() {
                continue;
            }
            if open.len() >= DEEPEST {
                return None;
            }
            open.push(Node {
                name: node.tag_name().name().to_owned(),
                attrs: node.attributes().map(|a| (a.name().to_owned(), a.value().to_owned())).collect(),
                ..Node::default()
            });
            stack.push((node, true));
            let children: Vec<_> = node.children().collect();
            stack.extend(children.into_iter().rev().map(|c| (c, false)));
        }
        Some(done)
    }

    /// Writes the element and what it holds, without a declaration.
    pub fn write(&self, out: &mut String) {
        out.push('<');
        out.push_str(&self.name);
        for (name, value) in &self.attrs {
            out.push(' ');
            out.push_str(name);
            out.push_str("=\"");
            escape(value, out);
            out.push('"');
        }
        if self.children.is_empty() && self.text.is_empty() {
            out.push_str("/>");
            return;
        }
        out.push('>');
        escape(&self.text, out);
        for child in &self.children {
            child.write(out);
        }
        out.push_str("</");
        out.push_str(&self.name);
        out.push('>');
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out);
        f.write_str(&out)
    }
}

/// Escapes text for element content and for attributes in double quotes. Characters that XML 1.0 cannot carry become U+FFFD.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_and_order_do_not_matter() {
        let text = r#"<?xml version="1.0"?><s:a xmlns:s="x" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
            <s:b xsi:type="s:T">1</s:b><c/></s:a>"#;
        let node = Node::parse(text).unwrap();
        assert_eq!(node.name, "a");
        assert_eq!(node.get("b"), Some("1"));
        assert_eq!(node.child("b").unwrap().xsi_type(), Some("T"));
        assert_eq!(node.text, "");
    }

    #[test]
    fn deep_nesting_is_an_error_or_a_tree_but_no_crash() {
        for depth in [2_000, 200_000] {
            assert!(Node::parse(&("<a>".repeat(depth) + &"</a>".repeat(depth))).is_err());
        }
        assert!(Node::parse(&("<a>".repeat(200) + &"</a>".repeat(200))).is_ok());
        assert!(Node::parse(&format!("<a>{}</a>", "<b/>".repeat(2_000))).is_ok(), "many beside each other are not deep");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "[ -~äß€\n\t]{0,40}", value in "[ -~ä]{0,20}") {
            let node = Node::new("root").attr("k", value.clone()).with(Node::text("leaf", &text));
            let back = Node::parse(&node.to_string()).unwrap();
            prop_assert_eq!(back.attribute("k"), Some(value.as_str()));
            prop_assert_eq!(back.get("leaf"), Some(text.as_str()));
        }

        #[test]
        fn no_input_makes_the_reader_panic(text in "\\PC{0,200}") {
            let _ = Node::parse(&text);
        }
    }
}
