//! The journal against everything that can happen to it: torn and flipped bytes, other processes, many writers.

mod kill;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt};

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    format::{HEAD, MARK},
    read::parse,
    *,
};
use crate::config::profile::ProviderKind;

fn header() -> Header {
    Header {
        run: "r1".into(),
        tool: "0.1.0".into(),
        started: Timestamp::UNIX_EPOCH,
        label: "mtv-test.io/run=r1".into(),
        cluster: None,
        profiles: vec![ProfileRef { name: "v".into(), kind: ProviderKind::Vsphere, endpoint: "https://v/sdk".into() }],
        providers_file: Some("providers.toml".into()),
        ephemeral: false,
    }
}

fn object(name: &str) -> Entry {
    Entry::Object {
        api_version: "forklift.konveyor.io/v1beta1".into(),
        kind: "Plan".into(),
        namespace: "mig".into(),
        name: name.into(),
        scenario: Some("sanity-cold".into()),
    }
}

fn clone_of(name: &str) -> Entry {
    Entry::Clone { profile: "v".into(), provider: ProviderKind::Vsphere, name: name.into(), scenario: None }
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).unwrap()).expect("the file is a whole JSON document")
}

/// A journal with a dozen records, as bytes, and where each record begins.
async fn sample() -> (Vec<u8>, Vec<usize>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    journal.connected(Cluster { server: "https://c:6443".into(), id: "uid-ks".into() }).await.unwrap();
    for n in 0..4 {
        let id = journal.intend(object(&format!("plan-{n} \"quoted\" ü"))).await.unwrap();
        journal.created(id, format!("uid-{n}")).await.unwrap();
    }
    let id = journal.intend(clone_of("vm")).await.unwrap();
    journal.created(id, "vm-42").await.unwrap();
    journal.deleting(id).await.unwrap();
    journal.gone(id).await.unwrap();
    drop(journal);
    let bytes = fs::read(&path).unwrap();
    let marks = bytes.windows(MARK.len()).enumerate().filter(|(_, w)| *w == MARK.as_bytes()).map(|(at, _)| at).collect();
    (bytes, marks)
}

#[tokio::test]
async fn a_record_goes_from_intent_to_gone_and_the_file_is_whole_after_each_append() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let states = |expected: &[State]| {
        assert!(json(&path)["records"].is_array());
        let read = read(&path).unwrap();
        assert_eq!(read.damage, []);
        assert_eq!(read.records, journal.snapshot());
        assert_eq!(read.records.iter().map(|r| r.state).collect::<Vec<_>>(), expected);
    };
    states(&[]);
    let plan = journal.intend(object("p")).await.unwrap();
    states(&[State::Intent]);
    let vm = journal.intend(clone_of("c")).await.unwrap();
    states(&[State::Intent, State::Intent]);
    journal.created(plan, "uid-p").await.unwrap();
    states(&[State::Created, State::Intent]);
    journal.deleting(plan).await.unwrap();
    states(&[State::Deleting, State::Intent]);
    journal.gone(plan).await.unwrap();
    journal.gone(vm).await.unwrap();
    states(&[State::Gone, State::Gone]);
    assert_eq!(read(&path).unwrap().records[0].reference.as_deref(), Some("uid-p"));

    let cluster = Cluster { server: "https://c".into(), id: "u".into() };
    journal.connected(cluster.clone()).await.unwrap();
    assert_eq!(read(&path).unwrap().header, Some(Header { cluster: Some(cluster), ..header() }));
}

#[tokio::test]
async fn what_exists_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    fs::write(&path, "{}").unwrap();
    assert!(Journal::create(&path, &header()).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}

