//! The OpenAPI description, made from the routes themselves: from what each says of itself and from the
//! types that are really serialised. `docs/openapi.json` is its golden file.
//!
//! OpenAPI 3.1, because 3.0 cannot say "this schema or null" in a way that validators can compile. What every route of a kind has in common
//! (keys, headers, 401, 429, errors in a body) is written here once. Absent: what a single route does.

mod doc;
mod page;
pub(crate) mod types;

use std::collections::BTreeMap;

use http::StatusCode;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::error::ValidationErrorMessage;
use crate::route::{Access, Route};
pub(crate) use doc::{Answer, Content, Doc, Draft, Param, Shape, Tag};
pub(crate) use page::{prepare, routes};

/// Headers that more than one answer has: name, type and meaning.
#[rustfmt::skip]
const HEADERS: [(&str, &str, &str); 7] = [
    ("X-Request-Id", "string", "The request's id, which every line about it in the server's log carries."),
    ("Server-Timing", "string", "How long the request took, and how much of that was spent waiting for providers."),
    ("Retry-After", "integer", "Seconds after which it is worth trying again."),
    ("Idempotent-Replayed", "string", "`true` if the answer is that of an earlier request with the same key."),
    ("RateLimit-Limit", "integer", "Requests in a full budget. On every answer to a request with a key."),
    ("RateLimit-Remaining", "integer", "How many of them are left."),
    ("RateLimit-Reset", "integer", "Seconds until the budget is full again."),
];

/// On every answer.
const ALWAYS: [&str; 2] = ["X-Request-Id", "Server-Timing"];

/// Named at the answer to a request beyond the limit only; every other one with a key has them too.
const LIMITS: [&str; 3] = ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"];

const INTRODUCTION: &str = "\
One call names one or more gateway accounts and moves money, with failover between providers. JSON in and \
out. Property names bind without regard to case, and unknown ones are ignored. Amounts are decimal major \
units.

Every request but those marked as public carries an API key in `X-Api-Key` or `api-key`. A missing, wrong, \
ended or unfitting key is answered 401 with an empty body. An error in a request is 400 and says which \
field it is about.";

/// The description as text, with the final newline.
pub(crate) fn text(routes: &[Route]) -> String {
    // A value whose keys are strings can always be written.
    let mut text = serde_json::to_string_pretty(&document(routes)).unwrap_or_default();
    text.push('\n');
    text
}

fn document(routes: &[Route]) -> Value {
    let operations = routes.iter().map(|route| {
        let (note, security) = match route.access {
            Access::Public => ("Public.".to_owned(), json!([])),
            Access::Key(scope) => {
                let note = format!("Needs a key with the scope `{}`.", scope.as_str());
                (note, json!([{ "X-Api-Key": [] }, { "api-key": [] }]))
            }
        };
        let common = Common::ALL.into_iter().filter(|common| common.fits(route));
        let common = common.map(|common| (common.answer().status, common.name())).collect();
        let Route { method, path, ref doc, .. } = *route;
        Operation { method, path, doc, note, security, common, replays: doc.idempotent }
    });
    Description {
        title: "Baton",
        introduction: INTRODUCTION,
        tags: &Tag::OF_GATEWAY,
        headers: &HEADERS,
        common: Common::ALL.map(|common| (common.name(), common.answer())).into(),
        idempotency: IDEMPOTENCY,
        keys: &["X-Api-Key", "api-key"],
    }
    .of(operations)
}

/// What the operations of a description have in common.
pub(crate) struct Description<'a> {
    pub(crate) title: &'a str,
    pub(crate) introduction: &'a str,
    pub(crate) tags: &'a [Tag],
    /// Name, type and meaning.
    pub(crate) headers: &'a [(&'static str, &'static str, &'static str)],
    /// Answers that several operations give, by the names that operations call them by.
    pub(crate) common: Vec<(&'static str, Answer)>,
    /// What an `Idempotency-Key` does.
    pub(crate) idempotency: &'a str,
    /// The headers that a key may come in.
    pub(crate) keys: &'a [&'static str],
}

