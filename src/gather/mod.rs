//! MTV's must-gather, run natively: a namespace with a pod of the release's own image, the files fetched out of it, and both
//! deleted again. It is bounded in time and journalled; what it cannot do it says, and nothing else fails with it.

mod image;
mod pod;

use std::{
    ffi::OsStr,
    io::{Read as _, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Component, Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use mtv_api::kinds::{self, Kind};
use sha2::{Digest as _, Sha256};

use crate::{
    cluster::{Awaited, copy_out},
    diagnosis::{Diagnosis, Fact, Id},
    engine::{Failure, StepCx},
    journal::{Entry, State},
    limits::Limit,
    run::{
        Owner,
        alive::{self, Heartbeat},
        names, proof,
    },
    secrets::{gathered, mask_stream},
};
use pod::Progress;

/// Longest wait for the account that a new namespace gets.
const ACCOUNT: Duration = Duration::from_mins(1);

/// Longest time for sending the deletions at the end, also after an interrupt.
const LEAVE: Duration = Duration::from_secs(30);

/// What is gathered: everything of the MTV on the cluster, or what belongs to one plan or VM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Namespace and name of the plan.
    pub plan: Option<(String, String)>,
    /// Id of a VM of the plan, as the source has it.
    pub vm: Option<String>,
}

impl Target {
    /// For messages and folders.
    fn told(&self) -> String {
        match (&self.plan, &self.vm) {
            (Some((namespace, plan)), Some(vm)) => format!("Plan {namespace}/{plan}, VM {vm}"),
            (Some((namespace, plan)), None) => format!("Plan {namespace}/{plan}"),
            _ => "the whole of MTV".to_owned(),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gathered {
    /// Where the files are.
    pub folder: PathBuf,
    /// How many.
    pub files: usize,
    /// What is worth knowing.
    pub notes: Vec<String>,
}

/// Gathers into `folder`, which must not exist, within `limit`. `mtv_namespace` is where MTV runs.
pub async fn gather(
    owner: &Owner,
    cx: &StepCx,
    mtv_namespace: &str,
    target: &Target,
    folder: &Path,
    limit: Duration,
) -> Result<Gathered, Failure> {
    let told = target.told();
    cx.progress(format!("gathering logs and objects of {told}"), None);
    // The name says whose it is, and of what: two scenarios of a run gather at the same time.
    let digest = Sha256::digest(format!("{told}\0{}", folder.display()));
    let name = names::namespace(names::GATHER, &format!("{}-{:02x}{:02x}", owner.run, digest[0], digest[1]));
    let work = work(owner, cx, mtv_namespace, target, folder, (&name, limit));
    let result = tokio::select! {
        result = tokio::time::timeout(limit, work) => result.unwrap_or_else(|_| {
            Err(Failure::Errored(Diagnosis::new(Id::MustGatherTimeout, format!("must-gather of {told} was not done within {}", crate::engine::human(limit)))
                .hint("must_gather_timeout gives it more time")))
        }),
        () = cx.cancel.cancelled() => Err(Failure::Interrupted),
    };
    // Also after an interrupt: the teardown would find it, but nothing need wait for that.
    match tokio::time::timeout(LEAVE, leave(owner, &name)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            let why = Diagnosis::of_error(&error);
            cx.warn_with(format!("what gathered is still there, and the teardown tries again: {}", why.line(": ")), why.hints);
        }
        Err(_) => cx.warn(format!("what gathered is still there, and the teardown tries again: no answer within {LEAVE:?}")),
    }
    result
}

async fn work(
    owner: &Owner,
    cx: &StepCx,
    mtv_namespace: &str,
    target: &Target,
    folder: &Path,
    (name, limit): (&str, Duration),
) -> Result<Gathered, Failure> {
    let cluster = &owner.cluster;
    let image = image::resolve(cluster, mtv_namespace).await;
    let mut notes = image.notes;
    let mut namespace = pod::namespace(name);
    alive::mark(&mut namespace, cluster, &owner.run);
    let namespace = owner.create(&kinds::NAMESPACE, namespace, None).await?;
    let _heartbeat = Heartbeat::of(cluster, &namespace);
    owner.create(&kinds::CLUSTER_ROLE_BINDING, pod::binding(name), None).await.map_err(|failure| match failure {
        Failure::Errored(trouble) => Failure::Errored(
            trouble.hint("must-gather reads all of the cluster, so it needs a login that may bind its account to cluster-admin, as `oc adm must-gather` does"),
        ),
        other => other,
    })?;
    let account = Awaited { kind: &kinds::SERVICE_ACCOUNT, namespace: Some(name), name: "default", until: "to be there", limit: ACCOUNT };
    cluster.wait(cx, account, |account| Ok(account.map(drop))).await?;
    let created = owner.create(&kinds::POD, pod::pod(name, &image.reference, target, mtv_namespace), None).await?;
    let pod_name = created.metadata.name.unwrap_or_default();
    let awaited = Awaited { kind: &kinds::POD, namespace: Some(name), name: &pod_name, until: "to gather", limit };
    let failed = |why: String, waiting: Option<String>| {
        let mut diagnosis = Diagnosis::new(Id::MustGatherFailed, format!("must-gather with {} failed: {why}", image.reference))
            .about(format!("Pod {name}/{pod_name}"))
            .hint("is the image there for this cluster's nodes?");
        diagnosis.facts.extend(waiting.map(Fact::Waiting));
        Failure::Errored(diagnosis)
    };
    let code = cluster
        .wait(cx, awaited, |pod| match pod.map(pod::progress) {
            None => Err(failed("the pod is gone".to_owned(), None)),
            Some(Progress::Working(_)) => Ok(None),
            Some(Progress::Ended(code)) => Ok(Some(code)),
            Some(Progress::Hopeless { why, waiting }) => Err(failed(why, waiting)),
        })
        .await?;
    if code != 0 {
        notes.push(format!("the script of {} ended with {code}; what it had written until then is here", image.reference));
    }
    let unpacked = fetch(owner, name, &pod_name, folder).await?;
    notes.extend(unpacked.notes);
    Ok(Gathered { folder: folder.to_owned(), files: unpacked.files, notes })
}

/// Fetches the files as an archive and unpacks it.
async fn fetch(owner: &Owner, namespace: &str, pod_name: &str, folder: &Path) -> anyhow::Result<Unpacked> {
    let what = || format!("failed to fetch what was gathered into {}", folder.display());
    // Objects and logs of a cluster are nobody else's business.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(what)?;
    let archive = folder.join(".must-gather.tar");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&archive).with_context(what)?;
    let command = ["tar", "-C", pod::FOLDER, "-cf", "-", "."];
    let file = tokio::fs::File::from_std(file);
    let copied = copy_out(&owner.cluster, namespace, pod_name, pod::COPY, &command, file, Limit::Archive).await;
    let whole = copied.with_context(what)?;
    let (from, to) = (archive.clone(), folder.to_owned());
    let unpacked = tokio::task::spawn_blocking(move || unpack(&from, &to, whole)).await.context("unpacking was stopped")?;
    let unpacked = unpacked.with_context(what)?;
    std::fs::remove_file(&archive).with_context(what)?;
    Ok(unpacked)
}

/// What came out of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
struct Unpacked {
    files: usize,
    /// What is not there, or not whole.
    notes: Vec<String>,
}

/// Entries of an archive that are read. A must-gather of a large cluster has some thousand.
const MOST_ENTRIES: usize = 200_000;

/// Larger files, bytes, are logs, which are masked as they are read. Smaller ones are searched as a
/// whole for Secrets of others: objects are in these.
const LARGEST_OBJECTS: u64 = 32 * 1024 * 1024;

/// Longest name of a file, bytes, and longest attributes: what GNU tar and POSIX write before an entry.
const LONGEST_NAME: u64 = 64 * 1024;

/// Unpacks files and folders; an archive out of a container gets no links, no devices and no way out of the folder. What the image
/// collects is the cluster's, and may hold secrets that the run has brought there: the login of a guest in its cloud-init. `whole`
/// says that nothing was cut off the archive's end.
///
/// Entries are read as they stand: what the reader would do with long names and sparse files has no limits.
fn unpack(archive: &Path, folder: &Path, whole: bool) -> anyhow::Result<Unpacked> {
    let mut archive = tar::Archive::new(std::io::BufReader::new(std::fs::File::open(archive)?));
    let mut unpacked = Unpacked::default();
    if !whole {
        unpacked.notes.push(format!("cut: more than {} was gathered, and what came after that is not here", Limit::Archive));
    }
    // The name of the next entry, if it was too long for its header.
    let mut long: Option<PathBuf> = None;
    for (number, entry) in archive.entries()?.raw(true).enumerate() {
        if number >= MOST_ENTRIES {
            unpacked.notes.push(format!("cut: more than {MOST_ENTRIES} files were gathered, and the others are not here"));
            break;
        }
        let mut entry = match entry {
            // The end of what was cut is no entry.
            Err(_) if !whole => break,
            entry => entry?,
        };
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() || kind.is_pax_local_extensions() {
            let mut text = Vec::new();
            (&mut entry).take(LONGEST_NAME).read_to_end(&mut text)?;
            let name = if kind.is_gnu_longname() { Some(text.trim_ascii_end()) } else { pax_path(&text) };
            long = name.map(|name| PathBuf::from(OsStr::from_bytes(name.strip_suffix(b"\0").unwrap_or(name)))).or(long);
            continue;
        }
        let path = match long.take() {
            Some(path) => path,
            None => entry.path()?.into_owned(),
        };
        // A root and a way up are no part of a path in this folder.
        if path.components().any(|part| matches!(part, Component::ParentDir)) {
            continue;
        }
        let path: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
        if path.as_os_str().is_empty() {
            continue;
        }
        let to = folder.join(&path);
        let parent = if kind.is_dir() { Some(to.as_path()) } else { to.parent() };
        if let Some(parent) = parent.filter(|_| kind.is_dir() || kind.is_file()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        if kind.is_file() {
            let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&to)?;
            let mut file = std::io::BufWriter::new(file);
            let size = entry.size();
            let mut content = (&mut entry).take(Limit::ArchiveFile.bytes());
            if size > LARGEST_OBJECTS {
                mask_stream(&mut content, &mut file)?;
            } else {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes)?;
                let text = String::from_utf8_lossy(&bytes);
                let masked = gathered(&text);
                file.write_all(if masked == text { &bytes } else { masked.as_bytes() })?;
            }
            if size > Limit::ArchiveFile.bytes() {
                let cut = format!("cut: the file is longer than {}, and what comes after that is not here", Limit::ArchiveFile);
                write!(file, "\n[{cut}]\n")?;
                unpacked.notes.push(format!("{}: {cut}", path.display()));
            }
            file.flush()?;
            unpacked.files += 1;
        }
    }
    Ok(unpacked)
}

/// The path among the attributes that POSIX writes before an entry.
fn pax_path(attributes: &[u8]) -> Option<&[u8]> {
    tar::PaxExtensions::new(attributes).flatten().find(|attribute| attribute.key_bytes() == b"path").map(|path| path.value_bytes())
}

/// Sends the deletions of what was made, without waiting for the end.
async fn leave(owner: &Owner, name: &str) -> anyhow::Result<()> {
    let ours = |entry: &Entry| match entry {
        Entry::Object { kind, name: n, namespace, .. } => (n == name && namespace.is_empty()).then(|| kind.clone()),
        _ => None,
    };
    for record in owner.journal.snapshot().into_iter().rev().filter(|r| r.state != State::Gone) {
        let Some(kind) = ours(&record.entry) else { continue };
        let kinds: [&'static Kind; 2] = [&kinds::NAMESPACE, &kinds::CLUSTER_ROLE_BINDING];
        let (Some(kind), Some(uid)) = (kinds.into_iter().find(|k| k.kind == kind), record.reference.as_deref()) else { continue };
        if kind == &kinds::NAMESPACE {
            let Some(namespace) = owner.cluster.get(kind, None, name).await? else { continue };
            // The teardown leaves it alone with what somebody put there, and says so.
            if !proof::strangers(&owner.cluster, &namespace, &owner.run).await?.is_empty() {
                continue;
            }
        }
        owner.journal.deleting(record.id).await?;
        owner.cluster.delete(kind, None, name, Some(uid)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn long_names_are_read_and_what_was_cut_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{}/{}.log", "d".repeat(120), "f".repeat(120));
        let mut builder = tar::Builder::new(Vec::new());
        for name in [long.as_str(), "short.log"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(5);
            builder.append_data(&mut header, name, &b"text\n"[..]).unwrap();
        }
        builder.append_pax_extensions([("path", &b"named/by/pax.log"[..])]).unwrap();
        let mut header = tar::Header::new_ustar();
        header.set_size(3);
        builder.append_data(&mut header, "cut-by-pax", &b"pax"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        let archive = folder.path().join("x.tar");
        std::fs::write(&archive, &bytes).unwrap();
        let to = folder.path().join("to");
        assert_eq!(unpack(&archive, &to, true).unwrap(), Unpacked { files: 3, notes: Vec::new() });
        assert_eq!(std::fs::read_to_string(to.join(&long)).unwrap(), "text\n");
        assert_eq!(std::fs::read_to_string(to.join("named/by/pax.log")).unwrap(), "pax");
        for end in [0, 100, 600, 2000, bytes.len() - 1024] {
            std::fs::write(&archive, &bytes[..end]).unwrap();
            let unpacked = unpack(&archive, &folder.path().join("cut"), false).unwrap();
            assert!(unpacked.notes[0].starts_with("cut: more than 4 GiB"), "{unpacked:?}");
        }
    }

    #[test]
    fn an_archive_cannot_leave_its_folder_and_loses_its_secrets() {
        const TEXT: &str = "userData: xyzzy-of-a-guest\n";
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut add = |name: &str, kind: tar::EntryType| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(0o777);
            header.set_size(if kind.is_file() { TEXT.len() as u64 } else { 0 });
            // `append_data` refuses such names, as any writer does that means well.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            if kind.is_symlink() {
                header.set_link_name("/etc").unwrap();
            }
            header.set_cksum();
            builder.append(&header, if kind.is_file() { TEXT.as_bytes() } else { &[] }).unwrap();
        };
        let _secret = crate::secrets::Secret::new("xyzzy-of-a-guest");
        add("./a/b.log", tar::EntryType::Regular);
        add("../out.log", tar::EntryType::Regular);
        add("link", tar::EntryType::Symlink);
        let archive = folder.path().join("x.tar");
        std::fs::write(&archive, builder.into_inner().unwrap()).unwrap();
        let to = folder.path().join("to");
        std::fs::create_dir(&to).unwrap();
        assert_eq!(unpack(&archive, &to, true).unwrap().files, 1);
        assert_eq!(std::fs::read_to_string(to.join("a/b.log")).unwrap(), "userData: [secret]\n");
        assert_eq!(std::fs::metadata(to.join("a/b.log")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!folder.path().join("out.log").exists() && !to.join("link").exists());
    }
}
