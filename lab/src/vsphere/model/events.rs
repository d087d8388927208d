//! Events: what happened, for those who ask later.

use super::Model;

/// An event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Number, ascending.
    pub key: i32,
    /// Type, such as `VmPoweredOnEvent`.
    pub kind: &'static str,
    /// When.
    pub time: String,
    /// Who asked for it; empty for what happens by itself.
    pub user: String,
    /// The machine that it is about: moRef value and name at that time.
    pub vm: Option<(String, String)>,
    /// Host of the machine.
    pub host: Option<String>,
    /// Text for people.
    pub message: String,
    /// Text fields of the type.
    pub texts: Vec<(&'static str, String)>,
}

/// Events that the server remembers.
const KEPT: usize = 5_000;

impl Model {
    /// Notes an event about a machine.
    pub fn event(&mut self, kind: &'static str, vm: &str, user: &str, message: impl FnOnce(&str) -> String) {
        let (name, host) = match self.entity(vm) {
            Some(entity) => (entity.name.clone(), entity.vm().map(|v| v.host.clone())),
            None => (vm.to_owned(), None),
        };
        let message = message(&name);
        self.note(kind, Some((vm.to_owned(), name)), host, user, message, Vec::new());
    }

    /// Notes an event.
    pub fn note(
        &mut self,
        kind: &'static str,
        vm: Option<(String, String)>,
        host: Option<String>,
        user: &str,
        message: String,
        texts: Vec<(&'static str, String)>,
    ) {
        let key = i32::try_from(self.count("event")).unwrap_or(i32::MAX);
        self.events.push(Event { key, kind, time: Self::now(), user: user.to_owned(), vm, host, message, texts });
        if self.events.len() > KEPT {
            self.events.remove(0);
        }
    }
}
