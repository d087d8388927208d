//! Static addresses: those that were configured in the source's guest are configured in the migrated one, on the same adapter,
//! with the same prefix and, where the source has one, the same gateway.

use super::{Check, Comparison, Finding, Subject};
use crate::{
    config::profile::ProviderKind,
    guest::{GuestNic, GuestView},
    providers::{Nic, VmDescription},
};

/// Static addresses in the guest.
pub struct StaticIps;

impl Check for StaticIps {
    fn name(&self) -> &'static str {
        "static ips"
    }

    fn skip(&self, subject: &Subject<'_>) -> Option<String> {
        if !subject.scenario.preserve_static_ips {
            return Some("the scenario does not ask to keep them".to_owned());
        }
        if subject.kind != ProviderKind::Vsphere {
            return Some(format!("Forklift does not keep them from a source of type {}", subject.kind));
        }
        if let GuestView::No(reason) = subject.guest { Some(reason.clone()) } else { None }
    }

    fn compare(&self, subject: &Subject<'_>, seen: &mut Comparison) {
        // A scenario that asks to keep addresses and finds none to keep proves nothing.
        if !has_any(subject.source) {
            seen.wrong("static addresses of the source's guest", "at least one", "none, or its tools do not tell them");
            return;
        }
        match subject.guest {
            GuestView::Seen(nics) => compare(subject.source, nics, seen),
            GuestView::Failed(found) => seen.wrong("addresses of the guest", "a list", found),
            GuestView::No(_) => {}
        }
    }
}

/// Addresses that have to be kept. Windows tells how it came by an address; of Linux, whose tools often do not, Forklift keeps
/// all but those that are known to be from DHCP.
fn expected(source: &VmDescription) -> impl Iterator<Item = (&Nic, &crate::providers::GuestAddress)> {
    let windows = source.windows;
    let kept = move |fixed: Option<bool>| fixed.unwrap_or(!windows);
    source.nics.iter().flat_map(|nic| nic.configured.iter().map(move |address| (nic, address))).filter(move |(_, a)| kept(a.fixed))
}

/// Whether there is an address to keep.
pub fn has_any(source: &VmDescription) -> bool {
    expected(source).next().is_some()
}

/// What of the source's static addresses a guest lacks.
pub fn missing(source: &VmDescription, nics: &[GuestNic]) -> Vec<Finding> {
    let mut seen = Comparison::default();
    compare(source, nics, &mut seen);
    seen.findings
}

fn compare(source: &VmDescription, nics: &[GuestNic], seen: &mut Comparison) {
    for (nic, address) in expected(source) {
        let what = format!("address {} of {} ({})", address.ip, nic.mac, nic.name);
        let wanted = address.prefix.map_or(address.ip.to_string(), |prefix| format!("{}/{prefix}", address.ip));
        let Some(found) = nics.iter().find(|n| n.mac.eq_ignore_ascii_case(&nic.mac)).or_else(|| by_name(nic, nics)) else {
            let macs: Vec<_> = nics.iter().map(|n| n.mac.as_str()).collect();
            seen.wrong(what, wanted, format!("no such adapter, only [{}]", macs.join(", ")));
            continue;
        };
        let Some(there) = found.addresses.iter().find(|a| a.ip == address.ip) else {
            let all: Vec<_> = found.addresses.iter().map(|a| a.ip.to_string()).collect();
            seen.wrong(what, wanted, format!("{} has [{}]", found.name, all.join(", ")));
            continue;
        };
        // Windows tells no prefix of IPv6 addresses.
        let compared = address.prefix.is_some() && (there.prefix.is_some() || there.ip.is_ipv4());
        let actual = match there.prefix {
            Some(prefix) => format!("{}/{prefix}", there.ip),
            None if compared => "no prefix".to_owned(),
            None => there.ip.to_string(),
        };
        seen.judge(!compared || there.prefix == address.prefix, Finding::new(what, wanted, actual));
        if let Some(gateway) = nic.gateway {
            let all: Vec<_> = found.gateways.iter().map(ToString::to_string).collect();
            let finding = Finding::new(format!("gateway of {}", nic.mac), gateway, format!("[{}]", all.join(", ")));
            // An adapter with two addresses has one gateway: it is told once.
            if !seen.findings.contains(&finding) && !seen.evidence.contains(&finding) {
                seen.judge(found.gateways.contains(&gateway), finding);
            }
        }
    }
}

/// The adapter of that name in the guest; else the only one whose name holds it.
fn by_name<'a>(nic: &Nic, nics: &'a [GuestNic]) -> Option<&'a GuestNic> {
    let name = nic.guest_name.as_deref().filter(|name| !name.is_empty())?;
    if let Some(same) = nics.iter().find(|n| n.name == name) {
        return Some(same);
    }
    let mut like = nics.iter().filter(|n| n.name.contains(name));
    like.next().filter(|_| like.next().is_none())
}
