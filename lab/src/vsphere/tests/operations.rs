//! Clone, power, snapshots, reconfigure, destroy: as tasks.

use super::{Lab, MoRef, Node};

const FOLDER: &str = r#"<folder type="Folder">group-v3</folder>"#;

async fn clone(lab: &Lab, source: &MoRef, name: &str, spec: &str) -> Node {
    let task = lab.call("CloneVM_Task", source, &format!("{FOLDER}<name>{name}</name><spec>{spec}</spec>")).await;
    lab.wait(&task).await
}

fn result(info: &Node) -> MoRef {
    assert_eq!(info.get("state"), Some("success"), "{info}");
    MoRef::read(info.child("result").unwrap())
}

fn error(info: &Node) -> &str {
    assert_eq!(info.get("state"), Some("error"), "{info}");
    info.at(&["error", "fault"]).unwrap().xsi_type().unwrap()
}

#[tokio::test]
async fn a_machine_lives_from_clone_to_destroy() {
    let lab = Lab::start().await;
    lab.login().await;
    let source = lab.vm("mtv-tests-rhel8");
    let spec = r#"<location><datastore type="Datastore">datastore-22</datastore><transform>flat</transform></location><template>false</template><powerOn>false</powerOn>"#;
    let machine = result(&clone(&lab, &source, "copy", spec).await);
    assert_eq!(error(&clone(&lab, &source, "copy", spec).await), "DuplicateName");
    let backing = lab.fetch(&machine, "config.hardware.device[2000].backing").await;
    assert_eq!(backing.value().get("fileName"), Some("[block-datastore] copy/copy.vmdk"));
    assert_eq!(backing.value().get("thinProvisioned"), Some("false"));
    let run = async |method: &str, arguments: &str| lab.wait(&lab.call(method, &machine, arguments).await).await;
    assert_eq!(lab.call("ShutdownGuest", &machine, "").await.fault(), "InvalidPowerState");
    assert_eq!(run("PowerOnVM_Task", "").await.get("state"), Some("success"));
    assert_eq!(error(&run("PowerOnVM_Task", "").await), "InvalidPowerState");
    assert_eq!(error(&run("Destroy_Task", "").await), "InvalidPowerState");
    let mut changes = lab.vcenter.inner.changed.subscribe();
    while lab.fetch(&machine, "guest.toolsRunningStatus").await.value().text != "guestToolsRunning" {
        changes.changed().await.unwrap();
    }
    let net = lab.fetch(&machine, "guest.net").await;
    let addresses: Vec<_> = net.value().children.iter().flat_map(|n| n.children_named("ipAddress")).map(|a| a.text.clone()).collect();
    assert!(addresses.contains(&"172.20.5.10".to_owned()), "{addresses:?}");
    assert_eq!(lab.call("ShutdownGuest", &machine, "").await.status, 200);
    while lab.fetch(&machine, "runtime.powerState").await.value().text != "poweredOff" {
        changes.changed().await.unwrap();
    }
    let spec = "<spec><memoryMB>4096</memoryMB><changeTrackingEnabled>true</changeTrackingEnabled></spec>";
    assert_eq!(run("ReconfigVM_Task", spec).await.get("state"), Some("success"));
    assert_eq!(lab.fetch(&machine, "summary.config.memorySizeMB").await.value().text, "4096");
    assert_eq!(run("Destroy_Task", "").await.get("state"), Some("success"));
    assert_eq!(lab.fetch(&machine, "name").await.fault(), "ManagedObjectNotFound");
    assert!(lab.vcenter.world().disks.get("[block-datastore] copy/copy.vmdk").is_none());
}

#[tokio::test]
async fn snapshots_make_a_tree_and_tell_what_changed() {
    let lab = Lab::start().await;
    lab.login().await;
    let machine = lab.vm("mtv-rhel8-warm-2disks2nics");
    let take = async |name: &str| {
        let arguments = format!("<name>{name}</name><description/><memory>false</memory><quiesce>false</quiesce>");
        result(&lab.wait(&lab.call("CreateSnapshot_Task", &machine, &arguments).await).await)
    };
    let first = take("one").await;
    let second = take("two").await;
    let tree = lab.fetch(&machine, "snapshot").await;
    let root = tree.value().child("rootSnapshotList").unwrap();
    assert_eq!((root.get("name"), root.child("childSnapshotList").unwrap().get("name")), (Some("one"), Some("two")));
    let change = lab.fetch(&first, "config.hardware.device[2000].backing.changeId").await.value().text.clone();
    let query = async |change: &str| {
        let arguments = format!(
            r#"<snapshot type="VirtualMachineSnapshot">{}</snapshot><deviceKey>2000</deviceKey><startOffset>0</startOffset><changeId>{change}</changeId>"#,
            second.id
        );
        lab.call("QueryChangedDiskAreas", &machine, &arguments).await
    };
    let whole = query("*").await.value().child("changedArea").unwrap().get("length").unwrap().parse::<u64>().unwrap();
    let since = query(&change).await.value().child("changedArea").unwrap().get("length").unwrap().parse::<u64>().unwrap();
    assert!(since > 0 && since < whole);
    assert_eq!(query("52 00/7").await.fault(), "InvalidArgument");
    lab.wait(&lab.call("RemoveSnapshot_Task", &first, "<removeChildren>true</removeChildren>").await).await;
    assert!(lab.fetch(&machine, "snapshot").await.body.children.is_empty());
    assert_eq!(lab.fetch(&second, "config").await.fault(), "ManagedObjectNotFound");
}

#[tokio::test]
async fn a_cancelled_clone_ends_at_once_and_leaves_nothing() {
    // In real time: the clone would take half a minute.
    let lab = Lab::start_at(1.0).await;
    lab.login().await;
    let source = lab.vm("mtv-tests-rhel8");
    let spec = "<spec><location/><template>false</template><powerOn>false</powerOn></spec>";
    let task = lab.call("CloneVM_Task", &source, &format!("{FOLDER}<name>copy</name>{spec}")).await;
    assert_eq!(lab.call("CancelTask", &task.reference(), "").await.status, 200);
    let info = lab.wait(&task).await;
    assert_eq!(error(&info), "RequestCanceled");
    assert_eq!(info.get("cancelled"), Some("true"));
    assert!(lab.vcenter.look(|m| m.named("VirtualMachine", "copy").is_none()));
    assert!(lab.vcenter.world().disks.get("[nfs-datastore] copy/copy.vmdk").is_none());
}

#[tokio::test]
async fn what_happened_is_in_the_history() {
    let lab = Lab::start().await;
    lab.login().await;
    let machine = lab.vm("mtv-win2019-79");
    lab.wait(&lab.call("PowerOnVM_Task", &machine, "").await).await;
    let filter =
        format!(r#"<filter><entity><entity type="VirtualMachine">{}</entity><recursion>self</recursion></entity></filter>"#, machine.id);
    let events = lab.call("QueryEvents", &MoRef::new("EventManager", "EventManager"), &filter).await;
    let kinds: Vec<_> = events.body.children_named("returnval").filter_map(Node::xsi_type).collect();
    assert_eq!(kinds, ["VmPoweredOnEvent"]);
    let tasks = lab.call("CreateCollectorForTasks", &MoRef::new("TaskManager", "TaskManager"), &filter).await.reference();
    let read = lab.call("ReadNextTasks", &tasks, "<maxCount>10</maxCount>").await;
    assert_eq!(read.value().get("descriptionId"), Some("VirtualMachine.powerOn"));
}
