"""A session of the Kubernetes Python client against a cluster of the lab: typed and dynamic, as test suites use it.

Usage: python kubernetes_session.py KUBECONFIG. Needs kubernetes (see requirements.txt). Ends with 0 if all held.
"""

import base64
import json
import os
import sys
import threading

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, UnprocessibleEntityError

KUBECONFIG = sys.argv[1]
NS = f"python-{os.getpid()}"
COUNT = 0
# Seconds after which the server ends a watch by itself.
PATIENCE = 60


def check(name, condition, detail=""):
    """One observation; the first that does not hold ends the session."""
    global COUNT
    COUNT += 1
    if not condition:
        raise SystemExit(f"not ok {COUNT} {name}: {detail!r}")
    print(f"ok {COUNT} {name}")


def refused(name, status, reason, call, error=ApiException):
    """A call that must end with this HTTP status, and with a Status object that says this reason."""
    try:
        answer = call()
    except error as failure:
        body = json.loads(failure.body)
        right = failure.status == status and body["kind"] == "Status" and body["reason"] == reason and body["code"] == status
        check(name, right, (failure.status, body))
        return body
    check(name, False, answer)


def goes(listing, delete, name, **where):
    """Deletes, and follows until it is gone: from before the deletion, so that nothing happens unseen."""
    start = listing(**where).metadata.resource_version
    delete()
    following = watch.Watch()
    for event in following.stream(listing, **where, resource_version=start, timeout_seconds=PATIENCE):
        if event["type"] == "DELETED" and event["object"].metadata.name == name:
            return True
    return False


config.load_kube_config(KUBECONFIG)
api = client.ApiClient()
core, batch, storage = client.CoreV1Api(api), client.BatchV1Api(api), client.StorageV1Api(api)
custom = client.CustomObjectsApi(api)

# What the server says about itself.
check("version", client.VersionApi(api).get_code().major == "1")
check("groups", "forklift.konveyor.io" in [g.name for g in client.ApisApi(api).get_api_versions().groups])
check("core versions", client.CoreApi(api).get_api_versions().versions == ["v1"])
resources = {r.name: r for r in core.get_api_resources().resources}
check("core resources", resources["pods"].namespaced and not resources["namespaces"].namespaced)
check("verbs", {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"} == set(resources["configmaps"].verbs))
review = client.AuthorizationV1Api(api).create_self_subject_access_review(client.V1SelfSubjectAccessReview(
    spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(verb="create", resource="pods", namespace="default"))))
check("access review", review.status.allowed)
check("nodes", all(c.status == "True" for n in core.list_node().items for c in n.status.conditions if c.type == "Ready"))
check("storage classes", "lab-block" in [c.metadata.name for c in storage.list_storage_class().items])

# Namespaces.
created = core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NS)))
check("namespace", created.metadata.uid and created.metadata.creation_timestamp.tzinfo is not None)
check("namespace is active", core.read_namespace(NS).status.phase == "Active")
check("namespace has its name as label", core.read_namespace(NS).metadata.labels["kubernetes.io/metadata.name"] == NS)
refused("namespace twice", 409, "AlreadyExists", lambda: core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NS))))
refused("invalid name", 422, "Invalid", lambda: core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name="Not_Valid"))))


def config_map(name, labels=None, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels=labels), data=data)


# Objects.
one = core.create_namespaced_config_map(NS, config_map("one", {"app": "a"}, a="1"))
check("create", one.data == {"a": "1"} and one.metadata.resource_version)
check("read", core.read_namespaced_config_map("one", NS).metadata.uid == one.metadata.uid)
refused("read nothing", 404, "NotFound", lambda: core.read_namespaced_config_map("nowhere", NS))
refused("create in no namespace", 404, "NotFound", lambda: core.create_namespaced_config_map("nowhere", config_map("one")))
one.data["b"] = "2"
newer = core.replace_namespaced_config_map("one", NS, one)
check("replace", newer.data == {"a": "1", "b": "2"} and newer.metadata.resource_version != one.metadata.resource_version)
refused("replace an old version", 409, "Conflict", lambda: core.replace_namespaced_config_map("one", NS, one))
dry = core.create_namespaced_config_map(NS, config_map("none"), dry_run="All")
check("dry run", dry.metadata.uid)
refused("dry run leaves nothing", 404, "NotFound", lambda: core.read_namespaced_config_map("none", NS))
named = core.create_namespaced_config_map(NS, client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="many-")))
check("generateName", named.metadata.name.startswith("many-") and len(named.metadata.name) == len("many-") + 5, named.metadata.name)
secret = core.create_namespaced_secret(NS, client.V1Secret(metadata=client.V1ObjectMeta(name="hidden"), string_data={"p": "x"}))
check("secret", base64.b64decode(secret.data["p"]) == b"x" and secret.type == "Opaque" and secret.string_data is None)

