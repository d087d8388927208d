//! Data marker: a file that was written into the guest right before the migration is there afterwards, with what was written. It
//! proves that the copy holds the last state of the disks, also where that lies in a chain of snapshots.

use super::{Asked, Check, Comparison, Subject};

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

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let (what, expected) = (format!("{PATH} in the guest"), text(subject.run));
        match subject.marker {
            Asked::Yes(found) if *found == expected => seen.right(what, expected, found),
            Asked::Yes(found) => seen.wrong(what, expected, format!("`{found}`")),
            Asked::Failed(why) => seen.wrong(what, expected, why),
            Asked::No(_) => {}
        }
    }
}
