//! Names: what Kubernetes accepts, and how a source VM's name becomes one that it accepts.

/// Longest DNS label, and longest name that a VM gets.
const LABEL: usize = 63;

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

/// Letters and digits drawn at random.
pub fn random(length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = vec![0_u8; length];
    if getrandom::fill(&mut bytes).is_err() {
        // Without a source of randomness the address of a fresh value has to do: names need only differ.
        bytes.iter_mut().enumerate().for_each(|(i, b)| *b = u8::try_from(i % 36).unwrap_or_default());
    }
    bytes.iter().map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect()
}

/// The name of the VirtualMachine for a source name that Kubernetes does not accept, distinct from those taken.
pub fn target(name: &str, taken: &[String]) -> String {
    let mut new = sanitise(name);
    if new.is_empty() {
        new = format!("vm-{}", random(4));
    }
    while taken.contains(&new) {
        let mut base = sanitise(name);
        // 58 and a dash and four letters make 63.
        base.truncate(58);
        new = format!("{}-{}", base.trim_end_matches(['-', '.']), random(4));
    }
    new
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
    }

    #[test]
    fn a_taken_name_gets_a_suffix() {
        let new = target("A_b", &["a-b".to_owned()]);
        assert!(new.starts_with("a-b-") && new.len() == 8, "{new}");
        assert!(target("ÄÖ", &[]).starts_with("vm-"));
        assert!(is_subdomain(&new));
    }

    #[test]
    fn labels_and_subdomains() {
        assert!(is_label("a-1") && !is_label("a.b") && !is_label("-a") && !is_label(""));
        assert!(is_subdomain("a.b") && !is_subdomain("a..b") && !is_subdomain("A"));
    }
}
