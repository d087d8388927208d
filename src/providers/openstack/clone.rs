//! Cloning: volume snapshots, volumes from them, a server with them and with all networks of its source. What boots from an
//! image gets an image of its own. Everything on the way carries the run's mark.

use std::time::Duration;

use futures::{FutureExt as _, future::try_join_all};
use serde_json::{Value, json};

use super::{
    lookup::{self, MARK},
    operate,
    session::{New, Request, Service, Session},
    wire::{escaped, items, number, text},
};
use crate::{
    config::{profile::ProviderKind, scenario::PowerWish},
    providers::{CloneRequest, Leaving, ProviderError, ProviderResult, poll::Wait},
};

/// Longest wait for a volume, a snapshot or an image; mtv-api-tests gave volumes 300 s, which copies of big ones miss.
const COPY: Duration = Duration::from_mins(15);
/// Longest wait for a server to become active: mtv-api-tests' 300 s.
const BOOT: Duration = Duration::from_mins(5);

/// Makes the clone and stops it. Returns its id. When it fails half-way, what was made is removed again.
pub async fn clone(session: &Session, request: &CloneRequest) -> ProviderResult<String> {
    request.must_be_plain(ProviderKind::Openstack)?;
    let made = whole(session, request).await;
    if made.is_err() {
        let leaving = Leaving::of_run(&request.run, &request.name, None);
        // What cannot be removed now is in the journal.
        if let Err(error) = operate::remove(session, leaving).await {
            tracing::warn!(clone = request.name, "what a failed clone made could not be removed: {error}");
        }
    }
    made
}

async fn whole(session: &Session, request: &CloneRequest) -> ProviderResult<String> {
    let doing = format!("clone server `{}` to `{}`", request.source, request.name);
    let source = lookup::one(session, &request.source).await?;
    let server = server(session, &source, &doing).await?;
    let flavor = flavor(session, &server, &doing).await?;
    let networks = networks(session, &source, &doing).await?;
    let disks = attached(session, &server, &doing).await?;
    let image = text(&server, "/image/id");
    let mut mapping = Vec::new();
    let mut image_id = String::new();
    if !image.is_empty() {
        image_id = copy_image(session, request, &source, &doing).await?;
        mapping.push(json!({
            "uuid": image_id, "source_type": "image", "destination_type": "local", "boot_index": 0, "delete_on_termination": true,
        }));
    }
    let copies = disks.iter().enumerate().map(|(index, disk)| copy_volume(session, request, disk, index, &doing));
    for (index, volume) in try_join_all(copies).await?.into_iter().enumerate() {
        let boot = if image.is_empty() && index == 0 { json!(0) } else { json!(-1) };
        mapping.push(json!({
            "uuid": volume, "source_type": "volume", "destination_type": "volume", "boot_index": boot, "delete_on_termination": true,
        }));
    }
    if mapping.is_empty() {
        return Err(ProviderError::operation(format!("failed to {doing}: the server has neither an image nor a volume to boot from")));
    }
    let mut body = json!({
        "name": request.name, "flavorRef": flavor, "networks": networks, "metadata": {MARK: request.run}, "block_device_mapping_v2": mapping,
    });
    if !image_id.is_empty() {
        body["imageRef"] = json!(image_id);
    }
    let body = json!({"server": body});
    // Whether Nova has begun may not be known: the mark tells.
    let look = || mine(session, request).boxed();
    let new = New { service: Service::Compute, name: "POST servers", path: "/servers", body: &body, id: "/server/id", doing: &doing };
    let id = session.make(new, &look).await?;
    wait_for_boot(session, &id, &doing).await?;
    operate::set_power(session, &id, PowerWish::Off).await?;
    Ok(id)
}

/// The server that an earlier request for this clone has made.
async fn mine(session: &Session, request: &CloneRequest) -> ProviderResult<Option<String>> {
    let found = lookup::named(session, std::slice::from_ref(&request.name)).await?;
    let run = |server: &&Value| server["metadata"][MARK].as_str() == Some(request.run.as_str());
    Ok(found.iter().find(run).map(|server| text(server, "/id").to_owned()))
}

/// What Nova says of a server.
pub async fn server(session: &Session, id: &str, doing: &str) -> ProviderResult<Value> {
    let body = session.get(Service::Compute, "GET servers/ID", &format!("/servers/{id}"), doing).await?;
    Ok(body["server"].clone())
}

/// The id of a server's flavor, which Nova tells by name only.
async fn flavor(session: &Session, server: &Value, doing: &str) -> ProviderResult<String> {
    let name = text(server, "/flavor/original_name");
    // Without `is_public` administrators are told of public ones alone.
    let all = session.list(Service::Compute, "flavors", "/flavors?is_public=None&limit=1000", doing).await?;
    let found = all.iter().find(|flavor| text(flavor, "/name") == name);
    found.map(|flavor| text(flavor, "/id").to_owned()).ok_or_else(|| {
        ProviderError::not_found(format!("failed to {doing}: its flavor `{name}` does not exist any more"))
            .hint("give the source another one")
    })
}

/// All networks of a server, one entry per port and in their order. A server without any must say so: an empty list means
/// "whatever network there is".
async fn networks(session: &Session, id: &str, doing: &str) -> ProviderResult<Value> {
    let mut ports = session.list(Service::Network, "ports", &format!("/ports?device_id={id}"), doing).await?;
    ports.sort_by(|a, b| text(a, "/created_at").cmp(text(b, "/created_at")));
    Ok(match ports.as_slice() {
        [] => json!("none"),
        ports => ports.iter().map(|port| json!({"uuid": text(port, "/network_id")})).collect(),
    })
}

