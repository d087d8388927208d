//! Names of claims: what their templates are filled from, and what becomes of the result.

use super::{Data, TemplateError, Value, label};

/// Template of claims' names where neither VM, Plan nor controller gives one.
pub const DEFAULT_PVC_TEMPLATE: &str = "{{trunc 15 .PlanName}}-{{trunc 15 .TargetVmName}}-disk-{{.DiskIndex}}";

/// Longest prefix of a generated name that Kubernetes keeps: with its five random characters it has 63.
const LONGEST_PREFIX: usize = 58;

/// Random characters that the API server adds to a prefix.
const RANDOM: usize = 5;

/// Digits that Forklift adds itself where it needs the name before the claim is there: copy-offload.
const POPULATOR: usize = 8;

/// What a claim's name may depend on, for one disk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskData {
    /// Name of the VM in the source.
    pub vm: String,
    /// Name of the VM in the destination.
    pub target: String,
    /// Name of the Plan.
    pub plan: String,
    /// Id of the VM in the source.
    pub vm_id: String,
    /// Place of the disk among those of its VM, from zero.
    pub index: usize,
    /// Place of the root disk.
    pub root: usize,
    /// Whether several VMs share it.
    pub shared: bool,
    /// Name of its file with `.vmdk`, without folder and datastore.
    pub file: String,
    /// Letter of the drive in Windows, if the agent told.
    pub drive: String,
    /// Namespace and name of its claim in the source, where that is OpenShift.
    pub source_claim: Option<(String, String)>,
}

/// The structure that Forklift fills a claim's template from, fields in Go's order.
pub fn pvc_data(disk: &DiskData) -> Data {
    let number = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let text = |t: &str| Value::Text(t.to_owned());
    let (namespace, claim) = disk.source_claim.as_ref().map_or(("", ""), |(namespace, name)| (namespace, name));
    Data {
        kind: "v1beta1.PVCNameTemplateData",
        fields: vec![
            ("VmName", text(&disk.vm)),
            ("TargetVmName", text(&disk.target)),
            ("PlanName", text(&disk.plan)),
            ("DiskIndex", number(disk.index)),
            ("VmId", text(&disk.vm_id)),
            ("WinDriveLetter", text(&disk.drive)),
            ("RootDiskIndex", number(disk.root)),
            ("Shared", Value::Bool(disk.shared)),
            ("FileName", text(&disk.file)),
            ("SourcePVCName", text(claim)),
            ("SourcePVCNamespace", text(namespace)),
            // Of other sources: they are there, and empty.
            ("VolumeID", text("")),
            ("SnapshotID", text("")),
            ("DiskId", text("")),
        ],
    }
}

/// The name that a claim gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimName {
    /// Exactly this.
    Exact(String),
    /// This, with a hyphen at its end, and what the API server or Forklift adds.
    Generated(String),
}

impl ClaimName {
    /// Whether a claim of that name is the one.
    pub fn is(&self, name: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == name,
            Self::Generated(prefix) => {
                let base = &prefix[..prefix.len().min(LONGEST_PREFIX)];
                let random =
                    |rest: &str, length| rest.len() == length && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
                name.strip_prefix(base).is_some_and(|rest| random(rest, RANDOM))
                    || name.strip_prefix(prefix.as_str()).is_some_and(|rest| random(rest, POPULATOR))
            }
        }
    }
}

impl std::fmt::Display for ClaimName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Generated(prefix) => write!(f, "{}…", &prefix[..prefix.len().min(LONGEST_PREFIX)]),
        }
    }
}

/// The name of the claim of a disk.
///
/// # Errors
/// What is wrong with the template.
pub fn claim_name(template: &str, generate: bool, disk: &DiskData) -> Result<ClaimName, TemplateError> {
    let out = label(template, pvc_data(disk))?;
    Ok(if generate { ClaimName::Generated(format!("{out}-")) } else { ClaimName::Exact(out) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_have_a_random_end() {
        let name = ClaimName::Generated("web-disk-0-".into());
        assert!(name.is("web-disk-0-x7k2p") && name.is("web-disk-0-0a1b2c3d"));
        assert!(!name.is("web-disk-0") && !name.is("web-disk-0-") && !name.is("web-disk-0-x7k2") && !name.is("web-disk-1-x7k2p"));
        let long = ClaimName::Generated("a".repeat(63) + "-");
        assert!(long.is(&("a".repeat(58) + "x7k2p")));
        assert_eq!(name.to_string(), "web-disk-0-…");
    }

    #[test]
    fn a_disk_gets_its_name() {
        let disk = DiskData { vm: "Web_1".into(), target: "web-1".into(), plan: "p".into(), index: 1, ..DiskData::default() };
        assert_eq!(claim_name(DEFAULT_PVC_TEMPLATE, true, &disk), Ok(ClaimName::Generated("p-web-1-disk-1-".into())));
        assert_eq!(claim_name("{{.VmName}}", false, &disk), Err(TemplateError::NotALabel("Web_1".into())));
    }
}
