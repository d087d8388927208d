//! The host agent: the same machines under names of its own, and only those of its host.

use super::{Lab, MoRef};

const HOST: &str = "esxi-0.lab";

fn reference(kind: &str, id: &str) -> MoRef {
    MoRef::new(kind, id)
}

/// Number of a machine at the agent, by its name.
async fn number(agent: &Lab, name: &str) -> Option<MoRef> {
    let machines = agent.fetch(&reference("Folder", "ha-folder-vm"), "childEntity").await;
    for machine in machines.value().children_named("ManagedObjectReference") {
        let machine = MoRef::read(machine);
        if agent.fetch(&machine, "name").await.value().text == name {
            return Some(machine);
        }
    }
    None
}

async fn both() -> (Lab, Lab) {
    let lab = Lab::start().await;
    let agent = lab.agent(HOST).await;
    lab.login().await;
    agent.login().await;
    (lab, agent)
}

#[tokio::test]
async fn it_says_what_it_is() {
    let (lab, agent) = both().await;
    let content = agent.call("RetrieveServiceContent", &reference("ServiceInstance", "ServiceInstance"), "").await;
    let about = content.value().child("about").unwrap();
    assert_eq!((about.get("apiType"), about.get("productLineId")), (Some("HostAgent"), Some("embeddedEsx")));
    assert!(about.get("instanceUuid").is_none(), "only a vCenter has one");
    assert_eq!(content.value().get("rootFolder"), Some("ha-folder-root"));
    assert!(content.value().child("customFieldsManager").is_none(), "custom attributes are the vCenter's");
    assert_eq!(agent.login_as(&lab.login.0, &lab.login.1).await.fault(), "InvalidLogin", "users of a vCenter are none of its hosts");
}

#[tokio::test]
async fn machines_have_numbers_and_are_those_of_the_host() {
    let (lab, agent) = both().await;
    let machine = number(&agent, "mtv-tests-rhel8").await.unwrap();
    assert!(machine.id.parse::<u32>().is_ok(), "{}", machine.id);
    assert_eq!(agent.fetch(&machine, "runtime.host").await.reference(), reference("HostSystem", "ha-host"));
    let center = lab.vm("mtv-tests-rhel8");
    assert_eq!(agent.fetch(&center, "name").await.fault(), "ManagedObjectNotFound", "ids of the vCenter lead nowhere");
    let uuid = async |lab: &Lab, vm: &MoRef| lab.fetch(vm, "config.instanceUuid").await.value().text.clone();
    assert_eq!(uuid(&agent, &machine).await, uuid(&lab, &center).await, "which machine it is says its UUID");
    let elsewhere = lab.vcenter.look(|model| {
        let host = model.named("HostSystem", HOST).unwrap().id.clone();
        model.vms().find(|(_, vm)| vm.host != host).map(|(entity, _)| entity.name.clone())
    });
    if let Some(elsewhere) = elsewhere {
        assert!(number(&agent, &elsewhere).await.is_none(), "{elsewhere} runs on another host");
    }
}

#[tokio::test]
async fn what_a_vcenter_does_it_does_not() {
    let (lab, agent) = both().await;
    let machine = number(&agent, "mtv-tests-rhel8").await.unwrap();
    let clone = "<folder type=\"Folder\">ha-folder-vm</folder><name>x</name><spec><location/><powerOn>false</powerOn><template>false</template></spec>";
    assert_eq!(agent.call("CloneVM_Task", &machine, clone).await.fault(), "NotSupported");
    assert_eq!(agent.call("MarkAsTemplate", &machine, "").await.fault(), "NotSupported");
    drop(lab);
}

#[tokio::test]
async fn tasks_and_snapshots_have_its_names() {
    let (lab, agent) = both().await;
    let machine = number(&agent, "mtv-tests-rhel8").await.unwrap();
    let task = agent.call("PowerOnVM_Task", &machine, "").await;
    assert!(task.reference().id.starts_with(&format!("haTask-{}-vim.VirtualMachine.powerOn-", machine.id)), "{}", task.reference().id);
    agent.wait(&task).await;
    assert_eq!(lab.fetch(&lab.vm("mtv-tests-rhel8"), "runtime.powerState").await.value().text, "poweredOn", "it is the same machine");
    let snapshot = "<name>s</name><memory>false</memory><quiesce>false</quiesce>";
    let info = agent.wait(&agent.call("CreateSnapshot_Task", &machine, snapshot).await).await;
    let taken = MoRef::read(info.child("result").unwrap());
    assert!(taken.id.starts_with(&format!("{}-snapshot-", machine.id)), "{}", taken.id);
    let removed = agent.wait(&agent.call("RemoveSnapshot_Task", &taken, "<removeChildren>false</removeChildren>").await).await;
    assert_eq!(removed.get("state"), Some("success"));
    // A search is about a datastore, not about the host or a machine, and yet its caller follows it.
    let browser = agent.fetch(&reference("HostSystem", "ha-host"), "datastoreBrowser").await.reference();
    let search = agent.call("SearchDatastore_Task", &browser, "<datastorePath>[nfs-datastore] mtv-tests-rhel8</datastorePath>").await;
    assert_eq!(agent.wait(&search).await.get("state"), Some("success"));
}