/// One operation of a description.
pub(crate) struct Operation<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) doc: &'a Doc,
    /// Who may use it, as a sentence.
    pub(crate) note: String,
    /// The same, as OpenAPI has it.
    pub(crate) security: Value,
    /// The common answers that it can give: status and name.
    pub(crate) common: Vec<(u16, &'static str)>,
    /// Whether the answer says that it is that of an earlier request.
    pub(crate) replays: bool,
}

impl Description<'_> {
    pub(crate) fn of<'b>(self, operations: impl Iterator<Item = Operation<'b>>) -> Value {
        let mut schemas = Schemas::new();
        let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
        for described in operations {
            let methods = paths.entry(described.path).or_default();
            let method = described.method.to_ascii_lowercase();
            methods.insert(method, operation(&described, &mut schemas));
        }
        let tags = self.tags.iter();
        let tags = tags.map(|tag| json!({ "name": tag.name(), "description": tag.description() }));
        let headers = self.headers.iter().map(|(name, kind, meaning)| {
            ((*name).to_owned(), json!({ "description": meaning, "schema": { "type": kind } }))
        });
        let responses = self.common.iter();
        let responses: Map<_, _> = responses
            .map(|(name, common)| ((*name).to_owned(), answer(common, &[], &mut schemas)))
            .collect();
        let keys = self.keys.iter().map(|name| {
            ((*name).to_owned(), json!({ "type": "apiKey", "in": "header", "name": name }))
        });
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": self.title,
                "description": self.introduction,
                "version": env!("CARGO_PKG_VERSION"),
                "license": { "name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0" },
            },
            "servers": [{ "url": "/" }],
            "tags": tags.collect::<Vec<_>>(),
            "paths": paths,
            "components": {
                "schemas": schemas.finish(),
                "headers": headers.collect::<Map<_, _>>(),
                "parameters": { "IdempotencyKey": idempotency_key(self.idempotency) },
                "responses": responses,
                "securitySchemes": keys.collect::<Map<_, _>>(),
            },
        })
    }
}

/// Schemas of what is read and of what is written: an optional field is left out of the one, and null
/// in the other.
struct Schemas {
    read: SchemaGenerator,
    written: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.meta_schema = None;
                settings.definitions_path = "/components/schemas".into();
            })
        };
        Self {
            read: settings().for_deserialize().into_generator(),
            written: settings().for_serialize().into_generator(),
        }
    }

    fn of(generator: &mut SchemaGenerator, shape: Shape) -> Value {
        let mut schema = shape(generator);
        for transform in generator.transforms_mut() {
            transform.transform(&mut schema);
        }
        schema.to_value()
    }

    fn finish(mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.append(&mut self.written.take_definitions(true));
        all
    }
}

/// What an `Idempotency-Key` does in the Gateway API.
const IDEMPOTENCY: &str = "Makes it safe to send the request again: the same key with the same request gives \
                           the same answer. Kept for 24 hours.";

fn idempotency_key(about: &str) -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "description": about,
        "required": false,
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
    })
}

fn operation(described: &Operation<'_>, schemas: &mut Schemas) -> Value {
    let doc = described.doc;
    let mut parameters = Vec::new();
    for (place, list) in [("path", &doc.path), ("query", &doc.query)] {
        for param in list {
            parameters.push(json!({
                "name": param.name,
                "in": place,
                "description": param.description,
                "required": place == "path",
                "schema": Schemas::of(&mut schemas.read, param.shape),
            }));
        }
    }
    if doc.idempotent {
        parameters.push(json!({ "$ref": "#/components/parameters/IdempotencyKey" }));
    }
    let description = format!("{} {}", doc.description, described.note);
    let mut operation = object(json!({
        "operationId": doc.id,
        "tags": [doc.tag.name()],
        "summary": doc.summary,
        "description": description.trim(),
        "parameters": parameters,
        "responses": answers(described, schemas),
        "security": described.security,
    }));
    if let Some(body) = doc.body {
        let example: Value = serde_json::from_str(body.example).unwrap_or_default();
        let schema = Schemas::of(&mut schemas.read, body.shape);
        let content = json!({ "application/json": { "schema": schema, "example": example } });
        let body = json!({ "required": body.required, "content": content });
        operation.insert("requestBody".to_owned(), body);
    }
    Value::Object(operation)
}

