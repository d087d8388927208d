"""A session of pyVmomi against a vCenter: what a test suite of migrations does there, and what it must be refused.

Usage: python pyvmomi_session.py HOST PORT USER PASSWORD. Needs pyvmomi (see requirements.txt). Ends with 0 if all held.
"""

import ssl
import sys
import time

from pyVim.connect import Disconnect, SmartConnect
from pyVmomi import vim, vmodl

HOST, PORT, USER, PASSWORD = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
COUNT = 0


def check(name, condition, detail=""):
    """One observation; the first that does not hold ends the session."""
    global COUNT
    COUNT += 1
    if not condition:
        raise SystemExit(f"not ok {COUNT} {name}: {detail!r}")
    print(f"ok {COUNT} {name}")


def raises(name, fault, call):
    """A call that must end with a fault of this type."""
    try:
        call()
    except fault as error:
        check(name, True)
        return error
    check(name, False, f"no {fault.__name__}")


def connect(password=PASSWORD):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return SmartConnect(host=HOST, port=PORT, user=USER, pwd=password, sslContext=context)


def wait(task, seconds=120):
    """Polls a task as the old suite does."""
    states = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        info = task.info
        if not states or states[-1] != info.state:
            states.append(info.state)
        if info.state in (vim.TaskInfo.State.success, vim.TaskInfo.State.error):
            return info, states
        time.sleep(0.05)
    raise SystemExit(f"task {task} did not end: {states}")


def done(name, task):
    info, _ = wait(task)
    check(name, info.state == "success", info.error and info.error.msg)
    return info.result


def failed(name, task, fault):
    info, _ = wait(task)
    check(name, info.state == "error" and isinstance(info.error, fault), info.error)
    return info.error


def find(content, kind, name):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    try:
        return next((o for o in view.view if o.name == name), None)
    finally:
        view.DestroyView()


raises("wrong password", vim.fault.InvalidLogin, lambda: connect("wrong"))
si = connect()
content = si.RetrieveContent()
check("about", content.about.apiType == "VirtualCenter", content.about)
check("description", content.authorizationManager.description is not None)
check("current session", content.sessionManager.currentSession.key)
check("server clock", si.CurrentTime().year >= 2024)

# Everything that a reader of properties may ask, on one object of each type: each must decode.
for kind in (vim.VirtualMachine, vim.HostSystem, vim.Datastore, vim.Network, vim.ResourcePool, vim.Folder,
             vim.Datacenter, vim.ClusterComputeResource, vim.DistributedVirtualSwitch, vim.dvs.DistributedVirtualPortgroup):
    view = content.viewManager.CreateContainerView(content.rootFolder, [kind], True)
    objects = list(view.view)
    view.DestroyView()
    check(f"{kind.__name__}: objects", objects)
    for prop in objects[0]._GetPropertyList():
        try:
            getattr(objects[0], prop.name)
        except (vmodl.query.InvalidProperty, vmodl.fault.MethodNotFound):
            # Newer properties than this vCenter's version has.
            pass
        except Exception as error:  # noqa: BLE001
            check(f"{kind.__name__}.{prop.name}", False, repr(error))
    check(f"{kind.__name__}: all properties decode", True)

source = find(content, vim.VirtualMachine, "mtv-tests-rhel8")
check("source by name", source is not None)
check("unset snapshot is None", source.snapshot is None)
check("unknown name", find(content, vim.VirtualMachine, "nowhere") is None)
check("parent", isinstance(source.parent, vim.Folder) and source.parent.name == "vm")
check("power", source.runtime.powerState == "poweredOff")
check("cpu", (source.config.hardware.numCPU, source.config.hardware.numCoresPerSocket) == (4, 2))
disks = [d for d in source.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk)]
nics = [d for d in source.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard)]
check("one disk", len(disks) == 1 and disks[0].capacityInKB == 16 * 1024 * 1024)
check("thin", disks[0].backing.thinProvisioned and disks[0].backing.datastore.name == "nfs-datastore")
check("three adapters", len(nics) == 3)
check("standard network", nics[0].backing.network.name == "VM Network")
groups = {g.key: g.name for g in (lambda v: list(v.view))(
    content.viewManager.CreateContainerView(content.rootFolder, [vim.dvs.DistributedVirtualPortgroup], True))}
