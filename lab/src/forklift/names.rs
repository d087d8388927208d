//! Names of target VMs: sanitised where they must be, and distinct.

pub use mtv_api::names::{is_subdomain, sanitise, template_target};

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
    fn a_taken_name_gets_a_suffix() {
        let new = target("A_b", &["a-b".to_owned()]);
        assert!(new.starts_with("a-b-") && new.len() == 8, "{new}");
        assert!(target("ÄÖ", &[]).starts_with("vm-"));
        assert!(is_subdomain(&new));
    }
}
