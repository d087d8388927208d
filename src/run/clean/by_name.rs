//! Lists of mtv-api-tests. They hold names and nothing else: no UIDs, no cluster, no state. So the evidence has to be found on
//! the cluster: names that hold the id of the listed session (`auto-ab12`, four random characters), objects that are older than
//! the list, and no other owner. What lacks it is deleted only if the user says that the name is enough.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::SystemTime,
};

use futures::StreamExt as _;
use jiff::Timestamp;
use kube::api::DynamicObject;
use mtv_api::kinds::{self, Kind};

use super::{connect, connect_source, disconnect, found::clone_entry, load_profile, supervised, told};
use crate::{
    cli::{CleanRequest, CliError, CliResult, say, tell},
    cluster::Cluster,
    config::profile::ProviderKind,
    engine::{Failure, Leftover, StepCx},
    exit,
    journal::{Entry, Header, Journal, Read, Record},
    providers::Source,
    run::{
        Done, Sources, Teardown,
        names::{RUN_LABEL, is_of_the_system},
    },
    secrets::mask,
};

/// Length of `auto-` and four random characters.
const SESSION: usize = 9;

/// So many objects are looked at at the same time.
const SIDE_BY_SIDE: usize = 16;

/// What a list as a whole says.
struct List<'a> {
    records: &'a [Record],
    /// Ids of the sessions in it.
    sessions: BTreeSet<String>,
    /// When the file was written: what is younger is not what it lists.
    written: Option<Timestamp>,
    /// The user says that a name is proof enough.
    by_name: bool,
    mtv_namespace: &'a str,
}

/// Shows by the list alone what would be deleted: nobody could be asked.
fn unchecked(path: &Path, list: &List<'_>, why: &str) -> CliResult {
    tell(&format!("warning: {}", mask(why)));
    say(&format!(
        "{} is a list of mtv-api-tests: it holds names only; by the list alone, not checked on cluster and sources:",
        path.display()
    ));
    let (proved, rest): (Vec<Record>, Vec<Record>) = list.records.iter().cloned().partition(|record| list.names_session(&record.entry));
    if !proved.is_empty() {
        say(&format!("by the id of its session ({}), if it is there and older than the list:", list.told_sessions()));
        told::order("nothing", &proved)?;
    }
    if !rest.is_empty() {
        say("only with --by-name, because nothing but the name says whose it is:");
        told::order("nothing", &rest)?;
    }
    Ok(crate::exit::PASSED)
}

/// Deletes what a list names, or shows what would be deleted.
pub async fn clean(request: &CleanRequest, path: &Path, found: &Read, by_name: bool) -> CliResult {
    let written = fs::metadata(path).and_then(|meta| meta.modified()).ok().and_then(timestamp);
    let list = List {
        records: &found.records,
        sessions: sessions(&found.records),
        written,
        by_name,
        mtv_namespace: &request.settings.settings.mtv_namespace,
    };
    let cluster = match connect(request).await {
        Ok(cluster) => cluster,
        Err(error) if request.dry_run => return unchecked(path, &list, &error.to_string()),
        Err(error) => return Err(error),
    };
    let mut sources = Sources::new();
    if found.records.iter().any(|record| matches!(record.entry, Entry::Clone { .. } | Entry::VolumeSnapshot { .. }))
        && let Some(name) = &request.settings.settings.source_provider
    {
        let profile = load_profile(request, None, name).map_err(|diagnosis| CliError::diagnosed(exit::USAGE, diagnosis))?;
        sources.insert(name.clone(), connect_source(&profile, &cluster).await);
    }
    let result = supervised(request, "mtv-api-tests", async |cx| {
        cx.progress("looking at what the list names", None);
        let mut done = Done::default();
        let mut ours = Vec::new();
        let looks: Vec<_> = list.records.iter().map(|record| list.look(&cluster, &sources, record)).collect();
        let looks: Vec<_> = futures::stream::iter(looks).buffered(SIDE_BY_SIDE).collect().await;
        for (record, look) in list.records.iter().zip(looks) {
            match look {
                Ok(Look::Ours(entry, reference)) => ours.push((entry, reference)),
                Ok(Look::Absent) => {}
                Ok(Look::Doubtful(reason)) => done.left.push(Leftover { object: record.entry.to_string(), reason }),
                Err(Failure::Interrupted) => return Err(Failure::Interrupted),
                Err(Failure::Failed(trouble) | Failure::Errored(trouble)) => {
                    done.left.push(Leftover { object: record.entry.to_string(), reason: trouble.summary });
                }
            }
        }
        let removed = remove(&cluster, &sources, ours, request, cx).await?;
        disconnect(&sources).await;
        done.add(removed);
        Ok(done)
    })
    .await?;
    let whose = path.display().to_string();
    if request.dry_run { told::planned(&whose, result) } else { told::ending(&whose, result) }
}

