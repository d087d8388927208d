//! Guest operations: programs and files in the guest of a running machine, through its tools.

use std::{sync::Arc, time::Duration};

use mtv_api::xml::Node;

use super::{Context, Model, Outcome, needed, needed_text, unknown};
use crate::{
    datacenter::GuestModel,
    guests::{self, Files, Guest, Interface},
    vsphere::{
        Vcenter,
        fault::Fault,
        model::{guest_ops::Program, vm::Power},
        soap::{Reply, Request},
        types::guest,
        value::{Object, Value, long},
    },
};

/// A program that does nothing else takes so long.
const RUN: Duration = Duration::from_millis(300);

/// Methods of the managers of guest operations.
///
/// # Errors
/// The method's fault.
pub fn call(cx: &Context, request: &Request) -> Outcome {
    let vm = needed(request, "vm")?.id;
    let guest = enter(cx, &vm, request.body.child("auth"))?;
    let files = guest.files.clone();
    match request.method.as_str() {
        "ValidateCredentialsInGuest" => Ok(Reply::Empty),
        "StartProgramInGuest" => {
            let spec = request.body.child("spec").cloned().unwrap_or_default();
            let path = spec.get("programPath").ok_or_else(|| Fault::invalid_argument("programPath"))?.to_owned();
            let arguments = spec.get("arguments").unwrap_or_default().to_owned();
            Ok(Value::Long(start(&cx.server, &vm, guest, &path, &arguments)).into())
        }
        "ListProcessesInGuest" => {
            let asked: Vec<i64> = request.body.children_named("pids").filter_map(|pid| pid.text.trim().parse().ok()).collect();
            let of = |program: &&Program| program.vm == vm && (asked.is_empty() || asked.contains(&program.pid));
            let list = cx.look(|s| s.model.programs.iter().filter(of).map(|program| Value::Object(shown(program))).collect());
            Ok(Value::List("GuestProcessInfo", list).into())
        }
        "TerminateProcessInGuest" => Ok(Reply::Empty),
        "CreateTemporaryFileInGuest" => {
            let part = |name: &str| request.body.get(name).unwrap_or_default().to_owned();
            let number = cx.server.change(|model| model.count("guest-file"));
            let folder = Some(part("directoryPath")).filter(|path| !path.is_empty()).unwrap_or_else(|| "/tmp".to_owned());
            let path = format!("{}/{}{number:06}{}", folder.trim_end_matches('/'), part("prefix"), part("suffix"));
            files.write(&path, "");
            Ok(Value::from(path).into())
        }
        "MakeDirectoryInGuest" => Ok(Reply::Empty),
        "DeleteFileInGuest" => {
            let path = needed_text(request, "filePath")?;
            if files.remove(path) { Ok(Reply::Empty) } else { Err(Fault::file_not_found(path)) }
        }
        "InitiateFileTransferFromGuest" => {
            let path = needed_text(request, "guestFilePath")?;
            let text = files.read(path).ok_or_else(|| Fault::file_not_found(path))?;
            let size = text.len();
            let url = offer(&cx.server, files.clone(), path);
            let info = Object::new("FileTransferInformation")
                .set(
                    "attributes",
                    Object::new("GuestPosixFileAttributes").set("ownerId", 0).set("groupId", 0).set("permissions", long(0o644)),
                )
                .set("size", long(size))
                .set("url", url);
            Ok(Value::Object(info).into())
        }
        "InitiateFileTransferToGuest" => {
            let path = needed_text(request, "guestFilePath")?;
            Ok(Value::from(offer(&cx.server, files, path)).into())
        }
        _ => Err(unknown(request)),
    }
}