# Patches, one content type each.
patched = core.patch_namespaced_config_map("one", NS, {"data": {"b": None, "c": "3"}}, _content_type="application/merge-patch+json")
check("merge patch", patched.data == {"a": "1", "c": "3"}, patched.data)
patched = core.patch_namespaced_config_map("one", NS, [{"op": "replace", "path": "/data/a", "value": "2"}], _content_type="application/json-patch+json")
check("JSON patch", patched.data["a"] == "2")
patched = core.patch_namespaced_config_map(
    "one", NS, {"metadata": {"finalizers": ["example.com/x"], "labels": {"b": "c"}}}, _content_type="application/strategic-merge-patch+json")
check("strategic merge patch", patched.metadata.finalizers == ["example.com/x"] and patched.metadata.labels == {"app": "a", "b": "c"})
patched = core.patch_namespaced_config_map(
    "one", NS, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/x"]}}, _content_type="application/strategic-merge-patch+json")
check("strategic merge patch takes away", not patched.metadata.finalizers, patched.metadata.finalizers)
patched = core.patch_namespaced_config_map(
    "applied", NS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}},
    field_manager="session", _content_type="application/apply-patch+yaml")
check("server-side apply", patched.data == {"a": "1"} and patched.metadata.managed_fields[0].operation == "Apply", patched)
conflict = refused("apply against another manager", 409, "Conflict", lambda: core.patch_namespaced_config_map(
    "applied", NS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "2"}},
    field_manager="other", _content_type="application/apply-patch+yaml"))
check("which names the manager", "session" in conflict["message"], conflict)
refused("patch of nothing", 404, "NotFound", lambda: core.patch_namespaced_config_map("nowhere", NS, {"data": {}}))
refused("JSON patch that fails", 422, "Invalid", lambda: core.patch_namespaced_config_map(
    "one", NS, [{"op": "remove", "path": "/data/nosuch"}], _content_type="application/json-patch+json"))
refused("unknown content type", 415, "UnsupportedMediaType", lambda: core.patch_namespaced_config_map(
    "one", NS, {"data": {}}, _content_type="application/x-unknown+json"))

# Lists.
for index in range(5):
    core.create_namespaced_config_map(NS, config_map(f"page-{index}", {"app": "page", "odd": str(index % 2)}))
check("by label", len(core.list_namespaced_config_map(NS, label_selector="app=page").items) == 5)
check("by set of labels", len(core.list_namespaced_config_map(NS, label_selector="app in (a,page),odd notin (1)").items) == 4)
check("by field", [i.metadata.name for i in core.list_namespaced_config_map(NS, field_selector="metadata.name=one").items] == ["one"])
names, token, pages = [], None, 0
while pages == 0 or token:
    page = core.list_namespaced_config_map(NS, label_selector="app=page", limit=2, _continue=token)
    names += [i.metadata.name for i in page.items]
    token, pages = page.metadata._continue, pages + 1
check("pages", names == [f"page-{i}" for i in range(5)] and pages == 3, (names, pages))
check("across namespaces", NS in [i.metadata.namespace for i in core.list_config_map_for_all_namespaces().items])
refused("wrong selector", 400, "BadRequest", lambda: core.list_namespaced_config_map(NS, label_selector="a in"))
refused("wrong field", 400, "BadRequest", lambda: core.list_namespaced_config_map(NS, field_selector="data.a=1"))

# Watches.
start = core.list_namespaced_config_map(NS).metadata.resource_version


