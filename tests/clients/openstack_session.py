"""A session of openstacksdk and of the `openstack` command against a cloud: what a test suite of migrations does there, and what it
must be refused.

Usage: python openstack_session.py AUTH_URL USER PASSWORD DOMAIN PROJECT REGION CA. Needs python-openstackclient (see
requirements.txt). Ends with 0 if all held.
"""

import contextlib
import hashlib
import io
import json
import sys
import tempfile
import time
import uuid

import keystoneauth1.exceptions as auth_errors
import openstack
import requests
from keystoneauth1 import session as sessions
from keystoneauth1.identity import v3
from openstack import exceptions
from openstackclient import shell

AUTH_URL, USER, PASSWORD, DOMAIN, PROJECT, REGION, CA = sys.argv[1:8]
COUNT = 0


def check(name, condition, detail=""):
    """One observation; the first that does not hold ends the session."""
    global COUNT
    COUNT += 1
    if not condition:
        raise SystemExit(f"not ok {COUNT} {name}: {detail!r}")
    print(f"ok {COUNT} {name}")


def raises(name, kind, call, text=None, status=None):
    """A call that must be refused."""
    try:
        call()
    except kind as error:
        told = str(error)
        right = (text is None or text in told) and (status is None or getattr(error, "status_code", getattr(error, "http_status", None)) == status)
        check(name, right, told)
        return error
    check(name, False, "no error")


def until(name, read, wanted, seconds=120):
    """Asks again and again."""
    deadline = time.monotonic() + seconds
    seen = []
    while time.monotonic() < deadline:
        value = read()
        if not seen or seen[-1] != value:
            seen.append(value)
        if value == wanted:
            check(name, True)
            return seen
        time.sleep(0.05)
    check(name, False, seen)


def connect(**other):
    arguments = dict(auth_url=AUTH_URL, username=USER, password=PASSWORD, user_domain_name=DOMAIN, project_domain_name=DOMAIN,
                     project_name=PROJECT, region_name=REGION, verify=CA)
    return openstack.connect(load_yaml_config=False, load_envvars=False, **{**arguments, **other})


# --- who gets in -------------------------------------------------------------------------------------------------------------
for what, other in [("password", {"password": "wrong"}), ("user", {"username": "nobody"}), ("project", {"project_name": "nope"}), ("domain", {"user_domain_name": "nope"})]:
    raises(f"a wrong {what} is refused", auth_errors.Unauthorized, lambda other=other: connect(**other).session.get_token(), "requires authentication", 401)
raises("an untrusted certificate is refused", auth_errors.DiscoveryFailure, lambda: connect(verify=True).session.get_token(), "CERTIFICATE_VERIFY_FAILED")
cloud = connect()
token = cloud.authorize()
check("there is a token", len(token) > 20)
access = cloud.session.auth.get_access(cloud.session)
check("it is for the project", access.project_name == PROJECT and access.project_scoped and access.user_domain_name == DOMAIN)
check("it holds for an hour", 3000 < (access.expires - access.issued).total_seconds() <= 3600)
check("it has roles", "admin" in access.role_names and "member" in access.role_names)
check("the catalogue has the services", {"identity", "compute", "image", "network", "volumev3"} <= set(access.service_catalog.catalog and {s["type"] for s in access.service_catalog.catalog}))
check("endpoints are of a region", access.service_catalog.url_for(service_type="compute", interface="internal", region_name=REGION).startswith("https://"))
raises("another region has none", auth_errors.EndpointNotFound, lambda: access.service_catalog.url_for(service_type="compute", region_name="elsewhere"))
project_id = access.project_id


def plain(auth):
    return sessions.Session(auth=auth, verify=CA)


