//! One login with Keystone: a token for a project, renewed when it has expired, and the services of a region.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use super::wire::{fault, text};
use crate::{
    config::profile::{OpenstackProfile, Profile},
    limits::{Total, weight},
    providers::{
        ProviderError, ProviderResult,
        http::{self, Safety},
        rest::{Body, Call, Dialect, Reads, Rest},
        session::{self, Addressed, Login, TokenSession},
    },
    secrets::Secret,
};

/// What `api_url` looks like.
const SHAPE: &str = "https://HOST:5000/v3";
/// Looks for what a lost request asked for. Names are not unique in a cloud, so a request that is still under way must not be
/// taken for one that never arrived: with the pauses between them the last look is 3 s after the first.
const LOOKS: u32 = 3;

/// A service of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Nova.
    Compute,
    /// Cinder.
    Volume,
    /// Glance.
    Image,
    /// Neutron.
    Network,
}

impl Service {
    const ALL: [Self; 4] = [Self::Compute, Self::Volume, Self::Image, Self::Network];

    /// Types by which catalogues know it; the first one that is there is taken.
    const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Compute => &["compute"],
            Self::Volume => &["block-storage", "volumev3", "block-store", "volume"],
            Self::Image => &["image"],
            Self::Network => &["network"],
        }
    }

    /// The address of its resources from what a catalogue tells: endpoints may leave the version out, and that of Cinder the
    /// project too. None for an endpoint of another version of the API.
    fn complete(self, endpoint: &str, project: &str) -> Option<String> {
        let url = endpoint.trim_end_matches('/');
        let parts: Vec<&str> = url.split('/').skip(3).collect();
        let has = |version: &str| {
            parts.iter().any(|part| part.strip_prefix(version).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
        };
        Some(match self {
            Self::Compute if has("v2") => url.to_owned(),
            Self::Compute => format!("{url}/v2.1"),
            Self::Volume if has("v1") || has("v2") => return None,
            Self::Volume if has("v3") && parts.last() == Some(&"v3") => format!("{url}/{project}"),
            Self::Volume if has("v3") => url.to_owned(),
            Self::Volume => format!("{url}/v3/{project}"),
            Self::Image if has("v2") => url.to_owned(),
            Self::Image if has("v1") => return None,
            Self::Image => format!("{url}/v2"),
            Self::Network if has("v2") => url.to_owned(),
            Self::Network => format!("{url}/v2.0"),
        })
    }

    /// Name in counts.
    const fn name(self) -> &'static str {
        match self {
            Self::Compute => "compute",
            Self::Volume => "volume",
            Self::Image => "image",
            Self::Network => "network",
        }
    }
}

/// Every service says why it refuses, in JSON when it is asked for that.
const DIALECT: Dialect = Dialect { fault, bare_404: false };

/// What an answer holds, by what the request is counted as.
fn reads(name: &str) -> Reads<'static> {
    match name {
        "GET servers/ID" => Reads::Object("/server/id"),
        "GET volumes/ID" => Reads::Object("/volume/id"),
        "GET snapshots/ID" => Reads::Object("/snapshot/id"),
        "GET images/ID" => Reads::Object("/id"),
        _ => Reads::Json,
    }
}

/// What a login gives.
#[derive(Debug)]
pub struct Ticket {
    token: Secret,
    endpoints: BTreeMap<Service, Url>,
    project: String,
}

/// How to log in to a project of a cloud.
#[derive(Debug)]
pub struct Keystone {
    profile: Profile,
    cloud: OpenstackProfile,
}

/// The session.
pub type Session = TokenSession<Keystone>;
/// A request of a service.
pub type Request<'a> = session::Request<'a, Service>;
/// Something that a service is to make.
pub type New<'a> = session::New<'a, Service>;

impl Login for Keystone {
    type Ticket = Ticket;
    type Service = Service;
    const NAME: &'static str = "OpenStack";
    const LOOKS: u32 = LOOKS;