/// The guest, for somebody who may do things in it.
fn enter(cx: &Context, id: &str, auth: Option<&Node>) -> Result<Guest, Fault> {
    cx.look(|sight| {
        let (model, vm) = (sight.model, sight.model.vm(id)?);
        if vm.power != Power::On {
            return Err(Fault::invalid_power_state(vm.power.name(), Some("poweredOn")));
        }
        let system = guest::system(model, vm).filter(|_| vm.tools_running);
        let Some(system) = system else {
            return Err(Fault::new("GuestOperationsUnavailable", "The guest operations agent could not be contacted."));
        };
        let text = |name: &str| auth.and_then(|auth| auth.get(name)).unwrap_or_default();
        if text("username") != system.login.user || text("password") != system.login.password {
            return Err(Fault::new("InvalidGuestLogin", "Failed to authenticate with the guest operating system."));
        }
        inside(model, vm, system).map_err(|error| Fault::new("SystemError", error.to_string()))
    })
}

/// The operating system of a machine as its own shell sees it.
fn inside(model: &Model, vm: &crate::vsphere::model::vm::Vm, system: GuestModel) -> anyhow::Result<Guest> {
    let disk = vm.boot_file().unwrap_or_default().to_owned();
    let names = guest::names(vm, &system);
    let interfaces = vm.nics().zip(names).map(|((_, nic), name)| Interface {
        name,
        mac: nic.mac.clone(),
        addresses: guest::configured(nic),
        fixed: !nic.addresses.is_empty(),
        gateway: None,
    });
    Ok(Guest {
        interfaces: interfaces.collect(),
        disks: vm.disks().map(|(_, disk)| guests::Disk { size: disk.capacity_kib * 1024, serial: String::new() }).collect(),
        clock: model.world.clock,
        host_key: guests::host_key(b"source", &disk)?,
        ssh: None,
        files: Files::on(Arc::clone(&model.world.disks), disk),
        model: system,
    })
}

/// Starts a program and returns its number.
fn start(server: &Vcenter, vm: &str, guest: Guest, path: &str, arguments: &str) -> i64 {
    let pid = server.change(|model| {
        let pid = 1000 + i64::try_from(model.count("guest-program")).unwrap_or_default();
        model.programs.push(Program {
            vm: vm.to_owned(),
            pid,
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            owner: guest.model.login.user.clone(),
            line: format!("{path} {arguments}"),
            started: Model::now(),
            ended: None,
        });
        pid
    });
    let (server, line) = (server.clone(), format!("{path} {arguments}"));
    tokio::spawn(async move {
        server.world().clock.sleep(RUN).await;
        let output = guest.run(&line).await;
        server.change(|model| {
            if let Some(program) = model.programs.iter_mut().find(|program| program.pid == pid) {
                program.ended = Some((Model::now(), i32::try_from(output.code).unwrap_or(-1)));
            }
        });
    });
    pid
}

fn shown(program: &Program) -> Object {
    let info = Object::new("GuestProcessInfo")
        .set("name", &program.name)
        .set("pid", Value::Long(program.pid))
        .set("owner", &program.owner)
        .set("cmdLine", &program.line)
        .set("startTime", Value::Time(program.started.clone()));
    match &program.ended {
        Some((time, code)) => info.set("endTime", Value::Time(time.clone())).set("exitCode", *code),
        None => info,
    }
}

/// An address at which a file of a guest can be read and written, once or more often. `*` stands for the server that was asked.
fn offer(server: &Vcenter, files: Files, path: &str) -> String {
    server.change(|model| {
        let id = model.count("guest-transfer");
        let token = model.uuid(0x52);
        model.transfers.insert(id, (token.clone(), files, path.to_owned()));
        format!("https://*:443/guestFile?id={id}&token={token}")
    })
}

/// Reads or writes a file that was offered; none if nothing was.
pub fn transfer(server: &Vcenter, query: &str, content: Option<&[u8]>) -> Option<String> {
    let get = |name: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name)).map(|(_, value)| value);
    let id: u64 = get("id")?.parse().ok()?;
    let token = get("token")?;
    server.look(|model| {
        let (known, files, path) = model.transfers.get(&id)?;
        if known != token {
            return None;
        }
        if let Some(content) = content {
            files.write(path, &String::from_utf8_lossy(content));
        }
        files.read(path)
    })
}
