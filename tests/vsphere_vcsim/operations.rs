//! Power, guest information, descriptions, snapshots, deletion.

use std::{sync::Arc, time::Duration};

use mtv_test::{
    config::scenario::PowerWish,
    providers::{Power, ProviderErrorKind, Source},
};

use crate::support::{Vcsim, count, until};

const VM: &str = "DC0_H0_VM0";

async fn id(source: &dyn Source, name: &str) -> String {
    source.cloner().unwrap().find(&[name.to_owned()]).await.unwrap().remove(0).id
}

pub async fn power_goes_on_and_off_and_twice_is_once() {
    let Some(vcsim) = Vcsim::start(&["-off"]) else { return };
    let source = vcsim.connect().await;
    let id = id(source.as_ref(), VM).await;
    for (power, state) in
        [(PowerWish::On, "poweredOn"), (PowerWish::On, "poweredOn"), (PowerWish::Off, "poweredOff"), (PowerWish::Off, "poweredOff")]
    {
        source.cloner().unwrap().set_power(&id, power).await.unwrap();
        assert_eq!(vcsim.property(&format!("/DC0/vm/{VM}"), "runtime.powerState"), state);
        assert_eq!(
            source.cloner().unwrap().describe_vm(&id).await.unwrap().power,
            if power == PowerWish::On { Power::On } else { Power::Off }
        );
    }
    let error = source.cloner().unwrap().set_power("vm-none", PowerWish::On).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::NotFound) && error.to_string().contains("vm-none"), "{error:?}");
}

pub async fn guest_information_is_awaited_until_address_and_tools_are_there() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source: Arc<dyn Source> = Arc::from(vcsim.connect().await);
    let id = id(source.as_ref(), VM).await;
    assert!(!source.cloner().unwrap().wait_for_guest(&id, Duration::from_millis(50)).await.unwrap());
    let waiting = tokio::spawn({
        let (source, id) = (source.clone(), id.clone());
        async move { source.cloner().unwrap().wait_for_guest(&id, Duration::from_mins(1)).await }
    });
    until("the second wait", || count(source.as_ref(), "WaitForUpdatesEx") >= 4).await;
    vcsim.govc(&["vm.change", "-vm", VM, "-e", "SET.guest.ipAddress=10.0.0.7"]);
    vcsim.govc(&["vm.change", "-vm", VM, "-e", "SET.guest.toolsRunningStatus=guestToolsRunning"]);
    assert!(waiting.await.unwrap().unwrap());
    let description = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert!(description.tools_running);
    assert_eq!(description.nics[0].addresses, ["10.0.0.7"]);
}

pub async fn waiting_for_the_guest_of_a_vm_that_goes_ends_with_an_error() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source: Arc<dyn Source> = Arc::from(vcsim.connect().await);
    let id = id(source.as_ref(), VM).await;
    let waiting = tokio::spawn({
        let (source, id) = (source.clone(), id.clone());
        async move { source.cloner().unwrap().wait_for_guest(&id, Duration::from_mins(1)).await }
    });
    until("the wait", || count(source.as_ref(), "WaitForUpdatesEx") >= 2).await;
    vcsim.govc(&["vm.destroy", VM]);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.is(ProviderErrorKind::NotFound), "{error:?}");
}