    async fn log_in(&self, rest: &Rest) -> ProviderResult<Ticket> {
        login(rest, &self.profile, &self.cloud).await
    }

    fn address(&self, rest: &Rest, login: &Ticket, request: &Request<'_>) -> ProviderResult<Addressed> {
        let Request { service, path, .. } = *request;
        let endpoint = login.endpoints.get(&service).ok_or_else(|| {
            ProviderError::not_found(format!(
                "the catalogue of {} has no {} service in region `{}`",
                rest.address(),
                service.name(),
                self.cloud.region_name
            ))
            .hint("check `region_name` of the profile")
        })?;
        let text = format!("{}{path}", endpoint.as_str().trim_end_matches('/'));
        let url =
            Url::parse(&text).map_err(|error| ProviderError::operation(format!("`{}` is no URL: {error}", http::without_login(&text))))?;
        http::require_tls(&url, &self.profile, &format!("the {} endpoint in the catalogue of {},", service.name(), rest.address()))?;
        let mut headers = vec![("X-Auth-Token", login.token.expose().to_owned())];
        if service == Service::Compute {
            // 2.60 (Queens): flavors inside servers since 2.47, the image's id in the answer since 2.45.
            headers.push(("OpenStack-API-Version", "compute 2.60".to_owned()));
        }
        let name = request.name.replacen(' ', &format!(" {}/", service.name()), 1);
        Ok(Addressed { name, url, headers })
    }

    fn reads(name: &str) -> Reads<'static> {
        reads(name)
    }

    fn rights(&self) -> String {
        format!("check the roles of user `{}` in the project", self.profile.username)
    }
}

impl Session {
    /// Logs in.
    pub async fn open(profile: &Profile, cloud: &OpenstackProfile) -> ProviderResult<Self> {
        let rest = Rest::new(profile, SHAPE, DIALECT)?;
        Self::begin(rest, Keystone { profile: profile.clone(), cloud: cloud.clone() }).await
    }

    /// Name of the project, for people.
    pub async fn project(&self) -> String {
        self.ticket().await.project.clone()
    }

    /// Reads something. `path` begins after the service's endpoint; `doing` says why, for errors.
    pub async fn get(&self, service: Service, name: &str, path: &str, doing: &str) -> ProviderResult<Value> {
        self.read(&Request::get(service, name, path), doing).await
    }

    /// Reads something that may not be there.
    pub async fn get_if_there(&self, service: Service, name: &str, path: &str, doing: &str) -> ProviderResult<Option<Value>> {
        self.find(&Request::get(service, name, path), doing).await
    }

    /// Asks for one server, to see that Nova answers.
    pub async fn look(&self, doing: &str) -> ProviderResult<()> {
        let request = Request::get(Service::Compute, "GET servers", "/servers?limit=1");
        let reply = self.call(&Request { reads: Some(Reads::List("servers")), ..request }).await?;
        if reply.status.is_success() { Ok(()) } else { Err(self.refused(&reply, doing)) }
    }

    /// Reads a list to its last page. `member` is the name of the list in an answer.
    pub async fn list(&self, service: Service, member: &str, path: &str, doing: &str) -> ProviderResult<Vec<Value>> {
        let name = format!("GET {member}");
        let mut path = path.to_owned();
        let (mut all, mut total) = (Vec::new(), Total::default());
        loop {
            let reply = self.call(&Request { reads: Some(Reads::List(member)), ..Request::get(service, &name, &path) }).await?;
            if !reply.status.is_success() {
                return Err(self.refused(&reply, doing));
            }
            let mut body = reply.body;
            let Value::Array(items) = body[member].take() else { return Ok(all) };
            let weight = items.iter().map(weight).sum();
            total.add(weight).map_err(|why| ProviderError::operation(format!("failed to {doing}: {}: {why}", self.rest().address())))?;
            // A page without anything is the last one, whatever it says of a next one.
            if items.is_empty() {
                return Ok(all);
            }
            all.extend(items);
            let links = body[format!("{member}_links")].as_array().cloned().unwrap_or_default();
            let next = links.iter().find(|link| link["rel"] == "next").map(|link| text(link, "/href").to_owned());
            // Glance says the next page in a field of its own, as a path.
            let next = next.or_else(|| body["next"].as_str().map(str::to_owned));
            let Some(query) = next.as_deref().and_then(|url| url.split_once('?')).map(|(_, query)| query.to_owned()) else {
                return Ok(all);
            };
            path = format!("{}?{query}", path.split('?').next().unwrap_or_default());
        }
    }

