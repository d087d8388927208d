//! Who may see what: the cluster is asked, by TokenReview and SubjectAccessReview.

use k8s_openapi::api::{
    authentication::v1::{TokenReview, TokenReviewSpec},
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
};
use kube::{Api, Client, api::PostParams};

/// Why a request is refused.
#[derive(Debug)]
pub enum Refusal {
    /// No token, or none that the cluster knows.
    Unauthenticated,
    /// The user may not; the text goes into a header.
    Forbidden(String),
    /// The cluster could not be asked.
    Broken(kube::Error),
}

/// The token of an `Authorization` header.
pub fn bearer(header: Option<&str>) -> Option<&str> {
    header?.strip_prefix("Bearer ").map(str::trim).filter(|token| !token.is_empty())
}

/// Asks whether the owner of a token may `verb` Providers.
pub async fn allow(client: &Client, token: Option<&str>, verb: &str, namespace: &str, name: &str) -> Result<(), Refusal> {
    let attributes = ResourceAttributes {
        group: Some("forklift.konveyor.io".to_owned()),
        resource: Some("providers".to_owned()),
        verb: Some(verb.to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        ..ResourceAttributes::default()
    };
    may(client, token, attributes).await.map_err(|refusal| match refusal {
        Refusal::Forbidden(user) => Refusal::Forbidden(format!(
            "providers.forklift.konveyor.io is forbidden: user \"{user}\" may not {verb} providers in namespace \"{namespace}\""
        )),
        other => other,
    })
}

/// Asks whether the owner of a token may do something.
///
/// # Errors
/// Why not; for somebody who is known it is the name.
pub async fn may(client: &Client, token: Option<&str>, attributes: ResourceAttributes) -> Result<(), Refusal> {
    let token = token.ok_or(Refusal::Unauthenticated)?;
    let review = TokenReview { spec: TokenReviewSpec { token: Some(token.to_owned()), audiences: None }, ..TokenReview::default() };
    let review = Api::<TokenReview>::all(client.clone()).create(&PostParams::default(), &review).await.map_err(Refusal::Broken)?;
    let status = review.status.unwrap_or_default();
    let user = status.user.filter(|_| status.authenticated == Some(true)).ok_or(Refusal::Unauthenticated)?;
    let access = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: user.username.clone(),
            groups: user.groups.clone(),
            uid: user.uid.clone(),
            extra: user.extra.clone(),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let access = Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &access).await.map_err(Refusal::Broken)?;
    if access.status.is_some_and(|status| status.allowed) {
        return Ok(());
    }
    Err(Refusal::Forbidden(user.username.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bearer_token_counts() {
        assert_eq!(bearer(Some("Bearer abc")), Some("abc"));
        for header in [None, Some("Basic abc"), Some("Bearer "), Some("abc")] {
            assert_eq!(bearer(header), None, "{header:?}");
        }
    }
}
