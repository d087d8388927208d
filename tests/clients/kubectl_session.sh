#!/bin/sh
# A session of kubectl against a cluster of the lab: what people type who look at migrations, and what scripts type.
#
# Usage: kubectl_session.sh KUBECTL KUBECONFIG VSPHERE_URL USER PASSWORD. Ends with 0 if every command did what it should.
# The migration near the end is of mtv-tests-rhel8, as the lab's built-in data centre has it.
set -u
PROGRAM=$1
export KUBECONFIG="$2"
URL=$3 USER=$4 PASSWORD=$5
. "$(dirname "$0")/checks.sh"

FOLDER=$(mktemp -d)
export HOME="$FOLDER" TMPDIR="$FOLDER" # caches of discovery are not for the next session
NS=kubectl-$$
WATCHER=
clean_up() {
    [ -z "$WATCHER" ] || kill "$WATCHER" 2>/dev/null
    rm -rf "$FOLDER"
}
trap clean_up EXIT

# file NAME: keeps standard input under that name.
file() { cat >"$FOLDER/$1"; }
NAMESPACED="-n $NS"

# --- the server
ok 'version' 'Server Version: v1\.' version
ok 'cluster-info' 'control plane' cluster-info
ok 'api-versions' 'forklift.konveyor.io/v1beta1' api-versions
ok 'api-resources' 'virtualmachines  *vm,vms  *kubevirt.io/v1  *true  *VirtualMachine' api-resources
ok 'api-resources of a group' '^plans' api-resources --api-group=forklift.konveyor.io --no-headers
ok 'api-resources with verbs' 'deletecollection' api-resources --api-group=cdi.kubevirt.io -o wide
ok 'readyz' 'ok' get --raw /readyz
ok 'openapi' 'apis/forklift.konveyor.io/v1beta1' get --raw /openapi/v3
ok 'explain a built-in' 'KIND: *Pod' explain pods
ok 'explain a field' 'FIELD: targetNamespace' explain plan.spec.targetNamespace
ok 'explain a custom resource' 'targetNamespace' explain plan.spec
ok 'explain recursively' 'networkMap\|storage' explain plan.spec --recursive
refused 'explain nothing' 'nowhere' explain plan.spec.nowhere
ok 'auth whoami' 'Username' auth whoami
ok 'auth can-i' 'yes' auth can-i create plans.forklift.konveyor.io -n openshift-mtv
ok 'auth can-i list' '\*' auth can-i --list -n default
refused 'no such kind' 'resource type "unicorns"' get unicorns
refused 'no such path' 'NotFound' get --raw /apis/nothing.example/v1

# --- namespaces, and the first objects
ok 'create namespace' "namespace/$NS created" create namespace "$NS"
refused 'create namespace twice' 'AlreadyExists' create namespace "$NS"
ok 'namespace is active' 'Active' get namespace "$NS" -o 'jsonpath={.status.phase}'
ok 'wait for a phase' 'condition met' wait "namespace/$NS" '--for=jsonpath={.status.phase}=Active' --timeout=30s
ok 'describe namespace' 'Status: *Active' describe namespace "$NS"
ok 'label' 'labeled' label namespace "$NS" purpose=session
refused 'label again' 'overwrite' label namespace "$NS" purpose=other
ok 'label over' 'labeled' label namespace "$NS" purpose=other --overwrite
ok 'label taken away' 'unlabeled' label namespace "$NS" purpose-
ok 'annotate' 'annotated' annotate namespace "$NS" example.com/note='by kubectl'
ok 'annotation is there' 'by kubectl' get namespace "$NS" -o 'jsonpath={.metadata.annotations.example\.com/note}'

