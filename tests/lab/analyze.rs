//! `--analyze-with-ai` against a service that answers well, badly, or not at all.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Command, Output},
    sync::mpsc::{Receiver, channel},
    thread,
};

use serde_json::{Value, json};

use crate::support::{Lab, told};

/// What a service gets: the path, and the body.
type Asked = (String, Value);

/// A service on a port of its own that hears one request after the other; `answer` writes what it says to each.
fn service(answer: impl Fn(&str, &Value, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (send, asked) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let (mut first, mut length) = (String::new(), 0);
            reader.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            // The client may have gone, as from an endless answer.
            let _ = answer(&path, &body, &mut stream);
            if send.send((path, body)).is_err() {
                break;
            }
        }
    });
    (address, asked)
}

fn reply(stream: &mut TcpStream, status: &str, more: &str, body: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// A run that ends with an error at once: its VM does not exist.
fn missing_vm(lab: &Lab, results: &str, service: Option<&str>, arguments: &[&str]) -> Command {
    let folder = lab.path("scenarios");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("s.toml"), "[scenario.missing]\nvirtual_machines = [{ name = \"no-such-vm\" }]\n").unwrap();
    let fixed = ["missing", "--scenarios", "scenarios", "--skip-data-collector", "--analyze-with-ai"];
    let mut run = lab.run_into(results, &[&fixed, arguments].concat());
    for family in ["JJI", "ROOTCOZ"] {
        for name in ["SERVER_URL", "AI_PROVIDER", "AI_MODEL", "TIMEOUT"] {
            run.env_remove(format!("{family}_{name}"));
        }
    }
    if let Some(service) = service {
        run.env("JJI_SERVER_URL", service);
    }
    run
}

fn report(lab: &Lab, results: &str) -> String {
    fs::read_to_string(lab.path(&format!("{results}/latest/junit-report.xml"))).unwrap()
}

fn assert_unchanged(lab: &Lab, results: &str, output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(7), "{}", told(output));
    let report = report(lab, results);
    assert!(report.contains("no-such-vm") && !report.contains("analysed"), "{why}: {report}");
    assert!(told(output).contains(why), "{why} is not said: {}", told(output));
}

#[test]
fn a_failed_run_gets_its_report_explained() {
    let lab = Lab::start(&[]);
    let (address, asked) = service(|_, body, stream| {
        let raw = body["raw_xml"].as_str().unwrap_or_default();
        let enriched = raw.replacen("<testsuites ", "<testsuites analysed=\"because\" ", 1);
        reply(stream, "200 OK", "", &json!({ "enriched_xml": enriched }).to_string())
    });
    let plain = missing_vm(&lab, "plain", None, &[]).output().unwrap();
    assert_unchanged(&lab, "plain", &plain, "nothing will be sent");
    let before = fs::metadata(lab.path("plain/latest/junit-report.xml")).unwrap().permissions().mode();

    // The service from `.env`, with a login in its URL; the environment has a model.
    fs::write(lab.path(".env"), format!("export JJI_SERVER_URL=\"http://joe:canary-of-jji@{address}/base/\" # ours\n")).unwrap();
    let output = missing_vm(&lab, "one", None, &[]).env("JJI_AI_MODEL", "m").output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(!told(&output).contains("canary"), "{}", told(&output));
    assert!(told(&output).contains("sending junit-report.xml") && told(&output).contains(&address), "{}", told(&output));
    let (path, body) = asked.recv().unwrap();
    assert_eq!((path.as_str(), &body["ai_provider"], &body["ai_model"]), ("/base/analyze-failures", &json!("claude"), &json!("m")));
    assert!(body["raw_xml"].as_str().unwrap().starts_with("<?xml") && body.as_object().unwrap().len() == 3, "{body}");
    assert!(report(&lab, "one").contains("analysed=\"because\""));
    assert_eq!(fs::metadata(lab.path("one/latest/junit-report.xml")).unwrap().permissions().mode(), before);

    // The names of newer releases: nothing is sent along that is not set.
    let output = missing_vm(&lab, "two", None, &[]).env("ROOTCOZ_SERVER_URL", format!("http://{address}")).output().unwrap();
    let (path, body) = asked.recv().unwrap();
    assert_eq!((path.as_str(), body.as_object().unwrap().len()), ("/analyze-failures", 1), "{}", told(&output));

    // Without the option `.env` is not read, and nothing is sent.
    let mut quiet = lab.run_into("three", &["missing", "--scenarios", "scenarios", "--skip-data-collector"]);
    assert_eq!(quiet.output().unwrap().status.code(), Some(7));
    // Neither after a run in which nothing failed.
    let passed = lab.run_into("four", &["sanity-cold", "--skip-data-collector", "--analyze-with-ai"]).output().unwrap();
    assert_eq!(passed.status.code(), Some(0), "{}", told(&passed));
    assert!(asked.try_recv().is_err());
}

