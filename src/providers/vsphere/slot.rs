//! Where disks stand on their controllers, and where there is room for more. Pure.

use mtv_api::xml::Node;

/// Disks that every SCSI controller takes, whatever the virtual hardware: units 0 to 15 without the controller's own.
const UNITS: std::ops::RangeInclusive<i32> = 0..=15;
/// The unit of a SCSI controller itself.
const OWN: i32 = 7;
/// SCSI controllers that a VM can have.
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

/// A free place on a SCSI controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Key of the controller; negative for one that is added.
    pub controller: i32,
    /// Number of its bus.
    pub bus: i32,
    /// Unit on it.
    pub unit: i32,
}

impl Slot {
    /// `scsi0:1`.
    pub fn name(&self) -> String {
        format!("scsi{}:{}", self.bus, self.unit)
    }
}

/// Free places of a VM, handed out one by one. When its SCSI controllers are full, or it has none, it gets another one: of
/// the kind that it has, because its guest has the driver for that.
#[derive(Debug)]
pub struct Slots {
    /// Key, bus, taken units.
    controllers: Vec<(i32, i32, Vec<i32>)>,
    /// Type of further controllers.
    kind: String,
    /// Controllers to be added, in order.
    pub added: Vec<Node>,
}

impl Slots {
    /// The places of a VM with these devices.
    pub fn of(devices: &[&Node]) -> Self {
        let number = |node: &Node, name: &str| node.get(name).and_then(|text| text.trim().parse::<i32>().ok());
        let scsi: Vec<&&Node> = devices.iter().filter(|d| d.xsi_type().and_then(kind) == Some("scsi")).collect();
        let first = scsi.first().and_then(|d| d.xsi_type()).unwrap_or("ParaVirtualSCSIController").to_owned();
        let controllers = scsi
            .into_iter()
            .filter_map(|controller| {
                let key = number(controller, "key")?;
                let taken = devices.iter().filter(|d| number(d, "controllerKey") == Some(key));
                Some((key, number(controller, "busNumber")?, taken.filter_map(|d| number(d, "unitNumber")).collect()))
            })
            .collect();
        Self { controllers, kind: first, added: Vec::new() }
    }

    /// The next free place; none when four controllers are full.
    pub fn next(&mut self) -> Option<Slot> {
        let free = |taken: &[i32]| UNITS.clone().find(|unit| *unit != OWN && !taken.contains(unit));
        if let Some((key, bus, taken)) = self.controllers.iter_mut().find(|(_, _, taken)| free(taken).is_some()) {
            let unit = free(taken)?;
            taken.push(unit);
            return Some(Slot { controller: *key, bus: *bus, unit });
        }
        let bus = BUSES.clone().find(|bus| self.controllers.iter().all(|(_, taken, _)| taken != bus))?;
        let key = FIRST_CONTROLLER - i32::try_from(self.added.len()).ok()?;
        let device = Node::new("device")
            .typed(&self.kind)
            .field("key", key)
            .field("busNumber", bus)
            .field("sharedBus", "noSharing");
        self.added.push(Node::new("deviceChange").typed("VirtualDeviceConfigSpec").field("operation", "add").with(device));
        self.controllers.push((key, bus, vec![0]));
        Some(Slot { controller: key, bus, unit: 0 })
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
        let names: Vec<String> = (0..16).map(|_| slots.next().unwrap().name()).collect();
        let expected = [0, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|unit| format!("scsi0:{unit}"));
        assert_eq!(names[..14], expected);
        assert_eq!(names[14..], ["scsi1:0", "scsi1:1"]);
        assert_eq!(slots.added.len(), 1);
        assert_eq!(slots.added[0].at(&["device"]).unwrap().xsi_type(), Some("VirtualLsiLogicSASController"));
        let rest = std::iter::from_fn(|| slots.next()).count();
        assert_eq!((rest, slots.added.len()), (13 + 15 + 15, 3));
    }

    #[test]
    fn a_vm_without_scsi_gets_a_controller() {
        let devices = devices(r#"<device xsi:type="VirtualAHCIController"><key>15000</key><busNumber>0</busNumber></device>"#);
        let all: Vec<&Node> = devices.iter().collect();
        let mut slots = Slots::of(&all);
        assert_eq!(slots.next(), Some(Slot { controller: -1, bus: 0, unit: 0 }));
        assert_eq!(slots.added[0].get("operation"), Some("add"));
    }
}
