//! Reads the sources and holds the house rules that no compiler knows. Everything is in its tests.
