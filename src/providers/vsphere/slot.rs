//! Where disks stand on their controllers, and where there is room for more. Pure.

use mtv_api::xml::Node;

use crate::config::scenario::DiskController;

/// Controllers of one kind that a VM can have.
const BUSES: std::ops::RangeInclusive<i32> = 0..=3;
/// Key of the first controller that is added; the server gives another one.
const FIRST_CONTROLLER: i32 = -1;

/// `scsi`, `sata`, `ide` or `nvme`, by the controller that a disk stands on.
pub fn bus(disk: &Node, devices: &[&Node]) -> Option<&'static str> {
    kind(controller_of(disk, devices)?.xsi_type()?)
}

/// `scsi0:1`, as the keys of the extra configuration name a disk; none on a controller without changed block tracking.
pub fn name(disk: &Node, devices: &[&Node]) -> Option<String> {
    let controller = controller_of(disk, devices)?;
    Some(format!("{}{}:{}", kind(controller.xsi_type()?)?, controller.get("busNumber")?, disk.get("unitNumber")?))
}

fn controller_of<'n>(disk: &Node, devices: &[&'n Node]) -> Option<&'n Node> {
    devices.iter().find(|d| d.get("key") == disk.get("controllerKey")).copied()
}

fn kind(controller: &str) -> Option<&'static str> {
    match controller {
        "VirtualIDEController" => Some("ide"),
        "VirtualAHCIController" | "VirtualSATAController" => Some("sata"),
        "VirtualNVMEController" => Some("nvme"),
        // ParaVirtualSCSIController, VirtualLsiLogicController, VirtualLsiLogicSASController, VirtualBusLogicController
        _ if controller.contains("SCSI") || controller.contains("Logic") => Some("scsi"),
        _ => None,
    }
}

/// A free place on a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Key of the controller; negative for one that is added.
    pub controller: i32,
    /// Kind, bus number and unit: `scsi0:1`.
    pub name: String,
    /// Unit on it.
    pub unit: i32,
}

/// What there is to know of a kind of controller.
struct Kind {
    /// `scsi`.
    prefix: &'static str,
    /// Units of disks.
    units: std::ops::RangeInclusive<i32>,
    /// The unit of the controller itself.
    own: Option<i32>,
    /// Type of one that is added where the VM has none.
    default: &'static str,
}

impl Kind {
    fn of(controller: DiskController) -> Self {
        match controller {
            // What every SCSI controller takes, whatever the virtual hardware.
            DiskController::Scsi => Self { prefix: "scsi", units: 0..=15, own: Some(7), default: "ParaVirtualSCSIController" },
            DiskController::Sata => Self { prefix: "sata", units: 0..=29, own: None, default: "VirtualAHCIController" },
            DiskController::Nvme => Self { prefix: "nvme", units: 0..=14, own: None, default: "VirtualNVMEController" },
        }
    }

    fn free(&self, taken: &[i32]) -> Option<i32> {
        self.units.clone().find(|unit| self.own != Some(*unit) && !taken.contains(unit))
    }
}

/// A controller of a VM.
#[derive(Debug)]
struct Controller {
    prefix: &'static str,
    key: i32,
    bus: i32,
    taken: Vec<i32>,
}

/// Free places of a VM, handed out one by one. When its controllers of a kind are full, or it has none, it gets another one:
/// of the type that it has, because its guest has the driver for that.
#[derive(Debug)]
pub struct Slots {
    controllers: Vec<Controller>,
    /// Type of the first SCSI controller.
    scsi: Option<String>,
    /// Controllers to be added, in order.
    pub added: Vec<Node>,
}

