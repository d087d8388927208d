//! HTTP clients of sources that speak REST, as Forklift has them.

use std::time::Duration;

use anyhow::Context as _;

use super::Login;
use crate::faults::OWN_AGENT;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client that trusts what the Provider's Secret says.
pub fn client(login: &Login) -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().timeout(PATIENCE).user_agent(OWN_AGENT).no_proxy();
    let builder = match login.ca().filter(|_| !login.insecure()) {
        Some(pem) => {
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes()).context("the secret's certificate is none")?;
            builder.tls_certs_only(certificates)
        }
        None => builder.danger_accept_invalid_certs(login.insecure()),
    };
    Ok(builder.build()?)
}

/// The innermost error says most.
pub fn root(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
