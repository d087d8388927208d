//! Files that name what is not the run's.

use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::json;

use crate::{
    bed::{clean, clean_with, cluster_id, everything, one_of_every_kind, text},
    craft::{Crafted, RUN, object, patch},
    support::{Lab, told},
};

/// Kinds that a lab serves and has a victim of, at least.
const KINDS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_goes_or_changes_on_the_word_of_a_file() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let client = lab.client().await;
    let id = cluster_id(&client).await;
    crate::bed::make(&client, &mtv_api::kinds::NAMESPACE, None, "victim", json!({})).await;
    one_of_every_kind(&client, "victim", "theirs").await;
    let before = everything(&client).await;
    let kinds: std::collections::BTreeSet<_> = before.values().map(|victim| (&victim.api_version, &victim.kind)).collect();
    assert!(kinds.len() >= KINDS, "only {} kinds have a victim: {kinds:?}", kinds.len());

    // Each object once by its right UID and once as something that may have been made; and changes of everything that it has.
    let mut objects = Crafted::new(RUN, Some(&id));
    let mut patches = Crafted::new(RUN, Some(&id));
    for victim in before.values() {
        let place = (victim.namespace.as_str(), victim.name.as_str());
        let entry = object(&victim.api_version, &victim.kind, place.0, place.1);
        objects.created(&entry, &victim.uid);
        objects.intent(&entry);
        let fields = victim.content.as_object().unwrap();
        for (field, value) in fields.iter().filter(|(field, _)| *field != "metadata") {
            patches.created(&patch(&victim.api_version, &victim.kind, place, &format!("/{field}"), Some(json!({"evil": "x"})), value), "");
            for (key, value) in value.as_object().into_iter().flatten() {
                let pointer = format!("/{field}/{}", key.replace('~', "~0").replace('/', "~1"));
                patches.created(&patch(&victim.api_version, &victim.kind, place, &pointer, Some(json!("evil")), value), "");
            }
        }
        for (key, value) in victim.content["metadata"]["labels"].as_object().into_iter().flatten() {
            let pointer = format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1"));
            patches.created(&patch(&victim.api_version, &victim.kind, place, &pointer, None, value), &victim.uid);
        }
    }
    // The settings that runs do change: the file says what the value is to become, and no hold is on the object.
    for (kind, place, field) in [
        ("ForkliftController", ("openshift-mtv", "forklift-controller"), "/spec/controller_precopy_interval"),
        ("StorageProfile", ("", "lab-file"), "/spec/claimPropertySets"),
        ("Node", ("", "worker-0"), "/metadata/labels/kubernetes.io~1os"),
    ] {
        let api = match kind {
            "Node" => "v1",
            "StorageProfile" => "cdi.kubevirt.io/v1beta1",
            _ => "forklift.konveyor.io/v1beta1",
        };
        let now = before.get(&format!("{api} {kind} {}/{}", place.0, place.1)).map(|victim| &victim.content);
        let value = now.and_then(|content| content.pointer(field)).cloned().unwrap_or_default();
        patches.created(&patch(api, kind, place, field, Some(json!(1)), &value), "");
    }
    for (name, journal) in [("objects.json", &objects), ("patches.json", &patches)] {
        journal.write(&lab.path(name));
        let dry = clean(&lab, &[name, "--dry-run"]);
        let printed = String::from_utf8_lossy(&dry.stdout);
        for verb in ["would delete", "would restore", "would cancel", "would archive"] {
            assert!(!printed.contains(verb), "{name}: {verb}: {}", told(&dry));
        }
        for _ in 0..2 {
            let done = clean(&lab, &[name]);
            assert_eq!(done.status.code(), Some(8), "{name}: {}", told(&done));
            for word in ["left alone", "runs create no objects of kind Node", "it is a namespace of the cluster itself"] {
                assert!(name == "patches.json" || told(&done).contains(word), "{name}: {word}: {}", told(&done));
            }
            assert!(!told(&done).contains("deleted ") && !told(&done).contains("restored "), "{name}: {}", told(&done));
        }
    }
    let after = everything(&client).await;
    for (name, victim) in &before {
        // What controllers of the lab remake by themselves is theirs.
        assert_eq!(after.get(name), Some(victim), "{name}");
    }
    println!("{} objects of {} kinds, {} records and changes: all as they were", before.len(), kinds.len(), before.len() * 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_say_which_run_and_cluster_it_is_of_is_refused() {
    let lab = Lab::start(&["--time-scale", "200"]);
    let client = lab.client().await;
    let id = cluster_id(&client).await;
    crate::bed::make(&client, &mtv_api::kinds::NAMESPACE, None, "mtv-test-abcdefghij", json!({})).await;
    let entry = object("v1", "Namespace", "", "mtv-test-abcdefghij");
    for (run, cluster, word, code) in [
        (RUN, None, "does not say which cluster", 4),
        (RUN, Some("00000000-0000-0000-0000-000000000000"), "is another one", 7),
        ("", Some(id.as_str()), "is not the ID of a run", 4),
        ("system", Some(id.as_str()), "is not the ID of a run", 4),
        ("x\u{1b}[2J", Some(id.as_str()), "is not the ID of a run", 4),
    ] {
        let mut journal = Crafted::new(run, cluster);
        journal.created(&entry, "any");
        journal.write(&lab.path("crafted.json"));
        for options in [&["crafted.json"][..], &["crafted.json", "--dry-run"]] {
            let refused = clean(&lab, options);
            assert_eq!(refused.status.code(), Some(code), "{run:?}: {}", told(&refused));
            assert!(told(&refused).contains(word), "{run:?}: {}", told(&refused));
            assert!(!told(&refused).contains('\u{1b}'), "{run:?}");
        }
    }
    // A namespace with a name of the run's that does not carry its label is somebody's.
    let mut journal = Crafted::new(RUN, Some(&id));
    journal.created(&entry, everything(&client).await["v1 Namespace /mtv-test-abcdefghij"].uid.as_str());
    journal.write(&lab.path("crafted.json"));
    let kept = clean(&lab, &["crafted.json"]);
    assert_eq!(kept.status.code(), Some(8), "{}", told(&kept));
    assert!(told(&kept).contains("does not carry the label of run abcdefghij; it was left alone"), "{}", told(&kept));
}

/// A server that counts who comes.
fn sink() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let came = Arc::new(AtomicUsize::new(0));
    let counter = came.clone();
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, came)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_profile_is_read_from_a_place_that_a_file_names() {
    use std::os::unix::fs::PermissionsExt as _;
    let lab = Lab::start(&["--time-scale", "200"]);
    let id = cluster_id(&lab.client().await).await;
    let (port, came) = sink();
    let secret = lab.path("id_rsa");
    fs::write(&secret, "PRIVATE-KEY-OF-SOMEBODY\n").unwrap();
    let profile = format!(
        "[provider.cloud]\ntype = \"openstack\"\napi_url = \"http://127.0.0.1:{port}/v3\"\nusername = \"u\"\npassword_file = \"{}\"\n\
         project_name = \"p\"\nuser_domain_name = \"d\"\n",
        secret.display()
    );
    fs::create_dir(lab.path("artifact")).unwrap();
    for (path, mode) in [("artifact/evil.toml", 0o600), ("id_rsa", 0o600)] {
        if path != "id_rsa" {
            fs::write(lab.path(path), &profile).unwrap();
        }
        fs::set_permissions(lab.path(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let clone = json!({"type": "clone", "profile": "cloud", "provider": "openstack", "name": "mtv-test-abcdefghij-x-0-0"});
    let endpoint = format!("http://127.0.0.1:{port}/v3");
    let profiles = json!([{"name": "cloud", "kind": "openstack", "endpoint": endpoint}]);
    for file in [text(&lab.path("artifact/evil.toml")).to_owned(), "artifact/evil.toml".to_owned(), "evil.toml".to_owned()] {
        let mut journal = Crafted::new(RUN, Some(&id)).header("providers_file", json!(file)).header("profiles", profiles.clone());
        journal.created(&clone, "some-id");
        journal.write(&lab.path("artifact/resources.json"));
        for options in [&["artifact/resources.json"][..], &["artifact/resources.json", "--dry-run"]] {
            // The user has no profiles, or has others.
            for profiles in [&[][..], &["--providers", "lab/providers.toml"]] {
                let done = clean_with(&lab, profiles, options);
                let expected = if options.len() > 1 { 0 } else { 8 };
                assert_eq!(done.status.code(), Some(expected), "{file}: {}", told(&done));
                assert!(
                    told(&done).contains("the run used profiles from") && told(&done).contains("--providers"),
                    "{file}: {}",
                    told(&done)
                );
                assert!(!told(&done).contains("PRIVATE-KEY"), "{file}: {}", told(&done));
            }
        }
    }
    // A profile of the user's own that is called like the run's and is of another source is not contacted either.
    let mut journal = Crafted::new(RUN, Some(&id))
        .header("profiles", json!([{"name": "openstack", "kind": "openstack", "endpoint": "https://elsewhere.example/v3"}]));
    let mut entry = clone.clone();
    entry["profile"] = json!("openstack");
    journal.created(&entry, "some-id");
    entry["profile"] = json!("ovirt");
    journal.created(&entry, "some-id");
    journal.write(&lab.path("artifact/resources.json"));
    let done = clean(&lab, &["artifact/resources.json"]);
    assert_eq!(done.status.code(), Some(8), "{}", told(&done));
    for words in ["is of another source", "https://elsewhere.example/v3", "does not say that the run used profile `ovirt`"] {
        assert!(told(&done).contains(words), "{words}: {}", told(&done));
    }
    assert_eq!(came.load(Ordering::SeqCst), 0, "somebody was contacted on the word of a file");
}