/// Against what govc says of the same VM.
pub async fn a_description_agrees_with_govc() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    vcsim.govc(&["vm.change", "-vm", VM, "-c", "4", "-m", "512"]);
    vcsim.govc(&["vm.network.add", "-vm", VM, "-net", "VM Network"]);
    vcsim.govc(&["vm.disk.create", "-vm", VM, "-name", "second", "-size", "1G"]);
    let source = vcsim.connect().await;
    let id = id(source.as_ref(), VM).await;
    let before: u64 = source.requests().values().sum();
    let got = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert_eq!(source.requests().values().sum::<u64>() - before, 1);
    let info: serde_json::Value = serde_json::from_str(&vcsim.govc(&["vm.info", "-json", VM])).unwrap();
    let vm = &info["virtualMachines"][0];
    assert_eq!(got.uuid.as_deref(), vm["config"]["uuid"].as_str());
    assert_eq!(u64::from(got.sockets.unwrap() * got.cores_per_socket.unwrap()), vm["config"]["hardware"]["numCPU"].as_u64().unwrap());
    assert_eq!(got.memory_mib, Some(512));
    let devices = vm["config"]["hardware"]["device"].as_array().unwrap();
    let macs: Vec<_> = devices.iter().filter_map(|d| d["macAddress"].as_str()).map(str::to_lowercase).collect();
    assert_eq!(got.nics.iter().map(|n| n.mac.clone()).collect::<Vec<_>>(), macs);
    assert_eq!(got.nics.iter().map(|n| n.network.as_str()).collect::<Vec<_>>(), ["DC0_DVPG0", "VM Network"]);
    for nic in &got.nics {
        let kind = if nic.network == "VM Network" { "Network" } else { "DistributedVirtualPortgroup" };
        assert_eq!(vcsim.property(&format!("{kind}:{}", nic.network_id), "name"), nic.network);
    }
    let bytes: Vec<_> = devices.iter().filter_map(|d| d["capacityInBytes"].as_u64()).collect();
    assert_eq!(got.disks.iter().map(|d| d.bytes).collect::<Vec<_>>(), bytes);
    assert!(got.disks.iter().all(|d| d.storage == "LocalDS_0" && !d.name.is_empty()), "{:?}", got.disks);
    assert!(!got.windows);
}

pub async fn snapshots_of_all_branches_are_described() {
    let Some(vcsim) = Vcsim::start(&["-off"]) else { return };
    let source = vcsim.connect().await;
    let id = id(source.as_ref(), VM).await;
    for name in ["first", "second"] {
        source.snapshots().unwrap().snapshot(&id, name).await.unwrap();
    }
    vcsim.govc(&["snapshot.revert", "-vm", VM, "first"]);
    source.snapshots().unwrap().snapshot(&id, "branch").await.unwrap();
    let snapshots = source.cloner().unwrap().describe_vm(&id).await.unwrap().snapshots;
    assert_eq!(snapshots.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["first", "second", "branch"]);
    assert!(snapshots.iter().all(|s| s.state == "poweredOff" && s.created.contains('T')), "{snapshots:?}");
}

pub async fn a_running_vm_is_deleted_and_one_that_is_gone_is_no_error() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let id = id(source.as_ref(), VM).await;
    source.cloner().unwrap().delete(&id).await.unwrap();
    assert_eq!(source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap(), []);
    source.cloner().unwrap().delete(&id).await.unwrap();
    let error = source.cloner().unwrap().describe_vm(&id).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::NotFound) && error.to_string().contains(&id), "{error:?}");
}

pub async fn many_tasks_at_a_time_share_a_session() {
    let Some(vcsim) = Vcsim::start(&["-vm", "20", "-off"]) else { return };
    let source: Arc<dyn Source> = Arc::from(vcsim.connect().await);
    let names: Vec<_> = (0..20).map(|n| format!("DC0_H0_VM{n}")).collect();
    let vms = source.cloner().unwrap().find(&names).await.unwrap();
    assert_eq!(vms.len(), 20);
    let tasks = vms.iter().map(|vm| {
        let (source, id) = (source.clone(), vm.id.clone());
        tokio::spawn(async move {
            source.cloner().unwrap().set_power(&id, PowerWish::On).await?;
            source.cloner().unwrap().delete(&id).await
        })
    });
    for task in futures::future::join_all(tasks).await {
        task.unwrap().unwrap();
    }
    assert_eq!(source.cloner().unwrap().find(&names).await.unwrap(), []);
    assert_eq!(count(source.as_ref(), "Login"), 1);
}
