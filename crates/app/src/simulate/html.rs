//! The report of a simulation as one page, without scripts and without anything from elsewhere.

use baton_sim::Rule;

use super::Run;
use super::text::{figures, grouped};

pub(super) fn page(runs: &[Run]) -> String {
    let mut out = String::from(HEAD);
    out.push_str("<h1>Simulated payments</h1>\n");
    for run in runs.iter().take(1) {
        out.push_str(&format!(
            "<p>{} payments for each policy, the same seeds ({} and the {} that follow). Counts are per \
             million payments.</p>\n",
            grouped(run.totals.orders),
            run.seed,
            run.totals.worlds.saturating_sub(1),
        ));
    }
    out.push_str("<table>\n<tr><th></th>");
    for run in runs {
        out.push_str(&format!("<th>{}</th>", escaped(run.setup.mode.as_str())));
    }
    out.push_str("</tr>\n");
    let all: Vec<_> = runs.iter().map(|run| figures(&run.totals)).collect();
    for (place, (name, _)) in all.first().into_iter().flatten().enumerate() {
        out.push_str(&format!("<tr><th>{name}</th>"));
        for each in &all {
            let value = each.get(place).map_or("", |(_, value)| value.as_str());
            let bad = matches!(*name, "double charges" | "open losing holds") && value != "0";
            let class = if bad { " class=\"bad\"" } else { "" };
            out.push_str(&format!("<td{class}>{}</td>", escaped(value)));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</table>\n<h2>Rules</h2>\n");
    for run in runs.iter().filter(|run| !run.setup.mode.is_hasty()) {
        out.push_str(&rules(run));
    }
    if let Some(run) = runs.first() {
        out.push_str(&setup(run));
    }
    out.push_str("<h2>Rates of faults, per million</h2>\n<table>\n");
    for (name, rate) in runs.first().map(|run| run.setup.faults.named()).unwrap_or_default() {
        out.push_str(&format!("<tr><th>{name}</th><td>{}</td></tr>\n", grouped(u64::from(rate))));
    }
    out.push_str("</table>\n</html>\n");
    out
}

/// Who was asked, and how.
fn setup(run: &Run) -> String {
    let setup = &run.setup;
    let mut out = String::from("<h2>Accounts</h2>\n<table>\n");
    out.push_str("<tr><th>name</th><th>gateway</th><th>refuses, per million</th></tr>\n");
    for account in &setup.accounts {
        out.push_str(&format!(
            "<tr><th>{}</th><td>{}</td><td>{}</td></tr>\n",
            escaped(&account.name),
            escaped(&account.gateway),
            grouped(u64::from(account.refuses)),
        ));
    }
    out.push_str(&format!(
        "</table>\n<p>A payment names {} of them. The next may be tried for {} s. {} nodes share the database. \
         What is in doubt is {}sent again under its key. {} of a million payments are authorizations, the rest \
         are charges.</p>\n",
        setup.accounts_per_order,
        setup.failover_window_ms.div_euclid(1_000),
        setup.nodes,
        if setup.replay { "" } else { "not " },
        grouped(u64::from(setup.authorizations)),
    ));
    out
}

fn rules(run: &Run) -> String {
    let mut out = format!("<h3>{}</h3>\n<table>\n", escaped(run.setup.mode.as_str()));
    for (number, rule, words) in Rule::LISTED {
        let times = run.totals.violations.iter().filter(|found| Some(found.rule) == rule).count();
        let (class, state) = match rule {
            None => ("open", "not yet checked".to_owned()),
            Some(_) if times == 0 => ("good", "holds".to_owned()),
            Some(_) => ("bad", format!("broken {times} times")),
        };
        out.push_str(&format!(
            "<tr><td>{number}</td><td>{}</td><td class=\"{class}\">{state}</td></tr>\n",
            escaped(words)
        ));
    }
    out.push_str("</table>\n");
    for found in &run.totals.violations {
        out.push_str(&format!(
            "<p class=\"bad\">{:?}: {}<br><code>{}</code></p>\n",
            found.rule,
            escaped(&found.what),
            escaped(&run.again(found))
        ));
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Baton: simulated payments</title>\n\
<style>\nbody{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\n\
table{border-collapse:collapse;margin:1rem 0}\nth,td{padding:.3rem .8rem;border-bottom:1px solid #ddd;text-align:right}\n\
th:first-child,td:nth-child(2){text-align:left}\n.bad{color:#b00020;font-weight:600}\n.good{color:#1b6e3c}\n.open{color:#8a6100}\n</style>\n";