impl Slots {
    /// The places of a VM with these devices.
    pub fn of(devices: &[&Node]) -> Self {
        let number = |node: &Node, name: &str| node.get(name).and_then(|text| text.trim().parse::<i32>().ok());
        let controllers = devices.iter().filter_map(|device| {
            let prefix = kind(device.xsi_type()?)?;
            let key = number(device, "key")?;
            let taken = devices.iter().filter(|d| number(d, "controllerKey") == Some(key));
            Some(Controller {
                prefix,
                key,
                bus: number(device, "busNumber")?,
                taken: taken.filter_map(|d| number(d, "unitNumber")).collect(),
            })
        });
        let scsi = devices.iter().filter_map(|d| d.xsi_type()).find(|t| kind(t) == Some("scsi")).map(str::to_owned);
        Self { controllers: controllers.collect(), scsi, added: Vec::new() }
    }

    /// The next free place on a bus; none when four controllers are full.
    pub fn next(&mut self, wanted: DiskController) -> Option<Slot> {
        let kind = Kind::of(wanted);
        let slot = |controller: &mut Controller| {
            let unit = kind.free(&controller.taken)?;
            controller.taken.push(unit);
            Some(Slot { controller: controller.key, name: format!("{}{}:{unit}", controller.prefix, controller.bus), unit })
        };
        let own = |c: &&mut Controller| c.prefix == kind.prefix && kind.free(&c.taken).is_some();
        if let Some(controller) = self.controllers.iter_mut().find(own) {
            return slot(controller);
        }
        let bus = BUSES.clone().find(|bus| self.controllers.iter().all(|c| c.prefix != kind.prefix || c.bus != *bus))?;
        let key = FIRST_CONTROLLER - i32::try_from(self.added.len()).ok()?;
        let scsi = wanted == DiskController::Scsi;
        let model = self.scsi.as_deref().filter(|_| scsi).unwrap_or(kind.default);
        let device =
            Node::new("device").typed(model).field("key", key).field("busNumber", bus).maybe("sharedBus", scsi.then_some("noSharing"));
        self.added.push(Node::new("deviceChange").typed("VirtualDeviceConfigSpec").field("operation", "add").with(device));
        self.controllers.push(Controller { prefix: kind.prefix, key, bus, taken: Vec::new() });
        slot(self.controllers.last_mut()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices(text: &str) -> Vec<Node> {
        Node::parse(&format!(r#"<val xmlns:xsi="x">{text}</val>"#)).unwrap().children
    }

    #[test]
    fn places_are_filled_without_the_controllers_own() {
        let devices = devices(
            r#"<device xsi:type="VirtualLsiLogicSASController"><key>1000</key><busNumber>0</busNumber></device>
               <device xsi:type="VirtualDisk"><key>2001</key><controllerKey>1000</controllerKey><unitNumber>1</unitNumber></device>"#,
        );
        let all: Vec<&Node> = devices.iter().collect();
        let mut slots = Slots::of(&all);
        let names: Vec<String> = (0..16).map(|_| slots.next(DiskController::Scsi).unwrap().name).collect();
        let expected = [0, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|unit| format!("scsi0:{unit}"));
        assert_eq!(names[..14], expected);
        assert_eq!(names[14..], ["scsi1:0", "scsi1:1"]);
        assert_eq!(slots.added.len(), 1);
        assert_eq!(slots.added[0].at(&["device"]).unwrap().xsi_type(), Some("VirtualLsiLogicSASController"));
        let rest = std::iter::from_fn(|| slots.next(DiskController::Scsi)).count();
        assert_eq!((rest, slots.added.len()), (13 + 15 + 15, 3));
    }

    #[test]
    fn a_vm_without_scsi_gets_a_controller() {
        let devices = devices(r#"<device xsi:type="VirtualAHCIController"><key>15000</key><busNumber>0</busNumber></device>"#);
        let all: Vec<&Node> = devices.iter().collect();
        let mut slots = Slots::of(&all);
        assert_eq!(slots.next(DiskController::Scsi), Some(Slot { controller: -1, name: "scsi0:0".into(), unit: 0 }));
        assert_eq!(slots.next(DiskController::Sata), Some(Slot { controller: 15000, name: "sata0:0".into(), unit: 0 }));
        assert_eq!(slots.next(DiskController::Nvme).map(|slot| slot.name).as_deref(), Some("nvme0:0"));
        assert_eq!(slots.added[0].get("operation"), Some("add"));
    }
}
