//! Sources: at the login, and after it.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::json;

use crate::{
    bed::{Bed, Case, PASSWORD, judge, mtv_test, profile, side_by_side, told},
    good,
    lab::Lab,
    server::{Answer, Asked, Bad, Server},
};

const KINDS: [&str; 3] = ["vsphere", "ovirt", "openstack"];

/// `clean --orphans` with a source, which is searched for what carries the mark of a run.
fn search(bed: &Bed, lab: &Lab, name: &str, kind: &str, server: &Server, more: &[&str]) -> std::process::Output {
    let place = bed.place(name);
    fs::write(place.join("providers.toml"), profile(kind, server.address)).unwrap();
    let mut command = mtv_test(&place);
    command.args(["clean", "--orphans", "--provider", "p", "--providers", "providers.toml", "--kubeconfig", &lab.kubeconfig()]);
    command.args(more).output().unwrap()
}

/// The beginning of a conversation that goes well.
fn good(kind: &str, asked: &Asked) -> Option<Answer> {
    match kind {
        "vsphere" => good::vcenter(asked, 1),
        "ovirt" => good::engine(asked),
        _ => good::cloud(asked),
    }
}

#[test]
fn a_source_that_misbehaves_is_an_error_and_learns_nothing() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let mut cases: Vec<Case<'_>> = Vec::new();
    for kind in KINDS {
        for (number, bad) in bed.all().into_iter().enumerate() {
            let name = format!("{kind}-login-{number}");
            let case = move || {
                let (answer, address) = (bad.clone(), move |server: &Server| server.address.to_string());
                let server = Server::start(Some(bed.tls()), move |_| Answer::Bad(answer.clone()));
                let output = search(bed, lab, &name, kind, &server, &[]);
                judge(&output, &[&address(&server)]).map_err(|why| format!("{bad:?}: {why}"))
            };
            cases.push((format!("{kind} at the login"), Box::new(case)));
        }
        let after = [Bad::Endless, Bad::Values, Bad::Huge].into_iter().chain(bed.elsewhere());
        for (number, bad) in after.enumerate() {
            let name = format!("{kind}-after-{number}");
            let case = move || {
                let answer = bad.clone();
                let script = move |asked: &Asked| good(kind, asked).unwrap_or_else(|| Answer::Bad(answer.clone()));
                let server = Server::start(Some(bed.tls()), script);
                let output = search(bed, lab, &name, kind, &server, &[]);
                let address = server.address.to_string();
                judge(&output, &[&address]).map_err(|why| format!("{bad:?}: {why}"))
            };
            cases.push((format!("{kind} after the login"), Box::new(case)));
        }
        // What may be a trouble of the moment is asked again for longer than this test waits.
        for (number, bad) in [Bad::Empty, Bad::Braces, Bad::Html, Bad::WrongType, Bad::ProxyNotFound].into_iter().enumerate() {
            let name = format!("{kind}-garbled-{number}");
            let case = move || {
                let answer = bad.clone();
                // Nothing answers for the engine any more when the lists come.
                let logged_in = AtomicUsize::new(0);
                let script = move |asked: &Asked| match good(kind, asked) {
                    Some(answer) if kind != "ovirt" || logged_in.fetch_add(1, Ordering::Relaxed) < 2 => answer,
                    _ => Answer::Bad(answer.clone()),
                };
                let server = Server::start(Some(bed.tls()), script);
                let output = search(bed, lab, &name, kind, &server, &["--timeout", "5s"]);
                judge(&output, &[]).map_err(|why| format!("{bad:?}: {why}"))
            };
            cases.push((format!("{kind} with a garbled list"), Box::new(case)));
        }
    }
    side_by_side(cases);
    assert!(bed.trapped().is_empty(), "a redirect was followed: {:?}", bed.trapped());
}

/// The engine writes an empty list as `{}`: it is believed as long as the engine itself answers.
#[test]
fn an_empty_list_of_an_engine_is_believed() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let script = |asked: &Asked| good::engine(asked).unwrap_or_else(|| Answer::json("{}"));
    let server = Server::start(Some(bed.tls()), script);
    let output = search(bed, lab, "ovirt-empty", "ovirt", &server, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert!(told(&output).contains("nothing is left"), "{}", told(&output));
}

#[test]
fn words_of_a_source_are_masked_before_they_are_cut() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let mut cases: Vec<Case<'_>> = Vec::new();
    for kind in KINDS {
        // So that each place at which a text may be cut lies within the password once.
        for before in [180, 280, 980] {
            let name = format!("{kind}-words-{before}");
            cases.push((
                name.clone(),
                Box::new(move || {
                    let words = json!([format!("{}{PASSWORD}", "w".repeat(before))]).to_string();
                    let server = Server::start(Some(bed.tls()), move |_| Answer::Bad(Bad::Words(words.clone())));
                    let output = search(bed, lab, &name, kind, &server, &[]);
                    let mut parts = (8..PASSWORD.len()).map(|end| &PASSWORD[..end]);
                    let told = told(&output);
                    match parts.rfind(|part| told.contains(part)) {
                        Some(part) => Err(format!("`{part}` is shown: {told}")),
                        None => judge(&output, &["503"]),
                    }
                }),
            ));
        }
    }
    side_by_side(cases);
}

/// What a property collector answers with: a virtual machine, and where the next page is.
fn page(method: &str, vm: &str, token: Option<&str>) -> Answer {
    let token = token.map(|token| format!("<token>{token}</token>")).unwrap_or_default();
    good::response(
        method,
        &format!(
            r#"<returnval>{token}<objects><obj type="VirtualMachine">{vm}</obj><propSet><name>name</name><val xsi:type="xsd:string">{vm}</val></propSet></objects></returnval>"#
        ),
    )
}

