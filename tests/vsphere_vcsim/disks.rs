//! Disks that a clone gets beside those of its source: size, layout, mode, datastore, folder, mapped LUNs.

use mtv_test::{
    config::{
        copyoffload::CopyOffload,
        profile::{Details, Profile, VsphereProfile},
        scenario::{DiskController, DiskMode, DiskType, RdmType},
    },
    providers::{CloneRequest, NewDisk, NewDiskKind, ProviderErrorKind, VmDescription, connect},
};

use crate::support::Vcsim;

const SOURCE: &str = "DC0_C0_RP0_VM0";

fn request(name: &str) -> CloneRequest {
    CloneRequest { source: SOURCE.into(), name: name.into(), run: "r1".into(), ..CloneRequest::default() }
}

fn empty(gib: u64, provisioning: DiskType, mode: DiskMode) -> NewDisk {
    NewDisk {
        kind: NewDiskKind::Empty { bytes: gib << 30, provisioning, mode, controller: DiskController::Scsi },
        datastore: None,
        folder: None,
    }
}

/// Id and name of the datastores of a vcsim.
fn datastores(vcsim: &Vcsim) -> Vec<(String, String)> {
    let ids = vcsim.govc(&["find", "-i", "/", "-type", "s"]);
    ids.lines()
        .map(|line| {
            let reference = line.split_whitespace().next().unwrap().to_owned();
            let name = vcsim.property(&reference, "name");
            (reference.trim_start_matches("Datastore:").to_owned(), name)
        })
        .collect()
}

fn added(vm: &VmDescription) -> Vec<(u64, Option<DiskMode>)> {
    vm.disks[1..].iter().map(|disk| (disk.bytes >> 30, disk.mode)).collect()
}

pub async fn added_disks_have_size_mode_and_layout() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let disks = vec![
        empty(30, DiskType::Thin, DiskMode::Persistent),
        empty(10, DiskType::ThickLazy, DiskMode::IndependentPersistent),
        empty(2048, DiskType::Thin, DiskMode::IndependentNonpersistent),
        empty(1, DiskType::ThickEager, DiskMode::Persistent),
    ];
    let id = source.cloner().unwrap().clone_vm(&CloneRequest { disks, changed_block_tracking: true, ..request("clone") }).await.unwrap();
    let vm = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    let expected = [
        (30, Some(DiskMode::Persistent)),
        (10, Some(DiskMode::IndependentPersistent)),
        (2048, Some(DiskMode::IndependentNonpersistent)),
        (1, Some(DiskMode::Persistent)),
    ];
    assert_eq!(added(&vm), expected);
    let layouts: Vec<_> = vm.disks[1..].iter().map(|disk| disk.provisioning).collect();
    let expected = [DiskType::Thin, DiskType::ThickLazy, DiskType::Thin, DiskType::ThickEager].map(Some);
    assert_eq!(layouts, expected);
    assert!(vm.disks.iter().all(|disk| disk.storage_id.starts_with("datastore-") && disk.bus == "scsi" && !disk.on_snapshot), "{vm:#?}");
    source.cloner().unwrap().delete(&id).await.unwrap();
}

pub async fn ten_disks_find_room_on_the_controllers() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let layout = |n: u64| if n.is_multiple_of(2) { DiskType::Thin } else { DiskType::ThickLazy };
    let disks = (0..10).map(|n| empty(1, layout(n), DiskMode::Persistent)).collect();
    let id = source.cloner().unwrap().clone_vm(&CloneRequest { disks, ..request("many") }).await.unwrap();
    assert_eq!(source.cloner().unwrap().describe_vm(&id).await.unwrap().disks.len(), 11);
}

