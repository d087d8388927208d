//! A process that writes a journal is killed at many moments. What it said is durable must be there, in a whole document.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use super::*;

/// Tells the writing process where to write.
const PATH: &str = "MTV_TEST_KILLED_JOURNAL";

/// Kills; each waits for a few records more than the one before.
const KILLS: usize = 25;

/// The process that is killed: four tasks that write for ever and say what is durable, a line each.
#[test]
#[ignore = "not a test: the process that the test below starts and kills"]
fn writer_to_be_killed() {
    let Some(path) = env::var_os(PATH).map(PathBuf::from) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let journal = Journal::create(&path, &header()).unwrap();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let journal = journal.clone();
                tokio::spawn(async move {
                    for n in 0.. {
                        // Of many lengths, so that records begin and end at every place of a page.
                        let name = format!("{writer}-{n}-{}", "x".repeat(n * 37 % 300));
                        let id = journal.intend(object(&name)).await.unwrap();
                        std::io::stdout().write_all(format!("durable {name}\n").as_bytes()).unwrap();
                        journal.created(id, "uid").await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

#[test]
fn killed_at_any_moment_nothing_durable_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut promised = 0;
    for kill in 1..=KILLS {
        let path = folder.path().join(format!("{kill}.json"));
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--ignored", "--exact", "journal::tests::kill::writer_to_be_killed", "--nocapture"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut durable = Vec::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut take = |line: String| durable.extend(line.strip_prefix("durable ").map(str::to_owned));
        // It writes on while this reads, so the moment of the kill is as good as random.
        for line in lines.by_ref().take(kill * 5) {
            take(line.unwrap());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died is a promise too; a last line without its end is none.
        lines.map_while(Result::ok).for_each(&mut take);

        let read = read(&path).unwrap();
        assert_eq!(read.damage, [], "kill {kill}");
        assert!(serde_json::from_slice::<serde_json::Value>(&fs::read(&path).unwrap()).is_ok(), "kill {kill}");
        let known: BTreeSet<String> = read.records.iter().map(|r| r.entry.to_string()).collect();
        // The very last line may have been cut by the kill; the name then is the beginning of one that is known.
        for name in &durable {
            let entry = format!("Plan mig/{name}");
            assert!(
                known.contains(&entry) || durable.last() == Some(name) && known.iter().any(|k| k.starts_with(&entry)),
                "kill {kill}: {name}"
            );
        }
        assert!(durable.len() >= kill * 5 - 3, "kill {kill}: the writer came to write");
        promised += durable.len();
        // The lock died with the process.
        drop(Journal::resume(&path).unwrap());
    }
    println!("{KILLS} kills, {promised} durable records, none lost");
}
