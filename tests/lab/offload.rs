//! Copy-offload against an array that does not play along: what the populator says is what the user reads.

use crate::support::{Lab, told};

#[test]
fn a_wrong_login_of_the_array_is_told_in_its_own_words() {
    let lab = Lab::start(&[]);
    let with = |variables: &[(&str, &str)], results: &str| {
        let mut command = lab.run_into(results, &["copyoffload-thin", "--skip-data-collector"]);
        for (name, value) in variables {
            command.env(format!("COPYOFFLOAD_{name}"), value);
        }
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    // Side by side: each has a namespace and a Provider of its own.
    let cases = [
        (
            vec![("STORAGE_PASSWORD", "not-the-password"), ("DATASTORE_ID", "datastore-99")],
            vec![
                "failed in step DiskTransfer: the populator of [block-datastore] ",
                "401 Unauthorized",
                "COPYOFFLOAD_STORAGE_PASSWORD",
                "environment variable COPYOFFLOAD_DATASTORE_ID has no effect",
            ],
        ),
        (vec![("STORAGE_HOSTNAME", "array-z.lab")], vec!["lookup array-z.lab: no such host", "storage_hostname"]),
        (vec![("ONTAP_SVM", "another")], vec!["ONTAP_SVM is not one of array-a.lab", "ontap_svm"]),
        // Merged last, so that it wins over the vendor's own field.
        (vec![("STORAGE_SECRET_EXTRA", r#"{"ONTAP_SVM": "from-the-extra"}"#)], vec!["ONTAP_SVM is not one of"]),
    ];
    let running: Vec<_> = cases.iter().enumerate().map(|(n, (variables, _))| with(variables, &format!("results-{n}"))).collect();
    for (child, (variables, words)) in running.into_iter().zip(&cases) {
        let output = child.wait_with_output().unwrap();
        let text = told(&output);
        assert_eq!(output.status.code(), Some(1), "{variables:?}: {text}");
        for word in words {
            assert!(text.contains(word), "{variables:?}: `{word}` is not in {text}");
        }
        assert!(!text.contains("not-the-password"), "{text}");
    }
}

/// A profile can have another VM cloned than scenarios name: everything that is shown names the one that is cloned.
#[test]
fn the_vm_that_is_cloned_is_the_one_that_is_named() {
    let lab = Lab::start(&[]);
    let mut file: toml::Table = toml::from_str(&std::fs::read_to_string(lab.path("lab/providers.toml")).unwrap()).unwrap();
    let profile = file["provider"]["vsphere"].as_table_mut().unwrap();
    profile["copyoffload"].as_table_mut().unwrap().insert("default_vm_name".to_owned(), "mtv-tests-rhel8".into());
    std::fs::write(lab.path("lab/providers.toml"), file.to_string()).unwrap();
    let output = lab.run(&["copyoffload-thin", "--skip-data-collector"]).output().unwrap();
    let report = std::fs::read_to_string(lab.path("results/latest/junit-report.xml")).unwrap();
    assert!(report.contains("VM mtv-tests-rhel8 cloned to"), "{report}\n{}", told(&output));
    assert!(!report.contains("xcopy-template-test"), "{report}");
    let list = ["list", "copyoffload-thin", "--provider", "vsphere", "--providers", "lab/providers.toml"];
    let output = crate::support::binary().current_dir(&lab.folder).args(list).output().unwrap();
    assert!(told(&output).contains("mtv-tests-rhel8") && !told(&output).contains("xcopy-template-test"), "{}", told(&output));
}
