//! The virt-v2v pod: how far it is, and what it found in the guest.

use mtv_api::{
    forklift::{StepStatus, VmStatus},
    xml::Node,
};
use serde_json::{Value, json};

use super::{Outcome, Run, itinerary::Facts, step, steps};
use crate::forklift::{
    builder::conversion as conversion_builder,
    cluster::Look,
    conditions::{self, condition},
    pods::{self, Port},
};

impl Run<'_, '_> {
    /// Follows virt-v2v while it copies and converts.
    pub(super) async fn conversion(&mut self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<Outcome> {
        let now = self.work.now();
        if let Some(step) = step(facts, vm) {
            steps::start(step, &now);
            steps::phase(step, "Running");
        }
        let pod = conversion_builder::guest_pod(self.work, &vm.id).await?;
        let Some(pod) = pod else {
            self.without_pod(vm, facts).await?;
            return Ok(converted(vm, facts));
        };
        match pod.text("/status/phase") {
            "Succeeded" => {
                if let Some(step) = step(facts, vm) {
                    finish(step, &now);
                }
            }
            "Failed" => {
                if let Some(step) = step(facts, vm) {
                    steps::complete(step, &now);
                    steps::fail(step, "The guest was not converted, the pod's log tells more.");
                }
            }
            "Running" => {
                if facts.v2v_copies
                    && let Some((200, metrics)) = pods::get(&pod, Port::Metrics, "/metrics").await
                    && let Some(step) = step(facts, vm)
                {
                    apply_metrics(step, &metrics, &now);
                }
                if self.read_results(vm, &pod).await?
                    && let Some(step) = step(facts, vm)
                {
                    // The pod was told to end: its end is not awaited.
                    finish(step, &now);
                }
            }
            _ => {}
        }
        Ok(converted(vm, facts))
    }

    /// Without a pod the Conversion tells.
    async fn without_pod(&self, vm: &mut VmStatus, facts: &Facts) -> anyhow::Result<()> {
        let now = self.work.now();
        let Some(conversion) = conversion_builder::guest(self.work, &vm.id).await? else { return Ok(()) };
        let Some(step) = step(facts, vm) else { return Ok(()) };
        match conversion.text("/status/phase") {
            "Succeeded" => finish(step, &now),
            "Failed" | "Canceled" => {
                steps::complete(step, &now);
                let told = conversion.text("/status/message");
                steps::fail(step, if told.is_empty() { "The guest was not converted." } else { told });
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes what virt-v2v found, once it is through, and lets the pod end; whether it was through.
    async fn read_results(&self, vm: &mut VmStatus, pod: &Value) -> anyhow::Result<bool> {
        let Some((_, machine)) = pods::get(pod, Port::Results, "/vm").await else { return Ok(false) };
        let Some((_, inspection)) = pods::get(pod, Port::Results, "/inspection").await else { return Ok(false) };
        vm.operating_system = Some(operating_system(&inspection)?);
        if let Some(disk) = boot_disk(&machine) {
            vm.rest.insert("detectedBootDisk".to_owned(), json!(disk));
        }
        if let Some((200, warnings)) = pods::get(pod, Port::Results, "/warnings").await {
            let now = self.work.now();
            let list: Vec<Value> = serde_json::from_str(&warnings).unwrap_or_default();
            for warning in list {
                let found = condition("ConversionHasWarnings", "Warning", warning.text("/reason"), warning.text("/message"));
                conditions::set(&mut vm.conditions, found, &now);
            }
        }
        pods::post(pod, Port::Results, "/shutdown").await;
        Ok(true)
    }
}

fn converted(vm: &mut VmStatus, facts: &Facts) -> Outcome {
    let done = step(facts, vm).is_some_and(|s| s.completed.is_some() && s.error.is_none());
    if done { Outcome::Next } else { Outcome::Stay }
}

/// virt-v2v is through.
fn finish(step: &mut StepStatus, now: &str) {
    steps::complete(step, now);
    step.progress.completed = step.progress.total;
    for task in &mut step.tasks {
        task.progress.completed = task.progress.total;
    }
}

/// Takes over `v2v_disk_transfers{disk_id="1"} 42.0`. The first progress ends the step before the copying.
fn apply_metrics(step: &mut StepStatus, metrics: &str, now: &str) {
    let mut moved = false;
    for line in metrics.lines() {
        let Some(rest) = line.strip_prefix("v2v_disk_transfers{disk_id=\"") else { continue };
        let Some((disk, value)) = rest.split_once("\"} ") else { continue };
        let (Ok(disk), Ok(percent)) = (disk.parse::<usize>(), value.trim().parse::<f64>()) else { continue };
        moved |= percent > 0.0;
        if step.name == "DiskTransferV2v"
            && let Some(task) = disk.checked_sub(1).and_then(|index| step.tasks.get_mut(index))
        {
            #[expect(clippy::cast_possible_truncation, reason = "between zero and the total")]
            let done = (task.progress.total as f64 * percent.clamp(0.0, 100.0) / 100.0) as i64;
            task.progress.completed = done;
        }
    }
    if step.name == "DiskTransferV2v" {
        step.progress.completed = step.tasks.iter().map(|t| t.progress.completed).sum();
    }
    if step.name == "ImageConversion" && moved {
        // Its progress stays 0 of 1, as recorded.
        steps::complete(step, now);
    }
}

/// vSphere's guest id for what virt-inspector found.
fn operating_system(inspection: &str) -> anyhow::Result<String> {
    let document = Node::parse(inspection)?;
    let os = document.child("operatingsystem");
    let get = |name: &str| os.and_then(|o| o.get(name)).unwrap_or_default();
    let full = get("osinfo");
    let short = full.split('.').next().unwrap_or_default();
    Ok(guest_id(full)
        .or_else(|| guest_id(short))
        .unwrap_or_else(|| if get("name") == "linux" { "genericLinuxGuest".to_owned() } else { "otherGuest64".to_owned() }))
}

fn guest_id(osinfo: &str) -> Option<String> {
    let windows = match osinfo {
        "win7" => "windows7_64Guest",
        "win8" => "windows8_64Guest",
        // VMware counts on from Windows 8.
        "win10" => "windows9_64Guest",
        "win11" => "windows11_64Guest",
        "win12" => "windows12_64Guest",
        "win2k8r2" => "windows7Server64Guest",
        "win2k12" | "win2k12r2" => "windows8Server64Guest",
        "win2k16" => "windows9Server64Guest",
        "win2k19" => "windows2019srv_64Guest",
        "win2k22" => "windows2019srvNext_64Guest",
        "win2k25" => "windows2022srvNext_64Guest",
        "rocky" => "rockylinux_64Guest",
        "opensuse" => "opensuse64Guest",
        "ubuntu" => "ubuntu64Guest",
        "fedora" => "fedora64Guest",
        _ => "",
    };
    if !windows.is_empty() {
        return Some(windows.to_owned());
    }
    let digits = osinfo.find(|c: char| c.is_ascii_digit())?;
    let (family, version) = osinfo.split_at(digits);
    let version: u32 = version.parse().ok()?;
    let known = match family {
        "centos" => (6..=9).contains(&version),
        "rhel" => (7..=10).contains(&version),
        "sles" => (10..=12).contains(&version) || (15..=16).contains(&version),
        "debian" => (4..=13).contains(&version),
        _ => false,
    };
    known.then(|| format!("{osinfo}_64Guest"))
}

/// Index of the disk that boots, in the VirtualMachine that virt-v2v wrote as YAML. Only its list of disks is read: each
/// item is a line that starts with a dash at the list's own depth.
fn boot_disk(yaml: &str) -> Option<usize> {
    let mut lines = yaml.lines().skip_while(|line| line.trim() != "disks:");
    let depth = |line: &str| line.len() - line.trim_start().len();
    let list = depth(lines.next()?);
    let mut item_depth = None;
    let mut index = None;
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let here = depth(line);
        let dash = line.trim_start().starts_with('-');
        if here < list || (here == list && !dash) {
            break;
        }
        if dash && here == *item_depth.get_or_insert(here) {
            index = Some(index.map_or(0, |i: usize| i + 1));
        }
        if line.trim_start().trim_start_matches('-').trim() == "bootOrder: 1" {
            return index;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{super::itinerary, *};

    #[test]
    fn guests_are_named_as_vsphere_does() {
        let xml = |osinfo: &str, name: &str| {
            format!("<v2v-inspection><operatingsystem><name>{name}</name><osinfo>{osinfo}</osinfo></operatingsystem></v2v-inspection>")
        };
        for (osinfo, name, wanted) in [
            ("rhel9.4", "linux", "rhel9_64Guest"),
            ("win2k19", "windows", "windows2019srv_64Guest"),
            ("alpine3.20", "linux", "genericLinuxGuest"),
            ("beos", "other", "otherGuest64"),
        ] {
            assert_eq!(operating_system(&xml(osinfo, name)).unwrap(), wanted);
        }
        assert!(operating_system("no xml").is_err());
    }

    #[test]
    fn the_boot_disk_is_found() {
        let yaml = "spec:\n  domain:\n    devices:\n      disks:\n      - name: a\n        disk:\n          bus: virtio\n      - disk: {}\n        bootOrder: 1\n      interfaces:\n      - bootOrder: 1\n";
        assert_eq!(boot_disk(yaml), Some(1));
        assert_eq!(boot_disk("spec: {}\n"), None);
        assert_eq!(boot_disk("disks:\n  - bootOrder: 1\n    name: a\n"), Some(0));
        assert_eq!(boot_disk("disks:\n- name: a\ninterfaces:\n- bootOrder: 1\n"), None);
    }

    #[test]
    fn metrics_move_tasks_and_end_the_conversion() {
        let facts = Facts { converts: true, v2v_copies: true, ..Facts::default() };
        let tasks = [itinerary::task("a", 100 << 20), itinerary::task("b", 50 << 20)];
        let mut steps = itinerary::pipeline(&facts, &tasks);
        let text = "# HELP x\nv2v_disk_transfers{disk_id=\"1\"} 50.0\nv2v_disk_transfers{disk_id=\"2\"} 100\nv2v_disk_transfers{disk_id=\"9\"} 1\n";
        let conversion = steps.iter_mut().find(|s| s.name == "ImageConversion").unwrap();
        apply_metrics(conversion, "v2v_disk_transfers{disk_id=\"1\"} 0\n", "1");
        assert!(conversion.completed.is_none());
        apply_metrics(conversion, text, "1");
        assert!(conversion.completed.is_some());
        let copy = steps.iter_mut().find(|s| s.name == "DiskTransferV2v").unwrap();
        apply_metrics(copy, text, "1");
        assert_eq!((copy.progress.completed, copy.completed.as_deref()), (100, None));
    }
}
