//! SSH: a login to the guest works and a command runs there.

use super::{Asked, Check, Problem, Subject};

/// Login by SSH.
pub struct SshLogin;

impl Check for SshLogin {
    fn name(&self) -> &'static str {
        "ssh"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if let Asked::No(reason) = subject.ssh { Some(reason.clone()) } else { None }
    }

    fn problems(&self, subject: &Subject<'_>) -> Vec<Problem> {
        match subject.ssh {
            Asked::Failed(found) => vec![Problem::new("login and `echo`", "works", found)],
            _ => Vec::new(),
        }
    }
}
