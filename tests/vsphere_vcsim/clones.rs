//! Cloning from VMs and templates, the mark of the run, changed block tracking, and what a scenario costs in all.

use std::time::Duration;

use mtv_test::{
    config::{
        profile::{Details, Profile, VsphereProfile},
        scenario::PowerWish,
    },
    providers::{CloneRequest, ProviderErrorKind, Source, connect, vsphere::Vsphere},
};

use crate::support::{Vcsim, total};

const SOURCE: &str = "DC0_C0_RP0_VM0";

fn request(name: &str, changed_block_tracking: bool) -> CloneRequest {
    CloneRequest { source: SOURCE.into(), name: name.into(), run: "r1".into(), changed_block_tracking, ..CloneRequest::default() }
}

/// Whether govc sees an option of the extra configuration.
fn has_option(vcsim: &Vcsim, vm: &str, key: &str, value: &str) -> bool {
    let options: serde_json::Value = serde_json::from_str(&vcsim.govc(&["object.collect", "-json", vm, "config.extraConfig"])).unwrap();
    let options = options[0]["val"]["_value"].as_array().unwrap();
    options.iter().any(|option| option["key"] == key && option["value"] == value)
}

pub async fn a_clone_is_off_marked_and_has_its_own_address() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let id = source.cloner().unwrap().clone_vm(&request("clone", false)).await.unwrap();
    let path = "/DC0/vm/clone";
    assert_eq!(vcsim.property(path, "runtime.powerState"), "poweredOff");
    assert!(has_option(&vcsim, path, "mtv-test.run", "r1"));
    assert!(!has_option(&vcsim, path, "ctkEnabled", "true"));
    let (clone, original) = (
        source.cloner().unwrap().describe_vm(&id).await.unwrap(),
        source.cloner().unwrap().find(&[SOURCE.to_owned()]).await.unwrap().remove(0),
    );
    let original = source.cloner().unwrap().describe_vm(&original.id).await.unwrap();
    assert_eq!(clone.disks.len(), original.disks.len());
    assert_eq!(clone.nics.len(), original.nics.len());
    assert_eq!(clone.nics[0].network, original.nics[0].network);
    assert_ne!(clone.nics[0].mac, original.nics[0].mac);
    assert_ne!(clone.uuid, original.uuid);
    let mine = source.cloner().unwrap().of_run("r1").await.unwrap();
    assert_eq!(mine.iter().map(|vm| (vm.id.as_str(), vm.run.as_deref())).collect::<Vec<_>>(), [(id.as_str(), Some("r1"))]);
    assert_eq!(source.cloner().unwrap().find(&["clone".to_owned()]).await.unwrap(), mine);
    assert_eq!(source.cloner().unwrap().of_run("r2").await.unwrap(), []);
}

pub async fn a_clone_for_warm_migration_tracks_changed_blocks() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    source.cloner().unwrap().clone_vm(&request("warm", true)).await.unwrap();
    let path = "/DC0/vm/warm";
    assert_eq!(vcsim.property(path, "config.changeTrackingEnabled"), "true");
    assert!(has_option(&vcsim, path, "ctkEnabled", "true"));
    assert!(has_option(&vcsim, path, "scsi0:0.ctkEnabled", "true"));
}

pub async fn a_template_is_cloned_into_the_pool_of_its_hosts_cluster() {
    let Some(vcsim) = Vcsim::start(&["-off"]) else { return };
    vcsim.govc(&["vm.markastemplate", SOURCE]);
    let source = vcsim.connect().await;
    source.cloner().unwrap().clone_vm(&request("from-template", false)).await.unwrap();
    assert_eq!(vcsim.property("/DC0/vm/from-template", "config.template"), "false");
    let pool = vcsim.property("/DC0/vm/from-template", "resourcePool");
    assert_eq!(pool, vcsim.property("/DC0/host/DC0_C0", "resourcePool"));
}

pub async fn a_taken_name_is_refused_and_stays_as_it_was() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let error = source.cloner().unwrap().clone_vm(&request("DC0_H0_VM0", false)).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Operation) && error.to_string().contains("DuplicateName"), "{error:?}");
    assert_eq!(source.cloner().unwrap().of_run("r1").await.unwrap(), []);
}

