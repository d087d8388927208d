"""A session of oVirt's Python SDK against an engine: what a test suite of migrations does there, and what it must be refused.

Usage: python ovirt_session.py URL USER PASSWORD TEMPLATE. Needs ovirt-engine-sdk-python (see requirements.txt). Ends with 0 if
all held. The SDK speaks XML; what the engine writes as JSON is looked at by plain requests.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
import uuid

import ovirtsdk4 as sdk
from ovirtsdk4 import types

URL, USER, PASSWORD, TEMPLATE = sys.argv[1:5]
COUNT = 0
GIB = 2**30
PREFIX = "sdk-"


def check(name, condition, detail=""):
    """One observation; the first that does not hold ends the session."""
    global COUNT
    COUNT += 1
    if not condition:
        raise SystemExit(f"not ok {COUNT} {name}: {detail!r}")
    print(f"ok {COUNT} {name}")


def raises(name, call, code=None, text=None, kind=sdk.Error):
    """A call that must be refused, by a status and with words."""
    try:
        call()
    except kind as error:
        right = (code is None or error.code == code) and (text is None or text in str(error))
        check(name, right, (error.code, str(error)))
        return error
    check(name, False, "no error")


def until(name, read, wanted, seconds=120):
    """Asks again and again, as the SDK's own examples do."""
    deadline = time.monotonic() + seconds
    seen = []
    while time.monotonic() < deadline:
        value = read()
        if not seen or seen[-1] != value:
            seen.append(value)
        if value == wanted:
            check(name, True)
            return seen
        time.sleep(0.02)
    check(name, False, seen)


def connect(password=PASSWORD):
    return sdk.Connection(url=URL, username=USER, password=password, insecure=True, timeout=30)


# --- who gets in -------------------------------------------------------------------------------------------------------------
raises("a wrong password is refused", lambda: connect("wrong").system_service().get(), text="access_denied", kind=sdk.AuthError)
connection = connect()
check("the connection works", connection.test())
token = connection.authenticate()
check("there is a token", len(token) > 20)
by_token = sdk.Connection(url=URL, token=token, insecure=True)
check("a token is enough", by_token.test())
root = connection.system_service()
api = root.get()
check("the product is oVirt's", "oVirt" in api.product_info.name, api.product_info.name)
check("the version has numbers", api.product_info.version.major == 4 and api.product_info.version.full_version.startswith("4."))
check("the summary counts", api.summary.hosts.total >= 1 and api.summary.vms.total is not None)
check("the time is now", abs(api.time.timestamp() - time.time()) < 3600 if api.time else False, api.time)
check("the blank template is linked", api.special_objects.blank_template.id == "00000000-0000-0000-0000-000000000000")

# --- what there is -----------------------------------------------------------------------------------------------------------
centers = root.data_centers_service().list()
check("a data center is up", centers[0].status == types.DataCenterStatus.UP)
check("a data center is found by name", root.data_centers_service().list(search=f"name={centers[0].name}")[0].id == centers[0].id)
clusters = root.clusters_service().list()
cluster = clusters[0]
check("a cluster has a CPU", cluster.cpu.type != "" and cluster.cpu.architecture == types.Architecture.X86_64)
check("a cluster is in the data center", cluster.data_center.id == centers[0].id)
check("a link is followed", connection.follow_link(cluster.data_center).name == centers[0].name)
hosts = root.hosts_service().list()
check("hosts are up", hosts and all(host.status == types.HostStatus.UP for host in hosts))
check("hosts have memory", hosts[0].memory > GIB and hosts[0].cpu.topology.sockets >= 1)
domains = root.storage_domains_service().list()
check("storage domains hold data", any(d.type == types.StorageDomainType.DATA and d.available > 0 for d in domains))
check("exactly one of them is master", sum(1 for d in domains if d.master) == 1)
attached = root.data_centers_service().data_center_service(centers[0].id).storage_domains_service().list()
check("they are attached to the data center", {d.id for d in attached} == {d.id for d in domains} and attached[0].status == types.StorageDomainStatus.ACTIVE)
networks = root.networks_service().list()
check("networks carry VMs", any(types.NetworkUsage.VM in network.usages for network in networks))
profiles = root.vnic_profiles_service().list()
check("every profile has a network", all(profile.network.id in {n.id for n in networks} for profile in profiles))
check("profiles are below their network", root.networks_service().network_service(networks[0].id).vnic_profiles_service().list()[0].network.id == networks[0].id)