async fn remove(
    cluster: &Cluster,
    sources: &Sources,
    ours: Vec<(Entry, String)>,
    request: &CleanRequest,
    cx: &StepCx,
) -> Result<Done, Failure> {
    let header = Header {
        run: String::new(),
        tool: "mtv-api-tests".to_owned(),
        started: Timestamp::now(),
        label: String::new(),
        cluster: None,
        profiles: Vec::new(),
        providers_file: None,
        ephemeral: false,
    };
    let journal = Journal::in_memory(&header, ours);
    let limit = request.settings.settings.object_timeout;
    Teardown::new(cluster, &journal, "", sources.clone(), limit).of_looked_up().dry_run(request.dry_run).everything(cx).await
}

/// What a look at a listed object came to.
#[expect(clippy::large_enum_variant, reason = "one per listed object, for the moment between the look and the removal")]
enum Look {
    /// It may be deleted: as this, with this UID or id.
    Ours(Entry, String),
    /// It is not there.
    Absent,
    /// It stays, for this reason.
    Doubtful(String),
}

impl List<'_> {
    fn told_sessions(&self) -> String {
        self.sessions.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Whether the name, or the namespace, of an entry holds the id of a session of the list.
    fn names_session(&self, entry: &Entry) -> bool {
        let (namespace, name) = match entry {
            Entry::Object { namespace, name, .. } => (namespace.as_str(), name.as_str()),
            Entry::Clone { name, .. } | Entry::VolumeSnapshot { name, .. } => ("", name.as_str()),
            Entry::Patch { .. } | Entry::AuthorizedKey { .. } => return false,
        };
        self.sessions.iter().any(|session| [namespace, name].iter().any(|text| holds_session(text, session)))
    }

    async fn look(&self, cluster: &Cluster, sources: &Sources, record: &Record) -> Result<Look, Failure> {
        match &record.entry {
            Entry::Object { api_version, kind, namespace, name, .. } => {
                let Some(kind) = Kind::find(api_version, kind) else {
                    let namespace = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
                    return Ok(Look::Doubtful(format!(
                        "this release does not know the kind; delete it with: kubectl delete {kind} {name}{namespace}"
                    )));
                };
                let namespace = Some(namespace.as_str()).filter(|n| !n.is_empty());
                let Some(object) = cluster.get(kind, namespace, name).await? else { return Ok(Look::Absent) };
                Ok(match self.doubt(kind, &object, &record.entry) {
                    Some(reason) => Look::Doubtful(reason),
                    None => Look::Ours(record.entry.clone(), object.metadata.uid.unwrap_or_default()),
                })
            }
            Entry::Clone { provider, name, .. } => {
                let (profile, source) = match source_of(sources, *provider) {
                    Ok(found) => found,
                    Err(reason) => return Ok(Look::Doubtful(reason)),
                };
                let Some(cloner) = source.cloner() else { return Ok(Look::Absent) };
                let found = cloner.find(std::slice::from_ref(name)).await.map_err(crate::run::provider_failure)?;
                Ok(match found.into_iter().next() {
                    None => Look::Absent,
                    Some(vm) if vm.run.is_some() => Look::Doubtful("the VM of this name is a clone of mtv-test".to_owned()),
                    Some(vm) if self.by_name || self.names_session(&record.entry) => {
                        Look::Ours(clone_entry(profile, *provider, name.clone()), vm.id)
                    }
                    Some(_) => Look::Doubtful(self.unproved()),
                })
            }
            Entry::VolumeSnapshot { provider, name, .. } => {
                let (profile, source) = match source_of(sources, *provider) {
                    Ok(found) => found,
                    Err(reason) => return Ok(Look::Doubtful(reason)),
                };
                let Some(snapshots) = source.volume_snapshots() else {
                    return Ok(Look::Doubtful(format!("a source of type {provider} keeps no volume snapshots")));
                };
                let id = record.reference.clone().unwrap_or_default();
                Ok(match snapshots.volume_snapshot(&id).await.map_err(crate::run::provider_failure)? {
                    None => Look::Absent,
                    Some(other) if other != *name => Look::Doubtful(format!("the volume snapshot of this id is called `{other}`")),
                    Some(_) if self.by_name || self.names_session(&record.entry) => {
                        let entry = Entry::VolumeSnapshot { profile: profile.to_owned(), provider: *provider, name: name.clone() };
                        Look::Ours(entry, id)
                    }
                    Some(_) => Look::Doubtful(self.unproved()),
                })
            }
            Entry::Patch { .. } | Entry::AuthorizedKey { .. } => Ok(Look::Absent),
        }
    }

    /// Why an object stays.
    fn doubt(&self, kind: &Kind, object: &DynamicObject, entry: &Entry) -> Option<String> {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        let namespace = if kind == &kinds::NAMESPACE { name } else { object.metadata.namespace.as_deref().unwrap_or_default() };
        let label = |key: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        let made = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        if kind == &kinds::NAMESPACE && (is_of_the_system(name) || name == self.mtv_namespace) {
            Some("it is a namespace of the cluster itself".to_owned())
        } else if let Some(run) = label(RUN_LABEL) {
            Some(format!("it is of run {run} of mtv-test"))
        } else if let (Some(made), Some(written)) = (made, self.written)
            && made > written
        {
            Some(format!("it was made at {made:.0}, after the list was written ({written:.0}): it is another one of this name"))
        } else if self.by_name || self.names_session(entry) {
            None
        } else if is_of_the_system(namespace) {
            Some(format!("nothing proves whose it is, and {namespace} is a namespace of the cluster itself"))
        } else {
            Some(self.unproved())
        }
    }

    fn unproved(&self) -> String {
        let session = if self.sessions.is_empty() {
            "the list names no session".to_owned()
        } else {
            format!("its name does not hold the session's id ({})", self.told_sessions())
        };
        format!("nothing but the name says whose it is: {session}; it is deleted only with --by-name")
    }
}

