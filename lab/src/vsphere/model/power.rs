//! Power of machines, and what their guests' tools report about it.

use std::time::Duration;

use super::{
    Model, Wakeup,
    vm::{Power, Vm},
};
use crate::vsphere::{fault::Fault, types::guest};

/// From power on to the first report of the guest's tools: what a Linux guest needs to boot.
pub const BOOT: Duration = Duration::from_secs(25);
/// A guest's orderly shutdown.
pub const SHUTDOWN: Duration = Duration::from_secs(8);

/// A change of the power state that a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerOp {
    /// `PowerOnVM_Task`
    On,
    /// `PowerOffVM_Task`
    Off,
    /// `SuspendVM_Task`
    Suspend,
    /// `ResetVM_Task`
    Reset,
}

impl Vm {
    fn start(&mut self) -> u64 {
        self.power = Power::On;
        self.boot += 1;
        self.boot_time = Some(Model::now());
        self.tools_running = false;
        for nic in self.devices.iter_mut().filter_map(super::device::Device::nic_mut) {
            nic.connected = nic.start_connected;
        }
        self.settle_change_tracking();
        self.boot
    }

    pub(super) fn stop(&mut self, power: Power) {
        self.power = power;
        self.boot += 1;
        self.boot_time = None;
        self.tools_running = false;
        for nic in self.devices.iter_mut().filter_map(super::device::Device::nic_mut) {
            nic.connected = false;
        }
    }
}

impl Model {
    /// Whether a change of power is possible now.
    ///
    /// # Errors
    /// `NotSupported` for templates, `InvalidPowerState`, `InvalidState` for machines whose files cannot be read.
    pub fn check_power(&self, id: &str, op: PowerOp) -> Result<(), Fault> {
        let vm = self.vm(id)?;
        if vm.template {
            return Err(Fault::not_supported("The operation is not supported on a template."));
        }
        if vm.connection != "connected" {
            return Err(Fault::invalid_state(format!("The machine is {}.", vm.connection)));
        }
        let refused = |wanted: &str| Err(Fault::invalid_power_state(vm.power.name(), Some(wanted)));
        match op {
            PowerOp::On if vm.power == Power::On => refused("poweredOn"),
            PowerOp::Off if vm.power == Power::Off => refused("poweredOff"),
            PowerOp::Suspend if vm.power != Power::On => refused("suspended"),
            PowerOp::Reset if vm.power != Power::On => refused("poweredOn"),
            _ => Ok(()),
        }
    }

    /// Changes the power state.
    ///
    /// # Errors
    /// As `check_power`.
    pub fn power(&mut self, id: &str, op: PowerOp, user: &str) -> Result<(), Fault> {
        self.check_power(id, op)?;
        let vm = self.vm_mut(id)?;
        match op {
            PowerOp::On => {
                let boot = vm.start();
                self.boot(id, boot);
                self.event("VmPoweredOnEvent", id, user, |name| format!("{name} is powered on"));
            }
            PowerOp::Off => {
                vm.stop(Power::Off);
                self.lose_snapshot(id);
                self.event("VmPoweredOffEvent", id, user, |name| format!("{name} is powered off"));
            }
            PowerOp::Suspend => {
                vm.stop(Power::Suspended);
                self.event("VmSuspendedEvent", id, user, |name| format!("{name} is suspended"));
            }
            PowerOp::Reset => {
                let boot = vm.start();
                self.boot(id, boot);
                self.event("VmResettingEvent", id, user, |name| format!("{name} is reset"));
            }
        }
        Ok(())
    }

    /// Asks the guest to shut down or to restart.
    ///
    /// # Errors
    /// `InvalidPowerState` if it does not run, `ToolsUnavailable` if its tools do not.
    pub fn ask_guest(&mut self, id: &str, restart: bool, user: &str) -> Result<(), Fault> {
        let vm = self.vm_mut(id)?;
        if vm.power != Power::On {
            return Err(Fault::invalid_power_state(vm.power.name(), Some("poweredOn")));
        }
        if !vm.tools_running {
            return Err(Fault::tools_unavailable());
        }
        if restart {
            let boot = vm.start();
            self.boot(id, boot);
            self.event("VmGuestRebootEvent", id, user, |name| format!("guest of {name} restarts"));
        } else {
            let boot = vm.boot;
            self.wakeups.push((SHUTDOWN, Wakeup::GuestOff { vm: id.to_owned(), boot }));
            self.event("VmGuestShutdownEvent", id, user, |name| format!("guest of {name} shuts down"));
        }
        Ok(())
    }

    /// Takes the newest snapshot away from a machine that is to lose it.
    fn lose_snapshot(&mut self, id: &str) {
        let newest = self.vm(id).ok().and_then(|vm| vm.snapshots.last()).map(|snapshot| snapshot.id.clone());
        let name = self.entity(id).map(|entity| entity.name.clone()).unwrap_or_default();
        if let Some(newest) = newest.filter(|_| self.world.faults.loses_snapshot(&name)) {
            // A chain that cannot be shortened keeps it.
            let _ = self.remove_snapshot(&newest, false);
        }
    }

    /// Lets the guest's tools come up: later, or together with the power.
    fn boot(&mut self, id: &str, boot: u64) {
        let guest = self.vm(id).ok().and_then(Vm::boot_file).and_then(|file| self.world.guest(file));
        let up = Wakeup::ToolsUp { vm: id.to_owned(), boot };
        if guest.is_some_and(|guest| guest.boots_at_once) {
            self.wake(&up);
        } else {
            self.wakeups.push((BOOT, up));
        }
    }

    /// The operating system keeps in its configuration what it calls the adapters that it finds.
    fn name_adapters(&self, id: &str) {
        let Ok(vm) = self.vm(id) else { return };
        if let Some((file, system)) = vm.boot_file().and_then(|file| Some((file, self.world.guest(file)?))) {
            let names = guest::names(vm, &system);
            self.world.disks.set_names(file, vm.nics().map(|(_, nic)| nic.mac.clone()).zip(names).collect());
        }
    }

    /// What a timer brings.
    pub fn wake(&mut self, wakeup: &Wakeup) {
        match wakeup {
            Wakeup::ToolsUp { vm: id, boot } => {
                self.name_adapters(id);
                let agent = self.vm(id).ok().and_then(Vm::boot_file).and_then(|file| self.world.guest(file)).is_some_and(|g| g.agent);
                if let Ok(vm) = self.vm_mut(id)
                    && vm.boot == *boot
                    && vm.power == Power::On
                {
                    vm.tools_running = agent;
                }
            }
            Wakeup::GuestOff { vm: id, boot } => {
                if let Ok(vm) = self.vm_mut(id)
                    && vm.boot == *boot
                    && vm.power == Power::On
                {
                    vm.stop(Power::Off);
                    self.lose_snapshot(id);
                    self.event("VmPoweredOffEvent", id, "", |name| format!("{name} is powered off"));
                }
            }
        }
    }
}