by_id = plain(v3.Password(AUTH_URL, user_id=access.user_id, password=PASSWORD, project_id=project_id))
check("ids are enough", by_id.get_project_id() == project_id)
unscoped = plain(v3.Password(AUTH_URL, username=USER, password=PASSWORD, user_domain_name=DOMAIN, unscoped=True))
check("a token may be for nothing", unscoped.auth.get_access(unscoped).project_id is None)
check("projects are told to it", [p["name"] for p in unscoped.get(f"{AUTH_URL}/auth/projects").json()["projects"]] == [PROJECT])
again = plain(v3.Token(AUTH_URL, token=unscoped.get_token(), project_name=PROJECT, project_domain_name=DOMAIN))
check("a token gives another one", again.auth.get_access(again).project_id == project_id and "token" in again.auth.get_access(again)._data["token"]["methods"])
check("a token is told about", by_id.get(f"{AUTH_URL}/auth/tokens", headers={"X-Subject-Token": token}).json()["token"]["user"]["name"] == USER)
raises("an unknown token is not found", auth_errors.NotFound, lambda: by_id.get(f"{AUTH_URL}/auth/tokens", headers={"X-Subject-Token": "nope"}))
cloud.session.delete(f"{AUTH_URL}/auth/tokens", headers={"X-Subject-Token": token})
check("who loses its token gets another one", len(list(cloud.compute.servers())) >= 1 and cloud.session.get_token() != token)
raw = requests.get(f"{cloud.compute.get_endpoint()}/servers", headers={"X-Auth-Token": token}, verify=CA)
check("the lost one is refused", raw.status_code == 401 and raw.headers["WWW-Authenticate"].startswith("Keystone uri="), (raw.status_code, raw.headers))
raw = requests.post(f"{AUTH_URL}/auth/tokens", json={"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": USER, "password": PASSWORD}}}}}, verify=CA)
check("a user without a domain makes no sense", raw.status_code == 400 and "domain" in raw.json()["error"]["message"], raw.text)
check("projects are listed", [p.name for p in cloud.identity.projects()] == [PROJECT])
check("a user is found", cloud.identity.find_user(USER).id == access.user_id)
check("a region is found", cloud.identity.get_region(REGION).id == REGION)

# --- versions ----------------------------------------------------------------------------------------------------------------
compute_data = cloud.compute.get_endpoint_data()
check("compute has minor versions", compute_data.max_microversion >= (2, 60) and compute_data.min_microversion == (2, 1))
check("so has the volume service", cloud.block_storage.get_endpoint_data().max_microversion >= (3, 50))
check("images are of version 2", cloud.image.get_endpoint_data().api_version[0] == 2)
check("networks are of version 2", cloud.network.get_endpoint_data().api_version[0] == 2)
raw = cloud.compute.get("/flavors", headers={"OpenStack-API-Version": "compute 2.999"}, microversion=None, raise_exc=False)
check("a version too new is refused", raw.status_code == 406 and raw.json()["computeFault"]["code"] == 406, raw.text)
raw = cloud.compute.get("/flavors", headers={"OpenStack-API-Version": "compute two"}, microversion=None, raise_exc=False)
check("a version that is none too", raw.status_code == 400 and "invalid format" in raw.json()["badRequest"]["message"], raw.text)
raw = cloud.compute.get("/flavors", microversion="2.60")
check("answers tell their version", raw.headers["OpenStack-API-Version"] == "compute 2.60" and "x-openstack-request-id" in raw.headers)

# --- servers that are there --------------------------------------------------------------------------------------------------
servers = list(cloud.compute.servers())
check("servers are listed with details", servers and all(s.status in ("ACTIVE", "SHUTOFF") for s in servers))
check("a page at a time finds the same", [s.id for s in cloud.compute.servers(limit=1)] == [s.id for s in servers])
raises("a marker must exist", exceptions.BadRequestException, lambda: list(cloud.compute.servers(marker=str(uuid.uuid4()))), "marker")
source = next(s for s in servers if len(s.attached_volumes) == 1 and len(s.addresses) > 1)
check("names are expressions", [s.id for s in cloud.compute.servers(name=f"^{source.name}$")] == [source.id])
check("a server is found by name", cloud.compute.find_server(source.name).id == source.id)
check("none is found where none is", cloud.compute.find_server("no-such-server") is None)
check("a flavor is inside", source.flavor.original_name and source.flavor.vcpus >= 1)
check("addresses have their adapters", all(a["OS-EXT-IPS-MAC:mac_addr"].startswith("fa:16:3e") for list_ in source.addresses.values() for a in list_))
check("interfaces are those of the network service", {i.port_id for i in cloud.compute.server_interfaces(source)} == {p.id for p in cloud.network.ports(device_id=source.id)})
raises("a server that is not there", exceptions.NotFoundException, lambda: cloud.compute.get_server(str(uuid.uuid4())), "could not be found")
flavors = list(cloud.compute.flavors(details=True))
flavor = next(f for f in flavors if f.id == cloud.compute.find_flavor(source.flavor.original_name).id)
check("flavors have sizes", flavor.ram >= 512 and flavor.vcpus >= 1 and flavor.disk >= 1)
check("zones are available", "nova" in [z.name for z in cloud.compute.availability_zones()])
check("a hypervisor runs", [h.state for h in cloud.compute.hypervisors(details=True)] == ["up"])
check("limits are told", cloud.compute.get_limits().absolute.total_cores_used >= 1)

