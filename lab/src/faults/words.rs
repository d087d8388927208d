//! The words that rules are made of: which verbs, resources and operations a server of the lab can ever see. A rule with another word
//! would never happen, and the test that waits for it would pass for the wrong reason.

use std::collections::BTreeSet;

use super::{
    ask::Server,
    rule::{Effect, like},
};
use crate::{
    kubernetes,
    vsphere::{fault::KNOWN, methods::METHODS},
};

/// Every server, with the name that rules call it by.
pub const SERVERS: &[(Server, &str)] = &[
    (Server::Kubernetes, "kubernetes"),
    (Server::Openshift, "openshift"),
    (Server::Vsphere, "vsphere"),
    (Server::Esxi, "esxi"),
    (Server::Inventory, "inventory"),
    (Server::Ovirt, "ovirt"),
    (Server::Openstack, "openstack"),
    (Server::Monitoring, "monitoring"),
    (Server::Jira, "jira"),
];

/// Every effect, its name in rules, and what it does; a line each.
pub const EFFECTS: &[(Effect, &str, &str)] = &[
    (Effect::Status, "status", "answered with HTTP code `status`; also `retry_after`, `message`"),
    (Effect::Fault, "fault", "vsphere, esxi: answered with the SOAP fault `fault`"),
    (Effect::Close, "close", "the connection ends without an answer"),
    (Effect::Reset, "reset", "carried out; the answer's body is cut in its middle"),
    (Effect::Stall, "stall", "the answer comes `seconds` later"),
    (Effect::Slow, "slow", "the body comes at `bytes_per_second`, 1 by default"),
    (Effect::Garble, "garble", "the body cannot be read"),
    (Effect::Fail, "fail", "an operation that was begun fails, with `message`"),
    (Effect::Drop, "drop", "a watch ends after `seconds`, 0 by default"),
    (Effect::Expire, "expire", "a watch is told that its version is too old"),
    (Effect::Silence, "silence", "a watch says no more; cut after `seconds`, if set"),
    (Effect::Duplicate, "duplicate", "each event of a watch comes twice"),
    (Effect::Late, "late", "each event of a watch comes `seconds` late"),
];

/// Verbs of the Kubernetes API.
const VERBS: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// Methods of HTTP in lower case, which are the verbs of REST and of paths that are no resource.
const HTTP: &[&str] = &["get", "head", "post", "put", "patch", "delete", "options"];
/// A connection that is not open yet.
pub(super) const CONNECT: &str = "connect";
/// Something that a request began and that takes time.
pub(super) const OPERATION: &str = "operation";

/// Operations that can fail: `resource` of a rule with the verb `operation`.
const fn operations(server: Server) -> &'static [&'static str] {
    match server {
        Server::Ovirt => &["clone"],
        Server::Openstack => &["image", "server", "snapshot", "volume"],
        _ => &[],
    }
}

/// Every verb that a server can see.
fn verbs(server: Server) -> impl Iterator<Item = &'static str> {
    let own: &[&str] = match server {
        Server::Kubernetes | Server::Openshift => VERBS,
        Server::Vsphere | Server::Esxi => METHODS,
        _ => &[],
    };
    let operation: &[&str] = if operations(server).is_empty() { &[] } else { &[OPERATION] };
    own.iter().chain(HTTP).chain(&[CONNECT]).chain(operation).copied()
}

/// Whether a rule's words can ever fit a request.
///
/// # Errors
/// Which word cannot, and which ones are known.
pub(super) fn check(server: Option<Server>, verb: Option<&str>, resource: Option<&str>) -> anyhow::Result<()> {
    let named = |server: Server| SERVERS.iter().find(|(known, _)| *known == server).map_or("", |(_, name)| name);
    if let Some(verb) = verb {
        let known: BTreeSet<&str> =
            SERVERS.iter().filter(|(s, _)| server.is_none_or(|own| own == *s)).flat_map(|(s, _)| verbs(*s)).collect();
        let place = server.map_or(String::new(), |server| format!(" of the server `{}`", named(server)));
        anyhow::ensure!(known.iter().any(|word| like(verb, word)), "`{verb}` fits no verb{place}; known are {}", list(verb, &known));
    }
    let Some(resource) = resource else { return Ok(()) };
    if verb == Some(OPERATION) {
        let known: BTreeSet<&str> =
            SERVERS.iter().filter(|(s, _)| server.is_none_or(|own| own == *s)).flat_map(|(s, _)| operations(*s)).copied().collect();
        anyhow::ensure!(
            known.iter().any(|word| like(resource, word)),
            "`{resource}` fits no operation; known are {}",
            list(resource, &known)
        );
    } else if matches!(server, Some(Server::Kubernetes | Server::Openshift)) {
        let all = kubernetes::plurals();
        let known: BTreeSet<&str> = all.iter().map(String::as_str).collect();
        // A subresource stands behind a slash: `pods/log`.
        let main = resource.split('/').next().unwrap_or(resource);
        anyhow::ensure!(
            known.iter().any(|word| like(main, word) || like(resource, word)),
            "`{resource}` fits no resource, which is a plural in small letters; known are {}",
            list(main, &known)
        );
    }
    Ok(())
}