ok 'dry run at the server' 'created (server dry run)' create configmap none $NAMESPACED --from-literal=a=1 --dry-run=server
refused 'a dry run leaves nothing' 'NotFound' get configmap none $NAMESPACED
ok 'create configmap' 'configmap/one created' create configmap one $NAMESPACED --from-literal=a=1
ok 'create secret' 'secret/hidden created' create secret generic hidden $NAMESPACED --from-literal=password=x
ok 'describe secret' 'password: *1 bytes' describe secret hidden $NAMESPACED
refused 'invalid name' 'RFC 1123' create configmap Not_Valid $NAMESPACED
ok 'get as a table' '^one  *1  ' get configmap one $NAMESPACED --no-headers
ok 'get as yaml' 'a: "1"' get configmap one $NAMESPACED -o yaml
ok 'get as json' '"resourceVersion"' get configmap one $NAMESPACED -o json
ok 'get names' '^configmap/one$' get configmap one $NAMESPACED -o name
ok 'get columns' '^one *1$' get configmap one $NAMESPACED --no-headers -o 'custom-columns=N:.metadata.name,A:.data.a'
ok 'get by template' '^one=1$' get configmap one $NAMESPACED -o 'go-template={{.metadata.name}}={{.data.a}}'
ok 'get several kinds' 'secret/hidden' get configmap,secret $NAMESPACED -o name
ok 'get managed fields' 'kubectl-create' get configmap one $NAMESPACED -o yaml --show-managed-fields

# --- patches
ok 'merge patch' 'patched' patch configmap one $NAMESPACED --type=merge -p '{"data":{"a":"2","b":"3"}}'
ok 'merge patch again' '(no change)' patch configmap one $NAMESPACED --type=merge -p '{"data":{"a":"2"}}'
ok 'JSON patch' 'patched' patch configmap one $NAMESPACED --type=json -p '[{"op":"test","path":"/data/a","value":"2"},{"op":"remove","path":"/data/b"}]'
refused 'JSON patch whose test fails' 'testing.*failed\|test failed\|server rejected' patch configmap one $NAMESPACED --type=json -p '[{"op":"test","path":"/data/a","value":"9"}]'
ok 'patched' '{"a":"2"}' get configmap one $NAMESPACED -o 'jsonpath={.data}'
refused 'strategic patch of a custom resource' 'accepted media types' patch provider host -n openshift-mtv --type=strategic -p '{"metadata":{"labels":{"a":"b"}}}'
refused 'patch of nothing' 'NotFound' patch configmap nowhere $NAMESPACED --type=merge -p '{"data":{"a":"2"}}'

# --- apply
file cm.yaml <<END
apiVersion: v1
kind: ConfigMap
metadata: {name: applied, namespace: $NS, labels: {app: session}}
data: {a: "1", b: "2"}
END
ok 'apply creates' 'configmap/applied created' apply -f "$FOLDER/cm.yaml"
ok 'apply again' 'configmap/applied unchanged' apply -f "$FOLDER/cm.yaml"
sed -i 's/, b: "2"/, c: "3"/' "$FOLDER/cm.yaml"
refused 'diff' '^+  c: "3"' diff -f "$FOLDER/cm.yaml"
ok 'apply changes' 'configmap/applied configured' apply -f "$FOLDER/cm.yaml"
ok 'apply takes away' '{"a":"1","c":"3"}' get configmap applied $NAMESPACED -o 'jsonpath={.data}'
ok 'no diff' '' diff -f "$FOLDER/cm.yaml"
ok 'last applied' 'app: session' apply view-last-applied configmap applied $NAMESPACED
ok 'replace' 'configmap/applied replaced' replace -f "$FOLDER/cm.yaml"
ok 'get by label' '^configmap/applied$' get configmap $NAMESPACED -l app=session -o name
ok 'get by set' '^configmap/applied$' get configmap $NAMESPACED -l 'app in (session,other),!missing' -o name
ok 'get by field' '^configmap/one$' get configmap $NAMESPACED --field-selector metadata.name=one -o name
ok 'get in chunks' 'configmap/one' get configmap $NAMESPACED --chunk-size=1 -o name
ok 'get sorted' 'one' get configmap $NAMESPACED --sort-by=.metadata.name
refused 'a wrong selector' 'selector' get configmap $NAMESPACED -l 'a in'
export KUBE_EDITOR="sed -i 's/c: .3./c: \"4\"/'"
ok 'edit' 'configmap/applied edited' edit configmap applied $NAMESPACED
ok 'edited' '^4$' get configmap applied $NAMESPACED -o 'jsonpath={.data.c}'

