#!/bin/sh
# A session of govc against a host, without the vCenter that manages it: what is there, and what only a vCenter does.
#
# Usage: esxi_session.sh GOVC URL USER PASSWORD VCENTER_URL USER PASSWORD. Ends with 0 if every command did what it should.
set -u
PROGRAM=$1
HOST_URL=$2 HOST_USER=$3 HOST_PASSWORD=$4
CENTER_URL=$5 CENTER_USER=$6 CENTER_PASSWORD=$7
export GOVC_INSECURE=true GOVC_PERSIST_SESSION=false
. "$(dirname "$0")/checks.sh"

host() { export GOVC_URL="$HOST_URL" GOVC_USERNAME="$HOST_USER" GOVC_PASSWORD="$HOST_PASSWORD"; }
center() { export GOVC_URL="$CENTER_URL" GOVC_USERNAME="$CENTER_USER" GOVC_PASSWORD="$CENTER_PASSWORD"; }

host
ok 'about' 'HostAgent' about
ok 'about tells the product' '"productLineId": *"embeddedEsx"' about -json
ok 'about tells the system' 'vmnix-x86' about
ok 'ls root' 'Datacenter:ha-datacenter' ls -i /
ok 'ls' '/ha-datacenter/vm' ls
ok 'ls machines' '/ha-datacenter/vm/mtv-tests-rhel8' ls /ha-datacenter/vm
ok 'machines have numbers' '^VirtualMachine:[0-9]*$' ls -i /ha-datacenter/vm
ok 'ls hosts' 'ComputeResource:ha-compute-res' ls -i /ha-datacenter/host
ok 'ls networks' 'Network:HaNetwork-VM Network' ls -i /ha-datacenter/network
ok 'ls datastores' 'Datastore:nfs.lab:/exports/nfs-datastore' ls -i /ha-datacenter/datastore
ok 'volumes are known by their file system' 'Datastore:[0-9a-f]\{8\}-[0-9a-f]\{8\}-' ls -i /ha-datacenter/datastore
ok 'find machines' '/ha-datacenter/vm/mtv-tests-rhel8' find / -type m
ok 'find hosts' 'esxi-0.lab' find / -type h
ok 'host.info' 'esxi-0.lab' host.info
ok 'the host is ha-host' 'ha-host' object.collect -s VirtualMachine:1 runtime.host
ok 'the host has its UUID' '[0-9a-f]\{8\}-[0-9a-f]\{4\}' object.collect -s HostSystem:ha-host hardware.systemInfo.uuid
ok 'it knows who manages it' '[0-9]' object.collect -s HostSystem:ha-host summary.managementServerIp
ok 'pool.info' 'Resources' pool.info '/ha-datacenter/host/*/Resources'
ok 'datastore.info' 'NFS' datastore.info nfs-datastore
ok 'datastore.ls' 'mtv-tests-rhel8.vmdk' datastore.ls -ds nfs-datastore mtv-tests-rhel8
ok 'vm.info' 'Red Hat Enterprise Linux 8' vm.info mtv-tests-rhel8
ok 'device.info' '16777216\|16,777,216' device.info -vm mtv-tests-rhel8 'disk-*'
ok 'vm.power on' 'OK' vm.power -on mtv-tests-rhel8
refused 'vm.power on twice' 'powered\|power state' vm.power -on mtv-tests-rhel8
ok 'object.collect waits for tools' 'guestToolsRunning' object.collect -s /ha-datacenter/vm/mtv-tests-rhel8 -guest.toolsRunningStatus guestToolsRunning
ok 'vm.ip' '[0-9]\.' vm.ip -wait 10s mtv-tests-rhel8
ok 'vm.power off' 'OK' vm.power -off mtv-tests-rhel8
ok 'snapshot.create' '' snapshot.create -vm mtv-tests-rhel8 -m=false one
ok 'snapshots belong to their machine' '\[[0-9]*-snapshot-[0-9]*\] *one' snapshot.tree -i -vm mtv-tests-rhel8
ok 'snapshot.remove' '' snapshot.remove -vm mtv-tests-rhel8 one
ok 'tasks' 'CreateSnapshot' tasks
ok 'vm.create' '' vm.create -on=false -ds nfs-datastore -net 'VM Network' -m 256 -g otherGuest made-on-the-host
ok 'events' 'root' events
ok 'session.ls' 'root' session.ls
ok 'permissions.ls' 'Admin' permissions.ls
ok 'option.ls' 'Config.HostAgent' option.ls
refused 'fields are the vCenter'"'"'s' 'not supported' fields.ls
refused 'tags are the vCenter'"'"'s' '404' tags.ls
refused 'there are no templates' 'not supported' vm.markastemplate mtv-tests-rhel8
refused 'a machine is not cloned' 'not supported' vm.clone -vm mtv-tests-rhel8 -on=false -ds nfs-datastore a-clone
refused 'there is no other host' 'not found' vm.migrate -host esxi-1.lab mtv-tests-rhel8

center
ok 'the vCenter sees what the host made' '/DC0/vm/made-on-the-host' find / -type m -name made-on-the-host
ok 'it clones on the host' 'OK' vm.clone -vm mtv-tests-rhel8 -on=false -host esxi-0.lab -ds nfs-datastore cloned-by-the-center
ok 'it clones on another one' 'OK' vm.clone -vm mtv-tests-rhel8 -on=false -host esxi-1.lab -ds nfs-datastore cloned-elsewhere

host
ok 'the host sees its clone' '/ha-datacenter/vm/cloned-by-the-center' find / -type m
ok 'under a number' 'VirtualMachine:[0-9]' find -i / -type m -name cloned-by-the-center
ok 'not the other one' '^$' find / -type m -name cloned-elsewhere
ok 'vm.destroy' '' vm.destroy cloned-by-the-center
ok 'vm.destroy of its own' '' vm.destroy made-on-the-host

center
ok 'the vCenter sees that it is gone' '^$' find / -type m -name cloned-by-the-center
ok 'vm.destroy elsewhere' '' vm.destroy cloned-elsewhere
host
export GOVC_PASSWORD=wrong
refused 'wrong password' 'password' about
export GOVC_USERNAME="$CENTER_USER" GOVC_PASSWORD="$CENTER_PASSWORD"
refused 'users of the vCenter are not users of the host' 'password' about
printf '1..%s\n' "$COUNT"
