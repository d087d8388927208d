//! What is inside a container: files, an environment, and the few commands that people and tools run in one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

/// Files and environment of a pod's containers; they share their volumes, and here all of their files.
#[derive(Debug, Clone, Default)]
pub struct Container {
    /// Absolute paths of plain files.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
}

/// Containers of the pods that run, by UID of the pod.
#[derive(Debug, Default)]
pub struct Containers(Mutex<HashMap<String, Container>>);

impl Containers {
    /// Looks at or changes what is in a pod's containers.
    pub(super) fn with<R>(&self, uid: &str, pod: &str, work: impl FnOnce(&mut Container) -> R) -> R {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(uid.to_owned()).or_insert_with(|| Container::new(pod)))
    }

    /// A pod is gone, and its files with it.
    pub(super) fn remove(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

/// What a command left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub code: i32,
}

impl Outcome {
    fn out(stdout: impl Into<Vec<u8>>) -> Self {
        Self { stdout: stdout.into(), ..Self::default() }
    }

    fn fail(code: i32, message: impl AsRef<str>) -> Self {
        Self { code, stderr: format!("{}\n", message.as_ref()).into_bytes(), ..Self::default() }
    }
}

/// Whether a command reads its standard input.
pub(super) fn reads_input(command: &[String]) -> bool {
    match command {
        [cat] => cat == "cat",
        [tar, bundle, ..] if tar == "tar" => bundle.trim_start_matches('-').contains('x'),
        _ => false,
    }
}

impl Container {
    /// What every image holds.
    pub(super) fn new(pod: &str) -> Self {
        let release = "NAME=\"Red Hat Enterprise Linux\"\nID=\"rhel\"\nVERSION_ID=\"9.6\"\n";
        let files = [("/etc/hostname", format!("{pod}\n")), ("/etc/os-release", release.to_owned())];
        Self {
            files: files.into_iter().map(|(path, text)| (path.to_owned(), text.into_bytes())).collect(),
            environment: BTreeMap::from([
                ("HOSTNAME".to_owned(), pod.to_owned()),
                ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ]),
        }
    }

    /// Runs a command.
    pub(super) fn run(&mut self, command: &[String], input: &[u8]) -> Outcome {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let Some((program, arguments)) = words.split_first() else { return Outcome::fail(126, "no command") };
        let name = program.rsplit('/').next().unwrap_or(program);
        match (name, arguments) {
            ("sh" | "bash", ["-c", script, ..]) => self.script(script, input),
            ("true" | "sync", _) => Outcome::default(),
            ("false", _) => Outcome { code: 1, ..Outcome::default() },
            ("echo", words) => Outcome::out(words.join(" ") + "\n"),
            ("hostname", _) => Outcome::out(self.environment.get("HOSTNAME").cloned().unwrap_or_default() + "\n"),
            ("pwd", _) => Outcome::out("/\n"),
            ("whoami", _) => Outcome::out("root\n"),
            ("env" | "printenv", []) => {
                Outcome::out(self.environment.iter().map(|(key, value)| format!("{key}={value}\n")).collect::<String>())
            }
            ("printenv", [key, ..]) => match self.environment.get(*key) {
                Some(value) => Outcome::out(format!("{value}\n")),
                None => Outcome { code: 1, ..Outcome::default() },
            },
            ("cat", []) => Outcome::out(input),
            ("cat", paths) => self.cat(paths),
            ("ls", arguments) => self.list(arguments),
            ("find", arguments) => self.find(arguments.first().copied().unwrap_or(".")),
            ("test" | "[", arguments) => self.test(arguments),
            ("tar", arguments) => self.tar(arguments, input),
            _ => Outcome::fail(
                127,
                format!(
                    "exec: \"{program}\": executable file not found in $PATH (a container of the lab knows cat, echo, env, find, hostname, ls, sh -c, tar, test)"
                ),
            ),
        }
    }

    /// Simple commands, one after the other, joined by `;` or `&&`.
    fn script(&mut self, script: &str, input: &[u8]) -> Outcome {
        let mut all = Outcome::default();
        for (number, step) in script.split(';').flat_map(|part| part.split("&&").enumerate()).filter(|(_, step)| !step.trim().is_empty()) {
            if number > 0 && all.code != 0 {
                continue;
            }
            let words: Vec<String> = step.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect();
            let Outcome { stdout, stderr, code } = self.run(&words, input);
            all.stdout.extend(stdout);
            all.stderr.extend(stderr);
            all.code = code;
        }
        all
    }

