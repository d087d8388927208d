//! The SSH client of the tool against a real OpenSSH server, and the real OpenSSH client against the lab's guests.
//!
//! Needs sshd, ssh and ssh-keygen (Debian: openssh-server); see CONTRIBUTING.md.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod lab_guests;
mod server;
mod support;
