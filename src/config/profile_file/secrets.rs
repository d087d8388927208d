//! Fetching the secrets of a profile.

use std::path::Path;

use super::{Env, ProfileFile};
use crate::{
    config::{
        diagnostics::{Problem, Problems},
        profile::GuestLogin,
        read::{self, At},
    },
    files,
    secrets::{Sealed, Secret},
};

/// Fetches secrets and remembers what went wrong.
pub(in crate::config) struct Secrets<'a> {
    pub(super) file: &'a ProfileFile,
    pub(super) env: Env<'a>,
    pub(in crate::config) problems: &'a mut Problems,
    /// Keys whose secrets stand in the file itself.
    pub(super) inline: Vec<String>,
}

type MaybeText = Option<At<String>>;
type MaybeSecret = Option<At<Sealed>>;

impl Secrets<'_> {
    /// At most one of the three ways.
    fn exactly_one(&mut self, key: &str, inline: &MaybeSecret, env: &MaybeText, file: &MaybeText) -> bool {
        let source = &self.file.source;
        let text = |found: &MaybeText| found.as_ref().map(|at| at.span.clone());
        let mut given = [inline.as_ref().map(|at| at.span.clone()), text(env), text(file)].into_iter().flatten();
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            self.problems.push(
                Problem::error(format!("`{key}` is given in two ways"))
                    .at(source, second, "second")
                    .also(source, first, "first")
                    .help(format!("keep one of `{key}`, `{key}_env` and `{key}_file`")),
            );
            return false;
        }
        if inline.is_some() {
            self.inline.push(key.to_owned());
        }
        true
    }

    /// The secret, if one is given.
    pub(in crate::config) fn one(&mut self, key: &str, inline: &MaybeSecret, env: &MaybeText, file: &MaybeText) -> Option<Secret> {
        if !self.exactly_one(key, inline, env, file) {
            return None;
        }
        let source = &self.file.source;
        if let Some(inline) = inline {
            return Some(inline.value.open());
        }
        if let Some(name) = env {
            let value = (self.env)(&name.value).filter(|value| !value.is_empty());
            if value.is_none() {
                self.problems.push(
                    Problem::error(format!("environment variable {} is not set", name.value))
                        .at(source, name.span.clone(), format!("holds `{key}`"))
                        .help(format!("set {} and run again", name.value)),
                );
            }
            return value.map(Secret::new);
        }
        let at = file.as_ref()?;
        let path = self.file.beside(Path::new(&at.value));
        match files::read_text(&path, files::LIMIT) {
            Ok(mut text) => {
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                if text.is_empty() {
                    let title = format!("{} is empty", path.display());
                    self.problems.push(Problem::error(title).at(source, at.span.clone(), format!("holds `{key}`")));
                    return None;
                }
                Some(Secret::new(text))
            }
            Err(error) => {
                let title = format!("cannot read {}: {}", path.display(), read::io_reason(&error));
                self.problems.push(Problem::error(title).at(source, at.span.clone(), format!("holds `{key}`")));
                None
            }
        }
    }

    /// One warning for all secrets in a file that everybody can read.
    pub(super) fn readable_by_all(&self) -> Option<Problem> {
        if !self.file.world_readable || self.inline.is_empty() {
            return None;
        }
        let path = self.file.path.display();
        let problem = Problem::warning(format!("every user of this machine can read {path}, which holds secrets"));
        Some(problem.help(format!("chmod 600 {path}, or give secrets by `…_env` or `…_file`")))
    }

    /// User and password of a guest: both or none.
    pub(super) fn login(&mut self, guest: &str, user: &MaybeText, password: Option<Secret>) -> Option<GuestLogin> {
        match (user, password) {
            (Some(user), Some(password)) => Some(GuestLogin { user: user.value.clone(), password }),
            (Some(user), None) if !self.problems.has_errors() => {
                self.problems.push(
                    Problem::error(format!("`guest_vm_{guest}_user` has no password")).at(&self.file.source, user.span.clone(), "").help(
                        format!("add `guest_vm_{guest}_password`, `guest_vm_{guest}_password_env` or `guest_vm_{guest}_password_file`"),
                    ),
                );
                None
            }
            (None, Some(_)) => {
                self.problems.push(
                    Problem::error(format!("`guest_vm_{guest}_password` has no user"))
                        .help(format!("add `guest_vm_{guest}_user` to the profile")),
                );
                None
            }
            _ => None,
        }
    }
}
