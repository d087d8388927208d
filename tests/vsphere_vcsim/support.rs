//! vcsim as a child process, govc beside it, and profiles for it.

use std::{path::Path, time::Duration};

use mtv_test::{
    config::profile::{Details, Profile, VsphereProfile},
    providers::{Source, connect},
    secrets::Secret,
};
pub use mtv_testkit::vcsim::{PASSWORD, USER};

/// Longest wait of a test for something that happens beside it.
const LIMIT: Duration = Duration::from_mins(1);

/// A running vcsim.
pub struct Vcsim {
    server: mtv_testkit::Vcsim,
    /// SDK URL.
    pub url: String,
}

impl Vcsim {
    /// Starts a vcsim with plain HTTP; `None` without assets.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        let server = mtv_testkit::Vcsim::start(arguments).unwrap()?;
        Some(Self { url: server.url().to_owned(), server })
    }

    /// A folder that goes with the server.
    pub fn folder(&self) -> &Path {
        self.server.folder()
    }

    /// Runs govc and gives what it prints.
    pub fn govc(&self, arguments: &[&str]) -> String {
        self.server.govc(arguments).unwrap()
    }

    /// One property of an object, by inventory path or reference, as govc reads it.
    pub fn property(&self, object: &str, path: &str) -> String {
        self.govc(&["object.collect", "-s", object, path]).trim().to_owned()
    }

    /// Ends every session but that of the asking govc, which logs out by itself.
    pub fn end_sessions(&self) {
        let list: serde_json::Value = serde_json::from_str(&self.govc(&["session.ls", "-json"])).unwrap();
        let govc = list["currentSession"]["key"].as_str();
        let keys: Vec<&str> = list["sessionList"].as_array().unwrap().iter().filter_map(|s| s["key"].as_str()).collect();
        for key in keys.into_iter().filter(|key| Some(*key) != govc) {
            self.govc(&["session.rm", key]);
        }
    }

    /// A profile for this server.
    pub fn profile(&self) -> Profile {
        profile(&self.url)
    }

    /// A connected client.
    pub async fn connect(&self) -> Box<dyn Source> {
        connect(&self.profile()).await.unwrap()
    }
}

/// A profile for an SDK URL.
pub fn profile(url: &str) -> Profile {
    Profile {
        api_url: url.into(),
        username: USER.into(),
        password: Secret::new(PASSWORD),
        allow_plain_http: true,
        ..Profile::new("vcsim", Details::from(VsphereProfile::default()))
    }
}

/// Waits until something that happens beside the test has happened.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(LIMIT, waiting).await.is_ok(), "{what} did not happen within {LIMIT:?}");
}

/// Requests so far of one method.
pub fn count(provider: &dyn Source, method: &str) -> u64 {
    provider.requests().get(method).copied().unwrap_or_default()
}

/// All requests so far.
pub fn total(provider: &dyn Source) -> u64 {
    provider.requests().values().sum()
}