    fn cat(&self, paths: &[&str]) -> Outcome {
        let mut all = Outcome::default();
        for path in paths {
            match self.files.get(&absolute("/", path)) {
                Some(bytes) => all.stdout.extend(bytes),
                None => {
                    all.stderr.extend(format!("cat: {path}: No such file or directory\n").bytes());
                    all.code = 1;
                }
            }
        }
        all
    }

    fn is_folder(&self, path: &str) -> bool {
        path == "/" || self.below(path).next().is_some()
    }

    /// Files below a folder.
    fn below<'a>(&'a self, path: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        let beginning = if path == "/" { path.to_owned() } else { format!("{path}/") };
        self.files.iter().filter(move |(file, _)| file.starts_with(&beginning)).map(|(file, bytes)| (file.as_str(), bytes.as_slice()))
    }

    fn list(&self, arguments: &[&str]) -> Outcome {
        let path = arguments.iter().find(|a| !a.starts_with('-')).copied().unwrap_or(".");
        let folder = absolute("/", path);
        if self.files.contains_key(&folder) {
            return Outcome::out(format!("{path}\n"));
        }
        if !self.is_folder(&folder) {
            return Outcome::fail(2, format!("ls: cannot access '{path}': No such file or directory"));
        }
        let length = if folder == "/" { 1 } else { folder.len() + 1 };
        let names: BTreeSet<&str> = self.below(&folder).filter_map(|(file, _)| file[length..].split('/').next()).collect();
        Outcome::out(names.into_iter().map(|name| format!("{name}\n")).collect::<String>())
    }

    fn find(&self, path: &str) -> Outcome {
        let folder = absolute("/", path);
        Outcome::out(self.below(&folder).map(|(file, _)| format!("{file}\n")).collect::<String>())
    }

    fn test(&self, arguments: &[&str]) -> Outcome {
        let holds = match arguments {
            ["-f", path, ..] => self.files.contains_key(&absolute("/", path)),
            ["-d", path, ..] => self.is_folder(&absolute("/", path)),
            ["-e", path, ..] => self.files.contains_key(&absolute("/", path)) || self.is_folder(&absolute("/", path)),
            [word, ..] => !word.is_empty(),
            [] => false,
        };
        Outcome { code: i32::from(!holds), ..Outcome::default() }
    }

    fn tar(&mut self, arguments: &[&str], input: &[u8]) -> Outcome {
        let mut folder = "/".to_owned();
        let (mut mode, mut file) = (String::new(), "");
        let mut paths = Vec::new();
        let mut rest = arguments.iter();
        let mut first = true;
        while let Some(&argument) = rest.next() {
            let bundle = argument.strip_prefix('-').filter(|b| !b.starts_with('-') && !b.is_empty());
            match bundle.or_else(|| first.then_some(argument)) {
                Some("C") => folder = absolute("/", rest.next().copied().unwrap_or("/")),
                Some(letters) if letters.contains('z') => return Outcome::fail(2, "tar: gzip: Cannot exec: No such file or directory"),
                Some(letters) => {
                    if letters.contains('f') {
                        file = rest.next().copied().unwrap_or_default();
                    }
                    mode.push_str(letters);
                }
                None if argument.starts_with("--") => {}
                None => paths.push(argument),
            }
            first = false;
        }
        if file != "-" {
            return Outcome::fail(2, "tar: archives of the lab are streams: write `-f -`");
        }
        if mode.contains('c') {
            return self.pack(&folder, &paths);
        }
        if mode.contains('x') {
            return self.unpack(&folder, input);
        }
        Outcome::fail(2, "tar: You must specify one of the '-cx' options")
    }

    fn pack(&self, folder: &str, paths: &[&str]) -> Outcome {
        let mut outcome = Outcome::default();
        let mut archive = tar::Builder::new(Vec::new());
        let mut folders = BTreeSet::new();
        for path in paths {
            let full = absolute(folder, path);
            let shown = path.trim_start_matches('/').trim_end_matches('/');
            if path.starts_with('/') {
                outcome.stderr.extend(b"tar: Removing leading `/' from member names\n");
            }
            if let Some(bytes) = self.files.get(&full) {
                append(&mut archive, shown, Some(bytes));
                continue;
            }
            if !self.is_folder(&full) {
                outcome.stderr.extend(format!("tar: {path}: Cannot stat: No such file or directory\n").bytes());
                outcome.code = 2;
                continue;
            }
            let length = if full == "/" { 1 } else { full.len() + 1 };
            append(&mut archive, &format!("{shown}/"), None);
            for (file, bytes) in self.below(&full) {
                let name = format!("{shown}/{}", &file[length..]);
                for (at, _) in name.match_indices('/').filter(|(at, _)| *at > shown.len()) {
                    let parent = format!("{}/", &name[..at]);
                    if folders.insert(parent.clone()) {
                        append(&mut archive, &parent, None);
                    }
                }
                append(&mut archive, &name, Some(bytes));
            }
        }
        outcome.stdout = archive.into_inner().unwrap_or_default();
        outcome
    }

    fn unpack(&mut self, folder: &str, input: &[u8]) -> Outcome {
        let mut archive = tar::Archive::new(input);
        let mut read = || -> std::io::Result<()> {
            for entry in archive.entries()? {
                let mut entry = entry?;
                if entry.header().entry_type().is_file() {
                    let path = absolute(folder, &entry.path()?.to_string_lossy());
                    let mut bytes = Vec::new();
                    std::io::Read::read_to_end(&mut entry, &mut bytes)?;
                    self.files.insert(path, bytes);
                }
            }
            Ok(())
        };
        match read() {
            Ok(()) => Outcome::default(),
            Err(error) => Outcome::fail(2, format!("tar: {error}")),
        }
    }
}

