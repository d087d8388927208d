//! CPU: sockets and cores per socket.

use super::{Check, Problem, Subject};

/// CPU topology.
pub struct Cpu;

impl Check for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        (subject.source.sockets == 0 && subject.source.cores_per_socket == 0).then(|| "the source tells no topology".to_owned())
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let (source, target) = (subject.source, subject.target);
        [("sockets", source.sockets, target.sockets), ("cores per socket", source.cores_per_socket, target.cores)]
            .into_iter()
            .filter(|(_, expected, actual)| *expected != 0 && Some(*expected) != *actual)
            .map(|(about, expected, actual)| Problem::new(about, expected, actual.map_or("none".to_owned(), |a| a.to_string())))
            .collect()
    }
}
