//! Prints the table of mutations: each bug that can be put in, and what the simulator found it by.
//!
//! `cargo run -p baton-sim --features mutations --example mutations [-- NAME...]`

#![allow(clippy::print_stdout, reason = "a command's output is its purpose")]

use std::process::ExitCode;

use baton_sim::Kit;
use baton_sim::mutations::{MUTATIONS, hunt};

fn main() -> Result<ExitCode, String> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let connectors = baton_connectors::all().map_err(|error| error.to_string())?;
    let kit = Kit::new(connectors)?;
    println!("| bug | what is wrong | found within | after | by |");
    println!("|---|---|---|---|---|");
    let mut all_found = true;
    for mutation in MUTATIONS {
        if !wanted.is_empty() && !wanted.iter().any(|name| name == mutation.name) {
            continue;
        }
        let hunt = hunt(&kit, mutation, 1)?;
        let by = hunt.found.as_ref().map_or_else(
            || "**not found**".to_owned(),
            |found| {
                format!("{:?}: {}", found.rule, found.what.chars().take(90).collect::<String>())
            },
        );
        all_found &= hunt.found.is_some();
        let (name, what, within) = (mutation.name, mutation.what, mutation.within);
        println!("| `{name}` | {what} | {within} | {} | {by} |", hunt.orders);
    }
    Ok(if all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
