//! Hooks: is there something to run.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{forklift::Status, kinds::HOOK};
use serde_json::{Value, json};

use super::{
    Context,
    cluster::{Key, Look},
    conditions::{Staged, condition},
    names,
};

/// Looks at a Hook.
pub async fn reconcile(context: &Context, key: &Key) -> anyhow::Result<Option<Duration>> {
    let Some(hook) = context.cluster.get(&HOOK, &key.namespace, &key.name).await? else { return Ok(None) };
    let written: Status = serde_json::from_value(hook["status"].clone()).unwrap_or_default();
    let now = context.now();
    let mut staged = Staged::begin(&written.conditions);
    validate(&hook, &mut staged, &now);
    if !staged.blocked() {
        staged.set(condition("Ready", "Required", "", "The hook can be run."), &now);
    }
    staged.end();
    let status = json!({ "conditions": staged.list(), "observedGeneration": hook.number("/metadata/generation") });
    context.publish(&HOOK, "hook", &hook, &written.conditions, &staged, status).await?;
    Ok(None)
}

fn validate(hook: &Value, staged: &mut Staged, now: &str) {
    let (image, playbook) = (hook.text("/spec/image"), hook.text("/spec/playbook"));
    let not_set = |kind: &str, text: &str| condition(kind, "Critical", "NotSet", text);
    if let Some(platform) = hook.pointer("/spec/aap").filter(|platform| !platform.is_null()) {
        if !image.trim().is_empty() || !playbook.trim().is_empty() {
            staged.set(not_set("InvalidHookExecute", "`aap` excludes `image` and `playbook`."), now);
        } else if platform.number("/jobTemplateId") <= 0 {
            staged.set(not_set("InvalidHookExecute", "A hook of an automation platform needs a `jobTemplateId`."), now);
        } else if !runs_on_platform(hook) {
            staged.set(not_set("InvalidHookExecute", "A hook of an automation platform needs its `url` and a `tokenSecret`."), now);
        }
        return;
    }
    if !runs_here(hook) {
        staged.set(not_set("InvalidHookExecute", "A hook that runs here needs an `image`."), now);
        return;
    }
    if !names::is_image(image) {
        staged.set(not_set("InvalidImage", "`image` is no image reference."), now);
    }
    if STANDARD.decode(playbook).is_err() {
        staged.set(condition("InvalidPlaybook", "Critical", "DataError", "`playbook` is no base64."), now);
    }
}

/// Whether a hook says what its pod runs.
fn runs_here(hook: &Value) -> bool {
    !hook.text("/spec/image").trim().is_empty()
}

/// Whether a hook says where its automation platform is.
fn runs_on_platform(hook: &Value) -> bool {
    !hook.text("/spec/aap/url").is_empty() && !hook.text("/spec/aap/tokenSecret/name").is_empty()
}

/// Whether a hook names a job of an automation platform.
pub fn is_on_platform(hook: &Value) -> bool {
    hook.pointer("/spec/aap").is_some_and(|platform| !platform.is_null())
}

/// Whether a hook can be carried out at all.
pub fn is_executable(hook: &Value) -> bool {
    if is_on_platform(hook) {
        return hook.text("/spec/image").trim().is_empty()
            && hook.text("/spec/playbook").trim().is_empty()
            && hook.number("/spec/aap/jobTemplateId") > 0
            && runs_on_platform(hook);
    }
    runs_here(hook)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_judged() {
        for (spec, wanted) in [
            (json!({ "image": "quay.io/x/y", "playbook": "LS0t" }), vec![]),
            (json!({ "image": "quay.io/x/y" }), vec![]),
            (json!({ "image": "quay.io/x/y", "playbook": "***" }), vec!["InvalidPlaybook"]),
            (json!({ "image": "", "playbook": "" }), vec!["InvalidHookExecute"]),
            (json!({ "image": "a b" }), vec!["InvalidImage"]),
            (json!({ "image": "a", "aap": { "jobTemplateId": 1 } }), vec!["InvalidHookExecute"]),
            (json!({ "aap": { "jobTemplateId": 0 } }), vec!["InvalidHookExecute"]),
            (json!({ "aap": { "jobTemplateId": 1 } }), vec!["InvalidHookExecute"]),
            (json!({ "aap": { "jobTemplateId": 1, "url": "https://aap", "tokenSecret": { "name": "t" } } }), vec![]),
        ] {
            let mut staged = Staged::begin(&[]);
            validate(&json!({ "spec": spec }), &mut staged, "now");
            assert_eq!(staged.list().iter().map(|c| c.kind.clone()).collect::<Vec<_>>(), wanted, "{spec}");
        }
    }
}