def later():
    core.create_namespaced_config_map(NS, config_map("watched"))
    core.patch_namespaced_config_map("watched", NS, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("watched", NS)


thread = threading.Thread(target=later)
thread.start()
seen, watcher = [], watch.Watch()
for event in watcher.stream(core.list_namespaced_config_map, NS, resource_version=start, timeout_seconds=PATIENCE):
    seen.append((event["type"], event["object"].metadata.name))
    if event["type"] == "DELETED":
        watcher.stop()
thread.join()
check("watch from a version", seen == [("ADDED", "watched"), ("MODIFIED", "watched"), ("DELETED", "watched")], seen)
first = next(iter(watch.Watch().stream(core.list_namespaced_config_map, NS, field_selector="metadata.name=one", timeout_seconds=PATIENCE)))
check("watch from the start", first["type"] == "ADDED" and first["object"].metadata.name == "one")
ended = list(watch.Watch().stream(core.list_namespaced_config_map, NS, label_selector="no=such", timeout_seconds=1))
check("a watch ends when it should", ended == [])

# Deleting.
status = core.delete_namespaced_config_map("page-0", NS)
check("delete", (status if isinstance(status, dict) else status.to_dict())["status"] == "Success", status)
refused("delete again", 404, "NotFound", lambda: core.delete_namespaced_config_map("page-0", NS))
refused("delete with a wrong precondition", 409, "Conflict", lambda: core.delete_namespaced_config_map(
    "page-1", NS, body=client.V1DeleteOptions(preconditions=client.V1Preconditions(uid="other"))))
core.delete_collection_namespaced_config_map(NS, label_selector="app=page,odd=1")
check("delete a collection", [i.metadata.name for i in core.list_namespaced_config_map(NS, label_selector="app=page").items] == ["page-2", "page-4"])

# Workloads.
pod_spec = client.V1PodSpec(restart_policy="Never", containers=[client.V1Container(name="main", image="example.com/main:1", args=["x"])])
job = batch.create_namespaced_job(NS, client.V1Job(
    metadata=client.V1ObjectMeta(name="work"), spec=client.V1JobSpec(template=client.V1PodTemplateSpec(spec=pod_spec))))
check("job selects its pods", job.spec.selector.match_labels["batch.kubernetes.io/controller-uid"] == job.metadata.uid, job.spec.selector)
check("job labels its pods", job.spec.template.metadata.labels["batch.kubernetes.io/job-name"] == "work", job.spec.template.metadata)
watcher = watch.Watch()
for event in watcher.stream(batch.list_namespaced_job, NS, timeout_seconds=PATIENCE):
    job = event["object"]
    if any(c.type == "Complete" and c.status == "True" for c in job.status.conditions or []):
        watcher.stop()
check("job completes", job.status.succeeded == 1, job.status)
pods = core.list_namespaced_pod(NS, label_selector="job-name=work").items
check("job's pod", [p.status.phase for p in pods] == ["Succeeded"] and pods[0].metadata.owner_references[0].uid == job.metadata.uid)
check("job is deleted", goes(batch.list_namespaced_job, lambda: batch.delete_namespaced_job(
    "work", NS, propagation_policy="Foreground"), "work", namespace=NS))
check("job goes after its pods", not batch.list_namespaced_job(NS).items and not core.list_namespaced_pod(NS, label_selector="job-name=work").items)
claim = core.create_namespaced_persistent_volume_claim(NS, client.V1PersistentVolumeClaim(
    metadata=client.V1ObjectMeta(name="disk"), spec=client.V1PersistentVolumeClaimSpec(
        access_modes=["ReadWriteOnce"], resources=client.V1VolumeResourceRequirements(requests={"storage": "1Gi"}))))
check("claim has the default class", claim.spec.storage_class_name == "lab-block", claim.spec.storage_class_name)
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_persistent_volume_claim, NS, timeout_seconds=PATIENCE):
    claim = event["object"]
    if claim.status.phase == "Bound":
        watcher.stop()
check("claim is bound", claim.status.capacity == {"storage": "1Gi"} and core.read_persistent_volume(claim.spec.volume_name).spec.claim_ref.name == "disk")

# Custom resources, untyped.
GROUP = ("forklift.konveyor.io", "v1beta1", NS)
hook = {"apiVersion": "forklift.konveyor.io/v1beta1", "kind": "Hook", "metadata": {"name": "hook"}, "spec": {"image": "example.com/hook:1"}}
check("custom create", custom.create_namespaced_custom_object(*GROUP, "hooks", hook)["metadata"]["generation"] == 1)
changed = custom.patch_namespaced_custom_object(*GROUP, "hooks", "hook", {"spec": {"image": "example.com/hook:2"}})
refused("unknown field, strict", 400, "BadRequest", lambda: custom.create_namespaced_custom_object(
    *GROUP, "hooks", {**hook, "metadata": {"name": "strict"}, "nosuch": 1}, field_validation="Strict"))
