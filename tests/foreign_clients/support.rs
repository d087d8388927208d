//! A lab in its own process, the foreign programs, and what a session must print.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Longest session; the longest takes about 40 s on two busy cores.
const LIMIT: Duration = Duration::from_mins(5);

/// What a test without its program says; `CI=true` makes it a failure.
fn missing(what: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI=true needs {what}, see CONTRIBUTING.md");
    println!("ignored: no {what}, see CONTRIBUTING.md");
}

/// A kubectl in the search path. Not required anywhere.
pub fn kubectl_of_the_machine() -> Option<&'static str> {
    let found = Command::new("kubectl").args(["version", "--client"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success()).then_some("kubectl")
}

/// Says that there is no such kubectl.
pub fn no_kubectl_of_the_machine() -> Option<String> {
    kubectl_of_the_machine().is_none().then(|| "kubectl in the search path".to_owned())
}

/// Says that there is no Python that can make virtual environments. With `CI=true` there must be one: the tests then fail.
pub fn no_python() -> Option<String> {
    let required = std::env::var("CI").as_deref() == Ok("true");
    (!required && !has_venv()).then(|| "python3 with venv".to_owned())
}

fn has_venv() -> bool {
    Command::new("python3").args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// The interpreter of a virtual environment that has what `requirements.txt` names. It is made once and kept; a lock lets one
/// test make it while the others wait.
pub fn python() -> Option<PathBuf> {
    if !has_venv() {
        missing("python3 with venv");
        return None;
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (venv, requirements) = (target.join("python"), fs::read_to_string(scripts().join("requirements.txt")).unwrap());
    let lock = File::create(target.join("python.lock")).unwrap();
    lock.lock().unwrap();
    let (python, stamp) = (venv.join("bin/python"), venv.join("requirements.txt"));
    if fs::read_to_string(&stamp).is_ok_and(|made| made == requirements) {
        return Some(python);
    }
    let _ = fs::remove_dir_all(&venv);
    let made = succeeds(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let made =
        made && succeeds(Command::new(&python).args(["-m", "pip", "install", "--quiet", "-r"]).arg(scripts().join("requirements.txt")));
    if !made {
        // Without a network there are no packages; only CI has to have them.
        missing("packages of tests/clients/requirements.txt");
        return None;
    }
    fs::write(stamp, requirements).unwrap();
    Some(python)
}

/// Whether a command works; what it says if it does not goes to standard output.
fn succeeds(command: &mut Command) -> bool {
    let output = command.stdin(Stdio::null()).output().unwrap();
    if !output.status.success() {
        println!("{command:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// A lab that ends with the test, even when it panics.
pub struct Lab {
    child: Child,
    folder: TempDir,
    profiles: toml::Table,
    /// SDK URL of the vCenter.
    pub vsphere: String,
    /// User of the vCenter.
    pub user: String,
    /// Password of that user.
    pub password: String,
    // Kept open: a closed pipe would end the lab when it prints.
    stdout: BufReader<std::process::ChildStdout>,
}

impl Lab {
    /// Starts one.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mtv-test"));
        command.args(["lab", "serve", "--dir"]).arg(folder.path()).env_remove("RUST_LOG");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let empty = String::new;
        let mut lab = Self { child, folder, profiles: toml::Table::new(), vsphere: empty(), user: empty(), password: empty(), stdout };
        let mut line = String::new();
        while !line.contains("lab ready") {
            line.clear();
            assert!(lab.stdout.read_line(&mut line).unwrap() > 0, "the lab ended before it was ready");
        }
        lab.profiles = fs::read_to_string(lab.folder.path().join("providers.toml")).unwrap().parse().unwrap();
        let field = |name: &str| lab.field("vsphere", name);
        (lab.vsphere, lab.user, lab.password) = (field("api_url"), field("username"), field("password"));
        lab
    }

    /// What a profile of the lab says.
    pub fn field(&self, profile: &str, name: &str) -> String {
        self.profiles["provider"][profile][name].as_str().unwrap().to_owned()
    }

    /// Where the certificate is by which a profile's endpoint is trusted.
    pub fn ca(&self, profile: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{profile}-ca.pem"));
        fs::write(&path, self.field(profile, "ca_pem")).unwrap();
        path
    }

    /// Where its kubeconfig is.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// A session's script under its interpreter, without what the machine has configured for the clients.
    pub fn command(&self, interpreter: impl AsRef<OsStr>, script: &str) -> Command {
        let mut command = Command::new(interpreter);
        command.arg(scripts().join(script)).current_dir(self.folder.path()).env("PYTHONUNBUFFERED", "1").env("LC_ALL", "C.UTF-8");
        for name in ["KUBECONFIG", "KUBE_EDITOR", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| ["GOVC_", "OS_"].iter().any(|own| name.to_string_lossy().starts_with(own)))
        {
            command.env_remove(name);
        }
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a session to its end: it must end well, and have made at least so many checks, so that none gets lost silently.
pub fn session(name: &str, checks: usize, command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    // A group of its own, so that a session which hangs ends with all that it started.
    let mut child = command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stdout.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let err = thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stderr.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let deadline = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > deadline {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let (out, err) = (out.join().unwrap(), err.join().unwrap());
    let told = status.map_or_else(|| format!("not over after {LIMIT:?}"), |status| status.to_string());
    assert!(status.is_some_and(|status| status.success()), "{name}: {told}\n{out}{err}");
    let made = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(out.lines().last(), Some(format!("1..{made}").as_str()), "{name} does not tell its number of checks\n{out}");
    assert!(made >= checks, "{name}: {made} checks of at least {checks}\n{out}");
    println!("{name}: {made} checks");
}
