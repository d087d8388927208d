//! Data marker: a file that was written into the guest right before the migration is there afterwards, with what was written. It
//! proves that the copy holds the last state of the disks, also where that lies in a chain of snapshots.

use super::{Asked, Check, Problem, Subject};

/// File with a text of the run.
pub struct DataMarker;

/// Path of the file in the guest: that of mtv-api-tests.
pub const PATH: &str = "/opt/mtv_data_integrity/marker.txt";

/// What stands in the file.
pub fn text(run: &str) -> String {
    format!("mtv-data-integrity-{run}")
}

impl Check for DataMarker {
    fn name(&self) -> &'static str {
        "data marker"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if let Asked::No(reason) = subject.marker { Some(reason.clone()) } else { None }
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        let expected = text(subject.run);
        let actual = match subject.marker {
            Asked::Yes(found) if *found == expected => return Vec::new(),
            Asked::Yes(found) => format!("`{found}`"),
            Asked::Failed(why) => why.clone(),
            Asked::No(_) => return Vec::new(),
        };
        vec![Problem::new(format!("{PATH} in the guest"), expected, actual)]
    }
}
