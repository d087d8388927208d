//! An OpenSSH server of the test's own, with its own keys and its own configuration.

use std::{
    fs,
    io::Write as _,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use mtv_test::secrets::Secret;
use tempfile::TempDir;
use tokio::net::UnixStream;

/// Where Debian and Fedora install it; a user's search path often has no `sbin`.
const SSHD: &str = "/usr/sbin/sshd";

/// Whether `CI=true`: then everything is required, and a test may make a user.
pub fn ci() -> bool {
    std::env::var("CI").as_deref() == Ok("true")
}

fn root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// Whether OpenSSH is installed. With `CI=true` it must be.
pub fn installed() -> bool {
    let found = found();
    assert!(found || !ci(), "CI=true needs openssh-server and openssh-client");
    found
}

fn found() -> bool {
    Path::new(SSHD).is_file() && Command::new("ssh").arg("-V").stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Says that there is no OpenSSH. With `CI=true` there must be one: the tests then fail.
pub fn missing() -> Option<String> {
    (!ci() && !found()).then(|| "OpenSSH".to_owned())
}

/// Runs a program that must succeed; what it reads may be a secret, what it is told may not.
pub fn run(command: &mut Command, input: &str) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a key pair; gives the file of the private one.
pub fn key_pair(folder: &Path, name: &str, kind: &str) -> PathBuf {
    let file = folder.join(name);
    run(Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file), "");
    file
}

/// A server that serves each connection by a process of its own, as inetd does: no port that another test could take.
pub struct Server {
    folder: TempDir,
    children: Mutex<Vec<Child>>,
}

impl Server {
    /// Prepares one; `None` without OpenSSH.
    pub fn new() -> Option<Self> {
        if !installed() {
            return None;
        }
        if root() {
            // What the package's service makes before it starts sshd.
            fs::create_dir_all("/run/sshd").unwrap();
        }
        let folder = TempDir::new().unwrap();
        let path = folder.path();
        let host_key = key_pair(path, "host", "ed25519");
        let keys: Vec<String> = ["ed25519", "rsa", "ecdsa"]
            .into_iter()
            .map(|kind| fs::read_to_string(key_pair(path, kind, kind).with_extension("pub")).unwrap())
            .collect();
        key_pair(path, "unknown", "ed25519");
        let authorized = path.join("authorized_keys");
        fs::write(&authorized, keys.concat()).unwrap();
        let config = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication yes\nPidFile none\nLogLevel ERROR\n",
            host_key.display(),
            authorized.display()
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        Some(Self { folder, children: Mutex::default() })
    }

    /// A connection to it.
    pub fn connect(&self) -> UnixStream {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let input = OwnedFd::from(there.try_clone().unwrap());
        let child = Command::new(SSHD)
            .args(["-i", "-q", "-f"])
            .arg(self.folder.path().join("sshd_config"))
            .stdin(input)
            .stdout(OwnedFd::from(there))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.children.lock().unwrap().push(child);
        here.set_nonblocking(true).unwrap();
        UnixStream::from_std(here).unwrap()
    }

    /// A private key by name: `ed25519`, `rsa` and `ecdsa` log in, `unknown` does not.
    pub fn key(&self, name: &str) -> Secret {
        Secret::new(fs::read_to_string(self.folder.path().join(name)).unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in self.children.get_mut().unwrap() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Who runs the test.
pub fn me() -> String {
    run(Command::new("id").arg("-un"), "")
}

/// A user with a password; goes with this value.
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password: with characters that shells and terminals treat in their own ways.
    pub password: Secret,
}

impl User {
    /// Makes one, in CI and as root only: a developer's machine keeps its users.
    pub fn new() -> Option<Self> {
        if !(ci() && root()) {
            println!("ignored: a password login needs a user, which is made by root with CI=true only");
            return None;
        }
        let user = Self { name: format!("mtv-ssh-{}", std::process::id()), password: Secret::new("p&ss 'w\"d$ ü") };
        run(Command::new("useradd").args(["--no-create-home", "--home-dir", "/", "--shell", "/bin/sh"]).arg(&user.name), "");
        run(&mut Command::new("chpasswd"), &format!("{}:{}\n", user.name, user.password.expose()));
        Some(user)
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = Command::new("userdel").arg("--force").arg(&self.name).stderr(Stdio::null()).status();
    }
}
