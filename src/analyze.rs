//! `--analyze-with-ai`: sends the JUnit report of a failed run to an analysis service, and keeps the report that it gives back.
//!
//! It can only add to the report: whatever goes wrong, the original stays as it is, and the exit code of the run never changes.
//! The service is the one that mtv-api-tests knows: `JJI_…`, in its newest release `ROOTCOZ_…`.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use reqwest::{Client, Url, redirect};
use serde_json::{Value, json};

use crate::{
    cli::tell,
    engine::signals,
    exit::{self, ExitCode},
    providers::tls::Trust,
    secrets::{Secret, excerpt, mask},
};

/// File in the current folder whose variables count as if they were in the environment, which wins over it.
pub const DOTENV: &str = ".env";
/// Longest `.env` that is read, bytes.
const DOTENV_LIMIT: u64 = 1 << 20;

/// Longest wait for the whole answer where `…_TIMEOUT` says nothing; the default of mtv-api-tests.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest answer: the report with explanations is a multiple of the report, and a small report may get long ones.
const ANSWER_LIMIT: usize = 16 << 20;
/// As [`ANSWER_LIMIT`], times the length of the report.
const ANSWER_FACTOR: usize = 8;
/// Characters of an answer that an error shows.
const SHOWN: usize = 200;

/// Names of one family of variables.
#[derive(Debug)]
struct Family {
    server: &'static str,
    provider: &'static str,
    model: &'static str,
    timeout: &'static str,
    /// Provider and model where the variables say nothing.
    defaults: Option<(&'static str, &'static str)>,
}

/// The newest names first. The service has defaults of its own since it has these.
const FAMILIES: [Family; 2] = [
    Family {
        server: "ROOTCOZ_SERVER_URL",
        provider: "ROOTCOZ_AI_PROVIDER",
        model: "ROOTCOZ_AI_MODEL",
        timeout: "ROOTCOZ_TIMEOUT",
        defaults: None,
    },
    Family {
        server: "JJI_SERVER_URL",
        provider: "JJI_AI_PROVIDER",
        model: "JJI_AI_MODEL",
        timeout: "JJI_TIMEOUT",
        defaults: Some(("claude", "claude-opus-4-6[1m]")),
    },
];

/// Environment variables, as the tool or a test gives them.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An analysis service and how it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Where the report is posted.
    url: Url,
    /// `ai_provider` of the request.
    provider: Option<String>,
    /// `ai_model` of the request.
    model: Option<String>,
    /// Longest wait for the whole answer.
    timeout: Duration,
}

