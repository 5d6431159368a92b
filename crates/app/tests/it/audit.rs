//! `baton audit`: what commands leave in the log, and that tampering is told with a word, a number and an
//! exit code.

use serde_json::{Value, json};

use crate::support::{Place, postgres, said};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[test]
fn the_log_of_a_few_commands_is_listed_and_verified() {
    let place = Place::new();
    let made = place.json(&["keys", "create", "--sandbox", "--name", "till 4", "--json"]);
    let id = text(&made["key"]["id"]).to_owned();
    let noted = text(&place.json(&["audit", "head", "--json"])["head"]).to_owned();
    place.json(&["keys", "revoke", &id, "--json"]);

    let listed = place.json(&["audit", "list", "--json"]);
    let rows = listed["data"].as_array().unwrap();
    let actions: Vec<&str> = rows.iter().map(|row| text(&row["action"])).collect();
    assert_eq!(actions, ["key_revoked", "key_created", "merchant_created"]);
    for row in rows {
        assert!(text(&row["actor"]).starts_with("command-line:"), "{row}");
        assert_eq!(row["request_id"], Value::Null);
    }
    assert!(noted.starts_with("2:"), "{noted}");
    assert_eq!(noted, format!("2:{}", text(&rows[1]["hash"])));
    let secret = text(&made["api_key"]);
    assert!(!listed.to_string().contains(secret));

    let filtered = |more: &[&str]| {
        let arguments = [&["audit", "list", "--json"], more].concat();
        place.json(&arguments)["data"].as_array().unwrap().len()
    };
    assert_eq!(filtered(&["--subject", &id]), 2);
    assert_eq!(filtered(&["--action", "merchant_created", "--merchant", "default"]), 1);
    assert_eq!(filtered(&["--actor", "operator"]), 0);
    assert_eq!(
        filtered(&["--since", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z"]),
        0
    );
    let page = place.json(&["audit", "list", "--json", "--limit", "2"]);
    assert_eq!(page["next_before"], 2);
    assert_eq!(filtered(&["--before", "2"]), 1);
    let human = said(&place.run(&["audit", "list", "--limit", "1"]));
    assert!(human.contains("key_revoked") && human.contains("--before 3"), "{human}");

    let verified = place.json(&["audit", "verify", "--head", &noted, "--json"]);
    assert_eq!((&verified["ok"], &verified["entries"]), (&json!(true), &json!(3)));
    assert_eq!(verified["head"], format!("3:{}", text(&rows[0]["hash"])));
    let human = said(&place.run(&["audit", "verify"]));
    assert!(human.contains("intact: 3 entries") && human.contains("Without --head"), "{human}");
    let part = said(&place.run(&["audit", "verify", "--from", "3"]));
    assert!(part.contains("intact: 1 entries from 3 on"), "{part}");
}

#[test]
fn tampering_is_told_with_an_exit_code() {
    let place = Place::new();
    place.json(&["keys", "create", "--sandbox", "--json"]);
    place.json(&["keys", "create", "--sandbox", "--json"]);
    let noted = text(&place.json(&["audit", "head", "--json"])["head"]).to_owned();
    let raw = rusqlite::Connection::open(place.data().join("baton.db")).unwrap();
    raw.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    // An entry that another follows is held by the database itself.
    let held = raw.execute("delete from audit where seq = 2", []).unwrap_err();
    assert!(held.to_string().contains("FOREIGN KEY"), "{held}");

    raw.execute("update audit set actor = 'nobody' where seq = 2", []).unwrap();
    let output = place.run(&["audit", "verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("BROKEN: entry 2 was changed"), "{}", said(&output));
    let output = place.run(&["audit", "verify", "--json"]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &shown["ok"]), (Some(1), &json!(false)));
    assert_eq!((&shown["problem"], &shown["seq"]), (&json!("changed"), &json!(2)));

    // The last entry can be taken away without a trace; only who noted the head knows.
    let restore = "update audit set actor = (select actor from audit where seq = 3) where seq = 2";
    raw.execute(restore, []).unwrap();
    raw.execute("delete from audit where seq = 3", []).unwrap();
    assert!(place.run(&["audit", "verify"]).status.success());
    let output = place.run(&["audit", "verify", "--head", &noted]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("the log ends with 2, and entry 3 was noted"));

    for wrong in [&["--head", "3"][..], &["--head", &noted, "--from", "4"], &["--from", "0"]] {
        let output = place.run(&[&["audit", "verify"], wrong].concat());
        assert!(!output.status.success() && output.stdout.is_empty(), "{}", said(&output));
    }
}

/// Every process has an appender of its own, and a number can be given out once.
fn processes_append_together(place: &Place) {
    const COMMANDS: usize = 8;
    let mut server = place.serve(&["--dev"]);
    let commands: Vec<_> = (0..COMMANDS)
        .map(|_| {
            let mut command = place.baton(&["keys", "create", "--sandbox", "--json"]);
            let quiet = std::process::Stdio::null;
            command.stdout(quiet()).stderr(quiet()).spawn().unwrap()
        })
        .collect();
    for mut command in commands {
        assert!(command.wait().unwrap().success());
    }
    let verified = place.json(&["audit", "verify", "--json"]);
    // The server's merchant and its four accounts, and the keys.
    assert_eq!(verified["entries"], 5 + COMMANDS, "{verified}");
    server.terminate();
    assert!(server.wait().success());
    let logged = std::fs::read_to_string(place.path("serve.log")).unwrap();
    let head = place.json(&["audit", "list", "--action", "account_put", "--limit", "1", "--json"]);
    let hash = text(&head["data"][0]["hash"]);
    assert!(logged.contains("baton::audit") && logged.contains(hash), "{logged}");
}

#[test]
fn a_server_and_commands_append_to_one_chain() {
    processes_append_together(&Place::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_and_commands_append_to_one_chain_on_postgres() {
    let Some(url) = postgres::database("one audit chain of many processes").await else { return };
    processes_append_together(&Place::new().on(Some(url)));
}
