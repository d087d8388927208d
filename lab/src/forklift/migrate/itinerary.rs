//! The phases that a VM goes through, and the pipeline of steps that a watcher sees.

use std::collections::BTreeMap;

use mtv_api::forklift::{Progress, StepStatus};

/// What decides which phases there are.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a plan and a VM")]
pub struct Facts {
    /// Precopies while the source runs.
    pub warm: bool,
    /// The disks are there already.
    pub only_conversion: bool,
    /// An earlier, failed migration copied the disks.
    pub resume: bool,
    /// A hook before.
    pub pre_hook: bool,
    /// A hook after.
    pub post_hook: bool,
    /// virt-v2v converts the guest.
    pub converts: bool,
    /// virt-v2v copies the disks as well.
    pub v2v_copies: bool,
    /// The guest is inspected first.
    pub inspects: bool,
    /// What was copied is converted to another format.
    pub converts_snapshot: bool,
    /// A Windows guest is given time to reboot.
    pub waits_for_reboots: bool,
    /// The migration ends when the last snapshot is consolidated.
    pub waits_for_consolidation: bool,
}

/// The phases, first to last.
pub fn phases(facts: &Facts) -> Vec<&'static str> {
    let f = facts;
    let all: &[(&'static str, bool)] = &[
        ("Started", true),
        ("PreHook", f.pre_hook),
        ("CreateInitialSnapshot", f.warm && !f.resume),
        ("WaitForInitialSnapshot", f.warm && !f.resume),
        ("StoreInitialSnapshotDeltas", f.warm && !f.resume),
        ("PreflightInspection", f.warm && f.inspects && !f.resume),
        ("StorePowerState", !f.warm && !f.resume),
        ("PowerOffSource", !f.warm && !f.resume),
        ("WaitForPowerOff", !f.warm && !f.resume),
        ("CreateDataVolumes", !f.only_conversion && !f.resume),
        ("CopyDisks", (f.warm || !f.v2v_copies) && !f.only_conversion && !f.resume),
        ("AllocateDisks", !f.warm && f.v2v_copies && !f.only_conversion && !f.resume),
    ];
    let warm_loop = [
        "CopyingPaused",
        "RemovePreviousSnapshot",
        "WaitForPreviousSnapshotRemoval",
        "CreateSnapshot",
        "WaitForSnapshot",
        "StoreSnapshotDeltas",
        "AddCheckpoint",
        "StorePowerState",
        "PowerOffSource",
        "WaitForPowerOff",
        "RemovePenultimateSnapshot",
        "WaitForPenultimateSnapshotRemoval",
        "CreateFinalSnapshot",
        "WaitForFinalSnapshot",
        "AddFinalCheckpoint",
        "Finalize",
        "RemoveFinalSnapshot",
    ];
    let rest: &[(&'static str, bool)] = &[
        ("CreateGuestConversionPod", f.converts),
        ("ConvertGuest", f.converts),
        ("CopyDisksVirtV2V", f.converts && f.v2v_copies && !f.warm && !f.only_conversion && !f.resume),
        ("ConvertOpenstackSnapshot", f.converts_snapshot),
        ("CreateVM", true),
        ("WaitForGuestReboots", f.waits_for_reboots),
        ("PostHook", f.post_hook),
        ("WaitForFinalSnapshotRemoval", f.warm && f.waits_for_consolidation && !f.resume),
        ("Completed", true),
    ];
    let pick = |list: &[(&'static str, bool)]| list.iter().filter(|(_, there)| *there).map(|(phase, _)| *phase).collect::<Vec<_>>();
    let mut phases = pick(all);
    if f.warm && !f.resume && !f.only_conversion {
        phases.extend(warm_loop);
    }
    phases.extend(pick(rest));
    phases
}

/// The phase after one; `Completed` after the last or an unknown one.
pub fn after(facts: &Facts, phase: &str) -> &'static str {
    let phases = phases(facts);
    phases.iter().position(|p| *p == phase).and_then(|i| phases.get(i + 1)).copied().unwrap_or("Completed")
}

/// The step that a phase belongs to.
pub fn step_of(facts: &Facts, phase: &str) -> &'static str {
    match phase {
        "CreateDataVolumes" if facts.inspects => "DiskTransfer",
        "StorePowerState" | "PowerOffSource" | "WaitForPowerOff" if facts.warm => "Cutover",
        "Started"
        | "CreateInitialSnapshot"
        | "WaitForInitialSnapshot"
        | "StoreInitialSnapshotDeltas"
        | "CreateDataVolumes"
        | "StorePowerState"
        | "PowerOffSource"
        | "WaitForPowerOff" => "Initialize",
        "AllocateDisks" => "DiskAllocation",
        // Its own step in the pipeline is never begun: the phase counts to the transfer.
        "CopyDisks"
        | "ConvertOpenstackSnapshot"
        | "CopyingPaused"
        | "RemovePreviousSnapshot"
        | "WaitForPreviousSnapshotRemoval"
        | "CreateSnapshot"
        | "WaitForSnapshot"
        | "StoreSnapshotDeltas"
        | "AddCheckpoint" => "DiskTransfer",
        "RemovePenultimateSnapshot"
        | "WaitForPenultimateSnapshotRemoval"
        | "CreateFinalSnapshot"
        | "WaitForFinalSnapshot"
        | "AddFinalCheckpoint"
        | "Finalize"
        | "RemoveFinalSnapshot" => "Cutover",
        "CreateGuestConversionPod" | "ConvertGuest" => "ImageConversion",
        "CopyDisksVirtV2V" => "DiskTransferV2v",
        "CreateVM" => "VirtualMachineCreation",
        "WaitForGuestReboots" => "WaitForGuestReboots",
        "PreHook" => "PreHook",
        "PostHook" => "PostHook",
        "PreflightInspection" => "PreflightInspection",
        "WaitForFinalSnapshotRemoval" => "WaitForFinalSnapshotConsolidation",
        _ => "Unknown",
    }
}

/// The pipeline of a VM whose disks are `tasks`.
pub fn pipeline(facts: &Facts, tasks: &[StepStatus]) -> Vec<StepStatus> {
    let plain = |name: &str, description: &str| StepStatus {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        phase: Some("Pending".to_owned()),
        progress: Progress { completed: 0, total: 1 },
        ..StepStatus::default()
    };
    let disks = |name: &str, description: &str| StepStatus {
        progress: Progress { completed: 0, total: tasks.iter().map(|t| t.progress.total).sum() },
        annotations: BTreeMap::from([("unit".to_owned(), "MB".to_owned())]),
        tasks: tasks.to_vec(),
        ..plain(name, description)
    };
    let mut steps = Vec::new();
    for phase in phases(facts) {
        steps.push(match phase {
            "Started" => plain("Initialize", "Initialize migration."),
            "PreHook" => plain("PreHook", "Run pre-migration hook."),
            "PreflightInspection" => plain("PreflightInspection", "Inspect VM before migration."),
            "AllocateDisks" => disks("DiskAllocation", "Allocate disks."),
            "CopyDisks" => disks("DiskTransfer", "Transfer disks."),
            "CopyDisksVirtV2V" => disks("DiskTransferV2v", "Copy disks."),
            // The only step that starts without a phase.
            "Finalize" => StepStatus { phase: None, ..disks("Cutover", "Finalize disk transfer.") },
            "ConvertGuest" => plain("ImageConversion", "Convert image to kubevirt."),
            "ConvertOpenstackSnapshot" => plain("ConvertOpenstackSnapshot", "Convert OpenStack snapshot."),
            "CreateVM" => plain("VirtualMachineCreation", "Create VM."),
            "WaitForGuestReboots" => plain("WaitForGuestReboots", "Wait for Windows guest reboot after conversion."),
            "PostHook" => plain("PostHook", "Run post-migration hook."),
            "WaitForFinalSnapshotRemoval" => {
                plain("WaitForFinalSnapshotConsolidation", "Waiting for final snapshot removal and consolidation")
            }
            _ => continue,
        });
    }
    steps
}

/// The task of a disk.
pub fn task(file: &str, bytes: i64) -> StepStatus {
    StepStatus {
        name: file.to_owned(),
        // Mebibytes, a begun one counts.
        progress: Progress { completed: 0, total: (bytes + 0xF_FFFF) / 0x10_0000 },
        annotations: BTreeMap::from([("unit".to_owned(), "MB".to_owned())]),
        ..StepStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLD: Facts = Facts {
        warm: false,
        only_conversion: false,
        resume: false,
        pre_hook: false,
        post_hook: false,
        converts: true,
        v2v_copies: true,
        inspects: false,
        converts_snapshot: false,
        waits_for_reboots: false,
        waits_for_consolidation: true,
    };
    const WARM: Facts = Facts { warm: true, v2v_copies: false, inspects: true, ..COLD };

    fn steps(facts: &Facts) -> Vec<String> {
        pipeline(facts, &[task("[ds] a.vmdk", 1)]).into_iter().map(|s| s.name).collect()
    }

    #[test]
    fn pipelines_are_those_that_were_recorded() {
        assert_eq!(steps(&COLD), ["Initialize", "DiskAllocation", "ImageConversion", "DiskTransferV2v", "VirtualMachineCreation"]);
        let warm =
            "Initialize PreflightInspection DiskTransfer Cutover ImageConversion VirtualMachineCreation WaitForFinalSnapshotConsolidation";
        assert_eq!(steps(&WARM).join(" "), warm);
        let remote = Facts { v2v_copies: false, ..COLD };
        assert_eq!(steps(&remote), ["Initialize", "DiskTransfer", "ImageConversion", "VirtualMachineCreation"]);
        let hooks = Facts { pre_hook: true, post_hook: true, ..COLD };
        assert_eq!(steps(&hooks)[1], "PreHook");
        assert_eq!(steps(&hooks).last().unwrap(), "PostHook");
        assert_eq!(pipeline(&WARM, &[])[3].phase, None, "cutover starts without a phase");
    }

    #[test]
    fn every_phase_belongs_to_a_step_of_its_pipeline() {
        for facts in [
            COLD,
            WARM,
            Facts { inspects: false, ..WARM },
            Facts { converts: false, v2v_copies: false, ..COLD },
            Facts { resume: true, ..WARM },
        ] {
            let steps = steps(&facts);
            for phase in phases(&facts).iter().filter(|p| **p != "Completed") {
                assert!(steps.iter().any(|s| s == step_of(&facts, phase)), "{phase} of {steps:?}");
            }
        }
    }

    #[test]
    fn the_itinerary_ends() {
        for facts in [COLD, WARM] {
            let mut phase = "Started";
            let mut count = 0;
            while phase != "Completed" {
                phase = after(&facts, phase);
                count += 1;
                assert!(count < 40);
            }
        }
        assert_eq!(after(&COLD, "nonsense"), "Completed");
    }

    #[test]
    fn sizes_are_rounded_up_to_mebibytes() {
        assert_eq!(task("a", 1).progress.total, 1);
        assert_eq!(task("a", 10 << 30).progress.total, 10240);
    }
}