impl Service {
    /// Reads how the service is named, by the environment and by a `.env` file. None if it is not named so that it can be used;
    /// the warnings say why.
    pub fn from_surroundings(env: Env<'_>, dotenv: &Path) -> (Option<Self>, Vec<String>) {
        let mut warnings = Vec::new();
        let file = dotenv_variables(dotenv, &mut warnings);
        // An empty variable of the environment hides that of the file, and then counts as not set.
        let get = |name: &str| {
            let value = env(name).or_else(|| file.get(name).cloned());
            value.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let in_env = FAMILIES.iter().find(|family| env(family.server).is_some_and(|url| !url.trim().is_empty()));
        let family = in_env.or_else(|| FAMILIES.iter().find(|family| get(family.server).is_some()));
        let Some((family, text)) = family.and_then(|family| Some((family, get(family.server)?))) else {
            let names = FAMILIES.map(|family| family.server);
            warnings.push(format!("neither {} nor {} is set: nothing will be sent", names[1], names[0]));
            return (None, warnings);
        };
        let Some(url) = address(&text) else {
            warnings.push(format!("{} is not a URL such as https://analysis.example.com: nothing will be sent", family.server));
            return (None, warnings);
        };
        let timeout = match get(family.timeout) {
            None => TIMEOUT,
            Some(text) => match text.parse::<u64>() {
                Ok(seconds) if seconds > 0 => Duration::from_secs(seconds),
                _ => {
                    let default = TIMEOUT.as_secs();
                    warnings.push(format!("{} is not a whole number of seconds above zero: using {default}", family.timeout));
                    TIMEOUT
                }
            },
        };
        let (provider, model) = family.defaults.map_or((None, None), |(provider, model)| (Some(provider), Some(model)));
        let provider = get(family.provider).or(provider.map(str::to_owned));
        let model = get(family.model).or(model.map(str::to_owned));
        (Some(Self { url, provider, model, timeout }), warnings)
    }

    /// Analyses the report of a run that ended so. Prints what is sent where, and what became of it.
    pub async fn after_run(&self, junit: &Path, copy: Option<&Path>, exit: ExitCode) {
        if exit == exit::INTERRUPTED {
            say("the run was interrupted: nothing is sent");
            return;
        }
        let raw = match fs::read_to_string(junit) {
            Ok(raw) => raw,
            Err(error) => {
                say(&format!("cannot read {}: {error}: nothing is sent", junit.display()));
                return;
            }
        };
        match tally(&raw) {
            Ok(tally) if tally.failures + tally.errors == 0 => return,
            Ok(_) => {}
            Err(why) => {
                say(&format!("{} {why}: nothing is sent", junit.display()));
                return;
            }
        }
        say(&self.announcement(raw.len()));
        let analysed = tokio::select! {
            analysed = tokio::time::timeout(self.timeout, self.ask(&raw)) => {
                analysed.unwrap_or_else(|_| Err(format!("no answer within {}s", self.timeout.as_secs())))
            }
            () = interrupted() => Err("interrupted".to_owned()),
        };
        let write = |enriched: &str| {
            let mut all = std::iter::once(junit).chain(copy);
            all.try_for_each(|path| replace(path, enriched).map_err(|e| format!("cannot write {}: {e}", path.display())))
        };
        match analysed.and_then(|enriched| write(&enriched)) {
            Ok(()) => tell(&format!("{} now holds the analysis", junit.display())),
            Err(why) => say(&format!("{why}; {} stays as it is", junit.display())),
        }
    }

    /// What is about to leave this machine.
    fn announcement(&self, bytes: usize) -> String {
        let kib = bytes.div_ceil(1024);
        let with: Vec<String> = [("provider", &self.provider), ("model", &self.model)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", value.as_ref()?)))
            .collect();
        let with = if with.is_empty() { String::new() } else { format!(", {}", with.join(", ")) };
        let plain = if self.url.scheme() == "http" { ", unencrypted" } else { "" };
        format!(
            "sending junit-report.xml ({kib} KiB: names of VMs, hosts and objects, failures and excerpts of logs; known secrets are \
             masked) to {}{with}{plain}",
            shown(&self.url)
        )
    }

    /// Posts the report and gives back the enriched one, which has been checked.
    async fn ask(&self, raw: &str) -> Result<String, String> {
        let client = self.client()?;
        let mut body = json!({ "raw_xml": raw });
        for (key, value) in [("ai_provider", &self.provider), ("ai_model", &self.model)] {
            if let Some(value) = value {
                body[key] = Value::from(value.as_str());
            }
        }
        let place = shown(&self.url);
        let failed = |error: reqwest::Error| format!("{place}: {}", reason(&error.without_url()));
        let mut answer = client.post(self.url.clone()).json(&body).send().await.map_err(failed)?;
        let status = answer.status();
        let limit = ANSWER_LIMIT.saturating_add(raw.len().saturating_mul(ANSWER_FACTOR));
        let mut bytes = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if bytes.len() + piece.len() > limit {
                return Err(format!("{place}: the answer is longer than {} MiB", limit >> 20));
            }
            bytes.extend_from_slice(&piece);
        }
        if !status.is_success() {
            let said = excerpt(&String::from_utf8_lossy(&bytes), SHOWN).replace(char::is_control, " ");
            let said = if said.trim().is_empty() { String::new() } else { format!(": {}", said.trim()) };
            return Err(format!("{place} answered {status}{said}"));
        }
        let answer: Value = serde_json::from_slice(&bytes).map_err(|_| format!("{place}: the answer is not JSON"))?;
        let Some(enriched) = answer["enriched_xml"].as_str().filter(|text| !text.trim().is_empty()) else {
            return Err(format!("{place}: the answer has no `enriched_xml`"));
        };
        same_run(raw, enriched).map_err(|why| format!("{place}: `enriched_xml` {why}"))?;
        Ok(enriched.to_owned())
    }

    /// A client that verifies TLS and follows no redirect: the report goes to the place that was named and to no other.
    fn client(&self) -> Result<Client, String> {
        let trust = Trust::beside_the_systems(None, None).and_then(|trust| trust.client_config());
        let mut builder = Client::builder()
            .tls_backend_preconfigured(trust.map_err(|error| error.to_string())?)
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(concat!("mtv-test/", env!("CARGO_PKG_VERSION")));
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()) {
            // A proxy of the environment is for other hosts.
            builder = builder.no_proxy();
        }
        builder.build().map_err(|error| format!("cannot prepare the connection: {}", reason(&error)))
    }
}

