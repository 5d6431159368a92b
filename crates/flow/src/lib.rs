//! The payment state machines and the failover rule. Pure.