#[test]
fn whatever_goes_wrong_with_the_analysis_changes_neither_report_nor_exit_code() {
    let lab = Lab::start(&[]);
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let redirect = format!("Location: http://{}/analyze-failures\r\n", elsewhere.local_addr().unwrap());
    let (address, _asked) = service(move |path, body, stream| {
        let raw = body["raw_xml"].as_str().unwrap_or_default();
        let enriched = |xml: &str| json!({ "enriched_xml": xml }).to_string();
        let analysed = raw.replacen("<testsuites ", "<testsuites analysed=\"because\" ", 1);
        match path.trim_end_matches("/analyze-failures") {
            "/refused" => reply(stream, "500 Oops", "", "the \u{1b}[31mmodel is tired"),
            "/redirect" => reply(stream, "307 Temporary Redirect", &redirect, ""),
            "/html" => reply(stream, "200 OK", "", "<html>log in</html>"),
            "/nothing" => reply(stream, "200 OK", "", "{}"),
            "/broken" => reply(stream, "200 OK", "", &enriched(&analysed[..analysed.len() / 2])),
            "/root" => reply(stream, "200 OK", "", &enriched("<html analysed=\"because\"/>")),
            "/verdicts" => reply(stream, "200 OK", "", &enriched(&analysed.replace("<error", "<passed").replace("</error", "</passed"))),
            "/cut" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{{\"enriched"),
            "/endless" => {
                write!(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
                let piece = vec![b' '; 1 << 16];
                loop {
                    stream.write_all(&piece)?;
                }
            }
            _ => {
                // Slower than the client's patience; it ends when the client goes.
                let _ = stream.read(&mut [0]);
                Ok(())
            }
        }
    });
    for (place, why) in [
        ("refused", "answered 500"),
        ("redirect", "answered 307"),
        ("html", "is not JSON"),
        ("nothing", "has no `enriched_xml`"),
        ("broken", "is not well-formed XML"),
        ("root", "is not a JUnit report"),
        ("verdicts", "has other verdicts"),
        ("cut", "stays as it is"),
        ("endless", "is longer than"),
        ("late", "no answer within 1s"),
    ] {
        let mut run = missing_vm(&lab, place, Some(&format!("http://{address}/{place}")), &[]);
        if place == "late" {
            run.env("JJI_TIMEOUT", "1");
        }
        let output = run.output().unwrap();
        assert_unchanged(&lab, place, &output, why);
        assert!(!told(&output).contains('\u{1b}'), "{}", told(&output));
    }
    assert!(elsewhere.accept().is_err(), "the report was sent where the service redirected to");
    // Nobody listens there any more.
    let gone = elsewhere.local_addr().unwrap();
    drop(elsewhere);
    let output = missing_vm(&lab, "gone", Some(&format!("http://{gone}")), &[]).output().unwrap();
    assert_unchanged(&lab, "gone", &output, "refused");
}