# --- networks ----------------------------------------------------------------------------------------------------------------
networks = {n.name: n for n in cloud.network.networks()}
check("networks are those of the server", set(source.addresses) <= set(networks))
check("a filter finds one", [n.name for n in cloud.network.networks(name=next(iter(networks)))] == [next(iter(networks))])
check("pages find all", {n.id for n in cloud.network.networks(limit=1)} == {n.id for n in networks.values()})
subnet = next(cloud.network.subnets(network_id=next(iter(networks.values())).id))
check("a subnet has a pool", subnet.allocation_pools and subnet.gateway_ip and "/" in subnet.cidr)
own = cloud.network.create_network(name="sdk-net")
sub = cloud.network.create_subnet(network_id=own.id, ip_version=4, cidr="10.99.0.0/24", name="sdk-subnet")
check("a network is made", sub.gateway_ip == "10.99.0.1" and cloud.network.get_network(own.id).subnet_ids == [sub.id])
raises("subnets do not overlap", exceptions.BadRequestException, lambda: cloud.network.create_subnet(network_id=own.id, ip_version=4, cidr="10.99.0.0/25"), "overlaps")
port = cloud.network.create_port(network_id=own.id, name="sdk-port", fixed_ips=[{"ip_address": "10.99.0.77"}])
check("a port has the address that was asked for", port.fixed_ips[0]["ip_address"] == "10.99.0.77" and port.status == "DOWN")
check("a port has the default security group", [cloud.network.get_security_group(g).name for g in port.security_group_ids] == ["default"])
raises("an address is given once", exceptions.ConflictException, lambda: cloud.network.create_port(network_id=own.id, fixed_ips=[{"ip_address": "10.99.0.77"}]))
raises("a network in use stays", exceptions.ConflictException, lambda: cloud.network.delete_network(own.id, ignore_missing=False), "in use")
group = cloud.network.create_security_group(name="sdk-group")
rule = cloud.network.create_security_group_rule(security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22, port_range_max=22)
check("a security group has its rules", rule.id in [r["id"] for r in cloud.network.get_security_group(group.id).security_group_rules])
raises("a network that is not there", exceptions.NotFoundException, lambda: cloud.network.get_network(str(uuid.uuid4())), "could not be found")

# --- volumes -----------------------------------------------------------------------------------------------------------------
root_id = source.attached_volumes[0].id
root = cloud.block_storage.get_volume(root_id)
check("a volume knows its server", root.status == "in-use" and root.attachments[0]["server_id"] == source.id and root.is_bootable)
check("a volume knows its image", root.volume_image_metadata.get("image_id") and cloud.image.get_image(root.volume_image_metadata["image_id"]).status == "active")
types = [t.name for t in cloud.block_storage.types()]
check("a volume has a type", root.volume_type in types)
blank = cloud.block_storage.create_volume(name="sdk-blank", size=1, volume_type=types[-1], metadata={"by": "sdk"})
check("a volume begins to be made", blank.status == "creating")
until("it is available", lambda: cloud.block_storage.get_volume(blank.id).status, "available")
check("it is found by its name", [v.id for v in cloud.block_storage.volumes(name="sdk-blank")] == [blank.id])
check("it is found by its metadata", [v.id for v in cloud.block_storage.volumes(metadata={"by": "sdk"})] == [blank.id])
check("pages find all volumes", len(list(cloud.block_storage.volumes(limit=1))) == len(list(cloud.block_storage.volumes())))
cloud.block_storage.extend_volume(blank, 2)
until("it grows", lambda: cloud.block_storage.get_volume(blank.id).size, 2)
raw = cloud.block_storage.post("/snapshots", json={"snapshot": {"volume_id": root_id}}, microversion="3.50", raise_exc=False)
check("what is in use is not snapshotted by the way", raw.status_code == 400 and "status must be available" in raw.json()["badRequest"]["message"], raw.text)
snapshot = cloud.block_storage.create_snapshot(volume_id=root_id, name="sdk-snapshot", force=True)
until("unless it is forced", lambda: cloud.block_storage.get_snapshot(snapshot.id).status, "available")
check("a snapshot knows its volume", [s.id for s in cloud.block_storage.snapshots(volume_id=root_id)] == [snapshot.id])
copy = cloud.block_storage.create_volume(name="sdk-copy", snapshot_id=snapshot.id, size=root.size)
until("a volume is made of it", lambda: cloud.block_storage.get_volume(copy.id).status, "available")
copied = cloud.block_storage.get_volume(copy.id)
check("it boots like its origin", copied.is_bootable and copied.volume_image_metadata == root.volume_image_metadata and copied.volume_type == root.volume_type)
raises("it is not smaller than its origin", exceptions.BadRequestException, lambda: cloud.block_storage.create_volume(snapshot_id=snapshot.id, size=1), "smaller")
raises("a snapshot keeps its volume", exceptions.BadRequestException, lambda: cloud.block_storage.delete_volume(root_id, ignore_missing=False))
raises("a volume that is not there", exceptions.NotFoundException, lambda: cloud.block_storage.get_volume(str(uuid.uuid4())), "could not be found")
raises("a type that is not there", exceptions.NotFoundException, lambda: cloud.block_storage.create_volume(size=1, volume_type="nope"))