pub async fn disks_go_to_other_datastores_and_into_folders() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let folder = vcsim.folder().join("second");
    std::fs::create_dir(&folder).unwrap();
    let hosts = vcsim.govc(&["find", "/DC0/host/DC0_C0", "-type", "h"]);
    let create = ["datastore.create", "-type", "local", "-name", "second", "-path", folder.to_str().unwrap()];
    vcsim.govc(&create.into_iter().chain(hosts.lines()).collect::<Vec<_>>());
    let mut stores = datastores(&vcsim);
    stores.sort_by_key(|(_, name)| name == "second");
    assert_eq!(stores.len(), 2, "{stores:?}");
    let vsphere = VsphereProfile { copyoffload: Some(CopyOffload::default()), ..VsphereProfile::default() };
    let profile = Profile { details: Details::from(vsphere), ..vcsim.profile() };
    let source = connect(&profile).await.unwrap();
    let second = &stores[1];
    let disk = empty(1, DiskType::Thin, DiskMode::Persistent);
    let disks = vec![
        NewDisk { datastore: Some(second.0.clone()), ..disk.clone() },
        NewDisk { folder: Some("shared_disks".into()), ..disk.clone() },
        NewDisk { folder: Some("shared_disks".into()), ..disk },
    ];
    let id = source
        .cloner()
        .unwrap()
        .clone_vm(&CloneRequest { datastore: Some(stores[0].0.clone()), disks, ..request("spread") })
        .await
        .unwrap();
    let vm = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    let on: Vec<&str> = vm.disks.iter().map(|disk| disk.storage_id.as_str()).collect();
    assert_eq!(on, [&stores[0].0, &second.0, &stores[0].0, &stores[0].0]);
    assert!(vm.disks[2].file.contains("] shared_disks/spread_disk_1"), "{}", vm.disks[2].file);
    assert_eq!(source.offload_host().unwrap().datastore_name(&second.0).await.unwrap(), second.1);
}

pub async fn what_does_not_exist_is_named_with_what_does() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let stores = datastores(&vcsim);
    let cases = [
        (CloneRequest { datastore: Some("datastore-9999".into()), ..request("a") }, ["`datastore-9999`", &stores[0].0]),
        (CloneRequest { host: Some("DC0_C0_H9".into()), ..request("b") }, ["no host is called `DC0_C0_H9`", "DC0_C0_H0"]),
        (CloneRequest { resource_pool: Some("Pool".into()), ..request("c") }, ["no resource pool is called `Pool`", "Resources"]),
    ];
    for (wanted, words) in cases {
        let error = source.cloner().unwrap().clone_vm(&wanted).await.unwrap_err();
        let text = error.to_string();
        assert!(error.is(ProviderErrorKind::NotFound) && words.iter().all(|word| text.contains(word)), "{text}");
    }
    assert_eq!(source.cloner().unwrap().of_run("r1").await.unwrap(), []);
}

pub async fn thick_disks_that_cannot_fit_are_refused_before_anything_is_made() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let huge = |provisioning| vec![empty(1 << 20, provisioning, DiskMode::Persistent)];
    let error = source
        .cloner()
        .unwrap()
        .clone_vm(&CloneRequest { disks: huge(DiskType::ThickLazy), ..request("thick") })
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("1048576.0 GiB") && error.contains("GiB free"), "{error}");
    assert_eq!(source.cloner().unwrap().of_run("r1").await.unwrap(), []);
    source.cloner().unwrap().clone_vm(&CloneRequest { disks: huge(DiskType::Thin), ..request("thin") }).await.unwrap();
}

pub async fn a_lun_of_the_host_is_mapped_and_a_foreign_one_refused() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let luns: serde_json::Value =
        serde_json::from_str(&vcsim.govc(&["object.collect", "-json", "/DC0/host/DC0_C0/DC0_C0_H0", "config.storageDevice.scsiLun"]))
            .unwrap();
    let lun = luns[0]["val"]["_value"].as_array().unwrap().iter().find_map(|l| l["canonicalName"].as_str()).unwrap().to_owned();
    let rdm = |lun: &str, mode| NewDisk { kind: NewDiskKind::Rdm { lun: lun.into(), mode }, datastore: None, folder: None };
    let host = Some("DC0_C0_H0".to_owned());
    let id = source
        .cloner()
        .unwrap()
        .clone_vm(&CloneRequest { disks: vec![rdm(&lun, RdmType::Virtual)], host: host.clone(), ..request("rdm") })
        .await
        .unwrap();
    assert_eq!(vcsim.property("/DC0/vm/rdm", "runtime.host").trim_start_matches("HostSystem:"), {
        vcsim
            .govc(&["find", "-i", "/DC0/host/DC0_C0", "-type", "h", "-name", "DC0_C0_H0"])
            .trim()
            .trim_start_matches("HostSystem:")
            .to_owned()
    });
    let vm = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert_eq!((vm.disks[1].rdm, vm.disks[1].provisioning, vm.disks[1].mode), (Some(RdmType::Virtual), None, Some(DiskMode::Persistent)));
    let foreign = CloneRequest { disks: vec![rdm("naa.600a098000000000", RdmType::Physical)], host, ..request("foreign") };
    let error = source.cloner().unwrap().clone_vm(&foreign).await.unwrap_err().to_string();
    assert!(error.contains("sees no LUN `naa.600a098000000000`") && error.contains(&lun), "{error}");
}
