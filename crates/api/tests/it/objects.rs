//! Real objects for the parameters of routes, so that sweeps over all routes ask for something that is
//! there. A route with a parameter that is not known here makes them fail.

use std::collections::BTreeMap;

use baton_api::Route;
use serde_json::Value;

use crate::client::{self, Seen};
use crate::server::{OPERATOR, Server};

/// An object of the server's merchant.
pub(crate) struct Object {
    /// What stands in the path for it.
    pub(crate) name: String,
    /// What only its owner may see of it.
    pub(crate) secrets: Vec<String>,
}

/// The path's parameters, each with the segment before it, which says what kind of object it names.
pub(crate) fn parameters(path: &str) -> Vec<(String, String)> {
    let segments: Vec<&str> = path.split('/').collect();
    let pairs = segments.windows(2).filter_map(|pair| {
        let name = pair[1].strip_prefix('{')?.strip_suffix('}')?;
        Some((pair[0].to_owned(), name.to_owned()))
    });
    pairs.collect()
}

/// Makes an object of the kind through the API.
async fn make(server: &Server, of: &str, parameter: &str) -> Object {
    let operator = [("x-api-key", OPERATOR)];
    match (of, parameter) {
        ("api-keys", "id") => {
            let body = br#"{"name": "swept up", "sandbox": true}"#;
            let path = "/admin/v1/api-keys";
            let made = client::send(server.addr, "POST", path, &operator, body).await.json();
            let name = made["key"]["id"].as_str().unwrap().to_owned();
            let secrets = ["swept up", made["key"]["hint"].as_str().unwrap(), &name];
            Object { secrets: secrets.map(str::to_owned).to_vec(), name }
        }
        ("StringTokens", "token") => {
            let body = r#"{"payload": "swept text"}"#;
            let made = server.send("POST", "/StringTokens", body).await.json();
            let name = made["token"].as_str().unwrap().to_owned();
            Object { secrets: vec!["swept text".to_owned()], name }
        }
        ("PaymentGatewayAccounts", "name") => {
            let body = r#"{"paymentGatewayName": "Sandbox",
                "credentials": [{"key": "ApiKey", "value": "swept-credential-Zq7x"}]}"#;
            let name = "swept-account";
            let made = server.send("PUT", "/PaymentGatewayAccounts/swept-account", body).await;
            assert_eq!(made.status, 200, "{made:?}");
            let secrets = [name, "Zq7x"].map(str::to_owned).to_vec();
            Object { name: name.to_owned(), secrets }
        }
        ("accounts", "name") => {
            let path = "/admin/v1/accounts/swept-by-admin?sandbox=true";
            let body = br#"{"gateway": "Sandbox",
                "credentials": [{"key": "ApiKey", "value": "swept-credential-Yw8p"}]}"#;
            let made = client::send(server.addr, "PUT", path, &operator, body).await;
            assert_eq!(made.status, 200, "{made:?}");
            let name = "swept-by-admin".to_owned();
            Object { secrets: vec![name.clone(), "Yw8p".to_owned()], name }
        }
        ("certificates", "name") => {
            let path = "/admin/v1/certificates/swept.pem?sandbox=true";
            let body = include_bytes!("../../src/certificate_example.json");
            let made = client::send(server.addr, "PUT", path, &operator, body).await;
            assert_eq!(made.status, 200, "{made:?}");
            let print = made.json()["fingerprint"].as_str().unwrap().to_owned();
            Object { name: "swept.pem".to_owned(), secrets: vec!["swept.pem".to_owned(), print] }
        }
        ("payments", "id") => {
            let name = crate::doubts::stored(server, "swept-order").await;
            Object { secrets: vec!["swept-order".to_owned(), name.clone()], name }
        }
        ("incidents", "id") => {
            let name = crate::doubts::incident(server).await;
            Object { secrets: vec![name.clone()], name }
        }
        ("webhooks", "id") => {
            let name = told(server).await;
            Object { secrets: vec![name.clone(), "swept-payer".to_owned()], name }
        }
        other => panic!("say here how to make what {other:?} names"),
    }
}

/// Something that the server's merchant was to be told and was not.
async fn told(server: &Server) -> String {
    use baton_store::{HookEventRow, HookRecord, HookState, HookStreamRow};
    let at = server.engine.clock().now();
    let stream = HookStreamRow {
        merchant: server.merchant,
        id: "swept-payment".to_owned(),
        profile: "pro_swept".to_owned(),
        state: "{}".to_owned(),
        due_at: None,
        updated_at: at,
    };
    let id = "evt_swept".to_owned();
    let event = HookEventRow {
        merchant: server.merchant,
        id: id.clone(),
        stream: stream.id.clone(),
        seq: 1,
        profile: stream.profile.clone(),
        object: stream.id.clone(),
        class: "payments".to_owned(),
        kind: "payment_failed".to_owned(),
        state: HookState::GivenUp,
        attempts: 17,
        created_at: at,
        updated_at: at,
        body: r#"{"name": "swept-payer"}"#.to_owned(),
    };
    let message = baton_types::EventId::from_bytes([7; 16]);
    let record = HookRecord { message, stream, events: vec![event] };
    server.engine.store().webhooks().record_hooks(record).await.unwrap();
    id
}

/// Routes with real objects in their paths.
pub(crate) struct Objects {
    made: BTreeMap<(String, String), Object>,
}

impl Objects {
    /// Makes one object of every kind that a route names.
    pub(crate) async fn of(server: &Server) -> Self {
        let mut made = BTreeMap::new();
        // A public route has no owner who could be taken for another.
        let owned = |route: &Route| route.access != baton_api::Access::Public;
        for route in baton_api::routes().into_iter().filter(owned) {
            for (of, parameter) in parameters(route.path) {
                let object = make(server, &of, &parameter).await;
                made.insert((of, parameter), object);
            }
        }
        Self { made }
    }

    /// The route's path with objects in it.
    pub(crate) fn path(&self, route: &Route) -> String {
        let mut path = route.path.to_owned();
        for (of, parameter) in parameters(route.path) {
            // Who asks for nobody's object at a public route has to get nothing.
            let made = self.made.get(&(of, parameter.clone()));
            let name = made.map_or("nobody", |object| object.name.as_str());
            path = path.replace(&format!("{{{parameter}}}"), name);
        }
        path
    }

    /// What only the owner may see, of all objects.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.made.values().flat_map(|object| object.secrets.iter().map(String::as_str))
    }

    /// Sends a request with these headers and a body that the description gives as an example.
    pub(crate) async fn send(
        &self,
        server: &Server,
        route: &Route,
        headers: &[(&str, &str)],
    ) -> Seen {
        let (path, body) = (self.path(route), example(route));
        client::send(server.addr, route.method, &path, headers, body.as_bytes()).await
    }
}

/// The body that the description gives as an example.
fn example(route: &Route) -> String {
    let document: Value = serde_json::from_str(&baton_api::description()).unwrap();
    let operation = &document["paths"][route.path][route.method.to_ascii_lowercase()];
    let example = &operation["requestBody"]["content"]["application/json"]["example"];
    if example.is_null() { String::new() } else { example.to_string() }
}
