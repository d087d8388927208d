//! Name templates, judged by Go: `templates.json` is what Go's text/template makes of `tests/servers/templates/cases.txt` with
//! the functions that Forklift offers. Texts of errors must be the same, too: they stand in a Plan's conditions.

#![expect(clippy::unwrap_used, reason = "a step that fails ends the test")]

use std::{
    fs::File,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use mtv_api::template::{DiskData, TemplateError, label, pvc_data, render};
use mtv_testkit::{assets, cases, suite::Suite};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    template: String,
    #[serde(default)]
    output: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    label: bool,
}

fn templates_come_out_as_go_fills_them_in() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("templates.json")).unwrap();
    assert!(cases.len() >= 200, "only {} cases", cases.len());
    let disk = DiskData {
        vm: "Web_Server 01".into(),
        target: "web-server-01".into(),
        plan: "a-rather-long-plan-name".into(),
        vm_id: "vm-1042".into(),
        index: 1,
        root: 0,
        shared: true,
        file: "Web_Server 01_1.vmdk".into(),
        drive: "c".into(),
        source_claim: None,
    };
    let mut wrong = Vec::new();
    for case in &cases {
        let (actual, error) = match render(&case.template, pvc_data(&disk)) {
            Ok(output) => (output, String::new()),
            Err(TemplateError::Syntax(error) | TemplateError::Execution(error)) => (String::new(), format!("template: {error}")),
            Err(other) => (String::new(), other.to_string()),
        };
        if actual != case.output || error != case.error {
            wrong.push(format!("{}\n   Go:   {}{}\n   here: {actual}{error}", case.template, case.output, case.error));
        } else if label(&case.template, pvc_data(&disk)).is_ok() != case.label {
            wrong.push(format!("{}: a label for Go: {}", case.template, case.label));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn the_table_is_what_go_says_now() {
    let Some(judge) = mtv_testkit::assets::find("templates") else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = File::open(folder.join("../tests/servers/templates/cases.txt")).unwrap();
    let out = Command::new(judge).stdin(Stdio::from(cases)).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let table = std::fs::read(folder.join("tests/templates.json")).unwrap();
    assert!(out.stdout == table, "api/tests/templates.json is stale: run the Go program of tests/servers/templates again");
}

fn main() -> ExitCode {
    Suite::new()
        .with(None, cases![templates_come_out_as_go_fills_them_in])
        .with(assets::missing(&["templates"]), cases![the_table_is_what_go_says_now])
        .run()
}
