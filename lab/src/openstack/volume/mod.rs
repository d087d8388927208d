//! Cinder: volumes, their snapshots and types.

mod around;
mod snapshots;
mod volumes;

use std::time::Duration;

use http::Method;

pub use self::snapshots::snap;
use super::{
    Cloud,
    reply::{Answered, Ask, Fault},
};

/// Making a volume.
const CREATE: Duration = Duration::from_secs(5);
/// Taking a snapshot.
const SNAP: Duration = Duration::from_secs(3);
/// Making an image of a volume.
const UPLOAD: Duration = Duration::from_secs(6);
/// Removing any of them.
const DELETE: Duration = Duration::from_secs(2);

/// Answers a request; the path begins after the project.
pub fn answer(cloud: &Cloud, ask: &Ask<'_>) -> Answered {
    let mut model = cloud.model();
    match (ask.method, ask.path) {
        (_, ["volumes", rest @ ..]) => volumes::answer(cloud, &mut model, ask, rest),
        (_, ["snapshots", rest @ ..]) => snapshots::answer(cloud, &mut model, ask, rest),
        (&Method::GET, rest) => around::answer(cloud, &model, ask, rest),
        _ => Err(Fault::no_such_path()),
    }
}

/// Whether a list's filters by name, state and metadata let an object through.
fn wanted(ask: &Ask<'_>, name: &str, status: &str, metadata: &serde_json::Map<String, serde_json::Value>) -> bool {
    // Metadata comes as Python writes a dictionary: {'key': 'value'}.
    let pairs = ask.asked("metadata").map(|text| {
        let plain = text.trim().trim_start_matches('{').trim_end_matches('}');
        let pair = |one: &str| {
            let (key, value) = one.split_once(':')?;
            let bare = |text: &str| text.trim().trim_matches(['\'', '"']).to_owned();
            Some((bare(key), bare(value)))
        };
        plain.split(',').filter_map(pair).collect::<Vec<_>>()
    });
    let named = ask.asked("name").or_else(|| ask.asked("display_name")).is_none_or(|wanted| wanted == name);
    let liked = ask.asked("name~").is_none_or(|part| name.contains(part));
    named
        && liked
        && ask.asked("status").is_none_or(|wanted| wanted.eq_ignore_ascii_case(status))
        && pairs.is_none_or(|pairs| pairs.iter().all(|(key, value)| metadata.get(key).and_then(|v| v.as_str()) == Some(value)))
}
