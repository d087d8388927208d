//! What is done in the guest of a clone before its migration: it is asked what its adapters are called, and a file is written that has
//! to be there afterwards.

use super::super::Scene;
use crate::{
    config::profile::GuestLogin,
    diagnosis::{Diagnosis, Id},
    engine::{Failure, StepCx},
    guest::{GuestNic, LINUX_ADDRESSES, linux_adapters},
    providers::{GuestCommand, GuestExec, Power, VmDescription},
    run::provider_failure,
    verify::{MARKER_PATH, marker_text},
};

/// Whether anything can be done in this guest, and by whom.
fn login<'a>(scene: &'a Scene<'_>, source: &VmDescription) -> Result<(&'a dyn GuestExec, &'a GuestLogin), String> {
    let session = scene.session;
    let Some(guests) = session.source.guest_exec() else {
        return Err(format!("a source of type {} runs no commands in guests", session.profile.kind()));
    };
    if source.windows {
        return Err("the guest is Windows".to_owned());
    }
    if source.power != Power::On || !source.tools_running {
        return Err("the guest's tools do not run".to_owned());
    }
    let login = session.profile.guest_linux.as_ref();
    Ok((guests, login.ok_or_else(|| "the profile has no guest_vm_linux_user and guest_vm_linux_password".to_owned())?))
}

/// Asks a guest what its adapters are called and which of its addresses come by DHCP: vCenter does not tell. A guest that does not
/// answer is no failure: what it does not tell is not compared.
pub async fn ask(scene: &Scene<'_>, source: &mut VmDescription, cx: &StepCx) -> Result<(), Failure> {
    let Ok((guests, login)) = login(scene, source) else { return Ok(()) };
    cx.progress(format!("asking the guest of VM {} for its adapters", source.name), None);
    let command = GuestCommand { name: format!("{}-adapters", scene.session.run()), line: LINUX_ADDRESSES.to_owned(), fetch: true };
    let asked = guests.run_in_guest(&source.id, login, &command);
    let answer = tokio::select! {
        () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
        answer = asked => answer,
    };
    match answer {
        Ok(answer) if answer.status == 0 => add(source, &linux_adapters(&answer.output)),
        Ok(answer) => cx.warn(format!(
            "the guest of VM {} does not tell its adapters: `{LINUX_ADDRESSES}` ended with {}: {}",
            source.name,
            answer.status,
            answer.output.trim()
        )),
        Err(error) => {
            cx.warn_with(format!("names of adapters in VM {} are not compared: {error}", source.name), error.hints().to_vec());
        }
    }
    Ok(())
}

/// Adds what a guest told.
fn add(source: &mut VmDescription, told: &[GuestNic]) {
    for nic in &mut source.nics {
        let Some(found) = told.iter().find(|found| found.mac.eq_ignore_ascii_case(&nic.mac)) else { continue };
        nic.guest_name = Some(found.name.clone());
        for address in nic.configured.iter_mut().filter(|address| address.fixed.is_none()) {
            address.fixed = found.addresses.iter().find(|a| a.ip == address.ip).map(|a| !a.dynamic);
        }
    }
}

/// Writes the run's text into a file of a Linux guest, and has it on the disk. Whether it was written.
pub async fn mark(scene: &Scene<'_>, source: &VmDescription, cx: &StepCx) -> Result<bool, Failure> {
    if !scene.scenario.data_marker {
        return Ok(false);
    }
    if source.windows {
        return Ok(false);
    }
    let cannot = |why: String| {
        Failure::Errored(
            Diagnosis::new(Id::GuestPreparationFailed, format!("the data marker cannot be written into VM {}: {why}", source.name))
                .hint("data_marker needs a running Linux guest with open-vm-tools, and its login in the profile"),
        )
    };
    let (guests, login) = login(scene, source).map_err(cannot)?;
    cx.progress(format!("writing the data marker into VM {}", source.name), None);
    let (folder, text) = (MARKER_PATH.rsplit_once('/').map_or("/", |(folder, _)| folder), marker_text(scene.session.run()));
    let line = format!("mkdir -p {folder} && echo {text} > {MARKER_PATH} && sync && test -s {MARKER_PATH}");
    let command = GuestCommand { name: format!("{}-marker", scene.session.run()), line, fetch: false };
    let written = guests.run_in_guest(&source.id, login, &command);
    let answer = tokio::select! {
        () = cx.cancel.cancelled() => return Err(Failure::Interrupted),
        answer = written => answer.map_err(provider_failure)?,
    };
    if answer.status == 0 { Ok(true) } else { Err(cannot(format!("the command ended with {}", answer.status))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{GuestAddress, Nic};

    #[test]
    fn what_the_guest_tells_completes_what_its_tools_tell() {
        let address = |ip: &str, fixed| GuestAddress { ip: ip.parse().unwrap(), prefix: Some(24), fixed };
        let nic = Nic {
            mac: "00:50:56:00:00:01".into(),
            configured: vec![
                address("10.0.0.5", None),
                address("10.0.0.6", None),
                address("10.0.0.7", Some(true)),
                address("10.0.0.8", None),
            ],
            ..Nic::default()
        };
        let mut source =
            VmDescription { nics: vec![nic, Nic { mac: "00:50:56:00:00:02".into(), ..Nic::default() }], ..VmDescription::default() };
        let text = "2: ens192: <UP> mtu 1500\n    link/ether 00:50:56:00:00:01 brd ff:ff:ff:ff:ff:ff\n    inet 10.0.0.5/24 scope global dynamic ens192\n    inet 10.0.0.6/24 scope global ens192\n";
        add(&mut source, &linux_adapters(text));
        assert_eq!(source.nics[0].guest_name.as_deref(), Some("ens192"));
        assert_eq!(source.nics[0].configured.iter().map(|a| a.fixed).collect::<Vec<_>>(), [Some(false), Some(true), Some(true), None]);
        assert_eq!(source.nics[1].guest_name, None);
    }
}
