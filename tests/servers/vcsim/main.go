// Command vcsim serves govmomi's vCenter simulator for one test.
//
// It prints one line of JSON with its URL on stdout once it accepts connections, and ends on SIGTERM, SIGINT or, with
// -follow-stdin, when its standard input ends: so it never outlives the test process that holds the other end of the pipe.
package main

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/esx"
	_ "github.com/vmware/govmomi/vapi/simulator" // serves the REST API beside SOAP: sessions and tags, which Forklift reads
	"github.com/vmware/govmomi/vim25/types"
)

// module is the library whose version -version prints.
const module = "github.com/vmware/govmomi"

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on, port 0 chooses a free one")
	user := flag.String("user", "admin", "user name (none under @vsphere.local: the simulated SSO takes those over)")
	password := flag.String("password", "pass", "password")
	machines := flag.Int("vm", 2, "virtual machines per resource pool (there are two pools)")
	extra := flag.Int("extra", 0, "so many more virtual machines without devices, called extra-0 and so on (quick to make)")
	off := flag.Bool("off", false, "leave the virtual machines powered off")
	datacenters := flag.Int("dc", 1, "datacenters; more than one gives duplicate short names only where the model makes them")
	cert := flag.String("cert", "", "PEM file of the certificate chain; without it plain HTTP is served")
	key := flag.String("key", "", "PEM file of the certificate's key")
	esxi := flag.Bool("esx", false, "simulate one ESXi host instead of a vCenter")
	idle := flag.String("session-timeout", "", "idle time after which a session ends, such as 2s")
	followStdin := flag.Bool("follow-stdin", false, "end when standard input ends")
	version := flag.Bool("version", false, "print the version of govmomi and end")
	flag.Parse()
	if *version {
		fmt.Println("vcsim", libraryVersion())
		return
	}

	model := simulator.VPX()
	if *esxi {
		model = simulator.ESX()
	} else {
		model.Datacenter = *datacenters
	}
	model.Machine = *machines
	model.Autostart = !*off
	defer model.Remove()
	if err := model.Create(); err != nil {
		log.Fatalf("failed to create the inventory: %v", err)
	}
	addExtra(model, *extra)
	if *idle != "" {
		options := model.Service.Context.Map.OptionManager()
		options.UpdateOptions(&types.UpdateOptions{ChangedValue: []types.BaseOptionValue{
			&types.OptionValue{Key: "config.vmacore.soap.sessionTimeout", Value: *idle},
		}})
	}
	model.Service.RegisterEndpoints = true
	model.Service.Listen = &url.URL{Host: *listen, User: url.UserPassword(*user, *password)}
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			log.Fatalf("failed to read the certificate: %v", err)
		}
		model.Service.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	}
	server := model.Service.NewServer()
	defer server.Close()
	address := *server.URL
	address.User = nil
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"url": address.String(), "about": about(*esxi)}); err != nil {
		log.Fatalf("failed to print the URL: %v", err)
	}

	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	if *followStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			end <- syscall.SIGTERM
		}()
	}
	<-end
}

// addExtra puts virtual machines straight into the inventory: made the model's own way, each takes 20 ms and a folder on disk.
func addExtra(model *simulator.Model, count int) {
	registry := model.Service.Context.Map
	datacenter := registry.Any("Datacenter").(*simulator.Datacenter)
	folder := registry.Get(datacenter.VmFolder).(*simulator.Folder)
	for i := range count {
		vm := &simulator.VirtualMachine{}
		vm.Name = fmt.Sprintf("extra-%d", i)
		vm.Config = &types.VirtualMachineConfigInfo{Name: vm.Name}
		vm.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOff
		folder.ChildEntity = append(folder.ChildEntity, registry.PutEntity(&folder.Folder, vm).Reference())
	}
}

// about names what is simulated.
func about(esxi bool) string {
	if esxi {
		return esx.ServiceContent.About.FullName
	}
	return "vCenter"
}

// libraryVersion reads the version from what the linker recorded.
func libraryVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "unknown"
}