templates = root.templates_service()
blank = templates.template_service("00000000-0000-0000-0000-000000000000").get()
check("the blank template is there", blank.name == "Blank")
found = templates.list(search=f"name={TEMPLATE}")
check("a template is found by name", len(found) == 1 and found[0].name == TEMPLATE)
template = found[0]
check("a template is ready", template.status == types.TemplateStatus.OK and template.version.version_number == 1)
check("a template has memory and CPUs", template.memory > 0 and template.cpu.topology.cores >= 1)
own_disks = templates.template_service(template.id).disk_attachments_service().list()
check("a template has disks", own_disks and own_disks[0].bootable and own_disks[0].disk.id)
check("a template has adapters", len(templates.template_service(template.id).nics_service().list()) >= 1)
check("nothing is found where nothing is", templates.list(search="name=nothing-of-this-name") == [])

# --- a VM of a template ------------------------------------------------------------------------------------------------------
vms = root.vms_service()
name = f"{PREFIX}{uuid.uuid4().hex[:8]}"
before = len(vms.list())
made = vms.add(
    types.Vm(name=name, comment="mtv of the SDK", cluster=types.Cluster(name=cluster.name), template=types.Template(name=TEMPLATE),
             memory_policy=types.MemoryPolicy(guaranteed=0)),
    clone=True, query={"correlation_id": "sdk-1"},
)
check("a VM is made and locked", made.id and made.status == types.VmStatus.IMAGE_LOCKED, made.status)
check("its name is what was asked for", made.name == name and made.comment == "mtv of the SDK")
vm_service = vms.vm_service(made.id)
raises("a name is given once", lambda: vms.add(types.Vm(name=name, cluster=types.Cluster(id=cluster.id), template=types.Template(name=TEMPLATE))), 409, "already in use")
raises("what is locked does not start", vm_service.start, 409)
raises("what is locked is not removed", vm_service.remove, 409)
until("its disks are copied", lambda: vm_service.get().status, types.VmStatus.DOWN)
vm = vm_service.get()
check("it was made of the template", vm.original_template.id == template.id and vm.cluster.id == cluster.id)
check("guaranteed memory is what was asked for", vm.memory_policy.guaranteed == 0 and vm.memory == template.memory)
check("it is found by its name", [v.id for v in vms.list(search=f"name={name}")] == [made.id])
check("names may have a star", made.id in [v.id for v in vms.list(search=f"name={PREFIX}*")])
check("it is found by its comment", [v.id for v in vms.list(search='comment="mtv of the SDK"')] == [made.id])
check("it is found by its state", made.id in [v.id for v in vms.list(search=f"name={name} and status=down")])
check("a number of VMs can be asked for", len(vms.list(max=1)) == 1)
raises("a search must make sense", lambda: vms.list(search="name"), 400)
check("there is one VM more", len(vms.list()) == before + 1)
jobs = [job for job in root.jobs_service().list() if name in (job.description or "")]
check("a job tells of it", jobs and jobs[0].status == types.JobStatus.FINISHED, [j.status for j in jobs])
events = root.events_service().list(search="correlation_id=sdk-1")
check("events carry the correlation id", events and all(event.correlation_id == "sdk-1" for event in events))
check("an event has a code and a VM", any(event.code == 53 and event.vm.id == made.id for event in events), [(e.code, e.description) for e in events])
newest = root.events_service().list(max=1)[0]
check("events after one are none", root.events_service().list(from_=int(newest.id)) == [], "from")

attachments = vm_service.disk_attachments_service().list()
check("its disks are its own", attachments and not {a.disk.id for a in attachments} & {a.disk.id for a in own_disks})
disk = connection.follow_link(attachments[0].disk)
check("a disk has a size and is ready", disk.provisioned_size >= GIB and disk.status == types.DiskStatus.OK)
check("a disk is in a storage domain", disk.storage_domains[0].id in {d.id for d in domains})
check("a disk knows its format", disk.format in (types.DiskFormat.COW, types.DiskFormat.RAW) and disk.storage_type == types.DiskStorageType.IMAGE)
follow = vms.list(search=f"name={name}", follow="disk_attachments.disk,nics.vnic_profile,snapshots")[0]
check("following brings disks along", follow.disk_attachments[0].disk.provisioned_size == disk.provisioned_size)
check("following brings profiles along", follow.nics[0].vnic_profile.name in {p.name for p in profiles})
check("the running state is a snapshot", [s.snapshot_type for s in follow.snapshots] == [types.SnapshotType.ACTIVE])

