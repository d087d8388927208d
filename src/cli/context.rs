//! What commands work out before they do anything: the profile's kind, and whether a cluster is named.

use std::path::{Path, PathBuf};

use super::{CliError, ClusterOptions};
use crate::config::{
    profile::ProviderKind,
    profile_file::ProfileFile,
    settings_load::{Origin, Resolved},
};

/// Kind of the selected source for `list`, where everything is optional: unset without a profile, and where the profile is
/// only a default and its file is not there.
pub fn kind(resolved: &Resolved) -> Result<Option<ProviderKind>, CliError> {
    let Some(name) = &resolved.settings.source_provider else { return Ok(None) };
    let asked = matches!(resolved.origin("source_provider"), Origin::Flag(_)) || *resolved.origin("providers") != Origin::Default;
    if !asked && !resolved.settings.providers.exists() {
        return Ok(None);
    }
    Ok(Some(ProfileFile::load(&resolved.settings.providers)?.kind(name)?))
}

/// Whether any cluster is named: by option, environment, default file, or because this is a pod.
pub fn require_cluster(options: &ClusterOptions) -> Result<(), CliError> {
    let hints = |error: CliError| {
        error
            .hint("name a cluster with `--kubeconfig FILE` or KUBECONFIG, or log in so that ~/.kube/config exists")
            .hint("or add `--lab` to run against the simulated data centre that mtv-test carries")
    };
    if let Some(file) = &options.kubeconfig {
        return if file.is_file() {
            Ok(())
        } else {
            Err(hints(CliError::environment(format!("kubeconfig {} does not exist", file.display()))))
        };
    }
    let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(list) = var("KUBECONFIG") {
        let files: Vec<PathBuf> = std::env::split_paths(&list).collect();
        if files.iter().any(|file| file.is_file()) {
            return Ok(());
        }
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        return Err(hints(CliError::environment(format!("KUBECONFIG names no file that exists: {}", names.join(", ")))));
    }
    let home = var("HOME").is_some_and(|home| Path::new(&home).join(".kube/config").is_file());
    if home || var("KUBERNETES_SERVICE_HOST").is_some() {
        return Ok(());
    }
    Err(hints(CliError::environment("no cluster is configured")))
}