/// The members of an object that was just written down.
fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(members) = value { members } else { Map::new() }
}

fn answers(described: &Operation<'_>, schemas: &mut Schemas) -> Map<String, Value> {
    let mut all = Map::new();
    for (status, name) in &described.common {
        let path = format!("#/components/responses/{name}");
        all.insert(status.to_string(), json!({ "$ref": path }));
    }
    let more: &[&str] = if described.replays { &["Idempotent-Replayed"] } else { &[] };
    for own in &described.doc.answers {
        all.insert(own.status.to_string(), answer(own, more, schemas));
    }
    all
}

fn answer(answer: &Answer, more: &[&str], schemas: &mut Schemas) -> Value {
    let mut headers = Map::new();
    let retry: &[&str] = if matches!(answer.status, 429 | 503) { &["Retry-After"] } else { &[] };
    let limits: &[&str] = if answer.status == 429 { &LIMITS } else { &[] };
    for name in ALWAYS.iter().chain(retry).chain(limits).chain(more) {
        let path = format!("#/components/headers/{name}");
        headers.insert((*name).to_owned(), json!({ "$ref": path }));
    }
    for (name, meaning) in &answer.headers {
        let header = json!({ "description": meaning, "schema": { "type": "string" } });
        headers.insert((*name).to_owned(), header);
    }
    let content = match answer.content {
        Content::Empty => None,
        Content::Json(shape) => {
            Some(("application/json", Schemas::of(&mut schemas.written, shape)))
        }
        Content::Text(media) => Some((media, json!({ "type": "string" }))),
    };
    let mut response = object(json!({ "description": answer.meaning, "headers": headers }));
    if let Some((media, schema)) = content {
        response.insert("content".to_owned(), json!({ media: { "schema": schema } }));
    }
    Value::Object(response)
}

/// Answers that come before a route's own code, or instead of it.
#[derive(Clone, Copy)]
enum Common {
    BadRequest,
    Unauthorized,
    TooSlow,
    TooLarge,
    TooManyRequests,
    InternalError,
    Unavailable,
}

impl Common {
    const ALL: [Self; 7] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::TooSlow,
        Self::TooLarge,
        Self::TooManyRequests,
        Self::InternalError,
        Self::Unavailable,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::TooSlow => "TooSlow",
            Self::TooLarge => "TooLarge",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::Unavailable => "Unavailable",
        }
    }

    /// Whether such an answer can come from the route. A route's own answer of the same status wins.
    fn fits(self, route: &Route) -> bool {
        match self {
            Self::BadRequest => {
                let doc = &route.doc;
                doc.body.is_some() || doc.idempotent || !doc.query.is_empty()
            }
            Self::TooSlow | Self::TooLarge => route.doc.body.is_some(),
            Self::Unauthorized
            | Self::TooManyRequests
            | Self::InternalError
            | Self::Unavailable => route.access != Access::Public,
        }
    }

    fn answer(self) -> Answer {
        let fault =
            Content::Json(|generator| generator.subschema_for::<ValidationErrorMessage<'_>>());
        let (status, content, meaning) = match self {
            Self::BadRequest => (
                StatusCode::BAD_REQUEST,
                fault,
                "Something in the request is wrong; nothing was done.",
            ),
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                Content::Empty,
                "The key is missing, wrong, ended, or has not the scope.",
            ),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, fault, "The body took too long."),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, fault, "The body is too large."),
            Self::TooManyRequests => (
                StatusCode::TOO_MANY_REQUESTS,
                fault,
                "Too many requests with the key, or without a valid one from the address.",
            ),
            Self::InternalError => {
                (StatusCode::INTERNAL_SERVER_ERROR, Content::Empty, "An error of the server's.")
            }
            Self::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                Content::Empty,
                "The database cannot be reached; nothing was done.",
            ),
        };
        Answer { status: status.as_u16(), meaning, content, headers: Vec::new() }
    }
}
