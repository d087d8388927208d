//! What a rule does to a request and its answer.

use http::{Response, StatusCode};

use super::{
    Faults,
    ask::{Ask, Server},
    body,
    body::Body,
    rule::{Effect, Rule},
};

/// The connection ends without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Cut {}

/// An answer that a rule asks for; each server has its own form of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP code.
    pub code: StatusCode,
    /// Seconds for `Retry-After`, which [`Faults::around`] sets.
    pub retry_after: Option<u64>,
    /// vSphere: type of the SOAP fault.
    pub fault: Option<String>,
    /// For people.
    pub message: String,
}

impl Refusal {
    fn of(rule: &Rule) -> Self {
        let code = rule.status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let message = rule.message.clone().unwrap_or_else(|| {
            let what = rule.fault.as_deref().or(code.canonical_reason()).unwrap_or("refused");
            format!("{what} (a fault of the lab)")
        });
        Self { code, retry_after: rule.retry_after, fault: rule.fault.clone(), message }
    }
}

impl Faults {
    /// Whether an operation that takes time ends badly, with the words of the rule. Asked once per operation, at its end.
    pub fn fails(&self, server: Server, operation: &str, object: &str) -> Option<String> {
        let rule = self.choose(&Ask::operation(server, operation, object))?;
        tracing::debug!(?server, operation, object, "fault");
        Some(rule.message.unwrap_or_else(|| "failed (a fault of the lab)".to_owned()))
    }

    /// The way of one request: what `carry_out` answers, or what a rule makes of it. `refuse` writes a refusal as the server does.
    ///
    /// # Errors
    /// The connection has to end without an answer.
    pub async fn around(
        &self,
        ask: &Ask<'_>,
        refuse: impl FnOnce(&Refusal) -> Response<Body>,
        carry_out: impl Future<Output = Response<Body>>,
    ) -> Result<Response<Body>, Cut> {
        let Some(rule) = self.choose(ask) else { return Ok(carry_out.await) };
        tracing::debug!(server = ?ask.server, verb = ask.verb, path = ask.path, object = ask.object, effect = ?rule.effect, "fault");
        match rule.effect {
            Effect::Status | Effect::Fault => {
                if rule.committed {
                    drop(carry_out.await);
                }
                let refusal = Refusal::of(&rule);
                let mut answer = refuse(&refusal);
                if let Some(seconds) = refusal.retry_after {
                    answer.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
                }
                Ok(answer)
            }
            Effect::Close => {
                if rule.committed {
                    drop(carry_out.await);
                }
                Err(Cut)
            }
            Effect::Stall => {
                let time = rule.time().unwrap_or_default();
                if rule.committed {
                    let answer = carry_out.await;
                    tokio::time::sleep(time).await;
                    Ok(answer)
                } else {
                    tokio::time::sleep(time).await;
                    Ok(carry_out.await)
                }
            }
            Effect::Reset => Ok(body::reset(carry_out.await, ask.cutter.clone()).await),
            Effect::Slow => Ok(body::slow(carry_out.await, rule.bytes_per_second.unwrap_or(1))),
            Effect::Garble => Ok(body::garble(carry_out.await)),
            // Rules of this effect are for operations, which no request is.
            Effect::Fail => Ok(carry_out.await),
            Effect::Drop => Ok(body::until(carry_out.await, rule.time().unwrap_or_default())),
            Effect::Expire => Ok(body::expired(carry_out.await)),
            Effect::Silence => Ok(body::silent(carry_out.await, rule.time())),
            Effect::Duplicate => {
                let twice = body::twice(carry_out.await);
                Ok(match rule.time() {
                    Some(time) => body::until(twice, time),
                    None => twice,
                })
            }
            Effect::Late => Ok(body::late(carry_out.await, rule.time().unwrap_or_default())),
        }
    }
}