# --- adapters and disks ------------------------------------------------------------------------------------------------------
nics = vm_service.nics_service()
first = nics.list()[0]
check("an adapter has an address", len(first.mac.address.split(":")) == 6 and first.plugged)
nic = nics.add(types.Nic(name="sdk0", interface=types.NicInterface.VIRTIO, vnic_profile=types.VnicProfile(id=profiles[-1].id)))
check("an adapter is added", nic.vnic_profile.id == profiles[-1].id and nic.mac.address not in (None, first.mac.address))
raises("adapters have different names", lambda: nics.add(types.Nic(name="sdk0", vnic_profile=types.VnicProfile(id=profiles[0].id))), 409)
changed = nics.nic_service(nic.id).update(types.Nic(name="sdk1"))
check("an adapter is renamed", changed.name == "sdk1")
nics.nic_service(nic.id).remove()
check("an adapter is removed", "sdk1" not in [n.name for n in nics.list()])
extra = vm_service.disk_attachments_service().add(types.DiskAttachment(
    disk=types.Disk(name=f"{name}-extra", format=types.DiskFormat.COW, provisioned_size=GIB, storage_domains=[types.StorageDomain(name=domains[0].name)]),
    interface=types.DiskInterface.VIRTIO, bootable=False, active=True))
disk_service = root.disks_service().disk_service(extra.disk.id)
until("a disk is added", lambda: disk_service.get().status, types.DiskStatus.OK)
check("it has its size", disk_service.get().provisioned_size == GIB and disk_service.get().alias == f"{name}-extra")
check("disks are found by alias", [d.id for d in root.disks_service().list(search=f"alias={name}-extra")] == [extra.disk.id])
vm_service.disk_attachments_service().attachment_service(extra.id).update(types.DiskAttachment(disk=types.Disk(provisioned_size=2 * GIB)))
until("a disk grows", lambda: disk_service.get().provisioned_size, 2 * GIB)
vm_service.disk_attachments_service().attachment_service(extra.id).remove(detach_only=True)
check("a detached disk stays", disk_service.get().id == extra.disk.id and len(vm_service.disk_attachments_service().list()) == len(attachments))
vm_service.disk_attachments_service().add(types.DiskAttachment(disk=types.Disk(id=extra.disk.id), interface=types.DiskInterface.VIRTIO_SCSI, bootable=False, active=True))
check("it is attached again", extra.disk.id in [a.disk.id for a in vm_service.disk_attachments_service().list()])
vm_service.disk_attachments_service().attachment_service(extra.id).remove(detach_only=False)
until("a disk is removed", lambda: root.disks_service().list(search=f"alias={name}-extra"), [])
raises("it is gone", disk_service.get, 404, kind=sdk.NotFoundError)

# --- life --------------------------------------------------------------------------------------------------------------------
updated = vm_service.update(types.Vm(description="changed", memory=template.memory * 2, cpu=types.Cpu(topology=types.CpuTopology(sockets=2, cores=2, threads=1))))
check("a VM is changed", updated.description == "changed" and updated.memory == template.memory * 2 and updated.cpu.topology.cores == 2)
raises("what is down is not stopped", vm_service.stop, 409)
vm_service.start()
states = until("it starts", lambda: vm_service.get().status, types.VmStatus.UP)
check("it was powering up", types.VmStatus.POWERING_UP in states or types.VmStatus.WAIT_FOR_LAUNCH in states, states)
check("a running VM has a host", connection.follow_link(vm_service.get().host).name in {h.name for h in hosts})
raises("a running VM does not start", vm_service.start, 409, "running")
raises("a running VM is not removed", vm_service.remove, 409, "running")
until("the guest's agent reports", lambda: bool(vm_service.reported_devices_service().list()), True)
devices = vm_service.reported_devices_service().list()
check("it reports addresses", devices[0].ips[0].address and devices[0].mac.address == first.mac.address)
check("it reports itself", vm_service.get().guest_operating_system.family == "Linux", vm_service.get().guest_operating_system)
vm_service.reboot()
until("it reboots", lambda: vm_service.get().status, types.VmStatus.UP)
snapshots = vm_service.snapshots_service()
taken = snapshots.add(types.Snapshot(description="by the SDK", persist_memorystate=False))
check("a snapshot begins locked", taken.snapshot_status == types.SnapshotStatus.LOCKED)
until("a snapshot is taken", lambda: snapshots.snapshot_service(taken.id).get().snapshot_status, types.SnapshotStatus.OK)
check("it is in the list", [s.description for s in snapshots.list() if s.snapshot_type == types.SnapshotType.REGULAR] == ["by the SDK"])
check("a snapshot has the disks", len(snapshots.snapshot_service(taken.id).disks_service().list()) == len(attachments))
vm_service.suspend()
until("it is suspended", lambda: vm_service.get().status, types.VmStatus.SUSPENDED)
vm_service.start()
until("it goes on", lambda: vm_service.get().status, types.VmStatus.UP)
vm_service.shutdown()
until("it shuts down", lambda: vm_service.get().status, types.VmStatus.DOWN)
check("nobody cut it off", 33 not in [e.code for e in root.events_service().list(search=f"Vms.id = {made.id}")])
vm_service.start()
until("it starts again", lambda: vm_service.get().status, types.VmStatus.UP)
vm_service.stop()
until("it is cut off", lambda: vm_service.get().status, types.VmStatus.DOWN)
check("which an event tells", 33 in [e.code for e in root.events_service().list(search=f"Vms.id = {made.id}")])
check("events are of this VM", {e.vm.id for e in root.events_service().list(search=f"Vms.id = {made.id}")} == {made.id})
snapshots.snapshot_service(taken.id).restore()
until("a snapshot is restored", lambda: vm_service.get().status, types.VmStatus.DOWN)
snapshots.snapshot_service(taken.id).remove()
until("a snapshot is removed", lambda: [s.id for s in snapshots.list() if s.snapshot_type == types.SnapshotType.REGULAR], [])

