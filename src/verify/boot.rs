//! Boot: firmware, secure boot and TPM are those of the source. A guest that was installed for one firmware does not start with
//! another, and an encrypted one not without its TPM.

use super::{Check, Comparison, Subject};
use crate::config::profile::ProviderKind;

/// How the VM boots.
pub struct Boot;

impl Check for Boot {
    fn name(&self) -> &'static str {
        "boot"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if subject.kind != ProviderKind::Vsphere {
            return Some(format!("not compared for a source of type {}", subject.kind));
        }
        subject.source.boot.is_none().then(|| "the source does not tell how it boots".to_owned())
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        let (Some(source), target) = (subject.source.boot, subject.target.boot) else { return };
        let firmware = |efi| if efi { "efi" } else { "bios" };
        let yes = |on| if on { "yes" } else { "no" };
        seen.same("firmware", firmware(source.efi), firmware(target.efi));
        seen.same("secure boot", yes(source.secure), yes(target.secure));
        seen.same("TPM", yes(source.tpm), yes(target.tpm));
    }
}
