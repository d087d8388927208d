//! Runs the lab's vCenter alone: `cargo run -p mtv-lab --example vcenter -- [PORT] [TIME-SCALE] [CA-FILE] [DATACENTER-FILE]`.

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
    let ca = args.next();
    let datacenter = match args.next() {
        Some(file) => DataCenter::parse(&std::fs::read_to_string(file)?)?,
        None => DataCenter::parse(DEFAULT)?,
    };
    let login = datacenter.vsphere.login.clone();
    let vcenter = Vcenter::new(&World::new(datacenter, Clock::new(scale)));
    let authority = Authority::new()?;
    if let Some(file) = ca {
        std::fs::write(file, authority.pem())?;
    }
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    println!("https://{}/sdk user {} password {}", listener.local_addr()?, login.user, login.password);
    let cancel = tokio_util::sync::CancellationToken::new();
    vcenter.serve(listener, authority.server(&[])?, cancel).await;
    Ok(())
}
