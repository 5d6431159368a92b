//! A payment provider to test against, scriptable, with faults.
