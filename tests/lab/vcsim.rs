//! A real component in a simulator's place: govmomi's vcsim as the source, the lab without its own vCenter around it.

use std::{fs, os::unix::fs::PermissionsExt as _};

use mtv_testkit::vcsim::{PASSWORD, USER, Vcsim};

use crate::support::{Lab, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_of_vcsim_is_migrated() {
    let Some(vcsim) = Vcsim::start(&[]).unwrap() else { return };
    let lab = Lab::start(&["--roles=-vsphere"]);
    let before = lab.objects().await;
    let profiles = format!(
        "[provider.vsphere]\ntype = \"vsphere\"\nversion = \"8.0\"\napi_url = \"{}\"\nusername = \"{}\"\npassword = \"{}\"\ninsecure_skip_verify = true\nallow_plain_http = true\n",
        vcsim.url(),
        USER,
        PASSWORD,
    );
    fs::write(lab.path("lab/providers.toml"), profiles).unwrap();
    fs::set_permissions(lab.path("lab/providers.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(lab.path("scenarios")).unwrap();
    let scenario = "[scenario.vcsim]\ndescription = \"a VM of vcsim, which has no guest to ask\"\n[[scenario.vcsim.virtual_machines]]\nname = \"DC0_H0_VM0\"\n";
    fs::write(lab.path("scenarios/vcsim.toml"), scenario).unwrap();
    let output = lab.run(&["--scenarios", "scenarios", "vcsim"]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert_eq!(lab.objects().await, before);
    assert!(!vcsim.govc(&["find", "/", "-type", "m"]).unwrap().contains("mtv-test"), "the clone was left in vcsim");
}
