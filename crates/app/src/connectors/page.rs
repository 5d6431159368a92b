//! What a manifest says, as a page of the documentation and for a terminal.

use std::fmt::Write as _;

use baton_connect::Manifest;

use crate::style::Style;

/// `docs/connectors/README.md`.
pub(crate) fn index<'a>(manifests: impl Iterator<Item = &'a Manifest>) -> String {
    let mut page = "# Connectors\n\nOne page each, written from its manifest by `baton connectors show NAME --markdown`; \
        this one by `baton connectors list --markdown`. A capability that is not listed is not used.\n\n\
        | gateway | operations | also | lost answers |\n|---|---|---|---|\n"
        .to_owned();
    for manifest in manifests {
        let can: Vec<&str> = manifest.operations.keys().map(|kind| kind.as_str()).collect();
        let also: Vec<&str> = manifest.features.keys().map(|feature| feature.as_str()).collect();
        let lost = match (&manifest.look_up, &manifest.cancel_by_reference, &manifest.webhook) {
            (Some(_), _, Some(_)) => "looked up; webhook",
            (Some(_), _, None) => "looked up",
            (None, Some(_), _) => "webhook, cancel by reference",
            (None, None, Some(_)) => "webhook",
            (None, None, None) => "nothing",
        };
        let (id, name) = (&manifest.id, &manifest.gateway_name);
        put(
            &mut page,
            format_args!(
                "| [{name}]({id}.md) | {} | {} | {lost} |\n",
                can.join(", "),
                also.join(", ")
            ),
        );
    }
    page += "\nBetween the two real ones: [failover from Stripe to Adyen and back](failover-stripe-adyen.md). \
        A new one: [how to write a connector](../guides/write-a-connector.md).\n";
    page
}

/// `docs/connectors/ID.md`.
pub(crate) fn of(manifest: &Manifest) -> String {
    let name = &manifest.gateway_name;
    let mut page = format!(
        "# {}\n\n{} <{}>\n\nThis page is written from the connector's manifest; a test keeps the two equal.\n\n",
        manifest.display_name, manifest.description, manifest.url
    );
    if !manifest.mock {
        put(&mut page, format_args!("## An account\n\n```toml\n{}```\n\n", account(manifest)));
    }
    if !manifest.credentials.is_empty() {
        page += "| credential | | |\n|---|---|---|\n";
        for field in &manifest.credentials {
            let secret = if field.secret { "secret" } else { "no secret" };
            let needed = if field.optional { ", optional" } else { "" };
            let (name, description) = (&field.name, &field.description);
            put(&mut page, format_args!("| `{name}` | {secret}{needed} | {description} |\n"));
        }
        page.push('\n');
    }
    put(
        &mut page,
        format_args!("## What {name} is asked to do\n\n| | documented at |\n|---|---|\n"),
    );
    for (what, citation) in claims(manifest) {
        put(&mut page, format_args!("| {what} | {citation} |\n"));
    }
    let length = manifest.reference_max_length;
    put(&mut page, format_args!("\nReferences have at most {length} characters.\n"));
    currencies(&mut page, manifest);
    declines(&mut page, manifest);
    page
}

/// For a terminal: the same facts without the tables.
pub(crate) fn plain(manifest: &Manifest, style: Style) -> String {
    let mut text = format!(
        "{}\n{}\n{}\n\n",
        style.bold(&manifest.display_name),
        manifest.description,
        style.dim(&manifest.url)
    );
    for field in &manifest.credentials {
        let optional = if field.optional { " (optional)" } else { "" };
        put(
            &mut text,
            format_args!("{}{optional}: {}\n", style.cyan(&field.name), field.description),
        );
    }
    text.push('\n');
    for (what, citation) in claims(manifest) {
        put(&mut text, format_args!("{what}\n    {}\n", style.dim(&citation)));
    }
    text
}

/// Writing to a string cannot fail.
fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

fn account(manifest: &Manifest) -> String {
    let mut text = format!(
        "[[accounts]]\nname = \"{}-eu\"\ngateway = \"{}\"\n",
        manifest.id.replace('_', "-"),
        manifest.gateway_name
    );
    match &manifest.base_url {
        Some(url) => put(&mut text, format_args!("# base_url = \"{url}\"    # the default\n")),
        None => text += "base_url = \"https://…\"    # each account has its own\n",
    }
    let needed = manifest.credentials.iter().filter(|field| !field.optional);
    let given: Vec<String> = needed.map(|field| format!("{} = \"…\"", field.name)).collect();
    if !given.is_empty() {
        put(&mut text, format_args!("credentials = {{ {} }}\n", given.join(", ")));
    }
    text
}

