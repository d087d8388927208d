//! Whose turn it is, what rules must say, and the endpoint.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body_util::BodyExt as _;

use super::*;

fn ask<'a>(verb: &'a str, resource: &'a str, object: &'a str) -> Ask<'a> {
    Ask { server: Server::Kubernetes, verb, resource, namespace: "ns", object, path: "/x", client: "curl", cutter: None }
}

fn rule(toml: &str) -> Rule {
    let rule: Rule = toml::from_str(toml).unwrap();
    rule.check().unwrap();
    rule
}

#[test]
fn whose_turn_it_is() {
    let turns = |text: &str, n: usize| -> Vec<usize> {
        let faults = Faults::default();
        faults.add(rule(text)).unwrap();
        (1..=n).filter(|_| faults.choose(&ask("get", "pods", "a")).is_some()).collect::<Vec<_>>().into_iter().collect()
    };
    let close = |more: &str| turns(&format!("effect = \"close\"\n{more}"), 12);
    assert_eq!(close("times = 2"), [1, 2]);
    assert_eq!(close("every = 5"), [5, 10]);
    assert_eq!(close("after = 9"), [10, 11, 12]);
    assert_eq!(close("after = 2\nevery = 3\ntimes = 2"), [5, 8]);
    assert_eq!(close("verb = \"list\""), [0; 0]);
    let many = turns("effect = \"close\"\nprobability = 0.05", 10_000).len();
    assert!((400..600).contains(&many), "{many}");
}

#[test]
fn chance_is_the_same_for_the_same_seed() {
    let draw = |seed| (1..=50).map(|n| chance(seed, 1, n) < 0.3).collect::<Vec<_>>();
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
}

#[test]
fn a_rule_is_about_its_requests_and_spares_the_lab() {
    let rule = rule("server = \"kubernetes\"\nverb = \"create\"\nresource = \"plans*\"\nobject = \"a*\"\neffect = \"close\"");
    assert!(rule.fits(&ask("create", "plans.forklift.konveyor.io", "abc")));
    assert!(!rule.fits(&ask("create", "plans.forklift.konveyor.io", "b")));
    assert!(!rule.fits(&ask("get", "plans.forklift.konveyor.io", "abc")));
    assert!(!rule.fits(&Ask { server: Server::Inventory, ..ask("create", "plans", "abc") }));
    assert!(!rule.fits(&Ask { client: OWN_AGENT, ..ask("create", "plans", "abc") }));
    assert!(Rule { client: Some("mtv-lab*".to_owned()), ..rule }.fits(&Ask { client: OWN_AGENT, ..ask("create", "plans", "abc") }));
}

#[test]
fn what_a_rule_lacks_is_told() {
    for (text, words) in [
        ("effect = \"status\"", "needs `status`"),
        ("effect = \"status\"\nstatus = 200", "from 400 to 599"),
        ("effect = \"stall\"", "needs `seconds`"),
        ("effect = \"stall\"\nseconds = -1.0", "not between 0 and"),
        ("effect = \"close\"\nretry_after = 1", "`retry_after` means nothing here"),
        ("effect = \"silence\"", "`verb = \"watch\"` only"),
        ("effect = \"fault\"\nfault = \"X\"", "`server = \"vsphere\"` or `\"esxi\"` only"),
        ("effect = \"reset\"\nverb = \"connect\"", "by `close` and `stall` only"),
        ("effect = \"close\"\nprobability = 5.0", "not between 0 and 1"),
        ("effect = \"close\"\nevery = 0", "makes no sense"),
    ] {
        let error = toml::from_str::<Rule>(text).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    assert!(toml::from_str::<Rule>("effect = \"close\"\nverbs = \"get\"").unwrap_err().to_string().contains("unknown field `verbs`"));
}

async fn text(response: Response<Body>) -> (u16, String) {
    let code = response.status().as_u16();
    (code, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn the_endpoint_wants_the_token_and_keeps_the_rules() {
    let faults = Faults::default();
    faults.set_token("secret");
    let mut headers = HeaderMap::new();
    let ask = async |headers: &HeaderMap, method: Method, path: &str, body: &'static str| {
        text(faults.administer(&method, path, headers, &Bytes::from_static(body.as_bytes()))).await
    };
    assert_eq!(ask(&headers, Method::GET, admin::PATH, "").await.0, 401);
    headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
    let (code, told) =
        ask(&headers, Method::POST, admin::PATH, r#"{"server":"kubernetes","effect":"status","status":503,"times":1}"#).await;
    assert_eq!(code, 201, "{told}");
    assert!(told.contains(r#""id":1"#), "{told}");
    let (code, told) = ask(&headers, Method::POST, admin::PATH, r#"{"effect":"status"}"#).await;
    assert_eq!((code, told.contains("needs `status`")), (400, true), "{told}");
    assert!(ask(&headers, Method::GET, admin::PATH, "").await.1.contains(r#""status":503"#));
    assert_eq!(ask(&headers, Method::DELETE, "/debug/mtv-lab/faults/7", "").await.0, 404);
    assert_eq!(ask(&headers, Method::DELETE, "/debug/mtv-lab/faults/1", "").await.0, 200);
    assert!(faults.list().is_empty());
    assert!(admin::is_here("/debug/mtv-lab/faults/1") && !admin::is_here("/debug/mtv-lab/faultsx"));
}

#[tokio::test]
async fn a_committed_refusal_is_carried_out() {
    for (committed, expected) in [(false, 0), (true, 1)] {
        let faults = Faults::default();
        faults.add(Rule { status: Some(504), committed, ..Rule::new(Server::Kubernetes, Effect::Status) }).unwrap();
        let mut done = 0;
        let refuse = |refusal: &Refusal| {
            let mut answer = Response::new(full(refusal.message.clone()));
            *answer.status_mut() = refusal.code;
            answer
        };
        let ask = ask("create", "pods", "a");
        let answer = faults.around(&ask, refuse, async {
            done += 1;
            Response::new(full("made"))
        });
        assert_eq!(text(answer.await.unwrap()).await.0, 504);
        assert_eq!(done, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_come_as_their_rule_says() {
    let pieces = || {
        let pieces = ["a\n", "b\n", "c\n"].map(|piece| Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes()))));
        Response::new(http_body_util::StreamBody::new(futures::stream::iter(pieces)).boxed_unsync())
    };
    let start = tokio::time::Instant::now();
    assert_eq!(text(body::twice(pieces())).await.1, "a\nb\na\nc\nb\n");
    assert_eq!(text(body::slow(pieces(), 1)).await.1, "a\nb\nc\n");
    assert_eq!(start.elapsed().as_secs(), 6);
    assert_eq!(text(body::late(pieces(), std::time::Duration::from_secs(2))).await.1, "a\nb\nc\n");
    assert_eq!(start.elapsed().as_secs(), 8);
    assert!(text(body::expired(pieces())).await.1.contains("\"code\":410"));
    assert!(body::silent(pieces(), Some(std::time::Duration::from_secs(1))).into_body().collect().await.is_err());
    assert!(body::reset(pieces(), None).await.into_body().collect().await.is_err());
    assert!(serde_json::from_str::<serde_json::Value>(&text(body::garble(pieces())).await.1).is_err());
}