# --- images ------------------------------------------------------------------------------------------------------------------
content = b"not much of an image" * 100
with tempfile.NamedTemporaryFile() as file:
    file.write(content)
    file.flush()
    image = cloud.image.create_image("sdk-image", filename=file.name, disk_format="raw", container_format="bare", validate_checksum=True, os_type="linux")
check("an image is uploaded", image.status == "active" and image.size == len(content))
check("it has a checksum", cloud.image.get_image(image.id).checksum == hashlib.md5(content).hexdigest())
check("it is downloaded as it was", cloud.image.download_image(image).content == content)
check("it is found by name", cloud.image.find_image("sdk-image").id == image.id)
changed = cloud.image.update_image(image.id, hw_cpu_cores="2", name="sdk-renamed")
check("its properties are changed", changed.name == "sdk-renamed" and str(changed.hw_cpu_cores) == "2")
cloud.image.add_tag(image.id, "sdk")
check("it is tagged", cloud.image.get_image(image.id).tags == ["sdk"])
check("pages find all images", len(list(cloud.image.images(limit=2))) == len(list(cloud.image.images())))
raises("an image that is not there", exceptions.NotFoundException, lambda: cloud.image.get_image(str(uuid.uuid4())))
cloud.image.update_image(image.id, is_protected=True)
raises("a protected image stays", exceptions.ForbiddenException, lambda: cloud.image.delete_image(image.id, ignore_missing=False))
cloud.image.update_image(image.id, is_protected=False)
cloud.image.delete_image(image.id)
raises("another one goes", exceptions.NotFoundException, lambda: cloud.image.get_image(image.id))

# --- a server of a volume ----------------------------------------------------------------------------------------------------
key = cloud.compute.create_keypair(name="sdk-key")
check("a key pair is made", "PRIVATE KEY" in key.private_key and key.public_key.startswith("ssh-"))
bdm = [{"uuid": copy.id, "source_type": "volume", "destination_type": "volume", "boot_index": 0, "delete_on_termination": True}]
raises("a server says its networks", exceptions.BadRequestException, lambda: cloud.compute.create_server(name="sdk-x", flavor_id=flavor.id, block_device_mapping=bdm), "networks")
raises("one of several networks is not chosen for it", exceptions.ConflictException, lambda: cloud.compute.create_server(name="sdk-x", flavor_id=flavor.id, block_device_mapping=bdm, networks="auto"))
raises("a server boots from something", exceptions.BadRequestException, lambda: cloud.compute.create_server(name="sdk-x", flavor_id=flavor.id, networks="none"), "Boot sequence")
raises("a flavor must exist", exceptions.BadRequestException, lambda: cloud.compute.create_server(name="sdk-x", flavor_id="nope", block_device_mapping=bdm, networks="none"), "Flavor")
raises("metadata are texts", exceptions.BadRequestException, lambda: cloud.compute.create_server(name="sdk-x", flavor_id=flavor.id, block_device_mapping=bdm, networks="none", metadata={"n": 1}))
server = cloud.compute.create_server(name="sdk-server", flavor_id=flavor.id, block_device_mapping=bdm, networks=[{"port": port.id}, {"uuid": networks[next(iter(source.addresses))].id}],
                                     key_name="sdk-key", metadata={"by": "sdk"})