pub async fn a_broken_source_is_refused_with_the_reason() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    vcsim.govc(&["vm.change", "-vm", SOURCE, "-e", "SET.runtime.connectionState=inaccessible"]);
    let source = vcsim.connect().await;
    let error = source.cloner().unwrap().clone_vm(&request("clone", false)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(SOURCE) && text.contains("`inaccessible`"), "{text}");
}

pub async fn an_esxi_host_can_be_read_but_cannot_clone() {
    let Some(vcsim) = Vcsim::start(&["-esx"]) else { return };
    let source = Vsphere::connect(&vcsim.profile()).await.unwrap();
    assert_eq!(source.cloner().unwrap().find(&["ha-host_VM0".to_owned()]).await.unwrap().len(), 1);
    let wanted = CloneRequest { source: "ha-host_VM0".into(), ..request("clone", false) };
    let error = source.cloner().unwrap().clone_vm(&wanted).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Unsupported) && error.to_string().contains("its vCenter can"), "{error:?}");
    let error = connect(&vcsim.profile()).await.err().unwrap();
    assert!(error.is(ProviderErrorKind::Unsupported) && error.hints()[0].contains("endpoint_type = \"esxi\""), "{error:?}");
}

pub async fn an_endpoint_is_what_its_profile_says() {
    let Some(host) = Vcsim::start(&["-esx"]) else { return };
    let Some(center) = Vcsim::start(&[]) else { return };
    let endpoint = |host: &Vcsim, cloner: &Vcsim| Profile {
        details: Details::from(VsphereProfile { clone_provider: Some(Box::new(cloner.profile())), ..VsphereProfile::default() }),
        ..host.profile()
    };
    let strangers = connect(&endpoint(&host, &center)).await.err().unwrap();
    assert!(strangers.is(ProviderErrorKind::NotFound) && strangers.to_string().contains("does not manage"), "{strangers:?}");
    let two_centers = connect(&endpoint(&center, &center)).await.err().unwrap();
    assert!(
        two_centers.is(ProviderErrorKind::Unsupported) && two_centers.to_string().contains("says that it is an ESXi host"),
        "{two_centers:?}"
    );
    let two_hosts = connect(&endpoint(&host, &host)).await.err().unwrap();
    assert!(
        two_hosts.is(ProviderErrorKind::Unsupported) && two_hosts.hints()[0].contains("must name the profile of a vCenter"),
        "{two_hosts:?}"
    );
}

/// The budget: a warm scenario with a VM that runs, from login to logout.
pub async fn a_whole_scenario_takes_at_most_thirty_requests() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let id = source.cloner().unwrap().clone_vm(&request("warm", true)).await.unwrap();
    source.cloner().unwrap().set_power(&id, PowerWish::On).await.unwrap();
    let change = ["vm.change", "-vm", "warm", "-e", "SET.guest.toolsRunningStatus=guestToolsRunning", "-e", "SET.guest.ipAddress=10.0.0.7"];
    vcsim.govc(&change);
    assert!(source.cloner().unwrap().wait_for_guest(&id, Duration::from_mins(1)).await.unwrap());
    let description = source.cloner().unwrap().describe_vm(&id).await.unwrap();
    assert!(description.tools_running);
    assert_eq!(description.nics[0].addresses, ["10.0.0.7"]);
    source.cloner().unwrap().delete(&id).await.unwrap();
    source.disconnect().await;
    assert!(total(source.as_ref()) <= 30 + vcsim_needs_a_repair(source.as_ref()), "{:#?}", source.requests());
    println!("{:#?}", source.requests());
}

/// vcsim leaves `changeTrackingEnabled` out of a clone, which a vCenter does not; mending that is a task of its own.
fn vcsim_needs_a_repair(source: &dyn Source) -> u64 {
    // The call, its filter, and its answers.
    source.requests().get("ReconfigVM_Task").map_or(0, |n| n * 4)
}
