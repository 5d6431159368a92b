//! `baton bench` in its shortest form: that it measures, and leaves nothing behind. No figure is judged here.

use crate::support::{Place, postgres, said};

/// What must be there, whatever the numbers.
fn holds_together(database: &serde_json::Value) {
    let at_rate = &database["at_rate"];
    assert_eq!((&at_rate["failed"], &at_rate["payments"]), (&0.into(), &20.into()), "{at_rate}");
    let quantiles = ["p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
    for spread in ["wall", "added", "server"] {
        let found = quantiles.map(|name| at_rate[spread][name].as_u64().unwrap());
        assert!(found[0] > 0 && found.is_sorted(), "{spread}: {at_rate}");
    }
    // The provider's 5 ms are in the whole, and not in what was added.
    let wall = at_rate["wall"]["p50_us"].as_u64().unwrap();
    assert!(wall - at_rate["added"]["p50_us"].as_u64().unwrap() >= 5_000, "{at_rate}");
    // Two for each payment that is approved at once, and what the event relay does.
    assert!(at_rate["commits_per_100_payments"].as_u64().unwrap() >= 200, "{at_rate}");
    assert!(at_rate["transactions_per_100_payments"].as_u64().unwrap() > 0, "{at_rate}");
    assert!(at_rate["resident_kb"].as_u64().unwrap() > 1_000, "{at_rate}");
    assert_eq!(database["stored"]["payments"], 600);
    assert_eq!(database["stored"]["at_rate"]["failed"], 0, "{database}");
    assert_eq!(database["memory"]["in_flight"], 30, "{database}");
}

const SHORT: [&str; 17] = [
    "bench",
    "--json",
    "--rate",
    "20",
    "--seconds",
    "1",
    "--warmup",
    "1",
    "--latency",
    "5",
    "--in-flight",
    "30",
    "--stored",
    "600",
    "--plot",
    "plot.svg",
    "--folder",
];

#[test]
fn the_bench_makes_and_confirms_payments() {
    let place = Place::new();
    let arguments = ["bench", "--json", "--api", "payments", "--rate", "20", "--seconds", "1"];
    let told = place.json(&[&arguments[..], &["--warmup", "1", "--latency", "5"]].concat());
    let at_rate = &told["databases"][0]["at_rate"];
    assert_eq!((&at_rate["failed"], &at_rate["payments"]), (&0.into(), &20.into()), "{at_rate}");
    // One to make it, two to charge it.
    assert!(at_rate["commits_per_100_payments"].as_u64().unwrap() >= 300, "{at_rate}");
    let refused = place.run(&[&arguments[..], &["--stored", "10"]].concat());
    assert!(said(&refused).contains("--stored"), "{}", said(&refused));
}

#[test]
fn the_bench_measures_payments_and_leaves_nothing_behind() {
    let place = Place::new();
    std::fs::create_dir(place.path("files")).unwrap();
    let mut arguments = SHORT.to_vec();
    arguments.push("files");
    let told = place.json(&arguments);
    let databases = told["databases"].as_array().unwrap();
    assert_eq!(databases.len(), 1);
    holds_together(&databases[0]);
    assert!(databases[0]["at_rate"]["fsyncs_per_100_payments"].as_u64().unwrap() > 0);
    let targets = told["targets"].as_array().unwrap();
    assert!(targets.iter().any(|target| target["what"] == "size of the program"), "{told}");
    let plot = std::fs::read_to_string(place.path("plot.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.contains("SQLite"), "{plot}");
    assert_eq!(std::fs::read_dir(place.path("files")).unwrap().count(), 0);
    assert!(!place.data().exists());
}

#[tokio::test]
async fn the_bench_measures_on_postgres_and_refuses_a_database_in_use() {
    let Some(url) = postgres::database("1: measuring on PostgreSQL").await else { return };
    let place = Place::new();
    let mut arguments = SHORT.to_vec();
    arguments.extend([".", "--only", "postgres", "--database-url", &url]);
    let told = place.json(&arguments);
    holds_together(&told["databases"][0]);
    assert_eq!(told["databases"][0]["database"], "postgres");
    let output = place.run(&arguments);
    assert!(!output.status.success());
    assert!(said(&output).contains("the database holds payments"), "{}", said(&output));
}

#[test]
fn the_bench_needs_a_database_to_measure() {
    let place = Place::new();
    let output = place.run(&["bench", "--only", "postgres"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("needs --database-url"), "{}", said(&output));
}
