//! CPU: sockets and cores per socket.

use super::{Check, Comparison, NONE, Subject};

/// CPU topology.
pub struct Cpu;

impl Check for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        (subject.source.sockets.is_none() && subject.source.cores_per_socket.is_none()).then(|| "the source tells no topology".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let (source, target) = (subject.source, subject.target);
        let both = [("sockets", source.sockets, target.sockets), ("cores per socket", source.cores_per_socket, target.cores)];
        for (what, expected, actual) in both {
            if let Some(expected) = expected {
                seen.same(what, expected, actual.map_or(NONE.to_owned(), |actual| actual.to_string()));
            }
        }
    }
}