/// A line on stderr about the analysis.
fn say(text: &str) {
    tell(&mask(&format!("warning: --analyze-with-ai: {text}")));
}

/// The next interrupt. The engine has ended by now and hears none.
async fn interrupted() {
    if let Ok(mut interrupts) = signals::from_system()
        && interrupts.recv().await.is_some()
    {
        return;
    }
    std::future::pending::<()>().await;
}

/// Where the report is posted below the URL of a server.
fn address(server: &str) -> Option<Url> {
    let mut url = Url::parse(server).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())?;
    if let Some(password) = url.password() {
        // Masked as it is written and as it is meant.
        Secret::new(password);
    }
    url.set_query(None);
    url.set_fragment(None);
    let path = format!("{}/analyze-failures", url.path().trim_end_matches('/'));
    url.set_path(&path);
    Some(url)
}

/// A URL without the login that it may hold.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

/// The innermost error's text: "connection refused" says more than "error sending request".
fn reason(error: &reqwest::Error) -> String {
    let mut error: &dyn std::error::Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// What a JUnit report counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    cases: usize,
    failures: usize,
    errors: usize,
    skipped: usize,
}

/// Counts the cases of a report, by their verdicts. The error is a fragment.
fn tally(xml: &str) -> Result<Tally, String> {
    let document = roxmltree::Document::parse(xml).map_err(|_| "is not well-formed XML".to_owned())?;
    let count = |name: &str| document.descendants().filter(|node| node.has_tag_name(name)).count();
    Ok(Tally { cases: count("testcase"), failures: count("failure"), errors: count("error"), skipped: count("skipped") })
}

/// Whether an enriched report is of the same run: the same root and the same verdicts. The error is a fragment.
fn same_run(raw: &str, enriched: &str) -> Result<(), String> {
    let root = |xml: &str| roxmltree::Document::parse(xml).map(|document| document.root_element().tag_name().name().to_owned()).ok();
    let (before, after) = (tally(raw)?, tally(enriched)?);
    if root(raw) != root(enriched) {
        return Err("is not a JUnit report".to_owned());
    }
    if before != after {
        return Err(format!(
            "has other verdicts: {} cases with {} failures, {} errors and {} skipped, where the run had {}, {}, {} and {}",
            after.cases, after.failures, after.errors, after.skipped, before.cases, before.failures, before.errors, before.skipped
        ));
    }
    Ok(())
}

/// Replaces a file as a whole, with the rights of the old one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let rights = fs::metadata(path)?.permissions();
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    // The report itself was masked; what comes back may quote what the service knows from elsewhere.
    file.write_all(mask(text).as_bytes())?;
    file.as_file().sync_all()?;
    // Some file systems have no rights.
    let _ = file.as_file().set_permissions(rights);
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Variables of a `.env` file; none if it does not exist.
fn dotenv_variables(path: &Path, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let unreadable = |why: String| format!("cannot read {}: {why}", path.display());
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
        Err(error) => warnings.push(unreadable(error.to_string())),
        // A FIFO or a device would keep the run waiting.
        Ok(meta) if !meta.is_file() || meta.len() > DOTENV_LIMIT => {
            warnings.push(unreadable("it is not a small regular file".to_owned()));
        }
        Ok(_) => match fs::read_to_string(path) {
            Ok(text) => {
                let (variables, bad) = dotenv(&text);
                // The line itself may hold a secret.
                warnings.extend(bad.into_iter().map(|line| format!("{}:{line} is not KEY=VALUE and is ignored", path.display())));
                return variables;
            }
            Err(error) => warnings.push(unreadable(error.to_string())),
        },
    }
    BTreeMap::new()
}

