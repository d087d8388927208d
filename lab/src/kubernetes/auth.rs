//! Who asks: a static table of bearer tokens, and those that the OAuth endpoints hand out.

use std::{
    collections::HashMap,
    fmt,
    sync::{PoisonError, RwLock},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderMap, header};

use super::{
    oauth,
    status::{Answer, Failure},
    write,
};

/// A user of the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Name, as `TokenReview` tells it.
    pub name: String,
    /// Bearer token.
    pub token: String,
    /// Groups; members of `system:masters` may do everything.
    pub groups: Vec<String>,
    /// Password for the OAuth login; none: the user cannot log in there.
    pub password: Option<String>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("groups", &self.groups).finish_non_exhaustive()
    }
}

/// The one who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Name.
    pub name: String,
    /// Groups, `system:authenticated` or `system:unauthenticated` included.
    pub groups: Vec<String>,
}

impl Caller {
    fn of(user: &User) -> Self {
        let mut groups = user.groups.clone();
        groups.push("system:authenticated".to_owned());
        Self { name: user.name.clone(), groups }
    }

    /// Nobody in particular.
    pub fn anonymous() -> Self {
        Self { name: "system:anonymous".to_owned(), groups: vec!["system:unauthenticated".to_owned()] }
    }

    /// May do everything.
    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }

    /// A user of this name and these groups, with those that follow from the name.
    pub fn named(name: &str, mut groups: Vec<String>) -> Self {
        if let Some((namespace, _)) = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
            && groups.is_empty()
        {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        let last = if name == "system:anonymous" { "system:unauthenticated" } else { "system:authenticated" };
        if !groups.iter().any(|group| group == last) {
            groups.push(last.to_owned());
        }
        Self { name: name.to_owned(), groups }
    }
}

/// The table of users.
pub struct Users {
    known: Vec<User>,
    /// Tokens given at run time, with the name of their user.
    issued: RwLock<HashMap<String, String>>,
    /// Tokens of service accounts, with the name of the user that the account is.
    accounts: RwLock<HashMap<String, String>>,
    /// OAuth logins that have a code and no token yet: code to user, challenge and its method.
    logins: RwLock<HashMap<String, (String, String, String)>>,
}

impl Users {
    /// A table with these users.
    pub fn new(users: Vec<User>) -> Self {
        Self { known: users, issued: RwLock::default(), accounts: RwLock::default(), logins: RwLock::default() }
    }

    /// The static token of a user.
    pub fn token_of(&self, name: &str) -> Option<&str> {
        self.known.iter().find(|user| user.name == name).map(|user| user.token.as_str())
    }

    /// Whose token it is.
    pub fn by_token(&self, token: &str) -> Option<Caller> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(token) {
            return Some(Caller::named(account, Vec::new()));
        }
        let issued = self.issued.read().unwrap_or_else(PoisonError::into_inner);
        let name = issued.get(token);
        let user = self.known.iter().find(|user| name.map_or(user.token == token, |name| user.name == *name))?;
        Some(Caller::of(user))
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// 401 for credentials that nobody has; a request without any is anonymous.
    pub fn authenticate(&self, headers: &HeaderMap) -> Answer<Caller> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Caller::anonymous()) };
        let token = value.to_str().ok().and_then(|value| value.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match token {
            Some((_, token)) => self.by_token(token.trim()).ok_or_else(Failure::unauthorized),
            None => Ok(Caller::anonymous()),
        }
    }

    /// The user that a Basic header proves.
    pub fn by_password(&self, headers: &HeaderMap) -> Option<&User> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = value.split_once(' ')?;
        let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
        let (name, password) = decoded.split_once(':')?;
        let known = |user: &&User| user.name == name && user.password.as_deref() == Some(password);
        self.known.iter().find(known).filter(|_| scheme.eq_ignore_ascii_case("basic"))
    }

    /// Begins an OAuth login; gives back the code.
    pub fn begin(&self, user: &str, challenge: &str, method: &str) -> Answer<String> {
        let code = format!("sha256~{}", BASE64_URL_SAFE_NO_PAD.encode(write::random::<32>()?));
        let login = (user.to_owned(), challenge.to_owned(), method.to_owned());
        self.logins.write().unwrap_or_else(PoisonError::into_inner).insert(code.clone(), login);
        Ok(code)
    }

    /// Ends an OAuth login: whose code it was. A code works once.
    pub fn finish(&self, code: &str, verifier: &str) -> Option<String> {
        let (user, challenge, method) = self.logins.write().unwrap_or_else(PoisonError::into_inner).remove(code)?;
        oauth::verified(&challenge, &method, verifier).then_some(user)
    }

    /// Remembers the token of a service account.
    pub fn issue_account(&self, token: String, user: String) {
        self.accounts.write().unwrap_or_else(PoisonError::into_inner).insert(token, user);
    }

    /// Remembers a token that was handed out.
    pub fn issue(&self, token: String, user: &str) {
        self.issued.write().unwrap_or_else(PoisonError::into_inner).insert(token, user.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> Users {
        let user = |name: &str, password: Option<&str>| User {
            name: name.to_owned(),
            token: format!("token-of-{name}"),
            groups: Vec::new(),
            password: password.map(str::to_owned),
        };
        Users::new(vec![user("ann", Some("secret")), user("bob", None)])
    }

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn tokens() {
        let users = users();
        assert_eq!(users.authenticate(&headers("Bearer token-of-bob")).unwrap().name, "bob");
        assert_eq!(users.authenticate(&headers("Bearer wrong")).unwrap_err().code, 401);
        assert_eq!(users.authenticate(&HeaderMap::new()).unwrap(), Caller::anonymous());
        users.issue("new".to_owned(), "ann");
        assert_eq!(users.authenticate(&headers("Bearer new")).unwrap().name, "ann");
    }

    #[test]
    fn passwords() {
        let users = users();
        let basic = |text: &str| headers(&format!("Basic {}", BASE64_STANDARD.encode(text)));
        assert_eq!(users.by_password(&basic("ann:secret")).map(|user| user.name.as_str()), Some("ann"));
        assert!(users.by_password(&basic("ann:wrong")).is_none());
        assert!(users.by_password(&basic("bob:")).is_none());
    }

    #[test]
    fn a_user_never_shows_its_secrets() {
        let user = User { name: "ann".into(), token: "hush".into(), groups: vec![], password: Some("quiet".into()) };
        let shown = format!("{user:?}");
        assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    }
}
