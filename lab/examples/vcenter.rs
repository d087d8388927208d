//! Runs the lab's vCenter alone: `cargo run -p mtv-lab --example vcenter -- [PORT] [TIME-SCALE] [CA-FILE]`.

use mtv_lab::{
    clock::Clock,
    datacenter::{DEFAULT, DataCenter},
    tls::Authority,
    vsphere::Vcenter,
    world::World,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().map_or(Ok(0), |a| a.parse())?;
    let scale: f64 = args.next().map_or(Ok(60.0), |a| a.parse())?;
    let datacenter = DataCenter::parse(DEFAULT)?;
    let login = datacenter.vsphere.login.clone();
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(scale)));
    let authority = Authority::new()?;
    if let Some(file) = args.next() {
        std::fs::write(file, authority.pem())?;
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("https://{}/sdk user {} password {}", listener.local_addr()?, login.user, login.password);
    let cancel = tokio_util::sync::CancellationToken::new();
    vcenter.serve(listener, authority.server(&[])?, cancel).await;
    Ok(())
}
