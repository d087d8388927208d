//! Programs in a guest, run through its tools: for what vCenter itself does not tell, and for what must stand on a disk before it
//! is migrated. Nothing is installed in the guest, and nothing stays in it but what the command itself leaves.

use std::time::Duration;

use mtv_api::xml::Node;
use reqwest::Url;

use super::{
    collector::retrieve,
    fault::explain,
    props::{filter, properties, start},
    session::{CALL, CallError, Safety, Session},
    wire::{MoRef, request},
};
use crate::{
    config::profile::GuestLogin,
    engine::Deadline,
    providers::{GuestAnswer, GuestCommand, ProviderError, ProviderResult},
    retry::Pauses,
};

/// Longest time for a command, as in mtv-api-tests.
const COMMAND: Duration = Duration::from_secs(30);

/// First and longest pause between looks at a program: tools tell no one when it ends, so it is asked.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Shell of every Linux guest.
const SHELL: &str = "/bin/sh";

/// The managers of guest operations.
struct Managers {
    processes: MoRef,
    files: MoRef,
}

/// Runs a command in the shell of a Linux guest and waits for its end.
pub async fn run(session: &Session, id: &str, login: &GuestLogin, command: &GuestCommand) -> ProviderResult<GuestAnswer> {
    let doing = format!("run a command in the guest of {id} as `{}`", login.user);
    let managers = managers(session, &doing).await?;
    let file = format!("/tmp/mtv-test-{}", command.name);
    // One word for the outer shell of the tools, whatever is in the command.
    let line = if command.fetch { format!("{} > {file} 2>&1", command.line) } else { command.line.clone() };
    let arguments = format!("-c '{}'", line.replace('\'', r"'\''"));
    let this = |method: &str, manager: &MoRef| request(method, manager).with(MoRef::vm(id).node("vm")).with(auth(login));
    let body = || {
        let spec = Node::new("spec").typed("GuestProgramSpec").field("programPath", SHELL).field("arguments", &arguments);
        this("StartProgramInGuest", &managers.processes).with(spec)
    };
    // Commands may be carried out twice: they say so themselves.
    let response = session.call(Safety::Repeatable, CALL, |_| body()).await.map_err(|error| refused(error, &doing, login))?;
    let pid = response.get("returnval").map(str::trim).unwrap_or_default().to_owned();
    let status = ended(session, &doing, || this("ListProcessesInGuest", &managers.processes).field("pids", &pid)).await?;
    if !command.fetch {
        return Ok(GuestAnswer { status, output: String::new() });
    }
    let output = fetch(session, &doing, || this("InitiateFileTransferFromGuest", &managers.files).field("guestFilePath", &file)).await;
    let gone = session.call(Safety::Repeatable, CALL, |_| this("DeleteFileInGuest", &managers.files).field("filePath", &file)).await;
    if let Err(error) = gone {
        tracing::debug!(vm = id, file, "a file was left in the guest: {}", error.explained(&doing));
    }
    Ok(GuestAnswer { status, output: output? })
}

fn auth(login: &GuestLogin) -> Node {
    Node::new("auth")
        .typed("NamePasswordAuthentication")
        .field("interactiveSession", false)
        .field("username", &login.user)
        .field("password", login.password.expose())
}

async fn managers(session: &Session, doing: &str) -> ProviderResult<Managers> {
    let missing = || ProviderError::unsupported(format!("{doing}: this server offers no guest operations"));
    let manager = session.live().await.guest.clone().ok_or_else(missing)?;
    let paths = ["processManager", "fileManager"];
    let spec = |_: &_| filter("specSet", [properties("GuestOperationsManager", &paths)], [start(&manager, false, [])]);
    let objects = retrieve(session, spec).await.map_err(|error| error.explained(doing))?;
    let found = objects.first().ok_or_else(missing)?;
    let (Some(processes), Some(files)) = (found.reference(paths[0]), found.reference(paths[1])) else { return Err(missing()) };
    Ok(Managers { processes, files })
}

/// What a refusal means: most of them are about the login or the tools.
fn refused(error: CallError, doing: &str, login: &GuestLogin) -> ProviderError {
    match error {
        CallError::Fault(fault) if matches!(fault.kind.as_str(), "InvalidGuestLogin" | "GuestPermissionDenied") => {
            ProviderError::login(format!("{doing}: the guest refuses user `{}`", login.user))
                .hint("check guest_vm_linux_user and guest_vm_linux_password of the profile")
        }
        CallError::Fault(fault) if matches!(fault.kind.as_str(), "GuestOperationsUnavailable" | "ToolsUnavailable") => {
            ProviderError::operation(format!("{doing}: its tools do not run, or take no commands"))
                .hint("is open-vm-tools up to date there?")
        }
        CallError::Fault(fault) => explain(&fault, doing),
        other => other.explained(doing),
    }
}

/// Waits for the end of a program: its exit status.
async fn ended(session: &Session, doing: &str, ask: impl Fn() -> Node) -> ProviderResult<i64> {
    let mut pauses = Pauses::new(PAUSES, Deadline::after(COMMAND));
    loop {
        let response = session.call(Safety::Repeatable, CALL, |_| ask()).await.map_err(|error| error.explained(doing))?;
        let program = response.child("returnval");
        if let Some(program) = program.filter(|program| program.child("endTime").is_some()) {
            return Ok(program.get("exitCode").and_then(|code| code.trim().parse().ok()).unwrap_or_default());
        }
        if !pauses.wait().await {
            return Err(ProviderError::deadline(format!("{doing}: it did not end within {} s", COMMAND.as_secs())));
        }
    }
}

/// An address whose host is `*` stands for the server that was asked, with the port by which it was reached.
fn at_server(told: &str, (host, port): (String, u16)) -> String {
    let Some((scheme, rest)) = told.split_once("://*") else { return told.to_owned() };
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    format!("{scheme}://{host}:{port}{path}")
}

/// Fetches a file of the guest from the host that the answer names. A `*` stands for the server itself.
async fn fetch(session: &Session, doing: &str, ask: impl Fn() -> Node) -> ProviderResult<String> {
    let response = session.call(Safety::Repeatable, CALL, |_| ask()).await.map_err(|error| error.explained(doing))?;
    let told = response.at(&["returnval", "url"]).map(|url| url.text.trim().to_owned()).unwrap_or_default();
    let url = Url::parse(&at_server(&told, session.endpoint()))
        .map_err(|error| ProviderError::operation(format!("{doing}: `{told}` is no address of its output: {error}")))?;
    session.fetch(&url).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_the_server() {
        let at = |told: &str| at_server(told, ("vc.example.com".to_owned(), 8443));
        assert_eq!(at("https://*:443/guestFile?id=1&token=a"), "https://vc.example.com:8443/guestFile?id=1&token=a");
        assert_eq!(at("https://*/guestFile"), "https://vc.example.com:8443/guestFile");
        assert_eq!(at("https://esxi-1/guestFile"), "https://esxi-1/guestFile");
    }
}
