//! Proxies × clients. `api.reach.test` and `vcenter.reach.test` exist behind the proxy of the test only, so whatever reaches them
//! has gone through it; the lab's own addresses are loopback.

use std::fs;

use serde_json::json;

use crate::{
    bed::{ELSEWHERE, Front, Options, PASSWORD, Place, Proxy, kubeconfig, reach, text, write},
    support::{Lab, told},
};

/// A port of this machine at which nobody listens.
fn dead() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("127.0.0.1:{}", listener.local_addr().unwrap().port())
}

#[test]
fn a_kubeconfig_s_proxy_carries_everything_of_its_cluster() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    let secure = mtv_lab::tls::Authority::new().unwrap();
    let roots = write(folder, "roots.pem", secure.pem());
    for (scheme, user, tls) in [
        ("http", "", None),
        ("http", "joe:", None),
        ("socks5", "", None),
        ("socks5", "joe:", None),
        ("socks5h", "", None),
        ("https", "joe:", Some(secure.server(&[]).unwrap())),
    ] {
        let proxy = Proxy::start(Options { login: !user.is_empty(), tls, front: None });
        let login = if user.is_empty() { String::new() } else { format!("{user}{PASSWORD}@") };
        let mut cluster = place.cluster();
        cluster["server"] = json!(format!("https://api{ELSEWHERE}:{}", place.port));
        cluster["tls-server-name"] = json!("127.0.0.1");
        cluster["proxy-url"] = json!(format!("{scheme}://{login}127.0.0.1:{}", proxy.port()));
        let file = write(folder, "k", kubeconfig(&cluster, &place.user()));
        // The exceptions of the environment are not about a proxy that the kubeconfig asks for, as with kubectl.
        let output = reach(folder, &file).env("NO_PROXY", "*").env("SSL_CERT_FILE", &roots).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{scheme} {user}: {}", told(&output));
        let seen = proxy.seen();
        assert!(!seen.is_empty() && seen.iter().all(|to| *to == format!("api{ELSEWHERE}:{}", place.port)), "{scheme}: {seen:?}");
        assert!(!text(&output).contains(PASSWORD), "{}", text(&output));

        // A wrong login, and none where one is wanted.
        if !user.is_empty() && scheme != "https" {
            for wrong in [String::new(), format!("joe:x{PASSWORD}@")] {
                cluster["proxy-url"] = json!(format!("{scheme}://{wrong}127.0.0.1:{}", proxy.port()));
                let file = write(folder, "k", kubeconfig(&cluster, &place.user()));
                let output = reach(folder, &file).output().unwrap();
                assert_eq!(output.status.code(), Some(7), "{scheme}: {}", told(&output));
                let said = text(&output);
                assert!(said.contains(&format!("the proxy {scheme}://127.0.0.1:{}", proxy.port())), "{scheme}: {said}");
                assert!(!said.contains(PASSWORD), "{said}");
            }
        }
    }
}

