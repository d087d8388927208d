//! Bodies that do not come as they should.

use std::{collections::VecDeque, io, time::Duration};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, future, stream};
use http::{Response, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use serde_json::json;

use super::wire::Cutter;

/// Body of an answer: whole, or a stream of pieces. A watch has one event in each piece.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Between the first half of an answer and its end: long enough that the client has read it.
const HALFWAY: Duration = Duration::from_millis(50);
/// Pieces a second of a slow body that is faster than one byte a second.
const TICKS: u64 = 10;

fn replace<S>(answer: Response<Body>, body: impl FnOnce(stream::BoxStream<'static, io::Result<Bytes>>) -> S) -> Response<Body>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let (mut head, old) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let pieces = body(pieces(old));
    Response::from_parts(head, StreamBody::new(pieces.map(|piece| piece.map(Frame::data))).boxed_unsync())
}

/// The pieces of a body. Trailers, which no server of the lab sends, are left out.
fn pieces(mut body: Body) -> stream::BoxStream<'static, io::Result<Bytes>> {
    let next = move |cx: &mut std::task::Context<'_>| {
        use http_body::Body as _;
        std::pin::Pin::new(&mut body).poll_frame(cx)
    };
    // The body is `Send` but not `Sync`; a stream needs no more.
    let frames = stream::poll_fn(next);
    frames.filter_map(|frame| future::ready(frame.map(|frame| frame.into_data().ok()).transpose())).boxed()
}

fn cut(cutter: Option<&Cutter>) -> io::Error {
    if let Some(cutter) = cutter {
        cutter.cut();
    }
    io::Error::new(io::ErrorKind::ConnectionReset, "reset on purpose")
}

/// Half of the body, then a reset of the connection.
pub(super) async fn reset(answer: Response<Body>, cutter: Option<Cutter>) -> Response<Body> {
    let (head, body) = answer.into_parts();
    // A watch has no whole: its first event is the half that comes.
    let whole = tokio::time::timeout(HALFWAY, body.collect()).await;
    let bytes = whole.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let half = bytes.slice(..bytes.len() / 2);
    let end = stream::once(async move {
        tokio::time::sleep(HALFWAY).await;
        Err(cut(cutter.as_ref()))
    });
    replace(Response::from_parts(head, full("")), move |_| stream::once(future::ready(Ok(half))).chain(end))
}

/// The body, so many bytes a second.
pub(super) fn slow(answer: Response<Body>, speed: u64) -> Response<Body> {
    let (size, pause) = match speed {
        0..TICKS => (1, Duration::from_secs_f64(1.0 / speed.max(1) as f64)),
        _ => (usize::try_from(speed / TICKS).unwrap_or(usize::MAX), Duration::from_secs_f64(1.0 / TICKS as f64)),
    };
    replace(answer, move |pieces| {
        let crumbs = pieces.flat_map(move |piece| {
            stream::iter(match piece {
                Ok(piece) => (0..piece.len()).step_by(size).map(|at| Ok(piece.slice(at..piece.len().min(at + size)))).collect(),
                Err(error) => vec![Err(error)],
            })
        });
        delayed(crumbs, pause)
    })
}

/// Each piece later by this time than the one before, or than it came.
fn delayed(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    pause: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    pieces.then(move |piece| async move {
        tokio::time::sleep(pause).await;
        piece
    })
}

/// Another body of the same kind that cannot be read: it ends in the middle of its first word.
pub(super) fn garble(answer: Response<Body>) -> Response<Body> {
    let (mut head, _) = answer.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    let xml = head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().windows(3).any(|word| word == b"xml"));
    Response::from_parts(head, full(if xml { "<soapenv:Envelope><soapenv:Bo" } else { "{\"kind\":\"garb" }))
}

/// The body until some time after its beginning; then it ends properly.
pub(super) fn until(answer: Response<Body>, time: Duration) -> Response<Body> {
    replace(answer, move |pieces| pieces.take_until(Box::pin(async move { tokio::time::sleep(time).await })))
}

/// A watch that is told that its version is too old. What refuses the watch itself stays.
pub(super) fn expired(answer: Response<Body>) -> Response<Body> {
    if !answer.status().is_success() {
        return answer;
    }
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": "too old resource version: a fault of the lab" });
    let line = json!({ "type": "ERROR", "object": status }).to_string() + "\n";
    replace(answer, move |_| stream::once(future::ready(Ok(Bytes::from(line)))))
}

/// Nothing comes; after the time the connection breaks.
pub(super) fn silent(answer: Response<Body>, time: Option<Duration>) -> Response<Body> {
    replace(answer, move |_| {
        stream::once(async move {
            match time {
                Some(time) => tokio::time::sleep(time).await,
                None => future::pending().await,
            }
            Err(cut(None))
        })
    })
}

/// Each piece again, behind the one that follows it.
pub(super) fn twice(answer: Response<Body>) -> Response<Body> {
    replace(answer, |pieces| {
        let start = (pieces, VecDeque::new(), None::<Bytes>);
        stream::unfold(start, |(mut pieces, mut ready, mut before)| async move {
            if ready.is_empty() {
                let next = pieces.next().await?;
                if let Ok(next) = &next {
                    ready.extend(before.replace(next.clone()).map(Ok));
                }
                ready.push_front(next);
            }
            ready.pop_front().map(|piece| (piece, (pieces, ready, before)))
        })
    })
}

/// Each piece later by this time.
pub(super) fn late(answer: Response<Body>, time: Duration) -> Response<Body> {
    // As many at once as there are: a burst is late, not slower.
    replace(answer, move |pieces| {
        pieces
            .map(move |piece| async move {
                tokio::time::sleep(time).await;
                piece
            })
            .buffered(1024)
    })
}