# --- templates ---------------------------------------------------------------------------------------------------------------
own = templates.add(types.Template(name=f"{name}-template", vm=types.Vm(id=made.id), description="of a VM"))
until("a template is made of a VM", lambda: templates.template_service(own.id).get().status, types.TemplateStatus.OK)
until("the VM is free again", lambda: vm_service.get().status, types.VmStatus.DOWN)
check("it has the VM's disks", len(templates.template_service(own.id).disk_attachments_service().list()) == len(attachments))
raises("its name is given once", lambda: templates.add(types.Template(name=f"{name}-template", vm=types.Vm(id=made.id))), 409)
templates.template_service(own.id).remove()
until("a template is removed", lambda: templates.list(search=f"name={name}-template"), [])
empty = vms.add(types.Vm(name=f"{name}-empty", cluster=types.Cluster(name=cluster.name), template=types.Template(name="Blank"), memory=GIB))
empty_service = vms.vm_service(empty.id)
until("a VM of the blank template is there", lambda: empty_service.get().status, types.VmStatus.DOWN)
check("it has no disks", empty_service.disk_attachments_service().list() == [] and empty_service.get().memory == GIB)
empty_service.remove()
until("it goes", lambda: vms.list(search=f"name={name}-empty"), [])

# --- what is refused, and the end --------------------------------------------------------------------------------------------
raises("a template that is not there", lambda: vms.add(types.Vm(name=f"{name}-x", cluster=types.Cluster(name=cluster.name), template=types.Template(name="nope"))), 404, kind=sdk.NotFoundError)
raises("a cluster that is not there", lambda: vms.add(types.Vm(name=f"{name}-x", cluster=types.Cluster(name="nope"), template=types.Template(name=TEMPLATE))), 404, kind=sdk.NotFoundError)
raises("a VM without a name", lambda: vms.add(types.Vm(cluster=types.Cluster(name=cluster.name), template=types.Template(name=TEMPLATE))), 400)
raises("a VM that is not there", lambda: vms.vm_service(str(uuid.uuid4())).get(), 404, kind=sdk.NotFoundError)
vm_service.remove()
until("a VM is removed", lambda: vms.list(search=f"name={name}"), [])
check("its disks went along", not {a.disk.id for a in attachments} & {d.id for d in root.disks_service().list()})
check("an event tells that it went", any(e.code == 113 and name in e.description for e in root.events_service().list(max=20)), "113")


# --- JSON --------------------------------------------------------------------------------------------------------------------
def plain(path, accept="application/json", authorization=None, method="GET", body=None):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Accept": accept, "Version": "4", "Authorization": authorization or f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{URL}{path}", headers=headers, method=method, data=body)
    try:
        with urllib.request.urlopen(request, context=context) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


status, headers, text = plain(f"/templates?search=name%3D{TEMPLATE}")
body = json.loads(text)["template"][0]
check("JSON has numbers as text and moments as numbers", isinstance(body["memory"], str) and isinstance(body["creation_time"], int))
check("JSON has booleans as text", body["delete_protected"] == "false" and isinstance(body["link"], list))
check("an empty list is an empty object", json.loads(plain("/vms?search=name%3Dnope")[2]) == {})
status, headers, text = plain("/vms/nope")
check("a fault in JSON", status == 404 and "detail" in json.loads(text) or json.loads(text).get("reason"), text)
status, headers, text = plain("/vms", accept="application/xml")
check("XML is declared", text.startswith("<?xml") and headers["Content-Type"].startswith("application/xml"))
status, headers, text = plain("/vms", authorization="Bearer nonsense")
check("a wrong token is refused", status == 401, (status, text))
status, headers, text = plain("/vms", method="POST", body=b"{")
check("a body that is no JSON is refused", status == 400, (status, text))
connection.close()
status, headers, text = plain("/vms")
check("a token ends with its session", status == 401, status)
print(f"1..{COUNT}")
