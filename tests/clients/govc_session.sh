#!/bin/sh
# A session of govc against a vCenter: what people type who look after the source of a migration.
#
# Usage: govc_session.sh GOVC URL USER PASSWORD. Ends with 0 if every command did what it should.
set -u
PROGRAM=$1
export GOVC_URL="$2" GOVC_USERNAME="$3" GOVC_PASSWORD="$4"
export GOVC_INSECURE=true GOVC_PERSIST_SESSION=false GOVC_DATACENTER=DC0
. "$(dirname "$0")/checks.sh"

ok 'about' 'VirtualCenter' about
ok 'about as JSON' '"apiVersion": *"8.0.3.0"' about -json
ok 'ls' '/DC0/vm' ls
ok 'ls machines' '/DC0/vm/mtv-tests-rhel8' ls vm
ok 'ls long' 'VirtualMachine:vm-101' ls -i vm/mtv-tests-rhel8
ok 'ls host' 'DC0_C0' ls host
ok 'ls datastores' 'nfs-datastore' ls datastore
ok 'ls networks' 'cnv-test' ls network
ok 'find machines' './vm/mtv-win2019-79' find . -type m
ok 'find by power' 'mtv-tests-rhel8' find / -type m -runtime.powerState poweredOff
ok 'find by name' '/DC0/host/DC0_C0/esxi-0.lab' find / -type h -name 'esxi-0*'
ok 'find networks' 'VM Network' find / -type n
ok 'datacenter.info' 'DC0' datacenter.info
ok 'host.info' 'esxi-0.lab' host.info -host esxi-0.lab
ok 'cluster' 'DC0_C0' object.collect -s /DC0/host/DC0_C0 name
ok 'pool.info' 'Resources' pool.info /DC0/host/DC0_C0/Resources
ok 'datastore.info' 'NFS' datastore.info nfs-datastore
ok 'datastore.ls' 'mtv-tests-rhel8.vmdk' datastore.ls -ds nfs-datastore mtv-tests-rhel8
ok 'datastore.mkdir' '' datastore.mkdir -ds nfs-datastore govc-folder
refused 'datastore.mkdir twice' 'exists' datastore.mkdir -ds nfs-datastore govc-folder
ok 'datastore.rm' '' datastore.rm -ds nfs-datastore govc-folder
ok 'vm.info' 'Red Hat Enterprise Linux 8' vm.info mtv-tests-rhel8
ok 'vm.info as JSON' '"changeTrackingEnabled": *true' vm.info -json mtv-tests-rhel8
ok 'vm.info resources' 'Network:.*VM Network' vm.info -r mtv-tests-rhel8
ok 'device.info' 'ParaVirtualSCSIController\|pvscsi' device.info -vm mtv-tests-rhel8
ok 'device.info disk' '16777216\|16,777,216' device.info -vm mtv-tests-rhel8 'disk-*'
ok 'device.ls' 'ethernet-0' device.ls -vm mtv-tests-rhel8

