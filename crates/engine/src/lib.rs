//! Runs steps: load, decide, commit, act.