check("distributed port group", groups[nics[2].backing.port.portgroupKey] == "cnv-test")

# Properties of many objects at once, in pages.
collector = content.propertyCollector
view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
spec = vmodl.query.PropertyCollector.FilterSpec(
    objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=view, skip=True, selectSet=[
        vmodl.query.PropertyCollector.TraversalSpec(name="view", type=type(view), path="view", skip=False)])],
    propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["name", "runtime.powerState", "config.hardware.device"])])
page = collector.RetrievePropertiesEx([spec], vmodl.query.PropertyCollector.RetrieveOptions(maxObjects=4))
names = []
while page:
    names += [p.val for o in page.objects for p in o.propSet if p.name == "name"]
    page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
check("pages hold every machine", len(names) == len(set(names)) == len(view.view), names)
wrong = vmodl.query.PropertyCollector.FilterSpec(
    objectSet=spec.objectSet, propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["nosuch"])])
raises("unknown property", vmodl.query.InvalidProperty, lambda: collector.RetrieveProperties([wrong]))

# Clone, as the old suite asks for it.
changes = []
for nic in nics:
    nic.addressType = "generated"
    changes.append(vim.vm.device.VirtualDeviceSpec(operation="edit", device=nic))
spec = vim.vm.CloneSpec(
    powerOn=False, template=False,
    location=vim.vm.RelocateSpec(datastore=source.datastore[0], pool=source.resourcePool, transform="sparse"),
    config=vim.vm.ConfigSpec(deviceChange=changes, annotation="made by a test", extraConfig=[
        vim.option.OptionValue(key="ctkEnabled", value="true"), vim.option.OptionValue(key="scsi0:0.ctkEnabled", value="true")]))
info, states = wait(source.CloneVM_Task(folder=source.parent, name="py-clone", spec=spec))
check("clone", info.state == "success", info.error and info.error.msg)
check("task states", states[-1] == "success" and set(states) <= {"queued", "running", "success"}, states)
clone = info.result
check("clone's name", clone.name == "py-clone")
check("clone tracks changes", clone.config.changeTrackingEnabled)
check("clone's annotation", clone.config.annotation == "made by a test")
check("clone's uuids differ", clone.config.uuid != source.config.uuid and clone.config.instanceUuid != source.config.instanceUuid)
macs = {d.macAddress for vm in (source, clone) for d in vm.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard)}
check("clone's addresses differ", len(macs) == 6, macs)
failed("second clone of that name", source.CloneVM_Task(folder=source.parent, name="py-clone", spec=spec), vim.fault.DuplicateName)

browser = clone.datastore[0].browser
task = browser.SearchDatastoreSubFolders_Task(clone.config.files.vmPathName, vim.host.DatastoreBrowser.SearchSpec(matchPattern=["*.vmx"]))
check("vmx is found", done("search datastore", task)[0].file[0].path == "py-clone.vmx")

# Power and guest.
done("power on", clone.PowerOnVM_Task())
failed("power on twice", clone.PowerOnVM_Task(), vim.fault.InvalidPowerState)
failed("destroy while it runs", clone.Destroy_Task(), vim.fault.InvalidPowerState)
for _ in range(600):
    if clone.guest.toolsRunningStatus == "guestToolsRunning" and clone.guest.net:
        break
    time.sleep(0.05)
guest = clone.guest
check("tools", guest.toolsStatus == "toolsOk" and guest.guestState == "running", guest.toolsStatus)
check("guest adapters", {n.macAddress for n in guest.net} == {
    d.macAddress for d in clone.config.hardware.device if isinstance(d, vim.vm.device.VirtualEthernetCard)})