    /// Deletes something; gone already is success.
    pub async fn delete(&self, service: Service, name: &str, path: &str, doing: &str) -> ProviderResult<()> {
        let reply = self.call(&Request::delete(service, name, path)).await?;
        if reply.status.is_success() || reply.status == StatusCode::NOT_FOUND { Ok(()) } else { Err(self.refused(&reply, doing)) }
    }

    /// Gives the token back. What fails is not worth a word: tokens expire by themselves.
    pub async fn close(&self) {
        let login = self.ticket().await;
        let Ok(url) = tokens(&self.rest().url) else { return };
        let token = login.token.expose().to_owned();
        let headers = vec![("X-Auth-Token", token.clone()), ("X-Subject-Token", token)];
        let name = "DELETE auth/tokens";
        let call = Call { name, method: Method::DELETE, url, headers, body: Body::None, safety: Safety::Once, reads: Reads::Text };
        let _ = self.rest().send(&call).await;
    }
}

/// Where tokens are made: `api_url` with or without its `/v3`.
fn tokens(api: &Url) -> ProviderResult<Url> {
    let text = api.as_str().trim_end_matches('/');
    let version = if text.ends_with("/v3") { "" } else { "/v3" };
    Url::parse(&format!("{text}{version}/auth/tokens"))
        .map_err(|error| ProviderError::unreachable(format!("api_url `{}` is no URL: {error}; expected {SHAPE}", http::place(api))))
}

/// The question for a token of a project, as Keystone v3 has it.
fn question(profile: &Profile, cloud: &OpenstackProfile) -> Value {
    // An id is exact; a name can be renamed.
    let domain = |id: &str| match (id, cloud.user_domain_name.as_str()) {
        ("", "") => json!({"id": "default"}),
        ("", name) => json!({"name": name}),
        (id, _) => json!({"id": id}),
    };
    let project = Some(&cloud.project_name).filter(|name| !name.is_empty());
    json!({"auth": {
        "identity": {"methods": ["password"], "password": {"user": {
            "name": profile.username, "password": profile.password.expose(), "domain": domain(&cloud.user_domain_id),
        }}},
        "scope": {"project": {"name": project, "domain": domain(&cloud.project_domain_id)}},
    }})
}

async fn login(rest: &Rest, profile: &Profile, cloud: &OpenstackProfile) -> ProviderResult<Ticket> {
    let doing = format!("log in to {} with profile `{}`", rest.address(), profile.name);
    let body = question(profile, cloud);
    let call = Call {
        name: "POST auth/tokens",
        method: Method::POST,
        url: tokens(&rest.url)?,
        headers: Vec::new(),
        body: Body::Json(&body),
        safety: Safety::Repeatable,
        reads: Reads::Login,
    };
    let reply = rest.send(&call).await?;
    let token = reply.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
    match (reply.status, token) {
        (status, Some(token)) if status.is_success() => Ok(Ticket {
            token: Secret::new(token),
            endpoints: endpoints(&reply.body["token"], &cloud.region_name),
            project: text(&reply.body, "/token/project/name").to_owned(),
        }),
        (StatusCode::UNAUTHORIZED, _) => Err(ProviderError::login(format!(
            "{doing}: the user name or password was refused for user `{}`, or it has no role in the project",
            profile.username
        ))
        .hint("check `username`, `password`, `project_name` and the domains of the profile")),
        (status, _) => Err(ProviderError::unreachable(format!(
            "{doing}: the answer is no token (HTTP {status}{})",
            fault(&reply.body).map(|why| format!(", {why}")).unwrap_or_default()
        ))
        .hint(format!("`api_url` should read {SHAPE}"))),
    }
}

