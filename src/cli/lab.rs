//! The lab: `mtv-test lab serve`, and the lab behind `run --lab`. The only place where the tool reaches the simulated data
//! centre; from here on it talks to it over the network as to a real one.

mod fault;

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand, ValueHint};
use mtv_lab::{
    datacenter::{DEFAULT, DataCenter},
    kubernetes::Audit,
    lab::{Cluster, Lab, Options, TIME_SCALE},
    roles::{Role, Roles},
};
use tokio::signal::unix::{SignalKind, signal};

use super::{CliError, CliResult, GlobalOptions, error::print_data, run::LabOptions};
use crate::{
    config::{
        diagnostics::{Problem, Problems, Source},
        profile::Profile,
        profile_file::ProfileFile,
        read,
    },
    exit::{self, ExitCode},
    jira,
    report::{log, screen::Screen},
    secrets::Secret,
};

/// In the folder of a lab: the process that serves it, locked while it does.
const LOCK: &str = "lab.pid";
/// In the folder of a lab: the token that `lab fault` shows.
const ADMIN_TOKEN: &str = "admin-token";
/// Certificate chain and key for an inventory service that takes the place of the lab's.
const INVENTORY_CHAIN: &str = "inventory.pem";
const INVENTORY_KEY: &str = "inventory.key";

/// Run the simulated data centre
#[derive(Debug, ClapArgs)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with the lab.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(ServeArgs),
    Datacenter(DatacenterArgs),
    Fault(fault::Args),
}

/// Print the built-in data centre
///
/// It is the TOML file that the lab simulates unless --datacenter names another one: copy it, change it, and check it with
/// `mtv-test validate FILE`. Faults are tables `[[faults.…]]` at its end.
#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  mtv-test lab datacenter --print > dc.toml\n  mtv-test run --lab --datacenter dc.toml sanity-cold")]
struct DatacenterArgs {
    /// Print it on stdout, which is all that this command does
    #[arg(long)]
    print: bool,
}

/// Run the lab until it is interrupted
///
/// Prints "lab ready" on stdout when everything answers. DIR gets `kubeconfig`, `providers.toml` (a profile for every
/// simulated source), `admin-token` (for `lab fault`) and `lab.json` (addresses, CA); the first three hold secrets and are
/// readable by their owner only. `kubeconfig-remote` is that of the second OpenShift, which VMs can come from. Without the role
/// `inventory` it gets `inventory.pem` and `inventory.key` as well, for the service that takes its place at the address in `lab.json`.
/// One folder belongs to one lab at a time.
#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Examples:\n  mtv-test lab serve --dir lab\n  mtv-test lab serve --dir lab --datacenter dc.toml --time-scale 10\n  mtv-test lab serve --dir lab --roles=-forklift,-inventory"
)]
pub struct ServeArgs {
    /// Folder for kubeconfig, providers.toml and lab.json; made if it is not there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: PathBuf,
    /// Port of the Kubernetes API on 127.0.0.1 [default: any free one]
    #[arg(long, value_name = "N", conflicts_with = "apiserver")]
    port: Option<u16>,
    /// Kubeconfig of a Kubernetes API server to use in place of the simulated one; it must be empty, and a
    /// kube-controller-manager must run beside it
    #[arg(long, value_name = "KUBECONFIG", value_hint = ValueHint::FilePath)]
    apiserver: Option<PathBuf>,
    /// Simulators to run, or, with a minus before each name, to leave out [default: all]
    #[arg(long, value_name = "LIST", allow_hyphen_values = true, long_help = roles_help())]
    roles: Option<String>,
    /// Data centre to simulate, as TOML [default: the built-in one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    datacenter: Option<PathBuf>,
    /// How much faster than reality time runs
    #[arg(long, value_name = "FACTOR", default_value_t = TIME_SCALE, value_parser = parse_scale)]
    time_scale: f64,
    /// File for a log of all requests to the simulated Kubernetes API, in the form of kube-apiserver's audit log; values of
    /// Secrets are left out [default: no log]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "apiserver")]
    audit_log: Option<PathBuf>,
}

fn roles_help() -> String {
    let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
    let left_out: Vec<_> = Role::ALL.iter().filter(|role| !Roles::beside_control_plane().has(**role)).map(|role| role.name()).collect();
    format!(
        "Simulators to run, separated by commas, or, with a minus before each name, to leave out: {}. By default all; with --apiserver all but {}",
        names.join(", "),
        left_out.join(", ")
    )
}

/// A factor of time.
pub(super) fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale > 0.0 => Ok(scale),
        _ => Err("a number above 0 is wanted: 1 is real time, 60 makes a minute a second".to_owned()),
    }
}

/// Runs a subcommand of `lab`.
///
/// # Errors
/// The data centre or the folder cannot be used, or the lab does not start.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Serve(args) => serve(args).await,
        Command::Datacenter(DatacenterArgs { print: _ }) => {
            print_data(DEFAULT)?;
            Ok(exit::PASSED)
        }
        Command::Fault(args) => fault::run(args).await,
    }
}