origins = {a.ipAddress: a.origin for n in guest.net for a in n.ipConfig.ipAddress}
check("static address", origins.get("192.168.77.10") == "manual", origins)
check("gateway", any(r.network == "0.0.0.0" and r.gateway.ipAddress for r in guest.ipStack[0].ipRouteConfig.ipRoute))
check("by address", content.searchIndex.FindByIp(None, "172.20.5.10", True) == clone)

# Programs and files in the guest.
manager = content.guestOperationsManager
login = vim.vm.guest.NamePasswordAuthentication(username="root", password="lab-linux", interactiveSession=False)
spec = vim.vm.guest.ProcessManager.ProgramSpec(programPath="/bin/sh", arguments="-c 'ip address show > /tmp/py-note 2>&1'")
pid = manager.processManager.StartProgramInGuest(clone, login, spec)
for _ in range(600):
    program = manager.processManager.ListProcessesInGuest(clone, login, [pid])[0]
    if program.endTime:
        break
    time.sleep(0.05)
check("program in the guest", program.exitCode == 0 and program.owner == "root", program)
info = manager.fileManager.InitiateFileTransferFromGuest(clone, login, "/tmp/py-note")
check("file of the guest", info.size > 0 and "/guestFile?id=" in info.url, info)
manager.fileManager.DeleteFileInGuest(clone, login, "/tmp/py-note")
try:
    wrong = vim.vm.guest.NamePasswordAuthentication(username="root", password="wrong", interactiveSession=False)
    manager.authManager.ValidateCredentialsInGuest(clone, wrong)
    check("wrong password of the guest", False)
except vim.fault.InvalidGuestLogin:
    check("wrong password of the guest", True)

# Snapshots.
snapshot = done("snapshot", clone.CreateSnapshot_Task(name="one", description="first", memory=False, quiesce=False))
check("snapshot tree", clone.snapshot.rootSnapshotList[0].name == "one" and clone.snapshot.currentSnapshot == snapshot)
second = done("snapshot of a snapshot", clone.CreateSnapshot_Task(name="two", description="", memory=False, quiesce=False))
check("child snapshot", clone.snapshot.rootSnapshotList[0].childSnapshotList[0].name == "two")
disk = next(d for d in clone.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk))
check("difference file", disk.backing.fileName.endswith("-000002.vmdk") and disk.backing.parent.parent.fileName.endswith("py-clone.vmdk"), disk.backing.fileName)
held = next(d for d in snapshot.config.hardware.device if isinstance(d, vim.vm.device.VirtualDisk))
check("change id", held.backing.changeId.endswith("/1"), held.backing.changeId)
changed = clone.QueryChangedDiskAreas(snapshot=second, deviceKey=2000, startOffset=0, changeId=held.backing.changeId)
check("changed areas", changed.changedArea and changed.length > 0)
snapshot.RenameSnapshot(name="renamed")
check("renamed snapshot", clone.snapshot.rootSnapshotList[0].name == "renamed")
done("revert", snapshot.RevertToSnapshot_Task())
done("remove snapshot", snapshot.RemoveSnapshot_Task(removeChildren=False))
done("remove all snapshots", clone.RemoveAllSnapshots_Task())
check("no snapshot", clone.snapshot is None)

# Power by the guest, reconfigure, rename, template.
if clone.runtime.powerState == "poweredOff":
    done("power on again", clone.PowerOnVM_Task())
for _ in range(600):
    if clone.guest.toolsRunningStatus == "guestToolsRunning":
        break
    time.sleep(0.05)
clone.ShutdownGuest()
for _ in range(600):
    if clone.runtime.powerState == "poweredOff":
        break
    time.sleep(0.05)
check("guest shut down", clone.runtime.powerState == "poweredOff")
done("reconfigure", clone.ReconfigVM_Task(vim.vm.ConfigSpec(memoryMB=4096, numCPUs=2, numCoresPerSocket=1)))
check("memory", clone.config.hardware.memoryMB == 4096 and clone.summary.config.memorySizeMB == 4096)
new = vim.vm.device.VirtualDisk(
    key=-101, controllerKey=1000, unitNumber=3, capacityInKB=1 << 20,
    backing=vim.vm.device.VirtualDisk.FlatVer2BackingInfo(fileName="[block-datastore]", diskMode="persistent", thinProvisioned=True))
