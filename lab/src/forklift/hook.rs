//! Hooks: is there something to run.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use mtv_api::{forklift::Status, kinds::HOOK};
use serde_json::{Value, json};

use super::{
    Context,
    cluster::{Key, Look},
    conditions::{Staged, condition},
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
    if hook.pointer("/spec/aap").is_some() {
        if !image.is_empty() || !playbook.is_empty() {
            staged.set(condition("InvalidHookExecute", "Critical", "NotValid", "`aap` excludes `image` and `playbook`."), now);
        }
        return;
    }
    if image.is_empty() {
        staged.set(condition("InvalidHookExecute", "Critical", "NotSet", "A hook that runs here needs an `image`."), now);
        return;
    }
    if image.chars().any(|c| c.is_whitespace() || c.is_control()) {
        staged.set(condition("InvalidImage", "Critical", "NotValid", "`image` is no image reference."), now);
    }
    if STANDARD.decode(playbook).is_err() {
        staged.set(condition("InvalidPlaybook", "Critical", "DataError", "`playbook` is no base64."), now);
    }
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
        ] {
            let mut staged = Staged::begin(&[]);
            validate(&json!({ "spec": spec }), &mut staged, "now");
            assert_eq!(staged.list().iter().map(|c| c.kind.clone()).collect::<Vec<_>>(), wanted, "{spec}");
        }
    }
}