/// As [`run`], with an async runtime of its own.
pub(super) fn main(global: &GlobalOptions, args: Args) -> CliResult {
    let rust_log = std::env::var("RUST_LOG").ok();
    log::init(None, &Screen::of_process(), global.verbose, rust_log.as_deref()).map_err(|e| CliError::usage(format!("{e:#}")))?;
    let runtime = crate::run::runtime()?;
    runtime.block_on(run(args)).map_err(|error| match error.downcast::<CliError>() {
        Ok(error) => error,
        Err(error) => CliError::environment(format!("{error:#}")),
    })
}

async fn serve(args: ServeArgs) -> anyhow::Result<ExitCode> {
    // Listened for from the start, so that an impatient ^C ends the lab properly too.
    let mut interrupt = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
    let mut options = Options::new(datacenter(args.datacenter.as_deref())?);
    options.port = args.port;
    options.time_scale = args.time_scale;
    if let Some(path) = &args.audit_log {
        options.audit = Audit::to_file(path).map_err(|e| CliError::usage(format!("{e:#}")))?;
    }
    if let Some(kubeconfig) = &args.apiserver {
        options.roles = Roles::beside_control_plane();
        options.cluster = Some(Cluster::of_kubeconfig(kubeconfig).await.map_err(|e| CliError::usage(format!("{e:#}")))?);
    }
    if let Some(names) = &args.roles {
        options.roles = options.roles.choose(names).map_err(|e| CliError::usage(format!("--roles: {e:#}")))?;
    }
    if options.roles.has(Role::Kubernetes) == options.cluster.is_some() {
        let text = if options.cluster.is_some() {
            "the role `kubernetes` and --apiserver exclude each other"
        } else {
            "without the role `kubernetes` an API server is needed"
        };
        return Err(CliError::usage(text).hint("--apiserver names a kubeconfig of one").into());
    }
    folder(&args.dir)?;
    // Held until the process ends, however that comes.
    let _lock = lock(&args.dir)?;
    // That of an earlier lab would say that this one is ready.
    let _absent = fs::remove_file(args.dir.join("lab.json"));
    let lab = Lab::start(options).await.context("the lab did not start")?;
    let path = |name: &str| args.dir.join(name);
    write(&path("kubeconfig"), lab.kubeconfig(), 0o600)?;
    if let Some(kubeconfig) = lab.remote_kubeconfig() {
        write(&path("kubeconfig-remote"), kubeconfig, 0o600)?;
    }
    write(&path("providers.toml"), lab.providers_toml(), 0o600)?;
    write(&path(ADMIN_TOKEN), lab.admin_token(), 0o600)?;
    if let Some(identity) = lab.inventory_identity() {
        write(&path(INVENTORY_CHAIN), &identity.chain, 0o644)?;
        write(&path(INVENTORY_KEY), &identity.key, 0o600)?;
    }
    // The last one: who waits for it finds the others.
    write(&path("lab.json"), &(serde_json::to_string_pretty(lab.info())? + "\n"), 0o644)?;
    print_data("lab ready\n")?;
    anstream::eprintln!("{}", welcome(&lab, &args.dir));
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    lab.shutdown().await;
    Ok(exit::PASSED)
}

/// What runs, and what to do with it.
fn welcome(lab: &Lab, dir: &Path) -> String {
    let info = lab.info();
    let path = |name: &str| dir.join(name).display().to_string();
    let kubeconfig = path("kubeconfig");
    let mut text = format!(
        "Kubernetes API {}; sources: {}. Try:\n  kubectl --kubeconfig {kubeconfig} get providers -A\n",
        info.api,
        if info.sources.is_empty() {
            "none".to_owned()
        } else {
            // A source of the run's own cluster has no address of its own.
            info.sources.iter().map(|(name, url)| format!("{name} {url}").trim_end().to_owned()).collect::<Vec<_>>().join(", ")
        }
    );
    // vSphere has the whole catalogue.
    if let Some(source) = info.sources.keys().find(|name| **name == "vsphere").or(info.sources.keys().next()) {
        let providers = path("providers.toml");
        text += &format!("  mtv-test run --kubeconfig {kubeconfig} --providers {providers} --provider {source} --marker tier0\n");
    } else {
        text += &format!("A run needs a providers file of its own: {} names no source.\n", path("providers.toml"));
    }
    if lab.inventory_identity().is_some() {
        text += &format!(
            "The inventory service of another Forklift is expected at {}; clients trust it with {} and {}.\n",
            info.inventory,
            path(INVENTORY_CHAIN),
            path(INVENTORY_KEY)
        );
    }
    text + "Interrupt to end."
}

fn datacenter(file: Option<&Path>) -> Result<DataCenter, CliError> {
    let Some(file) = file else {
        return DataCenter::parse(DEFAULT).map_err(|e| CliError::internal(format!("the built-in data centre: {e:#}")));
    };
    let text = read::text(file).map_err(|problem| Problems::from(*problem))?;
    Ok(parse_datacenter(file, &text)?)
}

