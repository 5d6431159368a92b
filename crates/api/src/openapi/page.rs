//! `/openapi.json`, and `/docs`: the same as a page to read.
//!
//! The page is ours, in three files inside the binary: it works without a network, loads nothing from
//! elsewhere, and its content security policy allows no inline script. All of it is made once at start.

use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use schemars::json_schema;

use super::types::described;
use super::{Doc, Draft, Tag};
use crate::route::{Access, Route};

const HTML: &str = include_str!("page/index.html");
const STYLE: &str = include_str!("page/docs.css");
const SCRIPT: &str = include_str!("page/docs.js");

/// Nothing but our own files, and nobody may frame the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static DESCRIPTION: LazyLock<File> =
    LazyLock::new(|| File::new("application/json", super::text(&crate::routes())));
static PAYMENTS: LazyLock<File> =
    LazyLock::new(|| File::new("application/json", crate::payments_description()));
static PAGE: LazyLock<File> = LazyLock::new(|| File::new("text/html; charset=utf-8", HTML));
static PAGE_STYLE: LazyLock<File> = LazyLock::new(|| File::new("text/css; charset=utf-8", STYLE));
static PAGE_SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new("text/javascript; charset=utf-8", SCRIPT));

/// Makes the descriptions, so that no request has to wait for them.
pub(crate) fn prepare() {
    LazyLock::force(&DESCRIPTION);
    LazyLock::force(&PAYMENTS);
}

pub(crate) fn routes() -> Vec<Route> {
    let of_media = |media| move |draft: Draft| draft.text(StatusCode::OK, "The file.", media);
    let of_json = |draft: Draft| draft.gives::<Document>(StatusCode::OK, "The file.");
    let file = |id, summary, description, media: &dyn Fn(Draft) -> Doc| {
        media(Doc::new(id, Tag::Server, summary, description))
            .header("ETag", "Changes with the file.")
            .header("Cache-Control", "How long it may be kept.")
            .empty(StatusCode::NOT_MODIFIED, "It is what `If-None-Match` names.")
    };
    let [html, css, js] = ["text/html", "text/css", "text/javascript"].map(of_media);
    let part = "A part of the page under `/docs`.";
    vec![
        Route::get(
            "/openapi.json",
            Access::Public,
            async |headers: HeaderMap| DESCRIPTION.answer(&headers),
            file("OpenApi", "This description", "OpenAPI 3.1, made from the routes.", &of_json),
        ),
        Route::get(
            "/openapi-payments.json",
            Access::Public,
            async |headers: HeaderMap| PAYMENTS.answer(&headers),
            file(
                "OpenApiPayments",
                "The description of the Payments API",
                "OpenAPI 3.1, made from its routes.",
                &of_json,
            ),
        ),
        Route::get(
            "/docs/payments",
            Access::Public,
            async |headers: HeaderMap| PAGE.answer(&headers),
            file(
                "DocsPayments",
                "The Payments API as a page",
                "The same page as `/docs`, with the other description.",
                &html,
            ),
        ),
        Route::get(
            "/docs",
            Access::Public,
            async |headers: HeaderMap| PAGE.answer(&headers),
            file("Docs", "This description as a page", "Works without a network.", &html),
        ),
        Route::get(
            "/docs/docs.css",
            Access::Public,
            async |headers: HeaderMap| PAGE_STYLE.answer(&headers),
            file("DocsStyle", "The page's style", part, &css),
        ),
        Route::get(
            "/docs/docs.js",
            Access::Public,
            async |headers: HeaderMap| PAGE_SCRIPT.answer(&headers),
            file("DocsScript", "The page's script", part, &js),
        ),
    ]
}

described!(
    /// An OpenAPI document.
    Document,
    json_schema!({ "type": "object", "description": "An OpenAPI document." })
);

/// A file that never changes while the process lives.
struct File {
    media: &'static str,
    content: Bytes,
    tag: String,
}

impl File {
    fn new(media: &'static str, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let hash = digest::digest(&digest::SHA256, &content);
        let hex: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self { media, content, tag: format!("\"{hex}\"") }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let known = asked.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        let known = known.is_some_and(|tags| tags.split(',').any(|tag| tag.trim() == self.tag));
        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            ([(header::CONTENT_TYPE, self.media)], self.content.clone()).into_response()
        };
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        set(header::ETAG, &self.tag);
        set(header::CACHE_CONTROL, "public, max-age=300");
        set(header::CONTENT_SECURITY_POLICY, POLICY);
        set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(header::REFERRER_POLICY, "no-referrer");
        response
    }
}
