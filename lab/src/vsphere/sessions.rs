//! Sessions: who is logged in, and what each session has made for itself.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use super::{
    collector::{filter::Filter, page::Pages},
    ids::MoRef,
    methods::history::History,
    model::Model,
    value::{Object, Value},
};

/// A session ends after this time without a request. It is real time: clients do not run on the lab's clock.
/// vCenter's own default.
pub const IDLE: Duration = Duration::from_mins(30);

/// What a view shows.
pub enum ViewKind {
    /// What is beneath a container.
    Container {
        /// Container.
        container: MoRef,
        /// Types that are shown; empty: all.
        types: Vec<String>,
        /// Also beneath what is beneath.
        recursive: bool,
    },
    /// A list that the client gave.
    List(Vec<MoRef>),
}

/// A view.
pub struct View {
    /// What it shows.
    pub kind: ViewKind,
}

/// An object that belongs to a session.
pub enum Owned {
    /// A view.
    View(View),
    /// A filter of a property collector.
    Filter(Box<Filter>),
    /// A property collector beyond the session's own one.
    Collector,
    /// A history collector of tasks or events.
    History(History),
}

/// A session.
pub struct Session {
    /// Value of the cookie, a secret.
    pub cookie: String,
    /// `UserSession.key`.
    pub key: String,
    /// User name.
    pub user: String,
    /// Client's `User-Agent`.
    pub agent: String,
    /// When it logged in.
    pub login: String,
    /// Last request.
    pub active: Instant,
    /// Number of requests.
    pub calls: i64,
    /// Objects of this session by moRef value.
    pub objects: BTreeMap<String, Owned>,
    /// Versions of its property collectors by moRef value.
    pub versions: HashMap<String, u64>,
    /// Results of `RetrievePropertiesEx` that were not delivered yet.
    pub pages: Pages,
    counter: u64,
}

impl Session {
    /// A session of a user who has proved to be that.
    pub fn new(user: &str, agent: &str, cookie: String, key: String) -> Self {
        Self {
            cookie,
            key,
            user: user.to_owned(),
            agent: agent.to_owned(),
            login: Model::now(),
            active: Instant::now(),
            calls: 0,
            objects: BTreeMap::new(),
            versions: HashMap::new(),
            pages: Pages::default(),
            counter: 0,
        }
    }

    /// Keeps an object and returns its moRef value.
    pub fn keep(&mut self, object: Owned) -> String {
        self.counter += 1;
        let id = format!("session[{}]{}", self.key, super::model::uuid(0x52, &format!("{}/{}", self.key, self.counter)));
        self.objects.insert(id.clone(), object);
        id
    }

    /// An object of this session.
    pub fn owned(&self, id: &str) -> Option<&Owned> {
        self.objects.get(id)
    }

    /// Filters of a collector.
    pub fn filters<'a>(&'a self, collector: &'a str) -> impl Iterator<Item = &'a String> {
        self.objects.iter().filter(move |(_, o)| matches!(o, Owned::Filter(f) if f.collector == collector)).map(|(id, _)| id)
    }

    /// Views with their types.
    pub fn views(&self) -> impl Iterator<Item = (&String, &'static str)> {
        self.objects.iter().filter_map(|(id, o)| match o {
            Owned::View(View { kind: ViewKind::Container { .. } }) => Some((id, "ContainerView")),
            Owned::View(_) => Some((id, "ListView")),
            _ => None,
        })
    }

    /// `UserSession`.
    pub fn user_session(&self) -> Object {
        let name =
            self.user.rsplit_once('@').map_or_else(|| self.user.clone(), |(name, domain)| format!("{}\\{name}", domain.to_uppercase()));
        Object::new("UserSession")
            .set("key", &self.key)
            .set("userName", name)
            .set("fullName", &self.user)
            .set("loginTime", Value::Time(self.login.clone()))
            .set("lastActiveTime", Value::Time(Model::now()))
            .set("locale", "en")
            .set("messageLocale", "en")
            .set("extensionSession", false)
            .set("ipAddress", "127.0.0.1")
            .set("userAgent", &self.agent)
            .set("callCount", self.calls)
    }
}

/// All sessions by cookie.
#[derive(Default)]
pub struct Sessions(HashMap<String, Session>);

impl Sessions {
    /// Begins a session.
    pub fn begin(&mut self, session: Session) {
        self.0.insert(session.cookie.clone(), session);
    }

    /// A living session.
    pub fn get(&self, cookie: &str) -> Option<&Session> {
        self.0.get(cookie)
    }

    /// A living session, to change it.
    pub fn get_mut(&mut self, cookie: &str) -> Option<&mut Session> {
        self.0.get_mut(cookie)
    }

    /// Notes a request; false if the session has ended or never was.
    pub fn touch(&mut self, cookie: &str) -> bool {
        self.0.retain(|_, s| s.active.elapsed() < IDLE);
        let Some(session) = self.0.get_mut(cookie) else { return false };
        session.active = Instant::now();
        session.calls += 1;
        true
    }

    /// Ends a session.
    pub fn end(&mut self, cookie: &str) {
        self.0.remove(cookie);
    }

    /// Ends all sessions, as a restart of the server does.
    pub fn end_all(&mut self) {
        self.0.clear();
    }

    /// The session with this key, which is no secret.
    pub fn by_key(&self, key: &str) -> Option<&Session> {
        self.0.values().find(|s| s.key == key)
    }

    /// Ends the session with this key; false if there is none.
    pub fn end_key(&mut self, key: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|_, s| s.key != key);
        self.0.len() < before
    }
}