/// The source that the user names, if it is of the kind that an entry is of; else why not.
fn source_of(sources: &Sources, provider: ProviderKind) -> Result<(&str, &dyn Source), String> {
    match sources.iter().next() {
        None => Err(format!("name the profile of its source ({provider}) with --provider")),
        Some((profile, Ok(source))) if source.kind() == provider => Ok((profile, source.as_ref())),
        Some((profile, Ok(_))) => Err(format!("profile `{profile}` is of another kind than {provider}")),
        Some((_, Err(diagnosis))) => Err(diagnosis.one_line()),
    }
}

/// Ids of sessions: those that names of listed namespaces, or namespaces of listed objects, begin with.
fn sessions(records: &[Record]) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for record in records {
        if let Entry::Object { kind, namespace, name, .. } = &record.entry {
            let place = if kind == kinds::NAMESPACE.kind { name } else { namespace };
            if let Some(session) = session_of(place) {
                *seen.entry(session.to_owned()).or_default() += 1;
            }
        }
    }
    seen.into_keys().collect()
}

/// `auto-ab12` of `auto-ab12` and `auto-ab12-mtv-api-tests`.
fn session_of(name: &str) -> Option<&str> {
    let session = name.get(..SESSION)?;
    let tail = session.strip_prefix("auto-")?;
    let whole = tail.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    (whole && name[SESSION..].chars().next().is_none_or(|c| c == '-')).then_some(session)
}