/// The known words; of many the ones that share their beginning with the wrong one, as far as there are such.
fn list(wrong: &str, known: &BTreeSet<&str>) -> String {
    const FEW: usize = 20;
    let begin: String = wrong.chars().take(3).flat_map(char::to_lowercase).collect();
    let near: Vec<&str> = known.iter().copied().filter(|word| word.to_lowercase().starts_with(&begin)).collect();
    match (known.len() > FEW, near.is_empty()) {
        (false, _) | (true, true) => known.iter().copied().collect::<Vec<_>>().join(", "),
        (true, false) => format!("{} and {} others", near.join(", "), known.len() - near.len()),
    }
}

/// The vocabulary for people, in lines of less than 80 characters.
pub fn help() -> String {
    let servers: Vec<&str> = SERVERS.iter().map(|(_, name)| *name).collect();
    let operations: Vec<String> = SERVERS
        .iter()
        .filter(|(server, _)| !operations(*server).is_empty())
        .map(|(server, name)| format!("{name}: {}", operations(*server).join(", ")))
        .collect();
    let effects: String = EFFECTS.iter().map(|(_, name, what)| format!("  {name:<10} {what}\n")).collect();
    let faults = wrapped("  ", KNOWN.iter().copied());
    format!(
        "Which requests (text patterns may hold `*` for any text):
  server     {}
  verb       kubernetes, openshift: {}
             vsphere, esxi: the method, such as CloneVM_Task
             others: the HTTP method in small letters
             every server: connect, for new connections
             operation, for what a request began:
             {}
  resource   plural, such as plans or pods/log; vsphere: type of the object;
             operation: its name; others: first segment of the path
  namespace, object, path
  client     User-Agent; without it every client except the lab's own
             controllers, which are mtv-lab/VERSION

How often:   after = N, every = N, probability = 0.05, times = N

What happens (effect); times are real ones:
{effects}  committed = true carries the request out before status, fault, close
  and stall.

SOAP faults:
{faults}",
        servers.join(", ").replace("inventory, ", "inventory,\n             "),
        VERBS.join(", ").replace("update, ", "update,\n             "),
        operations.join("; "),
    )
}

/// Words in lines of at most 78 characters.
fn wrapped<'a>(indent: &str, words: impl Iterator<Item = &'a str>) -> String {
    let mut lines = vec![indent.to_owned()];
    for word in words {
        let Some(last) = lines.last_mut() else { continue };
        if last.len() + word.len() + 2 > 78 {
            lines.push(format!("{indent}{word} "));
        } else {
            last.push_str(word);
            last.push(' ');
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Rule;

    #[test]
    fn words_that_can_never_fit_are_refused_with_those_that_can() {
        for (rule, known) in [
            ("server = \"kubernetes\", verb = \"creat\"", "create"),
            ("server = \"kubernetes\", resource = \"Plan\"", "plans"),
            ("server = \"kubernetes\", resource = \"plan\"", "plans"),
            ("server = \"openshift\", verb = \"CloneVM_Task\"", "get, head, list"),
            ("server = \"vsphere\", verb = \"CloneVmTask\"", "CloneVM_Task"),
            ("server = \"jira\", verb = \"list\"", "get, head"),
            ("verb = \"zzz\"", "connect"),
        ] {
            let rule: Rule = toml::from_str(&format!("{}\neffect = \"close\"", rule.replace(", ", "\n"))).unwrap();
            let error = rule.check().unwrap_err().to_string();
            assert!(error.contains(known), "{error}");
        }
        let rule: Rule = toml::from_str("server = \"ovirt\"\nverb = \"operation\"\nresource = \"klone\"\neffect = \"fail\"").unwrap();
        assert!(rule.check().unwrap_err().to_string().contains("clone"));
    }

    #[test]
    fn words_and_patterns_that_fit_pass() {
        for (server, verb, resource) in [
            (Some(Server::Kubernetes), Some("create"), Some("plans")),
            (Some(Server::Kubernetes), Some("*"), Some("pods/log")),
            (Some(Server::Openshift), Some("delete*"), Some("virtualmachine*")),
            (Some(Server::Kubernetes), None, Some("*/status")),
            (Some(Server::Vsphere), Some("*_Task"), Some("VirtualMachine")),
            (Some(Server::Openstack), Some("operation"), Some("vol*")),
            (None, Some("connect"), None),
            (None, Some("RetrieveProperties"), Some("anything")),
        ] {
            check(server, verb, resource).unwrap();
        }
    }

    #[test]
    fn help_has_every_word_and_no_line_that_a_narrow_terminal_breaks() {
        let help = help();
        for (server, name) in SERVERS {
            assert_eq!(serde_json::to_value(server).unwrap(), *name);
            assert!(help.contains(name), "{name}");
        }
        for (effect, name, what) in EFFECTS {
            assert_eq!(serde_json::to_value(effect).unwrap(), *name);
            assert!(help.contains(what), "{name}");
        }
        // The error of serde names every variant: none is missing above.
        let effects = serde_json::from_str::<Effect>("\"x\"").unwrap_err().to_string();
        assert_eq!(effects.matches('`').count() / 2 - 1, EFFECTS.len(), "{effects}");
        let servers = serde_json::from_str::<Server>("\"x\"").unwrap_err().to_string();
        assert_eq!(servers.matches('`').count() / 2 - 1, SERVERS.len(), "{servers}");
        assert!(KNOWN.iter().all(|fault| help.contains(fault)));
        for line in help.lines() {
            assert!(line.chars().count() < 80, "{line}");
        }
    }
}
