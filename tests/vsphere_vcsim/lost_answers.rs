//! Bad days: gateways that answer for vCenter, connections that break before or after a request, answers that never come.

use std::time::Duration;

use mtv_test::{
    config::scenario::PowerWish,
    providers::{CloneRequest, ProviderErrorKind, Source, connect},
    retry::Policy,
};
use tokio::net::TcpListener;

use crate::{
    front::{Fate, Front},
    support::{Vcsim, count, profile},
};

const VM: &str = "DC0_H0_VM0";

fn request() -> CloneRequest {
    CloneRequest { source: VM.into(), name: "clone".into(), run: "r1".into(), changed_block_tracking: false, ..CloneRequest::default() }
}

async fn connected(vcsim: &Vcsim) -> (Front, Box<dyn Source>) {
    let front = Front::before(&vcsim.url).await;
    let source = connect(&profile(&front.url)).await.unwrap();
    (front, source)
}

pub async fn nobody_listens() {
    let Some(_vcsim) = Vcsim::start(&[]) else { return };
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let Err(error) = connect(&profile(&format!("https://{free}/sdk"))).await else { panic!("connected") };
    assert!(
        error.is(ProviderErrorKind::Unreachable) && error.to_string().contains(&free.to_string()) && !error.hints().is_empty(),
        "{error:?}"
    );
}

pub async fn somebody_else_answers() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let Err(error) = connect(&profile(&vcsim.url.replace("/sdk", "/about"))).await else { panic!("connected") };
    assert!(error.is(ProviderErrorKind::Unreachable) && error.hints()[0].contains("https://HOST/sdk"), "{error:?}");
    let Err(error) = connect(&profile(&vcsim.url.replace("http:", "https:"))).await else { panic!("connected") };
    assert!(error.is(ProviderErrorKind::Unreachable) && error.to_string().contains("TLS"), "{error:?}");
}

pub async fn reading_is_tried_again() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let (front, source) = connected(&vcsim).await;
    for fate in [Fate::Status(503), Fate::LostOnTheWay, Fate::AnswerLost] {
        front.next("RetrievePropertiesEx", fate);
    }
    assert_eq!(source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap().len(), 1);
    assert_eq!((front.left(), count(source.as_ref(), "RetrievePropertiesEx")), (0, 4));
}

pub async fn a_clone_whose_answer_was_lost_is_found_and_not_made_twice() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    for fate in [Fate::AnswerLost, Fate::LostOnTheWay, Fate::Status(503)] {
        let (front, source) = connected(&vcsim).await;
        front.next("CloneVM_Task", fate);
        let id = source.cloner().unwrap().clone_vm(&request()).await.unwrap();
        let mine = source.cloner().unwrap().of_run("r1").await.unwrap();
        assert_eq!(mine.iter().map(|vm| vm.id.as_str()).collect::<Vec<_>>(), [id.as_str()], "{fate:?}");
        let sent = if fate == Fate::AnswerLost { 1 } else { 2 };
        assert_eq!((front.left(), count(source.as_ref(), "CloneVM_Task")), (0, sent), "{fate:?}");
        source.cloner().unwrap().delete(&id).await.unwrap();
    }
}

pub async fn a_clone_request_that_is_always_lost_leaves_nothing() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let (front, source) = Policy::STANDARD.faster(50).scope(connected(&vcsim)).await;
    for _ in 0..Policy::STANDARD.attempts {
        front.next("CloneVM_Task", Fate::LostOnTheWay);
    }
    let error = source.cloner().unwrap().clone_vm(&request()).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Unreachable) && error.to_string().contains("tried 12 times"), "{error:?}");
    assert_eq!((front.left(), source.cloner().unwrap().of_run("r1").await.unwrap()), (0, vec![]));
}

pub async fn a_foreign_vm_of_the_clones_name_is_not_adopted() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let (front, source) = connected(&vcsim).await;
    vcsim.govc(&["vm.clone", "-vm", VM, "-on=false", "-pool", "/DC0/host/DC0_H0/Resources", "clone"]);
    front.next("CloneVM_Task", Fate::LostOnTheWay);
    let error = source.cloner().unwrap().clone_vm(&request()).await.unwrap_err();
    assert!(error.is(ProviderErrorKind::Operation) && error.to_string().contains("not of run r1"), "{error:?}");
}

pub async fn a_wait_survives_lost_answers() {
    let Some(vcsim) = Vcsim::start(&["-off"]) else { return };
    let (front, source) = connected(&vcsim).await;
    let vm = source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap().remove(0);
    front.next("WaitForUpdatesEx", Fate::AnswerLost);
    front.next("WaitForUpdatesEx", Fate::Status(502));
    source.cloner().unwrap().set_power(&vm.id, PowerWish::On).await.unwrap();
    assert_eq!((front.left(), count(source.as_ref(), "PowerOnVM_Task")), (0, 1));
}

pub async fn operations_that_may_run_twice_are_sent_again() {
    let Some(vcsim) = Vcsim::start(&["-off"]) else { return };
    let (front, source) = connected(&vcsim).await;
    let vm = source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap().remove(0);
    front.next("PowerOnVM_Task", Fate::AnswerLost);
    source.cloner().unwrap().set_power(&vm.id, PowerWish::On).await.unwrap();
    front.next("Destroy_Task", Fate::AnswerLost);
    source.cloner().unwrap().delete(&vm.id).await.unwrap();
    assert_eq!(source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap(), []);
    assert_eq!(front.left(), 0);
}

pub async fn a_snapshot_is_not_taken_twice() {
    let Some(vcsim) = Vcsim::start(&["-off"]) else { return };
    let (front, source) = connected(&vcsim).await;
    let vm = source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap().remove(0);
    for (name, fate, sent) in [("a", Fate::AnswerLost, 1), ("b", Fate::LostOnTheWay, 3)] {
        front.next("CreateSnapshot_Task", fate);
        source.snapshots().unwrap().snapshot(&vm.id, name).await.unwrap();
        assert_eq!(count(source.as_ref(), "CreateSnapshot_Task"), sent, "{name}");
    }
    let names: Vec<_> = source.cloner().unwrap().describe_vm(&vm.id).await.unwrap().snapshots.into_iter().map(|s| s.name).collect();
    assert_eq!(names, ["a", "b"]);
}

pub async fn silence_ends_with_the_deadline() {
    let Some(vcsim) = Vcsim::start(&[]) else { return };
    let (front, source) = connected(&vcsim).await;
    let vm = source.cloner().unwrap().find(&[VM.to_owned()]).await.unwrap().remove(0);
    front.next("WaitForUpdatesEx", Fate::Silence);
    assert!(!source.cloner().unwrap().wait_for_guest(&vm.id, Duration::from_millis(200)).await.unwrap());
    assert_eq!(front.left(), 0);
}
