//! Clients that others wrote judge the lab: pyVmomi, openstacksdk with the `openstack` command, oVirt's SDK, the Kubernetes Python
//! client, govc and kubectl, each in a scripted session.
//!
//! The sessions are in `tests/clients`; each ends with the number of its checks. The programs come from `tests/servers/build`,
//! the Python packages from a virtual environment under `target/` that is made once; see CONTRIBUTING.md.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::ExitCode;

use mtv_testkit::{assets, cases, suite::Suite};
use support::{Lab, kubectl_of_the_machine, no_kubectl_of_the_machine, no_python, python, session};

fn govc_session() {
    let Some(govc) = assets::find("govc") else { return };
    let lab = Lab::start();
    session("govc_session.sh", 70, lab.command("sh", "govc_session.sh").arg(govc).args([&lab.vsphere, &lab.user, &lab.password]));
}

fn kubectl_session() {
    let Some(kubectl) = assets::find("kubectl") else { return };
    let lab = Lab::start();
    let arguments = [&lab.vsphere, &lab.user, &lab.password];
    session("kubectl_session.sh", 100, lab.command("sh", "kubectl_session.sh").arg(kubectl).arg(lab.kubeconfig()).args(arguments));
}

/// Another release of kubectl, if the machine has one: what the pinned one forgives, an older one may not.
fn kubectl_session_with_the_kubectl_of_the_machine() {
    let Some(kubectl) = kubectl_of_the_machine() else { return };
    let lab = Lab::start();
    let arguments = [&lab.vsphere, &lab.user, &lab.password];
    session("kubectl_session.sh", 100, lab.command("sh", "kubectl_session.sh").arg(kubectl).arg(lab.kubeconfig()).args(arguments));
}

fn pyvmomi_session() {
    let Some(python) = python() else { return };
    let lab = Lab::start();
    let address = lab.vsphere.trim_start_matches("https://").trim_end_matches("/sdk");
    let (host, port) = address.split_once(':').unwrap();
    session("pyvmomi_session.py", 90, lab.command(python, "pyvmomi_session.py").args([host, port]).args([&lab.user, &lab.password]));
}

/// The host that the lab serves as an endpoint of its own, beside its vCenter.
fn govc_session_on_a_host() {
    let Some(govc) = assets::find("govc") else { return };
    let lab = Lab::start();
    let field = |name: &str| lab.field("vsphere-esxi", name);
    let mut command = lab.command("sh", "esxi_session.sh");
    command.arg(govc).args([field("api_url"), field("username"), field("password")]).args([&lab.vsphere, &lab.user, &lab.password]);
    session("esxi_session.sh", 40, &mut command);
}

fn openstack_session() {
    let Some(python) = python() else { return };
    let lab = Lab::start();
    let field = |name: &str| lab.field("openstack", name);
    let mut command = lab.command(python, "openstack_session.py");
    command
        .args(["api_url", "username", "password", "user_domain_name", "project_name", "region_name"].map(field))
        .arg(lab.ca("openstack"));
    session("openstack_session.py", 120, &mut command);
}

fn ovirt_session() {
    let Some(python) = python() else { return };
    let lab = Lab::start();
    let field = |name: &str| lab.field("ovirt", name);
    let mut command = lab.command(python, "ovirt_session.py");
    command.args(["api_url", "username", "password"].map(field)).arg("mtv-tests-rhel8");
    session("ovirt_session.py", 90, &mut command);
}

fn kubernetes_python_session() {
    let Some(python) = python() else { return };
    let lab = Lab::start();
    session("kubernetes_session.py", 60, lab.command(python, "kubernetes_session.py").arg(lab.kubeconfig()));
}

fn main() -> ExitCode {
    Suite::new()
        .with(assets::missing(&["govc"]), cases![govc_session, govc_session_on_a_host])
        .with(assets::missing(&["kubectl"]), cases![kubectl_session])
        .with(no_kubectl_of_the_machine(), cases![kubectl_session_with_the_kubectl_of_the_machine])
        .with(no_python(), cases![pyvmomi_session, openstack_session, ovirt_session, kubernetes_python_session,])
        .run()
}