check("a server is being built", cloud.compute.get_server(server.id).status == "BUILD")
server = cloud.compute.wait_for_server(server, interval=0.05, wait=60)
check("it is active", server.status == "ACTIVE" and server.vm_state == "active" and server.task_state is None)
check("it has its addresses", {"10.99.0.77"} <= {a["addr"] for list_ in server.addresses.values() for a in list_} and len(server.addresses) == 2)
check("it has its key", server.key_name == "sdk-key" and cloud.compute.get_server_metadata(server).metadata == {"by": "sdk"})
check("the volume is in use", cloud.block_storage.get_volume(copy.id).status == "in-use")
attachment = cloud.compute.create_volume_attachment(server, volume_id=blank.id)
until("another volume is attached", lambda: cloud.block_storage.get_volume(blank.id).status, "in-use")
check("it is the second one", [a.volume_id for a in cloud.compute.volume_attachments(server)] == [copy.id, blank.id])
raises("a volume in use is not deleted", exceptions.BadRequestException, lambda: cloud.block_storage.delete_volume(blank.id, ignore_missing=False))
cloud.compute.delete_volume_attachment(server, blank.id)
until("it is detached", lambda: cloud.block_storage.get_volume(blank.id).status, "available")
cloud.compute.set_server_metadata(server, more="yes")
cloud.compute.delete_server_metadata(cloud.compute.get_server(server.id), ["by"])
check("metadata are changed", cloud.compute.get_server(server.id).metadata == {"more": "yes"})
check("it is renamed", cloud.compute.update_server(server, name="sdk-renamed").name == "sdk-renamed")
cloud.compute.stop_server(server)
raises("what is being stopped is not started", exceptions.ConflictException, lambda: cloud.compute.start_server(server), "Cannot 'start' instance")
until("it stops", lambda: cloud.compute.get_server(server.id).status, "SHUTOFF")
raises("what is stopped is not stopped", exceptions.ConflictException, lambda: cloud.compute.stop_server(server), "vm_state stopped")
cloud.compute.start_server(server)
until("it starts", lambda: cloud.compute.get_server(server.id).status, "ACTIVE")
cloud.compute.reboot_server(server, "HARD")
check("it reboots", cloud.compute.get_server(server.id).status == "HARD_REBOOT")
until("it is back", lambda: cloud.compute.get_server(server.id).status, "ACTIVE")
other = next(f for f in flavors if f.id != flavor.id)
cloud.compute.resize_server(server, other)
until("it is resized", lambda: cloud.compute.get_server(server.id).status, "VERIFY_RESIZE")
cloud.compute.confirm_server_resize(server)
until("which is confirmed", lambda: cloud.compute.get_server(server.id).status, "ACTIVE")
check("it has another flavor", cloud.compute.get_server(server.id).flavor.original_name == other.name)
check("what was done is told", {"create", "stop", "start", "reboot", "resize"} <= {a.action for a in cloud.compute.server_actions(server)})
imaged = cloud.compute.create_server_image(server, "sdk-server-image")
image = cloud.image.get_image(imaged.id)
check("an image of it names snapshots", image.status == "active" and image.size == 0 and json.loads(image.properties["block_device_mapping"])[0]["snapshot_id"])
taken = next(cloud.block_storage.snapshots(name="snapshot for sdk-server-image"))
until("which are taken", lambda: cloud.block_storage.get_snapshot(taken.id).status, "available")
cloud.image.delete_image(image.id)
check("they outlive the image", cloud.block_storage.get_snapshot(taken.id).status == "available")
cloud.block_storage.delete_snapshot(taken.id)
until("until they are deleted", lambda: [s.id for s in cloud.block_storage.snapshots(name="snapshot for sdk-server-image")], [])
cloud.compute.delete_server(server)
cloud.compute.wait_for_delete(server, interval=0.05, wait=60)
check("the server is gone", cloud.compute.find_server("sdk-renamed") is None)
until("its volume goes with it", lambda: cloud.block_storage.find_volume("sdk-copy"), None)
check("the port that was lent to it stays", cloud.network.get_port(port.id).device_id == "")

# --- a server of an image ----------------------------------------------------------------------------------------------------
boots = next(s for s in servers if s.image.id)
check("a server boots from an image", cloud.image.get_image(boots.image.id).status == "active" and not boots.attached_volumes)
server = cloud.compute.create_server(name="sdk-imaged", flavor_id=cloud.compute.find_flavor(boots.flavor.original_name).id, image_id=boots.image.id, networks="none")
server = cloud.compute.wait_for_server(server, interval=0.05, wait=60)
check("one without networks", server.addresses == {})
# On a busy machine the image may be there before the next request is: another one is made then.
for _ in range(10):
    imaged = cloud.compute.create_server_image(server, "sdk-disk-image")
    try:
        cloud.compute.stop_server(server)
    except exceptions.ConflictException as error:
        busy = str(error)
        break
    cloud.compute.wait_for_server(server, status="SHUTOFF", interval=0.05, wait=60)
    cloud.compute.start_server(server)
    cloud.compute.wait_for_server(server, interval=0.05, wait=60)
    cloud.image.delete_image(imaged.id)
    busy = "no error"