check("custom patch", changed["spec"]["image"] == "example.com/hook:2" and changed["metadata"]["generation"] == 2)
changed = custom.patch_namespaced_custom_object_status(*GROUP, "hooks", "hook", {"status": {"observedGeneration": 2}, "spec": {"image": "other"}})
check("custom status", changed["status"]["observedGeneration"] == 2 and changed["spec"]["image"] == "example.com/hook:2", changed)
check("custom list", [i["metadata"]["name"] for i in custom.list_namespaced_custom_object(*GROUP, "hooks")["items"]] == ["hook"])
try:
    custom.list_namespaced_custom_object(*GROUP, "unicorns")
    check("custom, unknown kind", False)
except ApiException as failure:
    # No Status: a path that nobody serves.
    check("custom, unknown kind", failure.status == 404 and failure.body == "404 page not found\n", failure.body)
custom.delete_namespaced_custom_object(*GROUP, "hooks", "hook")
refused("custom delete", 404, "NotFound", lambda: custom.get_namespaced_custom_object(*GROUP, "hooks", "hook"))

# The dynamic client, which reads discovery, as ocp-utilities do.
dyn = dynamic.DynamicClient(api)
vms = dyn.resources.get(api_version="kubevirt.io/v1", kind="VirtualMachine")
check("dynamic discovery", vms.name == "virtualmachines" and vms.namespaced)
machine = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": "vm"}, "spec": {
    "runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {}, "memory": {"guest": "1Gi"}}}}}}
check("dynamic create", vms.create(body=machine, namespace=NS).metadata.name == "vm")
stopped = next(e for e in vms.watch(namespace=NS, name="vm", timeout=PATIENCE) if (e["object"].status or {}).get("printableStatus") == "Stopped")
check("dynamic watch", stopped["type"] in ("ADDED", "MODIFIED"))
patched = vms.patch(body={"metadata": {"labels": {"a": "b"}}}, name="vm", namespace=NS, content_type="application/merge-patch+json")
check("dynamic patch", patched.metadata.labels.a == "b")
old = patched.to_dict()
vms.patch(body={"metadata": {"labels": {"a": "c"}}}, name="vm", namespace=NS, content_type="application/merge-patch+json")
old["metadata"]["labels"]["a"] = "d"
refused("dynamic conflict", 409, "Conflict", lambda: vms.replace(body=old, name="vm", namespace=NS), ConflictError)
plans = dyn.resources.get(api_version="forklift.konveyor.io/v1beta1", kind="Plan")
refused("dynamic, refused by the schema", 422, "Invalid", lambda: plans.create(
    body={"apiVersion": "forklift.konveyor.io/v1beta1", "kind": "Plan", "metadata": {"name": "p"}, "spec": {"warm": "yes"}}, namespace=NS), UnprocessibleEntityError)
check("dynamic list", [v.metadata.name for v in vms.get(namespace=NS).items] == ["vm"])
start = vms.get(namespace=NS).metadata.resourceVersion
vms.delete(name="vm", namespace=NS)
check("dynamic delete is seen", any(e["type"] == "DELETED" for e in vms.watch(namespace=NS, resource_version=start, timeout=PATIENCE)))
refused("dynamic delete", 404, "NotFound", lambda: vms.get(name="vm", namespace=NS), NotFoundError)

# Who is not known.
stranger = client.Configuration.get_default_copy()
stranger.cert_file, stranger.key_file = None, None
stranger.api_key = {name: "Bearer wrong" for name in ("authorization", "BearerToken")}
stranger.refresh_api_key_hook = None
refused("unknown token", 401, "Unauthorized", lambda: client.CoreV1Api(client.ApiClient(stranger)).list_namespace())

# The end: a namespace with all that is left in it.
check("namespace is deleted", goes(core.list_namespace, lambda: core.delete_namespace(NS), NS, field_selector=f"metadata.name={NS}"))
refused("namespace is gone", 404, "NotFound", lambda: core.read_namespace(NS))
check("and all in it", not [i for i in core.list_config_map_for_all_namespaces().items if i.metadata.namespace == NS])
print(f"1..{COUNT}")