/// Reads `KEY=VALUE` lines as python-dotenv does: `export` in front, comments, single quotes as they are, double quotes with escapes.
/// Returns the variables, later ones winning, and the numbers of the lines that are none.
fn dotenv(text: &str) -> (BTreeMap<String, String>, Vec<usize>) {
    let (mut variables, mut bad) = (BTreeMap::new(), Vec::new());
    for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export").filter(|rest| rest.starts_with(char::is_whitespace)).map_or(line, str::trim_start);
        let variable = line.split_once('=').and_then(|(key, value)| {
            let key = key.trim();
            let good = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.is_empty();
            Some((key.to_owned(), dotenv_value(value.trim())?)).filter(|_| good)
        });
        match variable {
            Some((key, value)) => {
                variables.insert(key, value);
            }
            None => bad.push(number),
        }
    }
    (variables, bad)
}

/// A value of `.env` without its quotes and the comment behind it; none if the quote has no end.
fn dotenv_value(text: &str) -> Option<String> {
    let only_comment = |rest: &str| rest.trim_start().is_empty() || rest.trim_start().starts_with('#');
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, rest) = rest.split_once('\'')?;
        return only_comment(rest).then(|| value.to_owned());
    }
    if let Some(rest) = text.strip_prefix('"') {
        let mut value = String::new();
        let mut chars = rest.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    'n' => value.push('\n'),
                    't' => value.push('\t'),
                    'r' => value.push('\r'),
                    other => value.push(other),
                },
                other => value.push(other),
            }
        }
        return only_comment(chars.as_str()).then_some(value);
    }
    let end = text.char_indices().find(|(at, c)| *c == '#' && (*at == 0 || text[..*at].ends_with(char::is_whitespace)));
    Some(end.map_or(text, |(at, _)| &text[..at]).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(env: &[(&str, &str)], file: &str) -> (Option<Service>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(DOTENV);
        fs::write(&path, file).unwrap();
        let get = |name: &str| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Service::from_surroundings(&get, &path)
    }

    /// Environment, file; then URL, provider and model, timeout, number of warnings.
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str, Option<(&'a str, &'a str)>, u64, usize);

    #[test]
    fn the_service_is_named_by_environment_and_file() {
        let claude = Some(("claude", "claude-opus-4-6[1m]"));
        let own = Some(("p", "m"));
        let cases: &[Case<'_>] = &[
            (&[("JJI_SERVER_URL", "https://h")], "", "https://h/analyze-failures", claude, 600, 0),
            (&[("JJI_SERVER_URL", "http://h:80/base/")], "", "http://h/base/analyze-failures", claude, 600, 0),
            (&[], "export JJI_SERVER_URL='https://f' # comment\nJJI_TIMEOUT=30\n", "https://f/analyze-failures", claude, 30, 0),
            (&[("JJI_SERVER_URL", "https://e")], "JJI_SERVER_URL=https://f\n", "https://e/analyze-failures", claude, 600, 0),
            (&[("JJI_SERVER_URL", "https://e")], "ROOTCOZ_SERVER_URL=https://f\n", "https://e/analyze-failures", claude, 600, 0),
            (&[("ROOTCOZ_SERVER_URL", "https://r"), ("JJI_SERVER_URL", "https://e")], "", "https://r/analyze-failures", None, 600, 0),
            (
                &[("JJI_SERVER_URL", "https://h"), ("JJI_AI_PROVIDER", "p"), ("JJI_AI_MODEL", "m")],
                "",
                "https://h/analyze-failures",
                own,
                600,
                0,
            ),
            (
                &[("ROOTCOZ_SERVER_URL", "https://h"), ("ROOTCOZ_AI_PROVIDER", "p"), ("ROOTCOZ_AI_MODEL", "m")],
                "",
                "https://h/analyze-failures",
                own,
                600,
                0,
            ),
            (&[("JJI_SERVER_URL", "https://h"), ("JJI_AI_MODEL", "")], "JJI_AI_MODEL=x", "https://h/analyze-failures", claude, 600, 0),
            (&[("JJI_SERVER_URL", "https://h"), ("JJI_TIMEOUT", "soon")], "", "https://h/analyze-failures", claude, 600, 1),
            (&[("JJI_SERVER_URL", "https://h"), ("JJI_TIMEOUT", "0")], "", "https://h/analyze-failures", claude, 600, 1),
            (&[("JJI_SERVER_URL", "https://h")], "what is this\n", "https://h/analyze-failures", claude, 600, 1),
        ];
        for (env, file, url, ai, timeout, warnings) in cases {
            let (found, told) = service(env, file);
            let found = found.unwrap();
            assert_eq!(
                (found.url.as_str(), found.timeout.as_secs(), told.len()),
                (*url, *timeout, *warnings),
                "{env:?} {file:?}: {told:?}"
            );
            assert_eq!(found.provider.as_deref().zip(found.model.as_deref()), *ai, "{env:?}");
        }
        for (env, file) in [
            (&[][..], ""),
            (&[("JJI_SERVER_URL", " ")], ""),
            (&[("JJI_SERVER_URL", "")], "JJI_SERVER_URL=https://hidden"),
            (&[("JJI_SERVER_URL", "analysis.example.com")], ""),
            (&[("JJI_SERVER_URL", "ftp://h")], ""),
        ] {
            let (found, told) = service(env, file);
            assert!(found.is_none() && told.last().unwrap().contains("nothing will be sent"), "{env:?}: {told:?}");
        }
    }

    #[test]
    fn a_login_in_the_url_is_used_but_not_shown() {
        let (found, _) = service(&[("JJI_SERVER_URL", "https://joe:canary-of-jji@h/x?key=canary")], "");
        let found = found.unwrap();
        assert_eq!(found.url.password(), Some("canary-of-jji"));
        assert!(!found.announcement(10).contains("canary"), "{}", found.announcement(10));
    }

    #[test]
    fn dotenv_is_read_as_python_does() {
        for (line, value) in [
            ("A=b", Some("b")),
            (" export A = b # c", Some("b")),
            ("A=b#c", Some("b#c")),
            ("A=", Some("")),
            ("A='b # \\n'", Some("b # \\n")),
            ("A=\"b\\n\\\"c\\\" # d\" # e", Some("b\n\"c\" # d")),
            ("A='b", None),
            ("A=\"b\" c", None),
            ("A B=c", None),
            ("exportA=b", None),
            ("=b", None),
            ("A", None),
        ] {
            let (variables, bad) = dotenv(line);
            assert_eq!(
                (variables.get("A").map(String::as_str), bad.len()),
                (value, usize::from(value.is_none() && line != "exportA=b")),
                "{line}"
            );
        }
        assert_eq!(dotenv("\u{feff}A=1\n# B=2\n\nA=3\nnonsense\n"), (BTreeMap::from([("A".into(), "3".into())]), vec![5]));
    }

    #[test]
    fn an_enriched_report_keeps_root_and_verdicts() {
        let raw = "<testsuites><testsuite><testcase name='a'><failure/></testcase><testcase name='b'/></testsuite></testsuites>";
        for (enriched, why) in [
            (raw.replace("<testsuite>", "<testsuite analysed='yes'>"), None),
            (raw.replace("<failure/>", "<failure/><system-out>because</system-out>"), None),
            (raw.replace("<failure/>", ""), Some("other verdicts")),
            (raw.replace("<testcase name='b'/>", ""), Some("other verdicts")),
            (raw.replace("testsuites", "html"), Some("not a JUnit report")),
            (raw.replace("</testsuites>", ""), Some("not well-formed")),
            (format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{raw}"), Some("not well-formed")),
        ] {
            let judged = same_run(raw, &enriched);
            assert_eq!(judged.is_ok(), why.is_none(), "{enriched}: {judged:?}");
            assert!(why.is_none_or(|why| judged.unwrap_err().contains(why)), "{enriched}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "\\PC{0,80}", quoted in "[A-Z=\"'#\\\\n ]{0,40}") {
            dotenv(&text);
            dotenv(&quoted);
            let _ = tally(&text);
        }
    }
}