/// Names are cut from the front when they are too long, so the id may stand anywhere, between dashes, and behind a space in the
/// names that Nova gives: `snapshot for auto-ab12-rhel8-snapshot`.
fn holds_session(name: &str, session: &str) -> bool {
    name.match_indices(session).any(|(at, _)| {
        let free = |c: Option<char>| c.is_none_or(|c| c == '-' || c == ' ');
        free(name[..at].chars().next_back()) && free(name[at + session.len()..].chars().next())
    })
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::journal::foreign;

    fn list(records: &[Record], by_name: bool) -> List<'_> {
        let written = Some("2026-01-02T00:00:00Z".parse().unwrap());
        List { records, sessions: sessions(records), written, by_name, mtv_namespace: "openshift-mtv" }
    }

    fn object(namespace: Option<&str>, name: &str, made: &str) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": namespace, "uid": "u", "creationTimestamp": made}})).unwrap()
    }

    #[test]
    fn a_session_is_told_by_its_namespace() {
        for (name, expected) in [
            ("auto-ab12", Some("auto-ab12")),
            ("auto-ab12-mtv-api-tests", Some("auto-ab12")),
            ("auto-ab123", None),
            ("automatic", None),
            ("auto-AB12", None),
            ("äuto-ab12", None),
        ] {
            assert_eq!(session_of(name), expected, "{name}");
        }
        assert!(holds_session("auto-ab12-vm-x", "auto-ab12") && holds_session("x-auto-ab12", "auto-ab12"));
        assert!(!holds_session("auto-ab123", "auto-ab12") && !holds_session("xauto-ab12", "auto-ab12"));
    }

    #[test]
    fn each_doubt_keeps_an_object() {
        let records = foreign::records(&json!({
            "Namespace": [{"name": "auto-ab12-mtv"}, {"name": "mtv-comprehensive-vms"}, {"name": "default"}],
            "Plan": [{"name": "p", "namespace": "auto-ab12-mtv"}],
        }))
        .unwrap();
        let old = "2026-01-01T00:00:00Z";
        let doubt = |by_name: bool, index: usize, object: &DynamicObject| {
            let kind = if index == 3 { &kinds::PLAN } else { &kinds::NAMESPACE };
            list(&records, by_name).doubt(kind, object, &records[index].entry).unwrap_or_default()
        };
        assert_eq!(doubt(false, 0, &object(None, "auto-ab12-mtv", old)), "");
        assert_eq!(doubt(false, 3, &object(Some("auto-ab12-mtv"), "p", old)), "");
        assert!(doubt(false, 0, &object(None, "auto-ab12-mtv", "2026-01-03T00:00:00Z")).contains("after the list was written"));
        assert!(doubt(false, 1, &object(None, "mtv-comprehensive-vms", old)).contains("--by-name"));
        assert_eq!(doubt(true, 1, &object(None, "mtv-comprehensive-vms", old)), "");
        for by_name in [false, true] {
            assert!(doubt(by_name, 2, &object(None, "default", old)).contains("namespace of the cluster itself"));
            let mut ours = object(None, "auto-ab12-mtv", old);
            ours.metadata.labels = Some(BTreeMap::from([(RUN_LABEL.to_owned(), "r1".to_owned())]));
            assert!(doubt(by_name, 0, &ours).contains("of run r1"));
        }
    }
}