/// Public endpoints of a region; of any if none is named.
fn endpoints(token: &Value, region: &str) -> BTreeMap<Service, Url> {
    let catalogue = token["catalog"].as_array().map_or(&[][..], Vec::as_slice);
    let public = |entry: &Value| {
        let here = |e: &&Value| {
            text(e, "/interface") == "public" && (region.is_empty() || text(e, "/region_id") == region || text(e, "/region") == region)
        };
        entry["endpoints"].as_array()?.iter().find(here).map(|e| text(e, "/url").to_owned())
    };
    let project = text(token, "/project/id");
    let of = |service: Service| {
        let entries = service.types().iter().flat_map(|kind| catalogue.iter().filter(move |entry| text(entry, "/type") == *kind));
        let whole = entries.filter_map(public).find_map(|url| service.complete(&url, project))?;
        Some((service, Url::parse(&whole).ok()?))
    };
    Service::ALL.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_those_of_the_region() {
        let entry = |kind: &str, region: &str, url: &str| {
            json!({"type": kind, "endpoints": [
                {"interface": "internal", "region_id": region, "url": "http://inside"}, {"interface": "public", "region_id": region, "url": url},
            ]})
        };
        let token = json!({"catalog": [
            entry("compute", "two", "https://two/compute"), entry("compute", "one", "https://one/compute/v2.1/"),
            entry("volumev3", "one", "https://one/volume/v3/p"), entry("image", "one", "https://one/image"), entry("network", "one", "https://one/net/v2.0"),
        ]});
        let found = endpoints(&token, "one");
        let url = |service| found[&service].as_str();
        assert_eq!(url(Service::Compute), "https://one/compute/v2.1");
        assert_eq!(url(Service::Volume), "https://one/volume/v3/p");
        assert_eq!(url(Service::Image), "https://one/image/v2");
        assert_eq!(url(Service::Network), "https://one/net/v2.0");
        assert_eq!(endpoints(&token, "two").len(), 1);
    }

    #[test]
    fn endpoints_are_completed() {
        for (service, told, expected) in [
            (Service::Compute, "https://c/compute", Some("https://c/compute/v2.1")),
            (Service::Compute, "https://c:8774/v2.1/p", Some("https://c:8774/v2.1/p")),
            (Service::Compute, "https://c:8774/v2/p", Some("https://c:8774/v2/p")),
            (Service::Volume, "https://c/volume/v3", Some("https://c/volume/v3/p")),
            (Service::Volume, "https://c/volume/", Some("https://c/volume/v3/p")),
            (Service::Volume, "https://c/volume/v3/p", Some("https://c/volume/v3/p")),
            (Service::Volume, "https://c/volume/v2/p", None),
            (Service::Image, "https://c:9292/", Some("https://c:9292/v2")),
            (Service::Image, "https://c:9292/v2", Some("https://c:9292/v2")),
            (Service::Network, "https://v2host:9696", Some("https://v2host:9696/v2.0")),
        ] {
            assert_eq!(service.complete(told, "p").as_deref(), expected, "{told}");
        }
    }

    #[test]
    fn tokens_are_made_below_v3() {
        for api in ["https://k:5000/v3", "https://k:5000/v3/", "https://k:5000"] {
            assert_eq!(tokens(&Url::parse(api).unwrap()).unwrap().as_str(), "https://k:5000/v3/auth/tokens", "{api}");
        }
    }
}
