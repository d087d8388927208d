//! A deep-inspection pod: looks at a snapshot of the source and hands out what it found until it is told to go.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http::{Method, StatusCode};
use kube::ResourceExt;
use mtv_api::kinds;
use serde_json::json;
use tokio::sync::Notify;

use super::{Running, serve, workload::Exit};
use crate::{datacenter::GuestModel, roles::write};

/// Opening the snapshot and looking for operating systems.
const INSPECT: Duration = Duration::from_secs(4);
/// Port of the real image.
const PORT: u16 = 8080;

/// Runs the pod; returns when it has been told to go.
pub(super) async fn run(running: &Running<'_>) -> anyhow::Result<(Exit, String)> {
    let (ip, listening) = serve::address(PORT).await?;
    if let Some(port) = listening.other_port {
        running.publish(serve::RESULTS_PORT, port).await?;
    }
    running.up(&ip.to_string()).await?;
    let guest = guest(running).await?;
    let ready = Arc::new(AtomicBool::new(false));
    let shutdown = Arc::new(Notify::new());
    let (told, is_ready, results) = (Arc::clone(&shutdown), Arc::clone(&ready), results(guest.as_ref()));
    let server = serve::serve(listening, move |method, path| match (method, path) {
        (&Method::GET, "/ready" | "/results") if !is_ready.load(Ordering::Relaxed) => serve::code(StatusCode::SERVICE_UNAVAILABLE),
        (&Method::GET, "/ready") => serve::code(StatusCode::OK),
        (&Method::GET, "/results") => serve::text("application/json", results.clone()),
        (&Method::POST, "/shutdown") => {
            told.notify_one();
            serve::code(StatusCode::NO_CONTENT)
        }
        _ => serve::code(StatusCode::NOT_FOUND),
    });
    let work = async {
        running.cx.world.clock.sleep(INSPECT).await;
        ready.store(true, Ordering::Relaxed);
        shutdown.notified().await;
        // The answer to the request still has to leave.
        running.cx.world.clock.sleep(Duration::from_millis(200)).await;
    };
    tokio::select! {
        () = server => {}
        () = work => {}
    }
    Ok((Exit::Success, ip.to_string()))
}

/// The operating system of the VM that the pod's Conversion names: that of the disks in the VM's folder.
async fn guest(running: &Running<'_>) -> anyhow::Result<Option<GuestModel>> {
    let world = &running.cx.world;
    let Some(conversion) = running.pod.labels().get("conversion") else { return Ok(None) };
    let api = write::api(&running.cx.client, &kinds::CONVERSION, &running.pod.namespace().unwrap_or_default());
    let Some(conversion) = api.get_opt(conversion).await? else { return Ok(None) };
    let vm = write::text(&conversion.data, "/spec/vm/name");
    let stores = world.datacenter.vsphere.datastores.iter();
    let image = stores.map(|store| format!("[{}] {vm}/", store.name)).find_map(|folder| world.disks.bootable(&folder));
    Ok(image.and_then(|image| world.datacenter.guests.get(&image.guest?).cloned()))
}

fn results(guest: Option<&GuestModel>) -> String {
    let os_info = guest.map_or_else(
        || json!({ "name": "linux", "distro": "unknown", "major_version": "0", "architecture": "x86_64" }),
        |guest| {
            let distro = guest.os_info.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
            let version = guest.os_info.trim_start_matches(|c: char| !c.is_ascii_digit());
            let major = version.split('.').next().unwrap_or_default();
            json!({ "name": guest.full_name, "distro": if guest.family == "windows" { "windows" } else { distro }, "major_version": major, "architecture": "x86_64" })
        },
    );
    json!({ "passed": true, "all_concerns": [], "os_info": os_info, "filesystems": [], "mountpoints": [] }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_say_what_stands_on_the_disk() {
        let found = crate::datacenter::DataCenter::parse(crate::datacenter::DEFAULT).unwrap();
        let text: serde_json::Value = serde_json::from_str(&results(found.guests.get("rhel9"))).unwrap();
        assert_eq!(text["os_info"]["distro"], "rhel");
        assert_eq!(text["os_info"]["major_version"], "9");
        assert_eq!(text["passed"], true);
    }
}
