//! What only a running guest can tell: its agent, a login, its adapters, and the node it runs on.

use std::time::Duration;

use mtv_api::kinds;

use super::super::Scene;
use crate::{
    cluster::{Awaited, Cluster, ObjectExt as _},
    config::profile::GuestLogin,
    engine::{Failure, StepCx},
    guest::{self, GuestView, Ssh},
    retry::Pauses,
    run::Migrating,
    verify::{Asked, MARKER_PATH, TargetVm, missing_addresses},
};

/// Longest time for one command.
const COMMAND: Duration = Duration::from_secs(30);

/// First and longest pause between looks at addresses, which a guest may set some time after its boot.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is printed in the guest and must come back.
const GREETING: &str = "mtv-test was here";

/// What a guest told.
pub struct Told {
    /// Whether its agent connected.
    pub agent: Asked,
    /// Whether a login worked.
    pub ssh: Asked,
    /// Its adapters.
    pub view: GuestView,
    /// What stands in the file that was written before the migration.
    pub marker: Asked,
    /// The node that it ran on.
    pub node: Option<String>,
}

/// Asks a guest. A VM that is off stays off, unless its scenario says that it has an agent, which answers only while it runs:
/// such a VM is started, and stopped again.
pub async fn ask(scene: &Scene<'_>, namespace: &str, vm: &Migrating, target: &TargetVm, cx: &StepCx) -> Result<Told, Failure> {
    let cluster = scene.session.cluster();
    let name = target.name.as_str();
    if target.running {
        return ask_running(scene, namespace, vm, name, cx).await;
    }
    if !vm.wish.guest_agent {
        let off = || format!("the VM is off ({})", target.printable_status);
        return Ok(Told {
            agent: Asked::No(off()),
            ssh: Asked::No(off()),
            view: GuestView::No(off()),
            marker: Asked::No(off()),
            node: None,
        });
    }
    cx.progress(format!("starting VirtualMachine {namespace}/{name} to ask its guest"), None);
    cluster.switch(namespace, name, "start").await?;
    let told = ask_running(scene, namespace, vm, name, cx).await;
    cluster.switch(namespace, name, "stop").await?;
    told
}

async fn ask_running(scene: &Scene<'_>, namespace: &str, vm: &Migrating, name: &str, cx: &StepCx) -> Result<Told, Failure> {
    let session = scene.session;
    let agent = if vm.wish.guest_agent {
        cx.progress(format!("waiting for the guest agent of VirtualMachine {namespace}/{name}"), None);
        wait_for_agent(session.cluster(), cx, namespace, name, scene.scenario.guest_agent_timeout).await?
    } else {
        Asked::No("the scenario says that the guest has none".to_owned())
    };
    let login = if vm.source.windows { &session.profile.guest_windows } else { &session.profile.guest_linux };
    let (ssh, view, marker) = match login {
        Some(login) => {
            cx.progress(format!("logging in to VirtualMachine {namespace}/{name}"), None);
            look(scene, namespace, vm, name, login, cx).await?
        }
        None => {
            let system = if vm.source.windows { "win" } else { "linux" };
            let missing = format!("no login: the profile has no guest_vm_{system}_user and guest_vm_{system}_password");
            (Asked::Failed(missing.clone()), GuestView::No(missing.clone()), Asked::No(missing))
        }
    };
    let node = if scene.scenario.target_node_selector.is_some() {
        let instance = session.cluster().get(&kinds::VMI, Some(namespace), name).await?;
        instance.and_then(|instance| instance.text("/status/nodeName").map(str::to_owned))
    } else {
        None
    };
    Ok(Told { agent, ssh, view, marker, node })
}

async fn wait_for_agent(cluster: &Cluster, cx: &StepCx, namespace: &str, name: &str, limit: Duration) -> Result<Asked, Failure> {
    let awaited = Awaited { kind: &kinds::VMI, namespace: Some(namespace), name, until: "to have its guest agent connected", limit };
    let connected = cluster
        .wait(cx, awaited, |object| {
            let conditions = object.and_then(|o| o.at("/status/conditions")).and_then(serde_json::Value::as_array);
            let yes = conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "AgentConnected" && c["status"] == "True"));
            Ok(yes.then_some(()))
        })
        .await;
    match connected {
        Ok(()) => Ok(Asked::Yes("connected".to_owned())),
        Err(Failure::Errored(trouble)) => Ok(Asked::Failed(trouble.line("; "))),
        Err(other) => Err(other),
    }
}