done("add a disk", clone.ReconfigVM_Task(vim.vm.ConfigSpec(
    deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=new)])))
check("two disks on two datastores", {d.name for d in clone.datastore} == {"nfs-datastore", "block-datastore"})
failed("a place that is taken", clone.ReconfigVM_Task(vim.vm.ConfigSpec(
    deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="add", fileOperation="create", device=new)])), vim.fault.InvalidDeviceSpec)
done("rename", clone.Rename_Task("py-renamed"))
check("renamed", clone.name == "py-renamed")
clone.MarkAsTemplate()
check("template", clone.config.template)
failed("templates do not start", clone.PowerOnVM_Task(), vmodl.fault.NotSupported)
clone.MarkAsVirtualMachine(pool=source.resourcePool, host=None)

# Privileges, folders, events, tasks.
answer = content.authorizationManager.HasPrivilegeOnEntities([clone], content.sessionManager.currentSession.key, ["VirtualMachine.Provisioning.Clone"])
check("privilege", answer[0].privAvailability[0].isGranted)
folder = source.parent.CreateFolder("py-folder")
done("move", folder.MoveIntoFolder_Task([clone]))
check("moved", clone.parent == folder)
check("by path", content.searchIndex.FindByInventoryPath("DC0/vm/py-folder/py-renamed") == clone)
check("by uuid", content.searchIndex.FindByUuid(None, clone.config.instanceUuid, True, True) == clone)
events = content.eventManager.QueryEvents(vim.event.EventFilterSpec(
    entity=vim.event.EventFilterSpec.ByEntity(entity=clone, recursion="self")))
check("events", any(isinstance(e, vim.event.VmPoweredOnEvent) for e in events), events)
check("recent tasks", content.taskManager.recentTask)
check("list view of tasks", content.viewManager.CreateListView([t for t in content.taskManager.recentTask]).view)

# Following changes.
own = collector.CreatePropertyCollector()
follow = vmodl.query.PropertyCollector.FilterSpec(
    objectSet=[vmodl.query.PropertyCollector.ObjectSpec(obj=clone)],
    propSet=[vmodl.query.PropertyCollector.PropertySpec(type=vim.VirtualMachine, pathSet=["runtime.powerState"])])
own.CreateFilter(follow, False)
update = own.WaitForUpdatesEx("", vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=10))
check("first update", update.filterSet[0].objectSet[0].kind == "enter")
check("nothing new", own.WaitForUpdatesEx(update.version, vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=0)) is None)
task = clone.PowerOnVM_Task()
update = own.WaitForUpdatesEx(update.version, vmodl.query.PropertyCollector.WaitOptions(maxWaitSeconds=30))
check("power is followed", update.filterSet[0].objectSet[0].changeSet[0].val == "poweredOn")
wait(task)
done("power off", clone.PowerOffVM_Task())
raises("old version", vmodl.query.InvalidCollectorVersion, lambda: own.CheckForUpdates("99"))
own.DestroyPropertyCollector()

# The end.
done("destroy", clone.Destroy_Task())
raises("a machine that is gone", vmodl.fault.ManagedObjectNotFound, lambda: clone.name)
done("destroy the folder", folder.Destroy_Task())
raises("not offered", vmodl.fault.NotSupported, lambda: content.perfManager.QueryPerfCounterByLevel(1))
template = find(content, vim.VirtualMachine, "xcopy-template-test")
failed("template without pool", template.CloneVM_Task(folder=template.parent, name="py-t", spec=vim.vm.CloneSpec(
    powerOn=False, template=False, location=vim.vm.RelocateSpec())), vmodl.fault.InvalidArgument)
Disconnect(si)
raises("after logout", vim.fault.NotAuthenticated, lambda: content.rootFolder.name)
print(f"1..{COUNT}")