ok 'vm.clone' 'OK' vm.clone -vm mtv-tests-rhel8 -on=false -ds nfs-datastore -pool DC0_C0/Resources govc-clone
refused 'vm.clone twice' 'taken\|already exists' vm.clone -vm mtv-tests-rhel8 -on=false -ds nfs-datastore -pool DC0_C0/Resources govc-clone
ok 'vm.clone template' 'OK' vm.clone -vm xcopy-template-test -on=false -ds block-datastore -pool DC0_C0/Resources govc-from-template
ok 'vm.power on' 'OK' vm.power -on govc-clone
refused 'vm.power on twice' 'powered\|power state' vm.power -on govc-clone
ok 'object.collect waits for tools' 'guestToolsRunning' object.collect -s vm/govc-clone -guest.toolsRunningStatus guestToolsRunning
ok 'vm.ip' '[0-9]\.' vm.ip -wait 10s govc-clone
ok 'vm.ip of all adapters' '192.168.77.10' vm.ip -a -v4 govc-clone
ok 'guest.run' 'rhel8' guest.run -vm govc-clone -l root:lab-linux cat /etc/hostname
ok 'guest.run writes' '' guest.run -vm govc-clone -l root:lab-linux /bin/bash -c '"echo by-govc > /tmp/note"'
ok 'guest.download' 'by-govc' guest.download -vm govc-clone -l root:lab-linux /tmp/note -
ok 'guest.ps' 'bash' guest.ps -vm govc-clone -l root:lab-linux -x
ok 'guest.rm' '' guest.rm -vm govc-clone -l root:lab-linux /tmp/note
refused 'guest.run with a wrong password' 'authenticate' guest.run -vm govc-clone -l root:wrong cat /etc/hostname
refused 'guest.run in a VM that is off' 'power' guest.run -vm mtv-tests-rhel8 -l root:lab-linux cat /etc/hostname
ok 'object.collect structure' 'summary.overallStatus' object.collect vm/govc-clone summary
ok 'object.collect types' 'poweredOn' object.collect -type m / runtime.powerState
ok 'object.collect -n' 'runtime.powerState' object.collect -n 1 -wait 5s vm/govc-clone runtime.powerState
ok 'snapshot.create' '' snapshot.create -vm govc-clone -m=false one
ok 'snapshot.create child' '' snapshot.create -vm govc-clone -m=false two
ok 'snapshot.tree' 'two' snapshot.tree -vm govc-clone
ok 'snapshot.tree current' 'two' snapshot.tree -vm govc-clone -C
ok 'snapshot.tree long' 'snapshot-' snapshot.tree -vm govc-clone -D -i
ok 'snapshot.revert' '' snapshot.revert -vm govc-clone one
ok 'snapshot.remove' '' snapshot.remove -vm govc-clone one
refused 'snapshot.remove of nothing' 'not found' snapshot.remove -vm govc-clone nowhere
ok 'snapshot.remove all' '' snapshot.remove -vm govc-clone '*'
ok 'vm.power on after revert' 'OK' vm.power -on govc-clone
ok 'object.collect waits again' '' object.collect -s vm/govc-clone -guest.toolsRunningStatus guestToolsRunning
ok 'vm.power shutdown' 'OK' vm.power -s -wait=true govc-clone
ok 'object.collect waits for off' '' object.collect -s vm/govc-clone -runtime.powerState poweredOff
ok 'vm.change' '' vm.change -vm govc-clone -m 4096 -c 4 -annotation 'by govc' -e ctkEnabled=true
ok 'vm.change is seen' '4096MB' vm.info govc-clone
ok 'vm.disk.create' '' vm.disk.create -vm govc-clone -ds block-datastore -name govc-clone/extra -size 1G
ok 'vm.network.add' '' vm.network.add -vm govc-clone -net cnv-test -net.adapter vmxnet3
ok 'vm.network.change' '' vm.network.change -vm govc-clone -net 'VM Test Network' ethernet-0
ok 'device.remove' '' device.remove -vm govc-clone ethernet-3
ok 'vm.markastemplate' '' vm.markastemplate govc-clone
refused 'a template does not start' 'template' vm.power -on govc-clone
ok 'vm.markasvm' '' vm.markasvm -pool DC0_C0/Resources govc-clone
ok 'folder.create' '' folder.create vm/govc-folder
ok 'object.mv' 'OK' object.mv vm/govc-clone vm/govc-folder
ok 'object.rename' 'OK' object.rename vm/govc-folder/govc-clone govc-renamed
ok 'fields.add' '' fields.add govc-owner
ok 'fields.set' '' fields.set govc-owner me vm/govc-folder/govc-renamed
ok 'fields.info' 'me' fields.info -n govc-owner vm/govc-folder/govc-renamed
ok 'fields.rm' '' fields.rm govc-owner
ok 'events' 'powered on' events vm/govc-folder/govc-renamed
ok 'tasks' 'CloneVM_Task\|clone' tasks
ok 'session.ls' 'VSPHERE.LOCAL' session.ls
ok 'permissions.ls' 'Admin' permissions.ls
ok 'option.ls' 'vcenter.lab' option.ls VirtualCenter.FQDN
ok 'dvs' 'cnv-test' object.collect -s network/DSwitch summary.portgroupName
ok 'vm.migrate' 'OK' vm.migrate -host esxi-1.lab govc-folder/govc-renamed
ok 'vm.unregister' '' vm.unregister govc-from-template
refused 'vm.destroy of nothing' 'not found' vm.destroy nowhere
ok 'vm.destroy' '' vm.destroy govc-folder/govc-renamed
ok 'object.destroy folder' 'OK' object.destroy vm/govc-folder
export GOVC_PASSWORD=wrong
refused 'wrong password' 'password' about
printf '1..%s\n' "$COUNT"
