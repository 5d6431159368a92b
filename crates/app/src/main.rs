//! The baton command: configuration, wiring, subcommands.

fn main() {}
