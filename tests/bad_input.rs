//! Broken files, and exactly what is said about each. The messages stand in `snapshots/`.

use std::{collections::BTreeMap, path::Path};

use mtv_test::config::{
    diagnostics::{Problem, Problems, Source},
    profile_file::ProfileFile,
    scenario_file, settings_load,
};

/// Name of a case, and the broken text.
type Case = (&'static str, &'static str);

/// All messages, each below its name. Every case must have at least one: an empty message would be a defect that a snapshot hides.
fn messages(cases: &[Case], complain: impl Fn(&str) -> Problems) -> String {
    let shown: Vec<String> = cases
        .iter()
        .map(|(name, text)| {
            let problems = complain(text);
            assert!(!problems.is_empty(), "nothing is said about `{name}`");
            format!("### {name}\n{problems}")
        })
        .collect();
    println!("{} broken files", cases.len());
    shown.join("\n\n")
}

const VM: &str = "virtual_machines = [{ name = \"a\" }]\n";

const SCENARIOS: &[Case] = &[
    ("empty file", ""),
    ("not toml", "[scenario.x\nmarkers = []\n"),
    ("text without quotes", "[scenario.x]\ndescription = hello\n"),
    ("open string", "[scenario.x]\ndescription = \"hello\n"),
    ("unknown top-level table", "[scenarios.x]\nmarkers = []\n"),
    ("key outside of a scenario", "markers = [\"tier0\"]\n[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("scenario without name", "[scenario]\nwarm_migration = true\n"),
    ("scenario is no table", "scenario = 3\n"),
    ("unknown key", "[scenario.x]\nwarm_migrationn = true\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("unknown key that is like no other", "[scenario.x]\nzzzzzzzzz = true\nvirtual_machines = [{ name = \"a\" }]\n"),
    (
        "repeated key",
        "[scenario.x]\nwarm_migration = true\nwarm_migration = false\nvirtual_machines = [{ name = \"a\", source_vm_power = \"on\" }]\n",
    ),
    ("repeated table", "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\n[scenario.x]\nmarkers = []\n"),
    ("boolean in quotes", "[scenario.x]\nwarm_migration = \"true\"\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("number for a boolean", "[scenario.x]\npreserve_static_ips = 1\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("number for a text", "[scenario.x]\ndescription = 5\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("text for a list", "[scenario.x]\nmarkers = \"tier0\"\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("number in a list of texts", "[scenario.x]\nmarkers = [\"tier0\", 5]\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("list for a text", "[scenario.x]\nvm_target_namespace = [\"a\"]\nvirtual_machines = [{ name = \"a\" }]\n"),
    (
        "power that is none",
        "[scenario.x]\ntarget_power_state = \"onn\"\nvirtual_machines = [{ name = \"a\", source_vm_power = \"suspended\" }]\n",
    ),
    ("power as a boolean", "[scenario.x]\nvirtual_machines = [{ name = \"a\", source_vm_power = true }]\n"),
    ("no virtual machines", "[scenario.x]\nmarkers = [\"tier0\"]\n"),
    ("empty list of virtual machines", "[scenario.x]\nvirtual_machines = []\n"),
    ("names for virtual machines", "[scenario.x]\nvirtual_machines = [\"a\", \"b\"]\n"),
    ("one table for virtual machines", "[scenario.x.virtual_machines]\nname = \"a\"\n"),
    ("virtual machine without name", "[[scenario.x.virtual_machines]]\nguest_agent = true\n"),
    ("virtual machine with an empty name", "[[scenario.x.virtual_machines]]\nname = \" \"\n"),
    ("unknown key of a virtual machine", "[[scenario.x.virtual_machines]]\nname = \"a\"\nsource_power = \"on\"\n"),
    ("fewer than no snapshots", "[[scenario.x.virtual_machines]]\nname = \"a\"\nsnapshots = -1\n"),
    ("half a snapshot", "[[scenario.x.virtual_machines]]\nname = \"a\"\nsnapshots = 1.5\n"),
    (
        "several mistakes at once",
        "[scenario.x]\nmarker = [\"tier0\"]\nwarm_migration = 1\n[[scenario.x.virtual_machines]]\nnam = \"a\"\nguest_agent = \"no\"\n\n[scenario.Y]\n",
    ),
    ("name with capitals", "[scenario.Sanity_Cold]\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("name with blanks", "[scenario.\"sanity cold\"]\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("empty name", "[scenario.\"\"]\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("marker of two words", "[scenario.x]\nmarkers = [\"tier 0\", \"not\", \"warm\", \"warm\"]\nvirtual_machines = [{ name = \"a\" }]\n"),
    (
        "alias that is its own name, twice, or a pattern",
        "[scenario.x]\naliases = [\"x\", \"b\", \"b\", \"c*\"]\nvirtual_machines = [{ name = \"a\" }]\n",
    ),
    (
        "warm from a source that cannot",
        "[scenario.x]\nwarm_migration = true\nrequires = { providers = [\"vsphere\", \"openstack\"] }\n[[scenario.x.virtual_machines]]\nname = \"a\"\nsource_vm_power = \"on\"\n",
    ),
    (
        "warm without power",
        "[scenario.x]\nwarm_migration = true\n[[scenario.x.virtual_machines]]\nname = \"a\"\nsource_vm_power = \"on\"\n[[scenario.x.virtual_machines]]\nname = \"b\"\n",
    ),
    (
        "warm with snapshots",
        "[scenario.x]\nwarm_migration = true\n[[scenario.x.virtual_machines]]\nname = \"a\"\nsource_vm_power = \"on\"\nsnapshots = 2\n",
    ),
    (
        "static addresses without power",
        "[scenario.x]\npreserve_static_ips = true\n[[scenario.x.virtual_machines]]\nname = \"a\"\nsource_vm_power = \"off\"\n",
    ),
    ("unknown provider kind", "[scenario.x]\nrequires = { providers = [\"vshpere\", \"aws\"] }\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("unknown requirement", "[scenario.x]\nrequires = { min_mtv = \"2.6.0\" }\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("requirement that is no table", "[scenario.x]\nrequires = \"vsphere\"\nvirtual_machines = [{ name = \"a\" }]\n"),
    (
        "version that is none",
        "[scenario.x]\nrequires = { min_mtv_version = \"latest\", min_ocp_version = 4.18 }\nvirtual_machines = [{ name = \"a\" }]\n",
    ),
    ("version outside of requires", "[scenario.x]\nmin_mtv_version = \"2.6.0\"\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("duration without unit", "[scenario.x]\nguest_agent_timeout = \"300\"\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("duration as a number", "[scenario.x]\nguest_agent_timeout = 300\nvirtual_machines = [{ name = \"a\" }]\n"),
    ("duration of nothing", "[scenario.x]\nguest_agent_timeout = \"0s\"\nvirtual_machines = [{ name = \"a\" }]\n"),
    (
        "namespace that cannot be",
        "[scenario.x]\nvm_target_namespace = \"My_VMs\"\nmultus_namespace = \"\"\nvirtual_machines = [{ name = \"a\" }]\n",
    ),
    (
        "labels that cannot be",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\n[scenario.x.target_labels]\n\"-a\" = \"b\"\nc = \"-\"\nd = { unique = false }\ne = { uniqe = true }\nf = 5\n",
    ),
    (
        "key of a later release",
        "[scenario.x]\nper_nic_network_map = true\npre_hook = { aap_job_template_id = 5 }\n[[scenario.x.virtual_machines]]\nname = \"a\"\nluks = true\n",
    ),
    (
        "hosts that copy without copy-offload, without ids, of the wrong type",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\ndedicated_migration_hosts = true\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\ncopyoffload = true\ndedicated_migration_hosts = [\"\", 5]\n[scenario.z]\nvirtual_machines = [{ name = \"a\" }]\ncopyoffload = true\ndedicated_migration_hosts = \"host-3\"\n",
    ),
    ("a marker in a VM that is off", "[scenario.x]\ndata_marker = true\nvirtual_machines = [{ name = \"a\" }]\n"),
    (
        "option that stands elsewhere",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nsnapshots_interval = \"2m\"\njira = \"MTV-1\"\nmins_before_cutover = 5\nrequires = { remote = true }\n",
    ),
    (
        "issue that is none",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nrequires = { jira = \"https://issues.example.com/MTV-1\" }\n",
    ),
    (
        "template of PVC names that is empty or no text",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npvc_name_template = \"\"\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\npvc_name_template = 5\n",
    ),
    (
        "template of PVC names by kind",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npvc_name_template = { vshpere = \"a\", ovirt = 3, default = \" \" }\n",
    ),
    (
        "template of PVC names that leaves kinds out",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nrequires = { providers = [\"vsphere\", \"ovirt\"] }\npvc_name_template = { vsphere = \"a\" }\n",
    ),
    (
        "two labels for a node",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\ntarget_node_selector = { a = \"b\", c = \"d\" }\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\ntarget_node_selector = {}\n",
    ),
    (
        "affinity that is none",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\ntarget_affinity = { podAfinity = {}, nodeAffinity = 3 }\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\ntarget_affinity = {}\n[scenario.z]\nvirtual_machines = [{ name = \"a\" }]\ntarget_affinity = { podAffinity = { a = 1.5, b = 99999999999999999999 } }\n",
    ),
    (
        "namespace of each run",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nvm_target_namespace = { prefix = \"My\" }\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\nvm_target_namespace = { prefix = 3 }\n[scenario.z]\nvirtual_machines = [{ name = \"a\" }]\nvm_target_namespace = { name = \"a\" }\n",
    ),
    ("hook without a playbook", "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = {}\npost_hook = \"fail\"\n"),
    (
        "hook with two playbooks",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { expected_result = \"succeed\", playbook_base64 = \"\" }\n",
    ),
    (
        "hook with a result that is none",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { expected_result = \"success\" }\n",
    ),
    (
        "playbook that is no base64",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { playbook_base64 = \"*\" }\npost_hook = { playbook_base64 = \"/w==\" }\n",
    ),
    (
        "playbook that cannot be run",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { playbook_base64 = \"YTogMQ==\" }\npost_hook = { playbook_base64 = \"W10=\" }\n",
    ),
    ("playbook that is no YAML", "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { playbook_base64 = \"LSBb\" }\n"),
    (
        "file of a playbook that is not there",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { playbook_file = \"no-such-file.yml\" }\npost_hook = { playbook_file = \"\" }\n",
    ),
    ("hook that fails unexpectedly", "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npost_hook = { expected_result = \"fail\" }\n"),
    (
        "hook that fails before the expected step",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { expected_result = \"fail\" }\nexpect_failure = { step = \"PostHook\" }\n",
    ),
    (
        "failure in an unknown step",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nexpect_failure = { step = \"PostHok\", text = \"\" }\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\nexpect_failure = { step = \"Verify\" }\n",
    ),
    (
        "failure in two ways",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nexpect_failure = {}\nexpected_migration_result = \"fail\"\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\nexpected_migration_result = \"failed\"\n[scenario.z]\nvirtual_machines = [{ name = \"a\" }]\nexpected_migration_result = \"fail\"\n",
    ),
    (
        "plans and VMs that do not fit",
        "[scenario.x]\nplans = [{ name = \"one\" }, { name = \"two\" }, { name = \"two\" }, { copyoffload = true }, { name = \"Three\" }]\nvirtual_machines = [{ name = \"a\", plan = \"oen\" }, { name = \"b\" }]\n",
    ),
    (
        "plan without VMs",
        "[scenario.x]\nplans = [{ name = \"one\" }, { name = \"two\" }]\nvirtual_machines = [{ name = \"a\", plan = \"one\" }]\n",
    ),
    ("plan of a scenario without plans", "[scenario.x]\nvirtual_machines = [{ name = \"a\", plan = \"one\" }]\n"),
    (
        "VMs below a plan",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\n[[scenario.x.plans]]\nname = \"one\"\n[[scenario.x.plans.virtual_machines]]\nname = \"b\"\n",
    ),
    (
        "added disks that cannot be",
        "[[scenario.x.virtual_machines]]\nname = \"a\"\nadd_disks = [{}, { size_gb = 0 }, { size_gb = \"30\" }, { size_gb = 99999999 }, { size_gb = 1, provision_type = \"thik-lazy\", disk_mode = \"shared\", controller = \"ide\", datastore_id = \"\", datastore_path = \"/a\" }, { size = 3 }]\n",
    ),
    (
        "added disk that leaves its datastore",
        "[[scenario.x.virtual_machines]]\nname = \"a\"\nadd_disks = [{ size_gb = 1, datastore_path = \"../b\" }, { size_gb = 1, datastore_path = \"[ds] a\" }]\n",
    ),
    (
        "mapping of a LUN with a size",
        "[[scenario.x.virtual_machines]]\nname = \"a\"\nadd_disks = [{ rdm_type = \"virtual\", size_gb = 3 }, { rdm_type = \"logical\" }]\n",
    ),
    ("number for the added disks", "[[scenario.x.virtual_machines]]\nname = \"a\"\nadd_disks = 3\n"),
    (
        "clone that cannot be",
        "[[scenario.x.virtual_machines]]\nname = \"a\"\ndisk_type = \"thick\"\nclone_name = \" \"\ntarget_name = \"My_VM\"\ntarget_esxi_host = \"\"\nsnapshots = 33\n",
    ),
    (
        "template of PVC names that MTV refuses",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npvc_name_template = \"{{.VmNam}}-{{.DiskIndex}\"\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\npvc_name_template = \"{{.VmNam}}\"\n[scenario.z]\nvirtual_machines = [{ name = \"a\" }]\npvc_name_template = { vsphere = \"{{.FileName}}\", ovirt = \"{{ .VmName | nofunc }}\", default = \"{{if .Shared}}x{{end}}\" }\n",
    ),
    (
        "networks where the VMs cannot use them",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\nmultus_namespace = \"nads\"\n[scenario.y]\nvirtual_machines = [{ name = \"a\" }]\nmultus_namespace = \"nads\"\nvm_target_namespace = { prefix = \"nads\" }\n",
    ),
    (
        "playbooks whose items are no plays",
        "[scenario.x]\nvirtual_machines = [{ name = \"a\" }]\npre_hook = { playbook_base64 = \"LSBoZWxsbwo=\" }\npost_hook = { playbook_base64 = \"LSBob3N0czogYWxsCi0gMwo=\" }\n",
    ),
    ("YAML", "scenario:\n  x:\n    markers: [tier0]\n"),
    ("carriage returns and a byte order mark", "\u{feff}[scenario.x]\r\nmarkerz = []\r\nvirtual_machines = [{ name = \"ä\" }]\r\n"),
];

#[test]
fn scenarios() {
    let all = messages(SCENARIOS, |text| {
        let mut problems = Problems::default();
        scenario_file::parse(Path::new("x.toml"), text, &mut problems);
        problems
    });
    insta::assert_snapshot!("scenarios", all);
}

const PROFILES: &[Case] = &[
    ("empty file", ""),
    ("open table", "[provider.x\n"),
    ("json of the old suite", "{ \"vsphere\": { \"type\": \"vsphere\" } }\n"),
    ("unknown top-level table", "[providers.x]\ntype = \"vsphere\"\n"),
    ("other profile", "[provider.y]\ntype = \"ova\"\n[provider.xx]\ntype = \"ova\"\n"),
    ("no type", "[provider.x]\napi_url = \"https://h/sdk\"\n"),
    ("unknown type", "[provider.x]\ntype = \"vmware\"\n"),
    ("type with a slip", "[provider.x]\ntype = \"vsphre\"\n"),
    ("nothing but a type", "[provider.x]\ntype = \"vsphere\"\n"),
    ("nothing but a type, openstack", "[provider.x]\ntype = \"openstack\"\n"),
    ("empty values", "[provider.x]\ntype = \"vsphere\"\napi_url = \"\"\nusername = \" \"\npassword = \"\"\n"),
    ("unknown key", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\nuser = \"a\"\n"),
    (
        "unknown key that is a secret",
        "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npasswort = \"n0tToBeSeen\"\npassword_ = \"n0tToBeSeen\"\n",
    ),
    ("secret of a wrong type", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword = 123456789\n"),
    ("open secret", "[provider.x]\ntype = \"ova\"\npassword = \"n0tToBeSeen\napi_url = \"h:/p\"\n"),
    ("repeated secret", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword = \"n0tToBeSeen\"\npassword = \"n0tToBeSeenEither\"\n"),
    ("secret in two ways", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword = \"n0tToBeSeen\"\npassword_env = \"SET\"\n"),
    ("secret in a variable that is not set", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword_env = \"NOT_SET\"\n"),
    ("secret in a file that is not there", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword_file = \"/nonexistent/secret\"\n"),
    ("inline secret that everybody can read", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\npassword = \"n0tToBeSeen\"\n"),
    (
        "key of another type",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nregion_name = \"r\"\n",
    ),
    ("guest without password", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\nguest_vm_linux_user = \"root\"\n"),
    ("guest without user", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\nguest_vm_win_password_env = \"SET\"\n"),
    (
        "certificates that are not there",
        "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\nca_file = \"/nonexistent/ca.pem\"\nca_pem = \"abc\"\n",
    ),
    (
        "key of a later release",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nluks_passphrase = \"n0tToBeSeen\"\n",
    ),
    (
        "endpoint that is none",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esx\"\nclone_provider = \"vc-1\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n",
    ),
    (
        "ESXi host without a vCenter",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n",
    ),
    (
        "vCenter for a vCenter",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nclone_provider = \"vc-1\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n",
    ),
    (
        "vCenter that is not in the file",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\nclone_provider = \"vc-l\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n",
    ),
    (
        "ESXi host that clones for itself",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\nclone_provider = \"x\"\n",
    ),
    (
        "ESXi host that clones for another one",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\nclone_provider = \"y\"\n[provider.y]\ntype = \"vsphere\"\nendpoint_type = \"esxi\"\nclone_provider = \"vc-1\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n",
    ),
    (
        "source of another type as vCenter",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\nclone_provider = \"y\"\n[provider.y]\ntype = \"ova\"\napi_url = \"h:/p\"\n",
    ),
    (
        "vCenter that is not complete",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\nclone_provider = \"vc-1\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\n",
    ),
    (
        "copy-offload from an ESXi host",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\nendpoint_type = \"esxi\"\nclone_provider = \"vc-1\"\n[provider.x.copyoffload]\ndatastore_id = \"datastore-1\"\n[provider.vc-1]\ntype = \"vsphere\"\napi_url = \"https://v/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n",
    ),
    ("ESXi host of another type", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\nendpoint_type = \"esxi\"\nclone_provider = \"y\"\n"),
    (
        "copy-offload of a source without it",
        "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\n[provider.x.copyoffload]\ndatastore_id = \"datastore-1\"\n",
    ),
    (
        "unknown array and clone method",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nstorage_vendor_product = \"netapp\"\nesxi_clone_method = \"rsh\"\n",
    ),
    (
        "copy-offload key that is none",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nstorage_vendor = \"ontap\"\n",
    ),
    (
        "key of another array",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nstorage_vendor_product = \"ontap\"\nvantara_storage_port = \"443\"\npowermax_symmetrix_id = \"1\"\n",
    ),
    (
        "datastores by name, and twice",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\ndatastore_id = \"my store\"\nsecondary_datastore_id = \"datastore-2\"\nnon_xcopy_datastore_id = \"datastore-2\"\n",
    ),
    (
        "second datastore without a first",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nsecondary_datastore_id = \"datastore-2\"\n",
    ),
    (
        "LUN that is none",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nrdm_lun_uuid = \"6001405\"\nesxi_ssh_host_key = \"aa:bb\"\ndedicated_migration_hosts = [\"\"]\n",
    ),
    (
        "fields of arrays with wrong values",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\npure_cluster_prefix = \"cluster\"\nvantara_storage_port = \"0\"\nvantara_hostgroup_id_list = \"CL1-A:1\"\n",
    ),
    (
        "storage password twice",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nstorage_password = \"n0tToBeSeen\"\nstorage_password_env = \"SET\"\nesxi_password_env = \"UNSET\"\n",
    ),
    (
        "further keys of the storage Secret",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nstorage_secret_extra = { \"A B\" = \"n0tToBeSeen\", LIST = [1] }\n",
    ),
    (
        "switch of copy-offload as a text",
        "[provider.x]\ntype = \"vsphere\"\napi_url = \"https://h/sdk\"\nusername = \"u\"\npassword_env = \"SET\"\n[provider.x.copyoffload]\nstorage_skip_ssl_verification = \"yes\"\nstorage_username = 3\n",
    ),
    (
        "address without a scheme",
        "[provider.x]\ntype = \"vsphere\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"vcenter.example.com/sdk\"\n",
    ),
    (
        "address of another scheme",
        "[provider.x]\ntype = \"vsphere\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"ftp://vcenter.example.com/sdk\"\n",
    ),
    (
        "address with a login",
        "[provider.x]\ntype = \"vsphere\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"https://joe:n0tToBeSeen@vcenter.example.com/sdk\"\n",
    ),
    (
        "address with a port that is none",
        "[provider.x]\ntype = \"vsphere\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"https://vcenter.example.com:99999/sdk\"\n",
    ),
    (
        "address without /sdk",
        "[provider.x]\ntype = \"vsphere\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"https://vcenter.example.com/ui/\"\n",
    ),
    (
        "address without TLS",
        "[provider.x]\ntype = \"vsphere\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"http://vcenter.example.com/sdk\"\n",
    ),
    ("address of an OVA share that is a URL", "[provider.x]\ntype = \"ova\"\napi_url = \"https://h/share\"\n"),
    (
        "address of oVirt that is not that of its API",
        "[provider.x]\ntype = \"ovirt\"\nusername = \"u\"\npassword_env = \"SET\"\napi_url = \"https://engine.example.com\"\n",
    ),
    ("type that no release can migrate from", "[provider.x]\ntype = \"hyperv\"\napi_url = \"https://h:5986\"\n"),
    ("keys of the old suite", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\nverify_ssl = false\nstorage_class = \"nfs\"\n"),
    ("boolean in quotes", "[provider.x]\ntype = \"ova\"\napi_url = \"h:/p\"\ninsecure_skip_verify = \"false\"\n"),
];

#[test]
fn profiles() {
    let env = |name: &str| (name == "SET").then(|| "value".to_owned());
    let all = messages(PROFILES, |text| match ProfileFile::parse(Path::new("providers.toml"), text, true) {
        Ok(file) => file.select("x", &env).map_or_else(|problems| problems, |(_, warnings)| warnings),
        Err(problems) => problems,
    });
    assert!(!all.contains("n0tToBeSeen"), "a secret is shown:\n{all}");
    insta::assert_snapshot!("profiles", all);
}

const SETTINGS: &[Case] = &[
    ("not toml", "jobs 4\n"),
    ("unknown key", "storage_clas = \"nfs\"\n"),
    ("unknown key that is like no other", "zzzzzzzzzz = 1\n"),
    ("repeated key", "jobs = 1\njobs = 2\n"),
    ("duration without unit", "plan_wait_timeout = \"3600\"\n"),
    ("duration as a number", "plan_wait_timeout = 3600\nsnapshots_interval = 2\n"),
    ("duration of nothing", "object_timeout = \"0s\"\n"),
    ("half a minute", "snapshots_interval = \"90s\"\n"),
    ("both names of one setting", "mins_before_cutover = 5\ncutover_delay = \"5m\"\n"),
    ("minutes in quotes", "mins_before_cutover = \"5\"\n"),
    ("no jobs", "jobs = 0\n"),
    ("jobs in words", "jobs = \"many\"\n"),
    ("boolean in quotes", "skip_teardown = \"false\"\n"),
    ("number for a text", "storage_class = 5\n"),
    ("table for a text", "[storage_class]\nname = \"nfs\"\n"),
    ("list for a path", "results_dir = [\"a\"]\n"),
    ("empty value", "storage_class = \"\"\n"),
    ("namespace that cannot be", "mtv_namespace = \"openshift mtv\"\n"),
    ("protect that protects nothing", "[protect]\n"),
    ("protect without a table", "protect = \"prod\"\n"),
    ("protect with a reason alone", "[[protect]]\nreason = \"customers\"\n"),
    ("protect with an unknown key", "[[protect]]\napi_hosts = \"api.prod\"\ncluster = \"x\"\n"),
    ("protect by a URL", "[[protect]]\napi_host = [\"api.prod.example.com\", \"https://api.prod.example.com:6443\"]\n"),
    ("protect by a number", "[[protect]]\ncluster_id = 5\ninfrastructure_name = [\"a\", true]\n"),
    ("protect by nothing", "[[protect]]\ninfrastructure_name = \" \"\n"),
    ("protect in a list of texts", "protect = [\"prod\"]\n"),
    ("password of the old suite", "cluster_password = \"n0tToBeSeen\"\n"),
    ("keys of the old suite", "insecure_verify_skip = \"true\"\ncluster_host = \"https://api\"\ntests_params = {}\n"),
];

#[test]
fn settings() {
    let all = messages(SETTINGS, |text| settings_load::check(Path::new("mtv-test.toml"), text));
    insta::assert_snapshot!("settings", all);
}

/// `key=value` of `--set`, and environment variables.
const LAYERS: &[Case] = &[
    ("--set without value", "jobs"),
    ("--set of an unknown key", "job=4"),
    ("--set of no number", "jobs=four"),
    ("--set of no boolean", "skip_teardown=maybe"),
    ("--set of no duration", "ssh_timeout=soon"),
    ("--set of nothing", "storage_class="),
    ("unknown variable", "MTV_TEST_STORAGECLASS=nfs"),
    ("variable of no duration", "MTV_TEST_PLAN_WAIT_TIMEOUT=3600"),
    ("password of the old suite as an argument", "cluster_password=n0tToBeSeen"),
];

#[test]
fn layers() {
    let all = messages(LAYERS, |text| {
        let mut sources = settings_load::Sources { folder: "/nonexistent".into(), ..settings_load::Sources::default() };
        match text.split_once('=') {
            Some((name, value)) if name.starts_with("MTV_TEST_") => sources.env = BTreeMap::from([(name.to_owned(), value.to_owned())]),
            _ => sources.set = vec![text.to_owned()],
        }
        settings_load::load(&sources).unwrap_err()
    });
    insta::assert_snapshot!("layers", all);
}

/// Lists of resources: no list at all is an error, damage is told with its offset and the rest is used.
const RESOURCES: &[Case] = &[
    ("empty file", ""),
    ("no json", "resources: []\n"),
    ("an empty object", "{}"),
    ("a list", "[{\"kind\": \"Plan\"}]"),
    ("a number", "5"),
    ("a kind that is no list", "{\"Plan\": {\"name\": \"a\"}}"),
    ("an entry without name", "{\"Plan\": [{\"namespace\": \"n\", \"module\": \"m\"}]}"),
    ("an entry that is a text", "{\"Plan\": [\"a\"]}"),
    ("another format", "{\"format\":\"other\",\"version\":1,\"records\":[]}"),
    ("a newer version", "{\"format\":\"mtv-test.resources\",\"version\":99,\"records\":[]}"),
    ("cut before the first record", "{\"format\":\"mtv-test.reso"),
    ("cut in the first record", "{\"format\":\"mtv-test.resources\",\"version\":1,\"records\":[\n{\"sum\":\"0123"),
    ("a wrong sum", "{\"format\":\"mtv-test.resources\",\"version\":1,\"records\":[\n{\"sum\":\"0123456789abcdef\",\"seq\":0}\n]}\n"),
    ("half of an old list", "{\"Plan\": [{\"name\": \"a\""),
];

#[test]
fn resources() {
    let all = messages(RESOURCES, |text| {
        let complaints = match mtv_test::journal::read::parse(text.as_bytes()) {
            Ok(found) => found.damage.iter().map(|damage| Problem::warning(damage.to_string())).collect::<Vec<_>>(),
            Err(error) => vec![Problem::error(format!("{error:#}"))],
        };
        complaints.into_iter().fold(Problems::default(), |mut all, problem| {
            all.push(problem);
            all
        })
    });
    insta::assert_snapshot!("resources", all);
}

#[test]
fn the_same_name_in_two_files() {
    let mut problems = Problems::default();
    let mut all = scenario_file::parse(Path::new("a.toml"), &format!("[scenario.x]\naliases = [\"MTV-79\"]\n{VM}"), &mut problems);
    all.extend(scenario_file::parse(
        Path::new("b.toml"),
        &format!("[scenario.x]\n{VM}\n[scenario.y]\naliases = [\"MTV-79\"]\n{VM}"),
        &mut problems,
    ));
    assert!(problems.is_empty(), "{problems}");
    mtv_test::config::catalogue::unique(&all, &mut problems);
    insta::assert_snapshot!("twice", problems.to_string());
}

#[test]
fn a_place_outside_of_the_text_is_shown_at_its_end() {
    let source = Source::new("x", "é");
    let problem = Problem::error("wrong").at(&source, 1..99, "");
    insta::assert_snapshot!(problem.render(false), @r"
    error: wrong
     --> x:1:1
      |
    1 | é
      | ^
    ");
}
