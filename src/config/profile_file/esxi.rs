//! Profiles of ESXi hosts, which name the profile of the vCenter that clones for them.

use std::{ops::Range, sync::Arc};

use super::{
    Entry, Env, ProfileFile,
    model::{EndpointType, RawProfile},
};
use crate::config::{
    diagnostics::{Problem, Problems, Source},
    profile::{Profile, ProviderKind},
    read, suggest,
};

impl ProfileFile {
    /// The entry of the vCenter that clones for an ESXi host, or why it cannot be that; none for other entries.
    pub(super) fn cloner_entry(&self, entry: &Entry) -> Option<Result<&Entry, Problem>> {
        let named = entry.raw.clone_provider.as_ref().filter(|name| entry.esxi && !name.value.trim().is_empty())?;
        let wrong = |why: &str| Problem::error(format!("`clone_provider`: {why}")).at(&self.source, named.span.clone(), "");
        let vcenters = || -> Vec<&str> {
            self.entries
                .iter()
                .filter(|other| other.kind == Some(ProviderKind::Vsphere) && !other.esxi)
                .map(|other| other.name.value.as_str())
                .collect()
        };
        let choice = |problem: Problem| match vcenters().as_slice() {
            [] => problem.help("write a table `[provider.NAME]` of type vsphere for the vCenter that manages the host"),
            names => problem.help(format!("profiles of vCenters: `{}`", names.join("`, `"))),
        };
        Some(match self.entries.iter().find(|other| other.name.value == named.value) {
            None => {
                let near = suggest::nearest(&named.value, vcenters()).map(|near| format!("did you mean `{near}`?"));
                Err(choice(wrong(&format!("there is no profile `{}` in this file", named.value)).help_maybe(near)))
            }
            Some(other) if other.esxi => {
                let which = if other.name.value == entry.name.value { "the profile itself" } else { "one of an ESXi host too" };
                Err(choice(wrong(&format!("`{}` is {which}, and ESXi hosts cannot clone", named.value))))
            }
            Some(other) => match other.kind {
                Some(ProviderKind::Vsphere) | None => Ok(other),
                Some(kind) => Err(choice(wrong(&format!("profile `{}` is of type {kind}, not vsphere", named.value)))),
            },
        })
    }

    /// The profile of the vCenter that clones for an ESXi host, complete and with its secrets.
    pub(super) fn cloner(&self, entry: &Entry, env: Env<'_>, problems: &mut Problems) -> Option<Profile> {
        match self.cloner_entry(entry)? {
            Ok(cloner) => match self.select(&cloner.name.value, env) {
                Ok((profile, told)) => {
                    problems.append(told);
                    Some(profile)
                }
                Err(told) => {
                    problems.append(told);
                    None
                }
            },
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }
}

/// Whether the URL leads to an ESXi host, and what does not go with that.
pub(super) fn is_esxi(source: &Arc<Source>, raw: &RawProfile, offload: Option<Range<usize>>, problems: &mut Problems) -> bool {
    let words = [("vcenter", EndpointType::Vcenter), ("esxi", EndpointType::Esxi)];
    let found = raw.endpoint_type.as_ref().map(|found| read::one_of(source, "endpoint_type", found, &words, problems));
    let esxi = found == Some(Some(EndpointType::Esxi));
    if let (Some(cloner), false) = (&raw.clone_provider, esxi)
        && found != Some(None)
    {
        problems.push(
            Problem::error("`clone_provider` is for ESXi hosts only: a vCenter clones by itself")
                .at(source, cloner.span.clone(), "")
                .help("remove the key, or write `endpoint_type = \"esxi\"` if `api_url` leads to an ESXi host"),
        );
    }
    if let (Some(at), Some(endpoint), true) = (offload, &raw.endpoint_type, esxi) {
        problems.push(
            Problem::error("`copyoffload` needs a vCenter: the ids of its datastores are not those of the ESXi host")
                .at(source, at, "")
                .also(source, endpoint.span.clone(), "this is an ESXi host")
                .help("put the table into the profile of the vCenter, and run scenarios with copy-offload with that"),
        );
    }
    esxi
}
