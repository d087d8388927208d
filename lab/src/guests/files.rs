//! Files that were written into a guest: they stand on its boot disk and go where that is copied.

use std::sync::Arc;

use crate::world::Disks;

/// The files of one guest.
#[derive(Debug, Clone, Default)]
pub struct Files {
    disk: Option<(Arc<Disks>, String)>,
}

impl Files {
    /// Those on a disk.
    pub fn on(disks: Arc<Disks>, disk: impl Into<String>) -> Self {
        Self { disk: Some((disks, disk.into())) }
    }

    /// What stands in a file.
    pub fn read(&self, path: &str) -> Option<String> {
        self.disk.as_ref().and_then(|(disks, disk)| disks.file(disk, path))
    }

    /// Writes a file.
    pub fn write(&self, path: &str, text: &str) {
        if let Some((disks, disk)) = &self.disk {
            disks.write_file(disk, path, Some(text));
        }
    }

    /// Takes a file away; false if there was none.
    pub fn remove(&self, path: &str) -> bool {
        let there = self.read(path).is_some();
        if let Some((disks, disk)) = self.disk.as_ref().filter(|_| there) {
            disks.write_file(disk, path, None);
        }
        there
    }
}
