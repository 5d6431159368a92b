//! Bugs on purpose, to see whether the simulator finds them.
//!
//! With the feature `mutations` one of them can be chosen at run time; without it every question is answered
//! "no" by the compiler, and nothing of this is in the program. A build with the feature refuses to be optimised
//! for release.

#[cfg(all(feature = "mutations", not(debug_assertions)))]
compile_error!("mutations are bugs: they do not belong into a release build");

#[cfg(feature = "mutations")]
static CHOSEN: std::sync::RwLock<Option<&'static str>> = std::sync::RwLock::new(None);

/// Puts this bug in, and takes any other out.
#[cfg(feature = "mutations")]
pub fn choose(name: Option<&'static str>) {
    *CHOSEN.write().unwrap_or_else(std::sync::PoisonError::into_inner) = name;
}

/// Whether this bug is in.
#[cfg(feature = "mutations")]
#[must_use]
pub fn mutated(name: &str) -> bool {
    *CHOSEN.read().unwrap_or_else(std::sync::PoisonError::into_inner) == Some(name)
}

/// Whether this bug is in: never.
#[cfg(not(feature = "mutations"))]
#[must_use]
#[inline(always)]
pub const fn mutated(_name: &str) -> bool {
    false
}
