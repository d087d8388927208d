//! Names: what Kubernetes accepts, and how Forklift makes one that it accepts of a source VM's name.

/// Longest DNS label, and longest name that Forklift gives a VM.
pub const LABEL: usize = 63;

/// Whether it is a DNS-1123 label: lower case, digits, `-`, at most 63, first and last alphanumeric.
pub fn is_label(name: &str) -> bool {
    name.len() <= LABEL && is_labelish(name)
}

/// Whether it is a DNS-1123 subdomain: labels joined by dots, at most 253.
pub fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_labelish)
}

fn is_labelish(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-')
}

/// A name that Kubernetes accepts, made from one that it does not; empty if nothing of it can be kept.
pub fn sanitise(name: &str) -> String {
    let lower = name.to_lowercase();
    let parts: Vec<String> = lower.trim_matches(|c| c == '.' || c == '-').split('.').map(part).filter(|p| !p.is_empty()).collect();
    let mut joined = parts.join(".");
    joined.truncate(LABEL);
    joined.trim_matches(|c| c == '.' || c == '-').to_owned()
}

fn part(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = match c {
            '_' | '+' | '*' | ' ' | '/' | '\\' => '-',
            c if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' => c,
            _ => continue,
        };
        if c != '-' || !out.ends_with('-') {
            out.push(c);
        }
    }
    let mut out = out.trim_matches('-').to_owned();
    out.truncate(LABEL);
    out.trim_matches('-').to_owned()
}

/// Name of a VM in name templates: its own where that is a DNS-1123 label, else a sanitised one, else one made of its id.
pub fn template_target(name: &str, id: &str) -> String {
    if is_label(name) {
        return name.to_owned();
    }
    let sanitised = sanitise(name);
    if sanitised.is_empty() { sanitise(id) } else { sanitised }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sanitised() {
        for (name, wanted) in
            [("DC0_H0_VM1", "dc0-h0-vm1"), ("Web Server (prod)", "web-server-prod"), (".a..b-.", "a.b"), ("a__b", "a-b"), ("ÄÖ", "")]
        {
            assert_eq!(sanitise(name), wanted, "{name}");
        }
        assert_eq!(sanitise(&"x".repeat(80)).len(), 63);
        assert_eq!(
            (template_target("a", "vm-1"), template_target("A_b", "vm-1"), template_target("Ä", "vm-1")),
            ("a".into(), "a-b".into(), "vm-1".into())
        );
    }

    #[test]
    fn labels_and_subdomains() {
        assert!(is_label("a-1") && !is_label("a.b") && !is_label("-a") && !is_label(""));
        assert!(is_subdomain("a.b") && !is_subdomain("a..b") && !is_subdomain("A"));
    }
}