# --- workloads: what a kubelet and controllers answer
file deployment.yaml <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: $NS}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example.com/web:1}, {name: side, image: example.com/side:1}]}
END
ok 'apply deployment' 'deployment.apps/web created' apply -f "$FOLDER/deployment.yaml"
ok 'set image' 'image updated' set image deployment/web main=example.com/web:2 $NAMESPACED
ok 'containers merge by name' '^example.com/web:2 example.com/side:1$' get deployment web $NAMESPACED -o 'jsonpath={.spec.template.spec.containers[*].image}'
ok 'describe deployment' 'example.com/web:2' describe deployment web $NAMESPACED
file claim.yaml <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk, namespace: $NS}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
END
ok 'create a claim' 'disk created' create -f "$FOLDER/claim.yaml"
ok 'the claim is bound' 'condition met' wait pvc/disk $NAMESPACED '--for=jsonpath={.status.phase}=Bound' --timeout=60s
ok 'the claim as a table' 'Bound .*1Gi .*RWO .*lab-block' get pvc disk $NAMESPACED
ok 'describe claim' 'Status: *Bound' describe pvc disk $NAMESPACED
ok 'run a pod' 'pod/one created' run one --image=example.com/one:1 --restart=Never $NAMESPACED
ok 'a pod with a status' 'one' get pod one $NAMESPACED -o wide
ok 'describe pod' 'Image: *example.com/one:1' describe pod one $NAMESPACED
ok 'delete pod at once' 'force deleted' delete pod one --grace-period=0 --force $NAMESPACED
ok 'create job' 'job.batch/work created' create job work --image=example.com/work:1 $NAMESPACED
ok 'job completes' 'condition met' wait job/work --for=condition=Complete --timeout=60s $NAMESPACED
ok 'job as a table' 'work .*1/1' get job work $NAMESPACED
ok 'delete job with its pods' 'deleted' delete job work --timeout=60s --cascade=foreground $NAMESPACED
ok 'service account' 'created' create serviceaccount robot $NAMESPACED
ok 'role' 'created' create role reader --verb=get,list --resource=configmaps $NAMESPACED
ok 'role binding' 'created' create rolebinding reader --role=reader --serviceaccount="$NS:robot" $NAMESPACED
ok 'describe node' 'Kubelet Version' describe node worker-0
ok 'describe storage class' 'IsDefaultClass: *Yes' describe storageclass lab-block
ok 'events' '' events $NAMESPACED

# --- watches
"$PROGRAM" get configmap $NAMESPACED --watch --output-watch-events >"$FOLDER/watch" 2>&1 &
WATCHER=$!
ok 'wait for creation' 'condition met' wait configmap/one --for=create --timeout=30s $NAMESPACED
n=0
while ! grep -q '^ADDED .*one' "$FOLDER/watch" && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done
ok 'change what is watched' 'patched' patch configmap one $NAMESPACED --type=merge -p '{"data":{"d":"4"}}'
ok 'delete what is watched' 'deleted' delete configmap one $NAMESPACED
n=0
while ! grep -q '^DELETED .*one' "$FOLDER/watch" && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done
kill "$WATCHER" 2>/dev/null
wait "$WATCHER" 2>/dev/null
WATCHER=
out=$(cut -d' ' -f1 "$FOLDER/watch" | tr '\n' ' ') code=0
said 'watch' 'ADDED .*MODIFIED .*DELETED'

