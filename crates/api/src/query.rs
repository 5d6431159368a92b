//! A query's fields.

use axum::extract::Query;
use axum::extract::rejection::QueryRejection;

use crate::fields::FieldError;

/// What axum makes of a query.
pub(crate) type Pairs = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// The query's fields, each there once at most.
///
/// # Errors
/// A malformed query, or a field that is there twice.
pub(crate) fn pairs(pairs: Pairs) -> Result<Vec<(String, String)>, FieldError> {
    let Ok(Query(pairs)) = pairs else {
        return Err(FieldError::new("", "The query is malformed."));
    };
    for (at, (name, _)) in pairs.iter().enumerate() {
        if pairs.iter().take(at).any(|(other, _)| other == name) {
            return Err(FieldError::new(name, "It is there more than once."));
        }
    }
    Ok(pairs)
}

/// A truth value of the query.
///
/// # Errors
/// It is neither `true` nor `false`.
pub(crate) fn truth(name: &str, text: &str) -> Result<bool, FieldError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(FieldError::new(name, "It must be true or false.")),
    }
}
