//! The server of the live page. It answers this machine alone, and only questions.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

pub use super::html::address;
use super::{Page, Site, no_such, of_error};
use crate::base::{Error, Kind, Result, hash};

const STYLE: &str = include_str!("watch.css");
const SCRIPT: &str = include_str!("watch.js");

/// Nothing but the page's own script, style and address: what stands in a run folder can do nothing in a browser.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Binds a port of this machine alone; 0 takes any that is free.
pub fn bind(port: u16) -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(|error| {
        let reason = match error.kind() {
            ErrorKind::AddrInUse => "another program has it".to_owned(),
            ErrorKind::PermissionDenied => "ports below 1024 are the administrator's".to_owned(),
            _ => error.to_string(),
        };
        let message = format!("cannot listen on port {port} of 127.0.0.1: {reason}");
        Error::new(Kind::Usage, message).hint("--port 0 takes any that is free")
    })
}

/// Answers until the process ends.
pub fn serve(listener: TcpListener, site: Site) -> Result<()> {
    let fail = |e: std::io::Error| Error::new(Kind::Io, format!("cannot serve pages: {e}"));
    listener.set_nonblocking(true).map_err(fail)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        // Timers too: without descriptors the server waits a moment.
        .enable_all()
        .build()
        .map_err(fail)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(fail)?;
        axum::serve(listener, router(site)).await.map_err(fail)
    })
}

fn router(site: Site) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/run/{name}", get(run))
        .route("/suite/{name}", get(suite))
        .route("/watch.css", get(|| file("text/css; charset=utf-8", STYLE)))
        .route(
            "/watch.js",
            get(|| file("text/javascript; charset=utf-8", SCRIPT)),
        )
        .fallback(|| async { answer(Err(no_such("page of this address")), &HeaderMap::new()) })
        .layer(middleware::from_fn(guard))
        .with_state(Arc::new(site))
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

async fn index(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    look(site, |site| site.index(), &headers).await
}

async fn run(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let page = move |site: &Site| site.run(&name)?.ok_or_else(|| no_such("run of this name"));
    look(site, page, &headers).await
}

async fn suite(
    State(site): State<Arc<Site>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    let page = move |site: &Site| {
        site.suite(&name)?
            .ok_or_else(|| no_such("suite of this name"))
    };
    look(site, page, &headers).await
}

/// Makes a page on a thread that may wait for a disk.
async fn look(
    site: Arc<Site>,
    page: impl FnOnce(&Site) -> Result<Page> + Send + 'static,
    headers: &HeaderMap,
) -> Response {
    let made = tokio::task::spawn_blocking(move || page(&site)).await;
    let made = made.unwrap_or_else(|e| Err(Error::new(Kind::Run, e.to_string())));
    answer(made, headers)
}

/// The page, or that it is the one that the browser has.
fn answer(page: Result<Page>, headers: &HeaderMap) -> Response {
    let (status, page) = match page {
        Ok(page) => (StatusCode::OK, page),
        Err(error) if error.kind == Kind::Run => {
            (StatusCode::NOT_FOUND, of_error("ffn watch", &error))
        }
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            of_error("ffn watch", &error),
        ),
    };
    let text = page.document();
    let tag = format!("\"{}\"", hash::sha256(text.as_bytes()));
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return StatusCode::NOT_MODIFIED.into_response();
    }
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::ETAG, &tag),
    ];
    (status, headers, text).into_response()
}

/// Refuses a name of this machine that is not its own, by which a page of another site could read ours, and sets what a
/// browser may do with an answer.
async fn guard(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_of_this_machine(host) {
        let message = "ffn watch answers to localhost and 127.0.0.1 alone: use one of them, over an ssh tunnel if need be\n";
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    let mut response = next.run(request).await;
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in all {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a `Host` names this machine by itself, with whatever port: a tunnel may have another.
fn is_of_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for host in [
            "localhost",
            "localhost:6360",
            "127.0.0.1:80",
            "[::1]:9",
            "LOCALHOST",
        ] {
            assert!(is_of_this_machine(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:80",
            "127.0.0.1.nip.io",
            "127.0.0.1:80:90",
            "localhost:x",
        ] {
            assert!(!is_of_this_machine(host), "{host}");
        }
    }
}
