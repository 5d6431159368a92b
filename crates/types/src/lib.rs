//! The vocabulary of payments: money, ids, card numbers, outcomes. Pure.