/// Volumes of a server, the one that boots first and the others by their device.
pub async fn attached(session: &Session, server: &Value, doing: &str) -> ProviderResult<Vec<Value>> {
    let ids = items(server, "/os-extended-volumes:volumes_attached").iter().map(|volume| text(volume, "/id").to_owned());
    let read = ids.map(|id| async move {
        let body = session.get(Service::Volume, "GET volumes/ID", &format!("/volumes/{id}"), doing).await?;
        Ok::<_, ProviderError>(body["volume"].clone())
    });
    let mut volumes = try_join_all(read).await?;
    let id = text(server, "/id");
    let device = |volume: &Value| {
        let at = items(volume, "/attachments").iter().find(|at| text(at, "/server_id") == id);
        at.map(|at| text(at, "/device").to_owned()).unwrap_or_default()
    };
    volumes.sort_by_key(|volume| (text(volume, "/bootable") != "true", device(volume), text(volume, "/id").to_owned()));
    Ok(volumes)
}

/// An image of a server that boots from one; data volumes are left to [`copy_volume`].
async fn copy_image(session: &Session, request: &CloneRequest, source: &str, doing: &str) -> ProviderResult<String> {
    let id = operate::image(session, source, &format!("{}-image", request.name), &request.run, doing).await?;
    let mut wait = Wait::new(format!("to {doing}, for the image of the source"), COPY);
    loop {
        let image = session.get_if_there(Service::Image, "GET images/ID", &format!("/images/{id}"), doing).await?;
        match image.as_ref().map(|image| text(image, "/status")) {
            Some("active") => return Ok(id),
            Some("killed" | "deleted" | "deactivated") | None => {
                return Err(ProviderError::operation(format!("failed to {doing}: the image of the source could not be made")));
            }
            Some(status) => wait.pause(status).await?,
        }
    }
}

/// A volume with the content of another one, by way of a snapshot.
async fn copy_volume(session: &Session, request: &CloneRequest, disk: &Value, index: usize, doing: &str) -> ProviderResult<String> {
    let name = format!("{}-vol-{index}", request.name);
    let mark = json!({MARK: request.run});
    let body = json!({"snapshot": {
        "name": format!("{name}-snapshot"), "volume_id": text(disk, "/id"), "force": true, "metadata": mark,
    }});
    let snapshot = make(session, "snapshot", &body, &request.run, doing).await?;
    wait_for(session, "snapshot", &snapshot, doing).await?;
    let mut body = json!({"name": name, "snapshot_id": snapshot, "size": number(disk, "/size"), "metadata": mark});
    let kind = text(disk, "/volume_type");
    if !kind.is_empty() {
        body["volume_type"] = json!(kind);
    }
    let volume = make(session, "volume", &json!({"volume": body}), &request.run, doing).await?;
    wait_for(session, "volume", &volume, doing).await?;
    Ok(volume)
}

/// Makes a volume or a snapshot, whose name is the clone's own; its id.
async fn make(session: &Session, kind: &str, body: &Value, run: &str, doing: &str) -> ProviderResult<String> {
    let wanted = text(body, &format!("/{kind}/name"));
    let (name, path, member) = (format!("POST {kind}s"), format!("/{kind}s"), format!("{kind}s"));
    let list = format!("{path}/detail?name={}", escaped(wanted));
    let look = || {
        async {
            let all = session.list(Service::Volume, &member, &list, doing).await?;
            let mine = all.iter().find(|found| text(found, "/name") == wanted && found["metadata"][MARK].as_str() == Some(run));
            Ok(mine.map(|found| text(found, "/id").to_owned()))
        }
        .boxed()
    };
    session.make(New { service: Service::Volume, name: &name, path: &path, body, id: &format!("/{kind}/id"), doing }, &look).await
}

/// Waits until a volume or snapshot is there to be used.
async fn wait_for(session: &Session, kind: &str, id: &str, doing: &str) -> ProviderResult<()> {
    let mut wait = Wait::new(format!("to {doing}, for {kind} {id} to become available"), COPY);
    loop {
        let path = format!("/{kind}s/{id}");
        let found = session.get_if_there(Service::Volume, &format!("GET {kind}s/ID"), &path, doing).await?;
        match found.as_ref().map(|body| text(body, &format!("/{kind}/status"))) {
            Some("available") => return Ok(()),
            Some(state @ ("error" | "error_deleting")) => {
                return Err(ProviderError::operation(format!("failed to {doing}: {kind} {id} is in state {state}")));
            }
            Some(state) => wait.pause(state).await?,
            None => return Err(ProviderError::operation(format!("failed to {doing}: {kind} {id} is gone"))),
        }
    }
}

async fn wait_for_boot(session: &Session, id: &str, doing: &str) -> ProviderResult<()> {
    let mut wait = Wait::new(format!("to {doing}, for the server to become active"), BOOT);
    loop {
        let reply = session.call(&Request::get(Service::Compute, "GET servers/ID", &format!("/servers/{id}"))).await?;
        let server = &reply.body["server"];
        match text(server, "/status") {
            "ACTIVE" | "SHUTOFF" => return Ok(()),
            "ERROR" => {
                let why = text(server, "/fault/message");
                return Err(ProviderError::operation(format!("failed to {doing}: the server is in state ERROR: {why}")));
            }
            "" => return Err(session.refused(&reply, doing)),
            state => wait.pause(state).await?,
        }
    }
}