/// Streams included: the guest is reached by port-forward, and MTV's must-gather by exec.
#[test]
fn a_whole_run_passes_through_a_proxy() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    for scheme in ["http", "socks5"] {
        let proxy = Proxy::start(Options::default());
        let mut cluster = place.cluster();
        cluster["server"] = json!(format!("https://api{ELSEWHERE}:{}", place.port));
        cluster["tls-server-name"] = json!("127.0.0.1");
        cluster["proxy-url"] = json!(format!("{scheme}://127.0.0.1:{}", proxy.port()));
        write(lab.folder.path(), "lab/kubeconfig", kubeconfig(&cluster, &place.user()));
        let output = lab.run_into(scheme, &["sanity-cold"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{scheme}: {}", told(&output));
        let seen = proxy.seen();
        let api = format!("api{ELSEWHERE}:{}", place.port);
        assert!(seen.contains(&api), "{seen:?}");
        assert!(seen.iter().any(|to| *to != api), "the inventory's Route is of this cluster, too: {seen:?}");
    }
}

#[test]
fn the_proxy_of_the_environment_is_for_clusters_and_sources_elsewhere() {
    let lab = Lab::start(&[]);
    let place = Place::of(&lab);
    let folder = lab.folder.path();
    let front = Front::of(&place);
    let proxy = Proxy::start(Options { login: true, front: Some(front.clone()), ..Options::default() });
    let url = format!("http://joe:{PASSWORD}@127.0.0.1:{}", proxy.port());
    let api = format!("api{ELSEWHERE}:{}", place.port);
    write(folder, "front.pem", &front.ca);

    // A kubeconfig.
    let mut cluster = place.cluster();
    cluster["server"] = json!(format!("https://{api}"));
    cluster["certificate-authority-data"] = serde_json::Value::Null;
    cluster["certificate-authority"] = json!("front.pem");
    let file = write(folder, "k", kubeconfig(&cluster, &place.user()));
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let output = reach(folder, &file).env(variable, &url).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{variable}: {}", told(&output));
        assert!(proxy.seen().contains(&api), "{variable}");
        let output = reach(folder, &file).env(variable, &url).env("NO_PROXY", "reach.test").output().unwrap();
        assert_eq!(output.status.code(), Some(7), "{variable}: {}", told(&output));
        assert!(text(&output).contains(&format!("host `api{ELSEWHERE}` cannot be resolved")), "{}", text(&output));
        assert_eq!(proxy.seen(), [""; 0], "{variable}");
    }

    // A login by password; and the source, its certificate probe included. Forklift, which is another process, cannot reach that
    // source: the run ends there. The OAuth server is where the lab says, at loopback.
    write(folder, "both.pem", format!("{}{}", front.ca, place.ca));
    let providers = fs::read_to_string(lab.path("lab/providers.toml")).unwrap();
    let profile: toml::Table = toml::from_str(&providers).unwrap();
    let vsphere = profile["provider"]["vsphere"].as_table().unwrap();
    let vcenter = vsphere["api_url"].as_str().unwrap().replace("127.0.0.1", &format!("vcenter{ELSEWHERE}"));
    let mut changed = vsphere.clone();
    changed.insert("api_url".to_owned(), vcenter.clone().into());
    changed.insert("ca_pem".to_owned(), front.ca.clone().into());
    let changed =
        toml::Table::from_iter([("provider".to_owned(), toml::Table::from_iter([("vsphere".to_owned(), changed.into())]).into())]);
    write(folder, "lab/providers.toml", changed);
    let admin = mtv_lab::datacenter::DataCenter::parse(mtv_lab::datacenter::DEFAULT).unwrap().cluster.admin;
    let by_password = |proxy: &str| {
        let mut run = crate::support::binary();
        run.current_dir(folder).args(["run", "--providers", "lab/providers.toml", "--provider", "vsphere", "--results-dir", "r"]);
        run.args(["--set", "cluster_ca_file=both.pem", "--set", &format!("cluster_host=https://{api}")]);
        run.args(["--set", &format!("cluster_username={}", admin.user), "--set", "provider_ready_timeout=3s", "sanity-cold"]);
        run.env("MTV_TEST_CLUSTER_PASSWORD", &admin.password).env("HTTPS_PROXY", proxy);
        run.env("HOME", folder);
        run
    };
    let output = by_password(&url).output().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(said.contains("Provider") && !said.contains("certificates of"), "the run must get as far as the Provider: {said}");
    let seen = proxy.seen();
    let vcenter = vcenter.trim_start_matches("https://").split('/').next().unwrap().to_owned();
    assert!(seen.contains(&api), "{seen:?}");
    assert!(seen.iter().filter(|to| **to == vcenter).count() >= 2, "the client and the probe of its certificate: {seen:?}");
    assert!(seen.iter().all(|to| *to == api || *to == vcenter), "loopback goes through no proxy: {seen:?}");
    assert!(!said.contains(PASSWORD), "{said}");

    // A dead proxy is named: by the login, and by the source.
    let dead = dead();
    let output = by_password(&format!("http://joe:{PASSWORD}@{dead}")).output().unwrap();
    let named = format!("the proxy http://{dead} (HTTPS_PROXY)");
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(text(&output).contains(&named) && !text(&output).contains(PASSWORD), "{}", told(&output));
    let output = lab.run(&["sanity-cold"]).env("HTTPS_PROXY", format!("http://{dead}")).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{}", told(&output));
    assert!(text(&output).contains(&named) && text(&output).contains(&vcenter), "{}", told(&output));
}

#[test]
fn loopback_needs_no_proxy() {
    let lab = Lab::start(&[]);
    let dead = format!("http://{}", dead());
    let mut run = lab.run(&["sanity-cold"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"] {
        run.env(name, &dead);
    }
    let output = run.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
}