/// Logs in, has a line printed, and looks at the adapters until the source's static addresses are there. The login has one deadline,
/// the addresses another.
async fn look(
    scene: &Scene<'_>,
    namespace: &str,
    vm: &Migrating,
    name: &str,
    login: &GuestLogin,
    cx: &StepCx,
) -> Result<(Asked, GuestView, Asked), Failure> {
    let session = scene.session;
    let mut end = cx.deadline.within(session.settings.ssh_timeout);
    let mut pauses = Pauses::new(PAUSES, end);
    let mut greeted: Option<Asked> = None;
    let none = if scene.scenario.data_marker { "none was written into this guest" } else { "the scenario has no data_marker" };
    let mut marker = Asked::No(none.to_owned());
    let mut view = GuestView::Failed("the guest was not reached".to_owned());
    loop {
        let ssh = match guest::log_in(cx, session.cluster(), namespace, name, login, end.left()).await {
            Ok(ssh) => ssh,
            Err(Failure::Failed(trouble)) => {
                let more: Vec<&str> = trouble.details().chain(&trouble.hints).map(String::as_str).collect();
                let found = format!("{}: {}", trouble.summary, more.join("; "));
                // Without a login there are no adapters to compare: that is told once.
                let no_login = || "no login to the guest".to_owned();
                return Ok(match greeted {
                    Some(greeted) => (greeted, view, marker),
                    None => (Asked::Failed(found), GuestView::No(no_login()), Asked::No(no_login())),
                });
            }
            Err(other) => return Err(other),
        };
        let patient = scene.scenario.preserve_static_ips;
        if greeted.is_none() {
            greeted = Some(greet(&ssh, login).await);
            if vm.marked {
                marker = read_marker(&ssh).await;
            }
            // A guest that can be logged in to may still have to set its addresses, with a reboot or two.
            if patient {
                end = cx.deadline.within(session.settings.static_ips_timeout);
                pauses.extend(end);
            }
        }
        let broke = loop {
            match tokio::time::timeout(COMMAND, guest::adapters(&ssh, vm.source.windows)).await {
                Ok(Ok(nics)) => {
                    let complete = missing_addresses(&vm.source, &nics).is_empty();
                    view = GuestView::Seen(nics);
                    if complete || !patient || pauses.over() {
                        break false;
                    }
                }
                Ok(Err(error)) => {
                    view = GuestView::Failed(error.to_string());
                    break true;
                }
                Err(_) => {
                    view = GuestView::Failed(format!("the guest did not list its adapters within {}s", COMMAND.as_secs()));
                    break true;
                }
            }
            wait(cx, &mut pauses).await?;
        };
        ssh.close().await;
        if !broke || !patient || pauses.over() {
            return Ok((greeted.unwrap_or_else(|| Asked::Failed("the guest was not reached".to_owned())), view, marker));
        }
        wait(cx, &mut pauses).await?;
    }
}

async fn wait(cx: &StepCx, pauses: &mut Pauses) -> Result<(), Failure> {
    tokio::select! {
        () = cx.cancel.cancelled() => Err(Failure::Interrupted),
        _ = pauses.wait() => Ok(()),
    }
}

/// Reads the file that was written before the migration.
async fn read_marker(ssh: &Ssh) -> Asked {
    match tokio::time::timeout(COMMAND, ssh.run(&format!("cat {MARKER_PATH}"))).await {
        Ok(Ok(output)) if output.status == Some(0) => Asked::Yes(output.stdout.trim().to_owned()),
        Ok(Ok(output)) => Asked::Failed(output.stderr.trim().to_owned()),
        Ok(Err(error)) => Asked::Failed(error.to_string()),
        Err(_) => Asked::Failed(format!("`cat` did not end within {}s", COMMAND.as_secs())),
    }
}

/// Runs a command that prints one line.
async fn greet(ssh: &Ssh, login: &GuestLogin) -> Asked {
    match tokio::time::timeout(COMMAND, ssh.run(&format!("echo {GREETING}"))).await {
        Ok(Ok(output)) if output.status == Some(0) && output.stdout.trim() == GREETING => Asked::Yes(format!("as {}", login.user)),
        Ok(Ok(output)) => {
            Asked::Failed(format!("`echo` ended with {:?} and printed `{}{}`", output.status, output.stdout.trim(), output.stderr.trim()))
        }
        Ok(Err(error)) => Asked::Failed(error.to_string()),
        Err(_) => Asked::Failed(format!("`echo` did not end within {}s", COMMAND.as_secs())),
    }
}