/// Every capability with its citation.
fn claims(manifest: &Manifest) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    for (kind, claim) in &manifest.operations {
        rows.push((kind.as_str().to_owned(), claim.citation.clone()));
    }
    for (feature, claim) in &manifest.features {
        rows.push((feature.as_str().to_owned(), claim.citation.clone()));
    }
    for (method, claim) in &manifest.redirects {
        let what = format!("{}, in {}", method.as_str(), claim.currencies.join(", "));
        rows.push((what, claim.citation.clone()));
    }
    if let Some(claim) = &manifest.idempotency {
        let what = format!(
            "idempotency keys: `{}`, at most {} characters, kept {} hours; a call in doubt {} sent again",
            claim.header,
            claim.max_length,
            claim.retention_hours,
            if claim.replay { "is" } else { "is not" }
        );
        rows.push((what, claim.citation.clone()));
    }
    if let Some(claim) = &manifest.look_up {
        let what = format!(
            "look-up: shows an operation after {} ms; a request may still be executed {} ms after its last byte",
            claim.index_lag_ms, claim.in_flight_bound_ms
        );
        rows.push((what, claim.citation.clone()));
    }
    if let Some(claim) = &manifest.retrieve {
        let what = "payments made elsewhere, by their id: an account with `allowForeignReferences` takes them over";
        rows.push((what.to_owned(), claim.citation.clone()));
    }
    for (action, claim) in &manifest.disputes {
        rows.push((format!("disputes: {}", action.as_str()), claim.citation.clone()));
    }
    if let Some(claim) = &manifest.cancel_by_reference {
        let fences = if claim.fences { "keeps" } else { "does not keep" };
        let what = format!("cancel by reference; {fences} a late payment out");
        rows.push((what, claim.citation.clone()));
    }
    if let Some(claim) = &manifest.completion {
        let what = "what a payer brings back from a challenge is passed on".to_owned();
        rows.push((what, claim.citation.clone()));
    }
    if let Some(claim) = &manifest.webhook {
        rows.push((
            format!("webhooks, signed with `{}`", claim.credential),
            claim.citation.clone(),
        ));
    }
    rows
}

fn currencies(page: &mut String, manifest: &Manifest) {
    let Some(citation) = &manifest.currencies_citation else { return };
    put(page, format_args!("\n## Currencies\n\nDocumented at {citation}.\n\n"));
    if !manifest.currencies.is_empty() {
        put(page, format_args!("{}\n\n", manifest.currencies.join(" ")));
    }
    if !manifest.exponents.is_empty() || !manifest.multiples.is_empty() {
        page.push_str("| | minor units differ from ISO 4217 |\n|---|---|\n");
    }
    let both = manifest.exponents.keys().chain(manifest.multiples.keys());
    let mut codes: Vec<&String> = both.collect();
    codes.sort();
    codes.dedup();
    for code in codes {
        let exponent = manifest.exponents.get(code).map(|digits| format!("{digits} decimals"));
        let multiple =
            manifest.multiples.get(code).map(|by| format!("only multiples of {by} minor units"));
        let rule: Vec<String> = exponent.into_iter().chain(multiple).collect();
        put(page, format_args!("| {code} | {} |\n", rule.join("; ")));
    }
    page.push_str("\nAn amount that has no exact form there is not sent.\n");
}

fn declines(page: &mut String, manifest: &Manifest) {
    let Some(table) = &manifest.declines else { return };
    let name = &manifest.gateway_name;
    put(
        page,
        format_args!(
            "\n## Decline codes\n\nDocumented at {}. A code that is not here is told as `unmapped`, counted in \
             `unmapped_declines_total` and logged. What ours mean: [decline codes](../decline-codes.md).\n\n\
             | {name} | ours |\n|---|---|\n",
            table.citation
        ),
    );
    for (theirs, ours) in &table.codes {
        put(page, format_args!("| `{theirs}` | `{ours}` |\n"));
    }
}