# --- commands in containers
POD=$("$PROGRAM" get pods -A -l service=forklift-api -o 'jsonpath={.items[0].metadata.name}')
IN="-n $("$PROGRAM" get pods -A -l service=forklift-api -o 'jsonpath={.items[0].metadata.namespace}')"
ok 'exec' '^ID="rhel"' exec $IN "$POD" -- cat /etc/os-release
ok 'exec in a shell' "^$POD\$" exec $IN "$POD" -- sh -c 'hostname; true'
refused 'exec of what fails' 'exit code 2' exec $IN "$POD" -- ls /nowhere
refused 'exec of what is not there' 'executable file not found' exec $IN "$POD" -- vi
refused 'exec in no container' 'container nowhere is not valid for pod' exec $IN "$POD" -c nowhere -- true
refused 'exec in no pod' 'NotFound' exec $IN nowhere -- true
printf 'there and back\n' >"$FOLDER/there"
ok 'copy into a container' '' cp $IN "$FOLDER/there" "$POD:/tmp/there"
ok 'it is there' 'there and back' exec $IN "$POD" -- cat /tmp/there
ok 'copy out of a container' '' cp $IN "$POD:/tmp/there" "$FOLDER/back"
out=$(cat "$FOLDER/back") code=0
said 'it is back' 'there and back'

# --- finalizers and deletion
ok 'finalizer' 'patched' patch configmap applied $NAMESPACED --type=json -p '[{"op":"add","path":"/metadata/finalizers","value":["example.com/held"]}]'
ok 'delete is accepted' 'deleted' delete configmap applied --wait=false $NAMESPACED
ok 'but held' 'Z$' get configmap applied $NAMESPACED -o 'jsonpath={.metadata.deletionTimestamp}'
refused 'wait for deletion in vain' 'timed out' wait configmap/applied --for=delete --timeout=1s $NAMESPACED
refused 'no new finalizers while it goes' 'Forbidden\|forbidden\|no new finalizers' patch configmap applied $NAMESPACED --type=json -p '[{"op":"add","path":"/metadata/finalizers/-","value":"example.com/late"}]'
ok 'let go' 'patched' patch configmap applied $NAMESPACED --type=merge -p '{"metadata":{"finalizers":null}}'
ok 'wait for deletion' '' wait configmap/applied --for=delete --timeout=30s $NAMESPACED
refused 'delete of nothing' 'NotFound' delete configmap applied $NAMESPACED
ok 'delete of nothing, on purpose' '' delete configmap applied --ignore-not-found $NAMESPACED

# --- a migration, from the first object to the running machine's record
file migration.yaml <<END
apiVersion: v1
kind: Secret
metadata: {name: source, namespace: $NS, labels: {createdForProviderType: vsphere, createdForResourceType: providers}}
stringData: {url: "$URL", user: "$USER", password: "$PASSWORD", insecureSkipVerify: "true"}
---
apiVersion: forklift.konveyor.io/v1beta1
kind: Provider
metadata: {name: source, namespace: $NS}
spec: {type: vsphere, url: "$URL", secret: {name: source, namespace: $NS}, settings: {sdkEndpoint: vcenter, vddkInitImage: "lab.invalid/vddk:8.0.3"}}
---
apiVersion: forklift.konveyor.io/v1beta1
kind: Provider
metadata: {name: target, namespace: $NS}
spec: {type: openshift, url: "", secret: {}}
---
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: bridge, namespace: $NS}
spec: {config: '{"cniVersion":"0.3.1","type":"cnv-bridge","bridge":"br0"}'}
---
apiVersion: forklift.konveyor.io/v1beta1
kind: StorageMap
metadata: {name: storage, namespace: $NS}
spec:
  provider: {source: {name: source, namespace: $NS}, destination: {name: target, namespace: $NS}}
  map: [{source: {name: nfs-datastore}, destination: {storageClass: lab-block}}]
---
apiVersion: forklift.konveyor.io/v1beta1
kind: NetworkMap
metadata: {name: network, namespace: $NS}
spec:
  provider: {source: {name: source, namespace: $NS}, destination: {name: target, namespace: $NS}}
  map:
  - {source: {name: VM Network}, destination: {type: pod}}
  - {source: {name: VM Test Network}, destination: {type: multus, namespace: $NS, name: bridge}}
  - {source: {name: cnv-test}, destination: {type: multus, namespace: $NS, name: bridge}}