/// Adds a file, or a folder without content. Writing to memory does not fail.
fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: Option<&[u8]>) {
    let mut header = tar::Header::new_gnu();
    header.set_mode(if bytes.is_some() { 0o644 } else { 0o755 });
    header.set_entry_type(if bytes.is_some() { tar::EntryType::Regular } else { tar::EntryType::Directory });
    let bytes = bytes.unwrap_or_default();
    header.set_size(bytes.len() as u64);
    let _in_memory = match name.strip_prefix("./") {
        // The library cuts the beginning off, which tar itself leaves; such names are short.
        Some(rest) if !rest.is_empty() && name.len() < 100 => {
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, bytes)
        }
        _ => archive.append_data(&mut header, name, bytes),
    };
}

/// A path from the root, without `.` and `..`.
fn absolute(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        let mut container = Container::new("p");
        container.files.insert("/must-gather/a.log".to_owned(), b"a".to_vec());
        container.files.insert("/must-gather/n/x/b.yaml".to_owned(), b"b".to_vec());
        container
    }

    fn run(container: &mut Container, command: &[&str], input: &[u8]) -> Outcome {
        container.run(&command.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), input)
    }

    fn names(archive: &[u8]) -> Vec<String> {
        let mut archive = tar::Archive::new(archive);
        archive.entries().unwrap().map(|entry| entry.unwrap().path_bytes().iter().map(|b| char::from(*b)).collect()).collect()
    }

    #[test]
    fn archives_are_those_of_tar() {
        let mut container = container();
        let packed = run(&mut container, &["tar", "-C", "/must-gather", "-cf", "-", "."], b"");
        assert_eq!(names(&packed.stdout), ["./", "./a.log", "./n/", "./n/x/", "./n/x/b.yaml"]);
        let packed = run(&mut container, &["tar", "cf", "-", "/must-gather"], b"");
        assert_eq!(names(&packed.stdout)[..2], ["must-gather/", "must-gather/a.log"]);
        assert!(String::from_utf8(packed.stderr).unwrap().contains("Removing leading"));
        let unpacked = run(&mut container, &["tar", "-xmf", "-", "-C", "/tmp"], &packed.stdout);
        assert_eq!((unpacked.code, container.files["/tmp/must-gather/n/x/b.yaml"].as_slice()), (0, b"b".as_slice()));
        assert_eq!(run(&mut container, &["tar", "cf", "-", "/none"], b"").code, 2);
    }

    #[test]
    fn simple_commands_work_and_others_say_what_does() {
        let mut container = container();
        assert_eq!(run(&mut container, &["cat", "/must-gather/a.log"], b"").stdout, b"a");
        assert_eq!(run(&mut container, &["ls", "/must-gather"], b"").stdout, b"a.log\nn\n");
        assert_eq!(
            run(&mut container, &["sh", "-c", "test -d /must-gather && echo yes; false"], b""),
            Outcome { stdout: b"yes\n".to_vec(), stderr: Vec::new(), code: 1 }
        );
        assert_eq!(run(&mut container, &["vi"], b"").code, 127);
        assert_eq!(run(&mut container, &["/bin/test", "-e", "/nowhere"], b"").code, 1);
    }
}
