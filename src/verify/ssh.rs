//! SSH: a login to the guest works and a command runs there.

use super::{Asked, Check, Comparison, Subject};

/// Login by SSH.
pub struct SshLogin;

impl Check for SshLogin {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if let Asked::No(reason) = subject.ssh { Some(reason.clone()) } else { None }
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        const WHAT: &str = "login and `echo`";
        match subject.ssh {
            Asked::Failed(found) => seen.wrong(WHAT, "works", found),
            Asked::Yes(_) => seen.right(WHAT, "works", "works"),
            Asked::No(_) => {}
        }
    }
}
