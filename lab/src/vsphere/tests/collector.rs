//! Views, properties of many objects, and following changes.

use super::{Lab, MoRef, Node};

fn collector() -> MoRef {
    MoRef::new("PropertyCollector", "propertyCollector")
}

async fn view(lab: &Lab, kind: &str) -> MoRef {
    let arguments = format!(r#"<container type="Folder">group-d1</container><type>{kind}</type><recursive>true</recursive>"#);
    lab.call("CreateContainerView", &MoRef::new("ViewManager", "ViewManager"), &arguments).await.reference()
}

/// The filter that clients build over a view.
fn over_view(view: &MoRef, kind: &str, paths: &[&str]) -> String {
    let paths: Vec<String> = paths.iter().map(|p| format!("<pathSet>{p}</pathSet>")).collect();
    format!(
        r#"<propSet><type>{kind}</type>{}</propSet><objectSet><obj type="ContainerView">{}</obj><skip>true</skip><selectSet xsi:type="TraversalSpec">
           <name>traverseEntities</name><type>ContainerView</type><path>view</path><skip>false</skip></selectSet></objectSet>"#,
        paths.concat(),
        view.id
    )
}

fn property<'a>(object: &'a Node, name: &str) -> Option<&'a Node> {
    object.children_named("propSet").find(|p| p.get("name") == Some(name)).and_then(|p| p.child("val"))
}

#[tokio::test]
async fn pages_add_up_and_a_destroyed_view_is_gone() {
    let lab = Lab::start().await;
    lab.login().await;
    let machines = view(&lab, "VirtualMachine").await;
    let spec = over_view(&machines, "VirtualMachine", &["name", "snapshot"]);
    let first = lab
        .call("RetrievePropertiesEx", &collector(), &format!("<specSet>{spec}</specSet><options><maxObjects>4</maxObjects></options>"))
        .await;
    let mut names = Vec::new();
    let mut part = first.value().clone();
    loop {
        for object in part.children_named("objects") {
            names.push(property(object, "name").unwrap().text.clone());
            assert!(property(object, "snapshot").is_none(), "an unset property is left out");
        }
        let Some(token) = part.get("token") else { break };
        part = lab.call("ContinueRetrievePropertiesEx", &collector(), &format!("<token>{token}</token>")).await.value().clone();
    }
    let known = lab.vcenter.look(|m| m.vms().count());
    assert_eq!(names.len(), known);
    lab.call("DestroyView", &machines, "").await;
    let gone = lab.call("RetrieveProperties", &collector(), &format!("<specSet>{spec}</specSet>")).await;
    assert_eq!(gone.fault(), "ManagedObjectNotFound");
}

