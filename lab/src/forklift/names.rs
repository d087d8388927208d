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

/// Whether a text has the form of an image reference: `[host[:port]/]path[:tag][@digest]`.
pub fn is_image(text: &str) -> bool {
    let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest)));
    let good_digest = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            let word = |word: &str| word.starts_with(|c: char| c.is_ascii_alphabetic()) && word.bytes().all(|b| b.is_ascii_alphanumeric());
            algorithm.split(['-', '_', '+', '.']).all(word) && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    });
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let good_tag = tag.is_none_or(|tag| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        (1..=128).contains(&tag.len()) && tag.bytes().next().is_some_and(word) && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
    });
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" || host.bytes().any(|b| b.is_ascii_uppercase()) => {
            (Some(host), path)
        }
        _ => (None, name),
    };
    let good_host = host.is_none_or(|host| {
        let (labels, port) = host.split_once(':').map_or((host, None), |(labels, port)| (labels, Some(port)));
        let label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        labels.split('.').all(label) && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
    });
    let component = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        edge(part.bytes().next()) && edge(part.bytes().last()) && part.bytes().all(known) && !part.contains("..") && !part.contains("___")
    };
    good_digest && good_tag && good_host && path.split('/').all(component)
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

    #[test]
    fn image_references() {
        for (text, good) in [
            ("quay.io/konveyor/hook-runner:latest", true),
            ("localhost:5000/a/b@sha256:0000000000000000000000000000000000000000000000000000000000000000", true),
            ("nonsense", true),
            ("a__b/c-d", true),
            ("", false),
            ("a b", false),
            ("quay.io/Upper", false),
            ("quay.io/a:", false),
            ("quay.io/a@sha256:1", false),
            ("-a/b", false),
        ] {
            assert_eq!(is_image(text), good, "{text}");
        }
    }
}
