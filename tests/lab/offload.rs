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