/// Reads the text of a data-centre file.
///
/// # Errors
/// What is wrong with it, with its place where that is known.
pub(super) fn parse_datacenter(file: &Path, text: &str) -> Result<DataCenter, Problems> {
    DataCenter::parse(text).map_err(|error| {
        let help = "`mtv-test lab datacenter --print` shows a whole one";
        let problem = match error.downcast_ref::<toml::de::Error>() {
            Some(toml) => {
                let source = Source::new(file.display().to_string(), text);
                let mut lines = toml.message().lines();
                let title = lines.next().unwrap_or_default().to_owned();
                let label = lines.collect::<Vec<_>>().join(", ");
                Problem::error(title).at(&source, toml.span().unwrap_or(0..0), label)
            }
            None => Problem::error(format!("{}: {error:#}", file.display())),
        };
        problem.help(help).into()
    })
}

/// Takes the folder for this process. Two labs in one folder would overwrite each other's kubeconfig.
fn lock(dir: &Path) -> Result<fs::File, CliError> {
    let path = dir.join(LOCK);
    let failed = |e: std::io::Error| CliError::usage(format!("failed to write {}: {e}", path.display()));
    let mut file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _unknown = std::io::Read::read_to_string(&mut file, &mut holder);
            let holder = holder.trim().parse::<u32>().map_or_else(|_| "another process".to_owned(), |pid| format!("process {pid}"));
            return Err(CliError::usage(format!("{} belongs to a lab that is running ({holder})", dir.display()))
                .hint("give this one a folder of its own with --dir, or end the other one"));
        }
        // A file system without locks; the lab works there all the same.
        Err(fs::TryLockError::Error(error)) => {
            tracing::debug!(%error, "no lock on {}", path.display());
            return Ok(file);
        }
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
    Ok(file)
}

fn folder(dir: &Path) -> Result<(), CliError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|e| CliError::usage(format!("failed to make the folder {}: {e}", dir.display())))
}

/// Writes a file that appears whole, with these rights from its first moment.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let failed = |e: std::io::Error| CliError::usage(format!("failed to write {}: {e}", path.display()));
    let mut partial = path.as_os_str().to_owned();
    partial.push(".new");
    let _left = fs::remove_file(&partial);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&partial).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}

/// A lab that runs in this process.
pub struct Started {
    /// Kubeconfig of its cluster.
    pub kubeconfig: PathBuf,
    /// The chosen profile.
    pub profile: Profile,
    /// Its Jira.
    pub jira: Option<jira::Options>,
    lab: Lab,
    _files: tempfile::TempDir,
}

impl Started {
    /// Ends its servers.
    pub async fn shut_down(self) {
        self.lab.shutdown().await;
    }
}

/// Starts a lab for a run with a source of this name.
///
/// # Errors
/// The data centre cannot be used, the lab does not start, or it has no such source.
pub async fn start(options: &LabOptions, source: &str) -> Result<Started, CliError> {
    let mut lab_options = Options::new(datacenter(options.datacenter.as_deref())?);
    // Other sources would only take time to start.
    lab_options.roles = lab_options.roles.for_source(source);
    if let Some(scale) = options.time_scale {
        lab_options.time_scale = scale;
    }
    let lab = Lab::start(lab_options).await.map_err(|e| CliError::internal(format!("the lab did not start: {e:#}")))?;
    // Only the owner can read a temporary folder, and so what is in it.
    let files = tempfile::tempdir().map_err(|e| {
        CliError::usage(format!("failed to make a temporary folder: {e}")).hint("TMPDIR has to name a folder that can be written")
    })?;
    let kubeconfig = files.path().join("kubeconfig");
    write(&kubeconfig, lab.kubeconfig(), 0o600)?;
    let profiles = ProfileFile::parse(&files.path().join("providers.toml"), lab.providers_toml(), false)?;
    if !profiles.names().any(|name| name == source) {
        let names: Vec<_> = profiles.names().collect();
        return Err(CliError::usage(format!("the lab has no source `{source}` yet")).hint(format!("it has {}", names.join(", "))));
    }
    let (profile, _warnings) = profiles.select(source, &|_| None)?;
    let info = lab.info();
    let jira = info.jira.as_ref().map(|url| jira::Options {
        url: url.clone(),
        token: Some(Secret::new(lab.jira_token())),
        ca_file: None,
        ca_pem: Some(info.ca_pem.clone()),
    });
    Ok(Started { kubeconfig, profile, jira, lab, _files: files })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn files_with_secrets_are_their_owners_even_over_an_older_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kubeconfig");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, "new", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_scale_is_a_number_above_zero() {
        assert_eq!(parse_scale("12.5"), Ok(12.5));
        for bad in ["0", "-1", "x", "inf", "NaN"] {
            assert!(parse_scale(bad).is_err(), "{bad}");
        }
    }
}