#[tokio::test]
async fn views_are_of_entities_in_containers() {
    let lab = Lab::start().await;
    lab.login().await;
    let manager = MoRef::new("ViewManager", "ViewManager");
    for (container, kind, fault) in [
        ("vm-9999", "VirtualMachine", "ManagedObjectNotFound"),
        ("vm-101", "VirtualMachine", "InvalidArgument"),
        ("group-d1", "Task", "InvalidArgument"),
    ] {
        let arguments = format!(r#"<container type="Folder">{container}</container><type>{kind}</type><recursive>true</recursive>"#);
        assert_eq!(lab.call("CreateContainerView", &manager, &arguments).await.fault(), fault, "{container} {kind}");
    }
}

#[tokio::test]
async fn traversals_by_name_reach_every_folder() {
    let lab = Lab::start().await;
    lab.login().await;
    // As Forklift's collector goes: folders in folders, and from the datacenter into its folders.
    let spec = r#"<specSet><propSet><type>ManagedEntity</type><pathSet>name</pathSet></propSet><objectSet><obj type="Folder">group-d1</obj>
        <selectSet xsi:type="TraversalSpec"><name>visitFolders</name><type>Folder</type><path>childEntity</path><skip>false</skip>
          <selectSet><name>visitFolders</name></selectSet><selectSet><name>dcToVm</name></selectSet></selectSet>
        <selectSet xsi:type="TraversalSpec"><name>dcToVm</name><type>Datacenter</type><path>vmFolder</path><selectSet><name>visitFolders</name></selectSet></selectSet>
        </objectSet></specSet>"#;
    let found = lab.call("RetrieveProperties", &collector(), spec).await;
    let ids: Vec<_> = found.body.children_named("returnval").map(|o| o.get("obj").unwrap().to_owned()).collect();
    assert!(ids.contains(&"group-d1".to_owned()) && ids.contains(&"group-v3".to_owned()) && ids.contains(&"vm-101".to_owned()), "{ids:?}");
    assert!(!ids.contains(&"group-h4".to_owned()), "{ids:?}");
    let undefined = spec.replace("<name>dcToVm</name></selectSet></selectSet>", "<name>nowhere</name></selectSet></selectSet>");
    assert_eq!(lab.call("RetrieveProperties", &collector(), &undefined).await.fault(), "InvalidArgument");
}

#[tokio::test]
async fn keys_in_paths_select_elements() {
    let lab = Lab::start().await;
    lab.login().await;
    let vm = lab.vm("mtv-tests-rhel8");
    assert_eq!(lab.fetch(&vm, r#"config.extraConfig["ctkEnabled"].value"#).await.value().text, "TRUE");
    let disk = lab.fetch(&vm, "config.hardware.device[2000]").await;
    assert_eq!(disk.value().xsi_type(), Some("VirtualDisk"));
    let devices = lab.fetch(&vm, "config.hardware.device").await;
    assert_eq!(devices.value().xsi_type(), Some("ArrayOfVirtualDevice"));
}

#[tokio::test]
async fn changes_are_followed_without_asking_again() {
    let lab = Lab::start().await;
    lab.login().await;
    let vm = lab.vm("mtv-win2019-79");
    let own = lab.call("CreatePropertyCollector", &collector(), "").await.reference();
    let filter = format!(
        r#"<spec><propSet><type>VirtualMachine</type><pathSet>runtime.powerState</pathSet></propSet><objectSet><obj type="VirtualMachine">{}</obj></objectSet></spec><partialUpdates>false</partialUpdates>"#,
        vm.id
    );
    lab.call("CreateFilter", &own, &filter).await.reference();
    let wait = async |version: &str, seconds: &str| {
        let options = format!("<version>{version}</version><options><maxWaitSeconds>{seconds}</maxWaitSeconds></options>");
        lab.call("WaitForUpdatesEx", &own, &options).await
    };
    let change = |set: &Node| {
        let update = set.at(&["filterSet", "objectSet"]).unwrap().clone();
        (update.get("kind").unwrap().to_owned(), update.child("changeSet").and_then(|c| c.get("val")).map(str::to_owned))
    };
    let first = wait("", "30").await;
    assert_eq!(change(first.value()), ("enter".to_owned(), Some("poweredOff".to_owned())));
    let version = first.value().get("version").unwrap().to_owned();
    assert!(wait(&version, "0").await.body.child("returnval").is_none(), "nothing has changed");
    assert_eq!(wait("99", "0").await.fault(), "InvalidCollectorVersion");
    // The wait is open before the change happens.
    let (second, task) = tokio::join!(wait(&version, "30"), lab.call("PowerOnVM_Task", &vm, ""));
    assert_eq!(change(second.value()), ("modify".to_owned(), Some("poweredOn".to_owned())));
    lab.wait(&task).await;
    let version = second.value().get("version").unwrap().to_owned();
    lab.wait(&lab.call("PowerOffVM_Task", &vm, "").await).await;
    let third = wait(&version, "30").await;
    let version = third.value().get("version").unwrap().to_owned();
    lab.wait(&lab.call("Destroy_Task", &vm, "").await).await;
    assert_eq!(change(wait(&version, "30").await.value()), ("leave".to_owned(), None));
}

#[tokio::test]
async fn many_changes_come_in_parts() {
    let lab = Lab::start().await;
    lab.login().await;
    let machines = view(&lab, "VirtualMachine").await;
    let spec = over_view(&machines, "VirtualMachine", &["name"]);
    lab.call("CreateFilter", &collector(), &format!("<spec>{spec}</spec><partialUpdates>false</partialUpdates>")).await.reference();
    let (mut version, mut seen, mut rounds) = (String::new(), 0, 0);
    loop {
        let arguments = format!(
            "<version>{version}</version><options><maxWaitSeconds>0</maxWaitSeconds><maxObjectUpdates>4</maxObjectUpdates></options>"
        );
        let answer = lab.call("WaitForUpdatesEx", &collector(), &arguments).await;
        let Some(update) = answer.body.child("returnval") else { break };
        rounds += 1;
        seen += update.children_named("filterSet").flat_map(|f| f.children_named("objectSet")).count();
        update.get("version").unwrap().clone_into(&mut version);
        if update.get("truncated") != Some("true") {
            break;
        }
    }
    assert_eq!(seen, lab.vcenter.look(|m| m.vms().count()));
    assert!(rounds > 1);
}

#[tokio::test]
async fn a_wait_ends_when_its_session_does() {
    let lab = Lab::start().await;
    lab.login().await;
    let vm = lab.vm("mtv-win2019-79");
    let filter = format!(
        r#"<spec><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet><objectSet><obj type="VirtualMachine">{}</obj></objectSet></spec><partialUpdates>false</partialUpdates>"#,
        vm.id
    );
    lab.call("CreateFilter", &collector(), &filter).await.reference();
    let version = lab.call("WaitForUpdatesEx", &collector(), "<version></version>").await.value().get("version").unwrap().to_owned();
    // Whether the session ends before the request arrives or while it waits, the answer is the same.
    let (begun, collector) = (format!("<version>{version}</version>"), collector());
    let (answer, ()) = tokio::join!(lab.call("WaitForUpdatesEx", &collector, &begun), async { lab.vcenter.end_sessions() });
    assert_eq!(answer.fault(), "NotAuthenticated");
}