/// Pages belong to the session that began them: one that ends in their middle is followed by the whole in a new one.
#[test]
fn pages_begin_anew_in_a_new_session() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let sessions = AtomicUsize::new(0);
    let server = Server::start(Some(bed.tls()), move |asked| {
        let method = good::method(asked);
        if method == "Login" {
            sessions.fetch_add(1, Ordering::Relaxed);
        }
        let session = sessions.load(Ordering::Relaxed);
        if let Some(answer) = good::vcenter(asked, session) {
            return answer;
        }
        // The view of another session is as unknown as its token.
        let own = asked.body.contains(&format!(">view-{session}<")) || asked.body.contains(&format!(">token-{session}<"));
        match (method, session) {
            ("ContinueRetrievePropertiesEx", 1) => good::fault("NotAuthenticated"),
            // And twice in a row.
            ("RetrievePropertiesEx", 2) => good::fault("NotAuthenticated"),
            ("RetrievePropertiesEx", _) if own => page(method, "vm-1", Some(&format!("token-{session}"))),
            ("ContinueRetrievePropertiesEx", _) if own => page(method, "vm-2", None),
            _ => good::fault("InvalidArgument"),
        }
    });
    let output = search(bed, lab, "pages", "vsphere", &server, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    let methods: Vec<String> = server.asked().iter().map(|asked| good::method(asked).to_owned()).collect();
    assert_eq!(methods.iter().filter(|method| *method == "Login").count(), 3, "{methods:?}");
    assert_eq!(methods.iter().filter(|method| *method == "ContinueRetrievePropertiesEx").count(), 2, "{methods:?}");
}

/// A vCenter that takes no session at all is not asked for ever.
#[test]
fn a_vcenter_without_sessions_is_an_error() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let server = Server::start(Some(bed.tls()), |asked| good::vcenter(asked, 1).unwrap_or_else(|| good::fault("NotAuthenticated")));
    let output = search(bed, lab, "no-session", "vsphere", &server, &[]);
    judge(&output, &["session"]).unwrap();
}

#[test]
fn plain_http_is_refused_unless_it_is_allowed_and_then_reported() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    for kind in KINDS {
        let server = Server::start(None, move |asked| good(kind, asked).unwrap_or_else(|| Answer::json("{}")));
        let place = bed.place(&format!("{kind}-plain"));
        let text = profile(kind, server.address).replace("https://", "http://");
        let run = |profile: &str| {
            fs::write(place.join("providers.toml"), profile).unwrap();
            let mut command = mtv_test(&place);
            command.args(["run", "sanity-cold", "--provider", "p", "--providers", "providers.toml", "--kubeconfig", &lab.kubeconfig()]);
            command.args(["--results-dir", "results", "--set", "provider_ready_timeout=2s", "--skip-data-collector"]);
            command.output().unwrap()
        };
        let output = run(&text);
        judge(&output, &["is not https", "allow_plain_http"]).unwrap();
        assert!(server.asked().is_empty(), "{kind}: {:?}", server.asked());
        if kind == "openstack" {
            // It is all https but what its catalogue names.
            let tls = Server::start(Some(bed.tls()), |asked| match good::cloud(asked) {
                Some(Answer::Good(status, headers, body)) => Answer::Good(status, headers, body.replace("https://", "http://")),
                _ => Answer::json(json!({"servers": []})),
            });
            let output = run(&profile(kind, tls.address));
            judge(&output, &["compute endpoint", "is not https", "allow_plain_http"]).unwrap();
            assert!(tls.asked().iter().all(|asked| asked.path.contains("tokens")), "{:?}", tls.asked());
        }
        if kind == "vsphere" {
            let output = run(&format!("{text}allow_plain_http = true\n"));
            judge(&output, &["without TLS, by the user's own choice", "allow_plain_http of profile `p`"]).unwrap();
            assert!(server.asked().iter().any(|asked| asked.body.contains(PASSWORD)));
            let junit = fs::read_to_string(place.join("results/latest/junit-report.xml")).unwrap();
            assert!(
                junit.contains(&format!("name=\"tls_unverified\" value=\"without TLS: source http://{}/sdk", server.address)),
                "{junit}"
            );
            assert!(junit.contains("name=\"source_tls_verified\" value=\"false\""), "{junit}");
        }
    }
}

/// What never ends is ended by who waits for it.
#[test]
fn an_interrupt_ends_the_wait_for_an_answer_that_never_ends() {
    let (bed, lab) = (&Bed::new(), &Lab::start());
    let mut cases: Vec<Case<'_>> = Vec::new();
    for kind in KINDS {
        for bad in [Bad::Informational, Bad::Drip] {
            let name = format!("{kind}-{bad:?}");
            cases.push((
                name.clone(),
                Box::new(move || {
                    let server = Server::start(Some(bed.tls()), move |_| Answer::Bad(bad.clone()));
                    let place = bed.place(&name);
                    fs::write(place.join("providers.toml"), profile(kind, server.address)).unwrap();
                    let mut command = mtv_test(&place);
                    command.args(["run", "sanity-cold", "--provider", "p", "--providers", "providers.toml"]);
                    command.args(["--kubeconfig", &lab.kubeconfig(), "--results-dir", "results", "--skip-data-collector"]);
                    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
                    let child = command.spawn().unwrap();
                    server.wait();
                    // `timeout` hands it on.
                    assert!(std::process::Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
                    let output = child.wait_with_output().unwrap();
                    judge(&output, &[])?;
                    if output.status.code() == Some(2) { Ok(()) } else { Err(told(&output)) }
                }),
            ));
        }
    }
    side_by_side(cases);
}
