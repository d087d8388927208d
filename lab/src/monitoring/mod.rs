//! The cluster's monitoring, as far as `thanos-querier` shows it: Prometheus' query API with instant vectors over a few series of
//! kube-state-metrics, which come from the cluster's objects at that moment.

mod expression;
mod series;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, StatusCode};
use k8s_openapi::api::authorization::v1::ResourceAttributes;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{Faults, Refusal, Server},
    inventory::auth::{self, Refusal as Denied},
    web::{self, Answer, Handler},
    world::World,
};

/// A sample of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    /// Labels; the name of the metric is `__name__`.
    labels: BTreeMap<String, String>,
    /// Value.
    value: f64,
}

/// The server.
pub struct Querier {
    client: Client,
    world: World,
}

impl Querier {
    /// A querier of this cluster.
    pub fn new(client: Client, world: World) -> Self {
        Self { client, world }
    }

    /// Serves until it is cancelled.
    pub async fn serve(self, listener: TcpListener, tls: Arc<rustls::ServerConfig>, cancel: CancellationToken) {
        web::serve(Arc::new(self), listener, tls, cancel).await;
    }

    async fn whole(&self, request: Request<Bytes>) -> Answer {
        // What OpenShift asks of those who may see all metrics: the role cluster-monitoring-view.
        let all = ResourceAttributes { resource: Some("namespaces".into()), verb: Some("get".into()), ..ResourceAttributes::default() };
        match auth::may(&self.client, web::bearer(&request), all).await {
            Ok(()) => {}
            Err(Denied::Unauthenticated) => return web::typed(StatusCode::UNAUTHORIZED, "text/plain", "Unauthorized\n"),
            Err(Denied::Forbidden(user)) => {
                let text = format!("Forbidden (user={user}, verb=get, resource=namespaces, subresource=)\n");
                return web::typed(StatusCode::FORBIDDEN, "text/plain", text);
            }
            Err(Denied::Broken(error)) => return web::typed(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", error.to_string()),
        }
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::POST, "/api/v1/query") => {
                let mut pairs = web::pairs(request.uri().query().unwrap_or_default());
                if request.method() == Method::POST {
                    pairs.extend(web::pairs(&String::from_utf8_lossy(request.body())));
                }
                self.query(pairs.into_iter().find(|(key, _)| key == "query").map(|(_, query)| query).unwrap_or_default()).await
            }
            (_, "/api/v1/query") => web::empty(StatusCode::METHOD_NOT_ALLOWED),
            _ => web::typed(StatusCode::NOT_FOUND, "text/plain", "404 page not found\n"),
        }
    }

    async fn query(&self, query: String) -> Answer {
        let bad = |error: String| {
            let message = format!("invalid parameter \"query\": {error}");
            web::json(StatusCode::BAD_REQUEST, &json!({ "status": "error", "errorType": "bad_data", "error": message }))
        };
        let expression = match expression::parse(&query) {
            Ok(expression) => expression,
            Err(error) => return bad(error),
        };
        let series = match series::collect(&self.client, &self.world).await {
            Ok(series) => series,
            Err(error) => {
                let answer = json!({ "status": "error", "errorType": "internal", "error": format!("{error:#}") });
                return web::json(StatusCode::INTERNAL_SERVER_ERROR, &answer);
            }
        };
        let now = jiff::Timestamp::now().as_millisecond() as f64 / 1000.0;
        let samples = expression.evaluate(&series);
        let result: Vec<Value> =
            samples.iter().map(|sample| json!({ "metric": sample.labels, "value": [now, sample.value.to_string()] })).collect();
        web::json(StatusCode::OK, &json!({ "status": "success", "data": { "resultType": "vector", "result": result } }))
    }
}

impl Handler for Querier {
    fn server(&self) -> Server {
        Server::Monitoring
    }

    fn faults(&self) -> &Faults {
        &self.world.faults
    }

    fn answer(&self, request: Request<Bytes>) -> BoxFuture<'_, Answer> {
        Box::pin(self.whole(request))
    }

    fn refuse(&self, refusal: &Refusal) -> Answer {
        web::typed(refusal.code, "text/plain", refusal.message.clone() + "\n")
    }
}
