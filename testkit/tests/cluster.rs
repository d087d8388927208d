//! The kit's cluster starts, answers, and leaves nothing behind.

use mtv_testkit::{Options, RealCluster, cluster::NOBODY, crds};

#[tokio::test]
async fn a_cluster_answers_its_users_and_ends_with_its_folder() {
    let Some(cluster) = RealCluster::start(Options::cleaning()).await.unwrap() else { return };
    let client = cluster.client().await.unwrap();
    let version = client.apiserver_version().await.unwrap();
    println!("kube-apiserver {}", version.git_version);
    let kind = kube::core::ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("", "v1", "Namespace"));
    let namespaces: kube::Api<kube::api::DynamicObject> = kube::Api::all_with(cluster.client_of(NOBODY).await.unwrap(), &kind);
    let refused = namespaces.list(&kube::api::ListParams::default()).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused:?}");
    if let Some(folder) = crds::folder() {
        let definitions = crds::read(&folder).unwrap();
        crds::install(&client, &definitions).await.unwrap();
        println!("{} definitions", definitions.len());
    }
    let (folder, url) = (cluster.folder().to_owned(), cluster.url().to_owned());
    drop(cluster);
    assert!(!folder.exists());
    let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}