---
apiVersion: forklift.konveyor.io/v1beta1
kind: Plan
metadata: {name: plan, namespace: $NS}
spec:
  targetNamespace: $NS
  provider: {source: {name: source, namespace: $NS}, destination: {name: target, namespace: $NS}}
  map: {storage: {name: storage, namespace: $NS}, network: {name: network, namespace: $NS}}
  vms: [{name: mtv-tests-rhel8}]
END
ok 'apply a migration' 'plan.forklift.konveyor.io/plan created' apply -f "$FOLDER/migration.yaml"
ok 'apply it again' 'provider.forklift.konveyor.io/source unchanged' apply -f "$FOLDER/migration.yaml"
ok 'providers are ready' 'source condition met' wait provider/source provider/target --for=condition=Ready --timeout=60s $NAMESPACED
ok 'providers as a table' 'TYPE .*READY\|source .*vsphere' get providers $NAMESPACED
ok 'the plan is ready' 'condition met' wait plan/plan --for=condition=Ready --timeout=60s $NAMESPACED
ok 'plans as a table' 'plan .*True' get plans $NAMESPACED
ok 'describe plan' 'Target Namespace: *kubectl-' describe plan plan $NAMESPACED
ok 'a patch with an unknown field warns' 'Warning: unknown field "spec.noSuchField"' patch plan plan $NAMESPACED --type=merge -p '{"spec":{"noSuchField":true}}'
sed '/targetNamespace:/s/$/\n  noSuchField: true/' "$FOLDER/migration.yaml" >"$FOLDER/strict.yaml"
refused 'apply with an unknown field' 'strict decoding error: unknown field "spec.noSuchField"' apply -f "$FOLDER/strict.yaml"
file start.yaml <<END
apiVersion: forklift.konveyor.io/v1beta1
kind: Migration
metadata: {generateName: go-, namespace: $NS}
spec: {plan: {name: plan, namespace: $NS}}
END
ok 'start it' 'migration.forklift.konveyor.io/go-' create -f "$FOLDER/start.yaml"
ok 'the plan succeeds' 'condition met' wait plan/plan --for=condition=Succeeded --timeout=120s $NAMESPACED
ok 'the migration too' 'go-' get migrations $NAMESPACED -o name
ok 'the machine is there' 'condition met' wait vm/mtv-tests-rhel8 --for=create --timeout=10s $NAMESPACED
ok 'the machine as a table' 'mtv-tests-rhel8 .*Stopped' get vm $NAMESPACED
ok 'its disks' 'Bound' get pvc $NAMESPACED
ok 'start the machine' 'patched' patch vm mtv-tests-rhel8 $NAMESPACED --type=merge -p '{"spec":{"runStrategy":"Always","running":null}}'
ok 'the machine runs' 'condition met' wait vm/mtv-tests-rhel8 --for=condition=Ready --timeout=60s $NAMESPACED
ok 'its instance as a table' 'Running .*worker-' get vmi $NAMESPACED -o wide
ok 'describe the machine' 'Run Strategy: *Always' describe vm mtv-tests-rhel8 $NAMESPACED
ok 'delete the machine' 'deleted' delete vm mtv-tests-rhel8 --timeout=60s $NAMESPACED
ok 'its instance goes' '' wait vmi/mtv-tests-rhel8 --for=delete --timeout=60s $NAMESPACED

# --- the end
ok 'delete all of a kind' 'deleted' delete plan --all --timeout=60s $NAMESPACED
ok 'delete by file' 'deleted' delete --ignore-not-found --timeout=60s -f "$FOLDER/migration.yaml"
ok 'delete namespace' 'deleted' delete namespace "$NS" --timeout=120s
refused 'the namespace is gone' 'NotFound' get namespace "$NS"
printf '1..%s\n' "$COUNT"
