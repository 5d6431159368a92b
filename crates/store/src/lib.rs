//! Durable state: one WriteSet is one commit, on memory, SQLite or PostgreSQL.