#[tokio::test]
async fn a_second_writer_is_told_who_holds_the_file_and_resume_continues_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    let id = journal.intend(object("p")).await.unwrap();
    // Locks of open files are held per open file, so a second one in this process stands for another process.
    let refused = format!("{:#}", Journal::resume(&path).unwrap_err());
    assert!(refused.contains(&format!("in use by process {} on ", std::process::id())), "{refused}");
    assert!(refused.contains("run r1"), "{refused}");
    drop(journal);

    let (journal, found) = Journal::resume(&path).unwrap();
    assert_eq!(found.records.len(), 1);
    journal.gone(id).await.unwrap();
    let next = journal.intend(object("q")).await.unwrap();
    assert_ne!(next, id);
    drop(journal);
    let read = read(&path).unwrap();
    assert_eq!((read.damage, read.records[0].state), (vec![], State::Gone));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_writers_at_once_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    let writers = (0..50).map(|writer| {
        let journal = journal.clone();
        tokio::spawn(async move {
            for n in 0..20 {
                let name = format!("{writer}-{n}");
                let id = journal.intend(object(&name)).await.unwrap();
                journal.created(id, format!("uid-{name}")).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let read = read(&path).unwrap();
    assert_eq!(read.damage, []);
    assert_eq!(read.records.len(), 1000);
    let names: BTreeSet<String> = read.records.iter().map(|r| r.entry.to_string()).collect();
    assert_eq!(names.len(), 1000);
    for record in &read.records {
        let Entry::Object { name, .. } = &record.entry else { panic!("{record:?}") };
        assert_eq!(record.reference.as_deref(), Some(format!("uid-{name}").as_str()), "each UID is with its object");
    }
}

#[tokio::test]
async fn torn_at_any_byte_only_what_is_behind_is_lost() {
    let (bytes, marks) = sample().await;
    let whole = parse(&bytes).unwrap();
    assert_eq!(whole.damage, []);
    assert_eq!(whole.lines.len(), marks.len());
    let mut tried = 0;
    for cut in marks[marks.len() - 3]..bytes.len() {
        let read = parse(&bytes[..cut]).unwrap();
        assert!(!read.damage.is_empty(), "cut at {cut}");
        assert!(read.damage.iter().all(|d| d.offset <= cut), "cut at {cut}: {:?}", read.damage);
        // A record ends where the next one's separator, or the closing lines, begin.
        let ends = marks.iter().skip(1).map(|m| m - 2).chain([bytes.len() - 4]);
        let before = ends.filter(|end| *end <= cut).count();
        assert_eq!(read.lines.len(), before, "cut at {cut}");
        assert_eq!(read.lines[..], whole.lines[..before], "cut at {cut}");
        tried += 1;
    }
    println!("{tried} cuts in the last three records, none lost more than what was cut");
}

#[tokio::test]
async fn torn_at_any_byte_from_the_start_never_panics() {
    let (bytes, _) = sample().await;
    for cut in 0..bytes.len() {
        assert!(!parse(&bytes[..cut]).unwrap().damage.is_empty(), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_flipped_bit_loses_at_most_its_record() {
    let (bytes, marks) = sample().await;
    let whole = parse(&bytes).unwrap();
    // Each bit of the first line, which no sum covers, and one bit of every byte behind it.
    let first_line = HEAD.len() * 8;
    let tried: Vec<usize> = (0..first_line).chain((first_line..bytes.len() * 8).step_by(9)).collect();
    for &bit in &tried {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let read = parse(&flipped).unwrap();
        let hit = marks.iter().rposition(|mark| *mark <= bit / 8);
        let expected: Vec<_> = whole.lines.iter().filter(|l| Some(l.seq) != hit.map(|h| h as u64)).collect();
        let kept: Vec<_> = read.lines.iter().filter(|l| Some(l.seq) != hit.map(|h| h as u64)).collect();
        assert_eq!(kept, expected, "bit {bit}");
        assert!(!read.damage.is_empty(), "bit {bit}");
        let from = hit.map_or(0, |hit| marks[hit.saturating_sub(1)]);
        let told = read.damage.iter().any(|d| (from..=bit / 8).contains(&d.offset));
        assert!(told, "bit {bit} in byte {}: {:?}", bit / 8, read.damage);
        // No object is lost to a single hit: the intent and the answer both name it. Only the very last state may be older.
        assert_eq!(read.records.len(), whole.records.len(), "bit {bit}");
        // Which run it is can still be told, so that its label proves what is its own.
        assert_eq!(read.header.map(|header| header.run).as_deref(), Some("r1"), "bit {bit}");
    }
    println!("{} flipped bits, none lost more than its record", tried.len());
}

#[tokio::test]
async fn without_its_header_the_holder_still_tells_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    journal.intend(object("p")).await.unwrap();
    drop(journal);
    let mut bytes = fs::read(&path).unwrap();
    let at = HEAD.len() + MARK.len();
    bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
    let found = parse(&bytes).unwrap();
    assert_eq!(found.damage.len(), 1);
    let told = found.header.unwrap();
    assert_eq!((told.run.as_str(), told.cluster), ("r1", None));
}

#[tokio::test]
async fn a_file_that_was_cut_while_it_was_made_says_that_nothing_was_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    drop(Journal::create(&path, &header()).unwrap());
    let whole = fs::read(&path).unwrap();
    for cut in 0..=HEAD.len() {
        assert!(parse(&whole[..cut]).unwrap().is_unwritten(), "cut at {cut}");
    }
    assert!(!parse(&whole).unwrap().is_unwritten());
}

#[tokio::test]
async fn who_holds_a_file_is_told_without_taking_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    assert_eq!(holder(&path), None);
    let journal = Journal::create(&path, &header()).unwrap();
    assert_eq!(holder(&path).unwrap().run, "r1");
    drop(journal);
    assert_eq!(holder(&path), None);
}

#[tokio::test]
async fn a_list_in_memory_is_followed_to_its_end() {
    let journal = Journal::in_memory(&header(), [(object("p"), "uid-p".to_owned()), (clone_of("vm"), "vm-1".to_owned())]);
    let records = journal.snapshot();
    assert_eq!(records.iter().map(|r| r.reference.as_deref().unwrap()).collect::<Vec<_>>(), ["uid-p", "vm-1"]);
    journal.deleting(records[0].id).await.unwrap();
    journal.gone(records[0].id).await.unwrap();
    assert_eq!(journal.snapshot().iter().map(|r| r.state).collect::<Vec<_>>(), [State::Gone, State::Created]);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_made_whole() {
    let (bytes, marks) = sample().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let torn = &bytes[..marks[marks.len() - 1] + 40];
    fs::write(&path, torn).unwrap();
    let (journal, found) = Journal::resume(&path).unwrap();
    assert!(!found.damage.is_empty());
    assert_eq!(fs::read(folder.path().join("resources.json.damaged")).unwrap(), torn);
    let vm = found.records.last().unwrap();
    assert_eq!(vm.state, State::Deleting, "the record of its end was torn off");
    journal.gone(vm.id).await.unwrap();
    assert!(Journal::resume(&path).is_err(), "the new file is locked too");
    let read = read(&path).unwrap();
    assert_eq!((read.damage, read.records.last().unwrap().state), (vec![], State::Gone));
    assert!(json(&path)["records"].is_array());
}

#[tokio::test]
async fn a_file_that_is_deleted_while_it_is_in_use_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results/resources.json");
    fs::create_dir(path.parent().unwrap()).unwrap();
    let journal = Journal::create(&path, &header()).unwrap();
    let first = journal.intend(object("p")).await.unwrap();
    fs::remove_dir_all(path.parent().unwrap()).unwrap();
    journal.created(first, "uid-p").await.unwrap();
    journal.intend(object("q")).await.unwrap();
    let there = read(&path).unwrap();
    assert_eq!((there.damage, there.records), (vec![], journal.snapshot()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Journal::resume(&path).is_err(), "it is locked as before");
    // Somebody else's file of this name is not overwritten, and then nothing new is begun.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "theirs").unwrap();
    let refused = journal.intend(object("r")).await.unwrap_err();
    assert!(format!("{refused:#}").contains("was deleted and cannot be written again"), "{refused:#}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "theirs");
}

#[test]
fn what_is_no_journal_is_refused() {
    for text in
        ["[1, 2]", "hello, this is no journal", "{\"format\":\"mtv-test.resources\",\"version\":3,\"records\":[]}", "PK\u{3}\u{4}zip"]
    {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[tokio::test]
async fn a_run_notes_its_end_and_a_clean_up_is_not_taken_for_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    let id = journal.intend(object("p")).await.unwrap();
    assert_eq!(read(&path).unwrap().ended, None);
    journal.ended(8).await.unwrap();
    drop(journal);
    let (journal, found) = Journal::resume(&path).unwrap();
    assert!(found.left_behind, "it is the file itself, and nobody holds it");
    journal.gone(id).await.unwrap();
    drop(journal);
    let there = read(&path).unwrap();
    assert_eq!(there.ended.map(|ended| ended.exit), Some(8));
    let (maker, holder) = (there.maker.unwrap(), there.holder.unwrap());
    assert!(!maker.cleans && holder.cleans);
    assert_eq!(json(&path)["version"], 2);
    // A copy has never been in the hands of the run.
    let copy = folder.path().join("copy.json");
    fs::copy(&path, &copy).unwrap();
    assert!(!Journal::resume(&copy).unwrap().1.left_behind);
}

/// A journal as version 1 wrote it: without the marks of the process.
const VERSION_1: &str = include_str!("version-1.json");

#[tokio::test]
async fn a_journal_of_version_1_is_read_and_continued() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    fs::write(&path, VERSION_1).unwrap();
    let (journal, found) = Journal::resume(&path).unwrap();
    assert_eq!((found.damage, found.ended, found.left_behind), (vec![], None, false));
    assert_eq!(found.maker.map(|maker| maker.life()), Some(Life::Unknown));
    let [record] = &*journal.snapshot() else { panic!("{:?}", journal.snapshot()) };
    assert_eq!((record.entry.to_string(), record.state), ("Namespace mtv-test-r1".to_owned(), State::Created));
    journal.gone(record.id).await.unwrap();
    assert_eq!((read(&path).unwrap().damage, json(&path)["version"].clone()), (vec![], 1.into()));
}

#[tokio::test]
async fn a_change_of_an_unknown_kind_is_kept_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("resources.json");
    let journal = Journal::create(&path, &header()).unwrap();
    let fields = serde_json::json!({"change": "renamed", "id": 7, "to": {"name": "x"}});
    let serde_json::Value::Object(fields) = fields else { panic!() };
    journal.append(model::Change::Unknown(fields.clone())).await.unwrap();
    journal.intend(object("p")).await.unwrap();
    drop(journal);
    let there = read(&path).unwrap();
    assert_eq!((there.damage, there.records.len()), (vec![], 1));
    assert_eq!(there.unknown, ["record 2 is of a kind that this release does not know: `renamed`"]);
    // It also survives that the file is made whole again.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.trim_end_matches("\n]}\n")).unwrap();
    let (_, found) = Journal::resume(&path).unwrap();
    assert!(!found.damage.is_empty());
    assert_eq!(read(&path).unwrap().unknown.len(), 1);
    // A known kind with content that cannot be read is damage.
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"to\":{\"name\":\"x\"}"), "{text}");
}

fn entries() -> impl Strategy<Value = Entry> {
    let text = || "\\PC{0,12}|[\\x00-\\x20\"\\\\{}]{0,6}";
    prop_oneof![
        (text(), text(), text(), text(), proptest::option::of(text()))
            .prop_map(|(api_version, kind, namespace, name, scenario)| { Entry::Object { api_version, kind, namespace, name, scenario } }),
        (text(), text(), proptest::option::of(text())).prop_map(|(profile, name, scenario)| Entry::Clone {
            profile,
            provider: ProviderKind::Ovirt,
            name,
            scenario
        }),
        (text(), proptest::option::of(text()), text()).prop_map(|(name, before, after)| Entry::Patch {
            api_version: "v1".into(),
            kind: "Node".into(),
            namespace: String::new(),
            name,
            field: "/metadata/labels/a~1b".into(),
            before: before.map(Into::into),
            after: after.into(),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_is_written_is_read_again(entries in proptest::collection::vec((entries(), 0..4_u8), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("resources.json");
            let journal = Journal::create(&path, &header()).unwrap();
            for (entry, steps) in entries {
                let id = journal.intend(entry).await.unwrap();
                if steps > 0 {
                    journal.created(id, "uid").await.unwrap();
                }
                if steps > 1 {
                    journal.deleting(id).await.unwrap();
                }
                if steps > 2 {
                    journal.gone(id).await.unwrap();
                }
            }
            let read = read(&path).unwrap();
            assert_eq!(read.damage, []);
            assert_eq!(read.records, journal.snapshot());
            assert!(json(&path).is_object());
        });
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), text in "\\PC{0,200}") {
        let _ = parse(&bytes);
        let _ = parse(text.as_bytes());
        let mut marked = bytes.clone();
        marked.extend_from_slice(MARK.as_bytes());
        marked.extend_from_slice(text.as_bytes());
        let _ = parse(&marked);
    }
}