check("it is busy while its image is made", "task_state image_" in busy, busy)
until("then it is there", lambda: cloud.image.get_image(imaged.id).status, "active")
until("and it is free again", lambda: cloud.compute.get_server(server.id).task_state, None)
cloud.image.delete_image(imaged.id)

# --- the command -------------------------------------------------------------------------------------------------------------
OPTIONS = ["--os-auth-url", AUTH_URL, "--os-username", USER, "--os-password", PASSWORD, "--os-user-domain-name", DOMAIN, "--os-project-name", PROJECT,
           "--os-project-domain-name", DOMAIN, "--os-region-name", REGION, "--os-cacert", CA, "--os-identity-api-version", "3"]


def command(*words):
    """One command in this process: a process of its own would spend most of its time on imports."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = shell.main([*OPTIONS, *words])
    return code, out.getvalue(), err.getvalue()


def said(name, words, wanted):
    code, out, err = command(*words)
    check(name, code == 0 and wanted in out, (code, out, err))


def table(*words):
    code, out, err = command(*words, "-f", "json")
    if code != 0:
        raise SystemExit(f"not ok {words}: {code} {out} {err}")
    return json.loads(out)


check("token issue", table("token", "issue")["project_id"] == project_id)
said("catalog list", ("catalog", "list"), "compute")
said("endpoint list", ("endpoint", "list"), "volumev3")
check("server list", {row["Name"] for row in table("server", "list")} == {s.name for s in servers} | {"sdk-imaged"})
shown = table("server", "show", source.name)
check("server show", shown["status"] == source.status and shown["volumes_attached"][0]["id"] == root_id)
said("server stop", ("server", "stop", "sdk-imaged"), "")
code, out, err = command("server", "show", "no-such-server")
check("a server that is not there", code != 0 and "no-such-server" in err, (code, out, err))
said("flavor list", ("flavor", "list"), flavor.name)
said("image list", ("image", "list"), "active")
check("volume list", any(row["Name"] == "sdk-blank" for row in table("volume", "list")))
check("volume create", table("volume", "create", "--size", "1", "sdk-cli")["status"] == "creating")
until("volume show", lambda: table("volume", "show", "sdk-cli")["status"], "available")
check("volume snapshot create", table("volume", "snapshot", "create", "--volume", "sdk-cli", "sdk-cli-snapshot")["name"] == "sdk-cli-snapshot")
until("volume snapshot list", lambda: [row["Status"] for row in table("volume", "snapshot", "list", "--name", "sdk-cli-snapshot")], ["available"])
said("volume snapshot delete", ("volume", "snapshot", "delete", "sdk-cli-snapshot"), "")
until("it goes", lambda: table("volume", "snapshot", "list", "--name", "sdk-cli-snapshot"), [])
said("volume delete", ("volume", "delete", "sdk-cli"), "")
said("network list", ("network", "list"), "sdk-net")
said("port list", ("port", "list", "--network", "sdk-net"), "10.99.0.77")
said("keypair list", ("keypair", "list"), "sdk-key")
said("keypair delete", ("keypair", "delete", "sdk-key"), "")
said("availability zone list", ("availability", "zone", "list", "--compute"), "nova")
said("hypervisor list", ("hypervisor", "list"), "up")
said("quota show", ("quota", "show"), "cores")

# --- tidying up --------------------------------------------------------------------------------------------------------------
cloud.compute.delete_server(server.id)
cloud.block_storage.delete_snapshot(snapshot.id)
cloud.block_storage.delete_volume(blank.id)
cloud.network.delete_port(port.id)
cloud.network.delete_security_group(group.id)
cloud.network.delete_subnet(sub.id)
cloud.network.delete_network(own.id, ignore_missing=False)
check("a network without ports goes", cloud.network.find_network("sdk-net") is None)
until("nothing stays", lambda: [s.name for s in cloud.compute.servers(name="^sdk-")] + [v.name for v in cloud.block_storage.volumes() if v.name.startswith("sdk-")] + [s.name for s in cloud.block_storage.snapshots()], [])
print(f"1..{COUNT}")
