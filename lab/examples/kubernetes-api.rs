//! Serves the lab's Kubernetes API alone, for trying clients by hand: `cargo run -p mtv-lab --example kubernetes-api -- DIR`.
//! DIR gets a `kubeconfig`; the server ends with the process.

use std::path::PathBuf;

use anyhow::Context as _;
use mtv_lab::{
    kubernetes::{ApiServer, Options, User},
    tls::Authority,
};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dir: PathBuf = std::env::args_os().nth(1).context("usage: kubernetes-api DIR")?.into();
    let authority = Authority::new()?;
    let ca = dir.join("ca.crt");
    std::fs::write(&ca, authority.pem())?;
    let user = |name: &str, groups: &[&str]| User {
        name: name.to_owned(),
        token: format!("token-of-{name}"),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        password: Some(format!("password-of-{name}")),
    };
    let users = vec![user("admin", &["system:masters"]), user("bob", &[])];
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("https://{}", listener.local_addr()?);
    for name in ["admin", "bob"] {
        let file = if name == "admin" { "kubeconfig".to_owned() } else { format!("kubeconfig-{name}") };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters:\n- name: lab\n  cluster:\n    server: {address}\n    \
             certificate-authority: {}\nusers:\n- name: {name}\n  user:\n    token: token-of-{name}\ncontexts:\n- name: lab\n  context:\n    \
             cluster: lab\n    user: {name}\n",
            ca.display()
        );
        std::fs::write(dir.join(file), text)?;
    }
    println!("{address}");
    ApiServer::new(users, Options::default()).serve(listener, authority.server(&[])?, CancellationToken::new()).await;
    Ok(())
}
