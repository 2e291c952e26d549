//! Answers gone wrong.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};

use super::reply::{Reply, respond};
use crate::bomb;
use crate::misbehaviour::Misbehaviour;
use crate::net::Wire;
use crate::sim::Shared;

/// Bytes that are neither JSON nor UTF-8 nor HTTP.
const GARBAGE: &[u8] = b"\x00\xff\xfe{]\x16\x03\x01 \xc3\x28 \"tool_instances\": [[[\r\n\x80\x81";

const PAGE: &[u8] = b"<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\
    <body><center><h1>502 Bad Gateway</h1></center><hr><center>nginx</center></body></html>\n";

const CHUNK: usize = 64 * 1024;
const MIB: u64 = 1024 * 1024;

type Chunk = Result<Bytes, std::io::Error>;

/// The misbehaviours that need no work of the agent: the whole answer of those that are a plain reply.
pub(super) fn instead(what: &Misbehaviour) -> Option<Reply> {
    match what {
        Misbehaviour::Status { code } => {
            let status = StatusCode::from_u16(*code).ok()?;
            Some(Reply::error(
                status,
                status.canonical_reason().unwrap_or("Simulated error"),
            ))
        }
        Misbehaviour::Html => Some(Reply {
            content_type: HeaderValue::from_static("text/html"),
            ..Reply::json(PAGE.to_vec())
        }),
        Misbehaviour::Garbage { wire: false } => Some(Reply::json(GARBAGE.to_vec())),
        _ => None,
    }
}

/// The misbehaviours that spoil a good reply, or need the connection.
pub(super) fn spoil(shared: &Shared, what: &Misbehaviour, reply: Reply, wire: &Arc<Wire>) -> Response {
    let json = reply.content_type.clone();
    let streamed = |body: Body| respond(shared, StatusCode::OK, json.clone(), None, body);
    match what {
        Misbehaviour::Garbage { .. } => wire.write_instead(Bytes::from_static(GARBAGE)),
        Misbehaviour::TruncatedJson => {
            let body = reply.body.slice(..reply.body.len() / 2);
            Reply { body, ..reply }.into_response(shared, false)
        }
        Misbehaviour::CutBody => {
            let length = reply.body.len();
            let half = reply.body.slice(..length / 2);
            announce(streamed(Body::from_stream(cut(half))), length as u64)
        }
        Misbehaviour::HugeBody { mib, content_length } => {
            let (length, body) = huge(*mib);
            let response = streamed(Body::from_stream(body));
            if *content_length {
                announce(response, length)
            } else {
                response
            }
        }
        Misbehaviour::GzipBomb { mib } => {
            let body = stream::iter(bomb::gzip(*mib)).map(Ok::<_, std::io::Error>);
            respond(
                shared,
                StatusCode::OK,
                json,
                Some("gzip"),
                Body::from_stream(body),
            )
        }
        Misbehaviour::Redirect { to } => {
            let moved = Reply {
                status: StatusCode::FOUND,
                ..Reply::text("Found")
            };
            let mut response = moved.into_response(shared, false);
            if let Ok(place) = HeaderValue::from_str(to.as_str()) {
                response.headers_mut().insert(header::LOCATION, place);
            }
            response
        }
        _ => reply.into_response(shared, false),
    }
}

fn announce(mut response: Response, length: u64) -> Response {
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The half, then an error that makes the server drop the connection.
fn cut(half: Bytes) -> impl Stream<Item = Chunk> {
    stream::unfold(Some(half), |left| async move {
        match left {
            Some(half) => Some((Ok(half), None)),
            None => {
                // Yielding lets the server flush the half before it meets the error.
                tokio::task::yield_now().await;
                Some((Err(std::io::Error::other("cut as ordered")), None))
            }
        }
    })
}

/// `{"padding":"xxxx…"}` of this size, with its exact length.
fn huge(mib: u32) -> (u64, impl Stream<Item = Chunk>) {
    let chunks = u64::from(mib) * MIB / CHUNK as u64;
    let filler = Bytes::from(vec![b'x'; CHUNK]);
    let head = Bytes::from_static(b"{\"padding\":\"");
    let tail = Bytes::from_static(b"\"}");
    let length = head.len() as u64 + chunks * CHUNK as u64 + tail.len() as u64;
    let filler = (0..chunks).map(move |_| filler.clone());
    let parts = std::iter::once(head).chain(filler).chain(std::iter::once(tail));
    (length, stream::iter(parts).map(Ok))
}
