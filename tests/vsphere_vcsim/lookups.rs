//! Finding VMs by name and by mark, in small and in large inventories.

use mtv_test::providers::{CloneRequest, ProviderErrorKind};

use crate::support::{Vcsim, count, total};

fn request(source: &str) -> CloneRequest {
    CloneRequest { source: source.into(), name: "clone".into(), run: "r1".into(), changed_block_tracking: false, ..CloneRequest::default() }
}

pub async fn names_that_exist_are_found_and_others_left_out() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let names = ["DC0_H0_VM1".to_owned(), "nobody".to_owned(), "DC0_H0_VM0".to_owned()];
    let found = source.cloner().unwrap().find(&names).await.unwrap();
    assert_eq!(found.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>(), ["DC0_H0_VM0", "DC0_H0_VM1"]);
    for vm in &found {
        assert_eq!(vcsim.property(&format!("VirtualMachine:{}", vm.id), "name"), vm.name);
        assert_eq!(vm.run, None);
    }
}

pub async fn a_missing_vm_is_answered_with_similar_names() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let source = vcsim.connect().await;
    let error = source.cloner().unwrap().clone_vm(&request("DC0_H0_WM0")).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::NotFound), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("no VM or template is called `DC0_H0_WM0`; did you mean `DC0_H0_VM0`"), "{text}");
}

pub async fn a_name_that_two_vms_have_is_refused_with_their_paths() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    vcsim.govc(&["folder.create", "/DC0/vm/other"]);
    let pool = ["-pool", "/DC0/host/DC0_H0/Resources"];
    vcsim.govc(&[&["vm.clone", "-vm", "DC0_H0_VM0", "-on=false", "-folder", "/DC0/vm/other"], &pool[..], &["twin"]].concat());
    vcsim.govc(&["object.rename", "/DC0/vm/other/twin", "DC0_H0_VM0"]);
    let source = vcsim.connect().await;
    for error in [
        source.cloner().unwrap().clone_vm(&request("DC0_H0_VM0")).await.unwrap_err(),
        source.cloner().unwrap().find(&["DC0_H0_VM0".to_owned()]).await.unwrap_err(),
    ] {
        assert!(error.is(ProviderErrorKind::NotFound), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("2 VMs are called `DC0_H0_VM0`: /DC0/vm/DC0_H0_VM0, /DC0/vm/other/DC0_H0_VM0"), "{text}");
    }
}

pub async fn five_thousand_vms_cost_three_requests_per_look_up() {
    // A page holds 2 000.
    let Some(vcsim) = Vcsim::start(&["-extra", "5000"]) else { return };
    let source = vcsim.connect().await;
    let login = total(source.as_ref());
    let found = source.cloner().unwrap().find(&["DC0_H0_VM0".to_owned(), "extra-4999".to_owned()]).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((count(source.as_ref(), "RetrievePropertiesEx"), count(source.as_ref(), "ContinueRetrievePropertiesEx")), (1, 2));
    assert_eq!(source.cloner().unwrap().of_run("r1").await.unwrap(), []);
    assert_eq!(total(source.as_ref()) - login, 6);
}
