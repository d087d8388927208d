//! Logging in and out.

use super::{Context, Outcome, needed_text, unknown};
use crate::vsphere::{
    fault::Fault,
    sessions::Session,
    soap::{Reply, Request},
    value::Value,
};

/// Methods of the session manager.
///
/// # Errors
/// `InvalidLogin` for a wrong user name or password, otherwise the method's fault.
pub fn call(cx: &mut Context, request: &Request) -> Outcome {
    match request.method.as_str() {
        "Login" => login(cx, request),
        "Logout" => {
            if let Some(cookie) = &cx.cookie {
                cx.server.sessions().end(cookie);
            }
            cx.server.notify();
            Ok(Reply::Empty)
        }
        "SessionIsActive" => {
            let key = needed_text(request, "sessionID")?;
            let user = needed_text(request, "userName")?;
            Ok(Value::Bool(cx.server.sessions().by_key(key).is_some_and(|s| s.user == user)).into())
        }
        "TerminateSession" => {
            for key in request.body.children_named("sessionId") {
                if !cx.server.sessions().end_key(&key.text) {
                    return Err(Fault::new("NotFound", "There is no such session."));
                }
            }
            cx.server.notify();
            Ok(Reply::Empty)
        }
        "SetLocale" | "UpdateServiceMessage" => Ok(Reply::Empty),
        _ => Err(unknown(request)),
    }
}

fn login(cx: &mut Context, request: &Request) -> Outcome {
    if cx.cookie.is_some() {
        return Err(Fault::new("InvalidLogin", "This session is logged in already."));
    }
    let expected = cx.server.face().login(cx.server.world());
    let user = needed_text(request, "userName")?;
    let password = needed_text(request, "password")?;
    if !user.eq_ignore_ascii_case(&expected.user) || password != expected.password {
        cx.server.change(|model| {
            let message = format!("Cannot log in {user}@127.0.0.1");
            model.note("BadUsernameSessionEvent", None, None, user, message, vec![("ipAddress", "127.0.0.1".to_owned())]);
        });
        return Err(Fault::invalid_login());
    }
    let cookie = random()?;
    let session = Session::new(&expected.user, &cx.agent, cookie.clone(), random()?);
    let shown = Value::Object(session.user_session());
    let texts = vec![("ipAddress", "127.0.0.1".to_owned()), ("userAgent", cx.agent.clone()), ("sessionId", session.key.clone())];
    cx.server.sessions().begin(session);
    cx.server.change(|model| {
        let message = format!("User {}@127.0.0.1 logged in", expected.user);
        model.note("UserLoginSessionEvent", None, None, &expected.user, message, texts);
    });
    cx.set_cookie = Some(cookie);
    Ok(shown.into())
}

fn random() -> Result<String, Fault> {
    let mut bytes = [0_u8; 20];
    getrandom::fill(&mut bytes).map_err(|error| Fault::new("SystemError", format!("no random numbers: {error}")))?;
    Ok(crate::vsphere::model::hex(&bytes))
}
