//! Stripe's request bodies: forms with bracketed names, turned into nested JSON of strings.
//!
//! `a[b][c]=v` becomes `{"a": {"b": {"c": "v"}}}`; `a[]=v` is numbered in order, as `a[0]=v` is. A name
//! that is both a value and a group keeps what came first.

use serde_json::{Map, Value};

pub(super) fn nested(pairs: &[(String, String)]) -> Value {
    let mut root = Map::new();
    for (name, value) in pairs {
        let (head, rest) = name.split_once('[').unwrap_or((name, ""));
        let groups = rest.split('[').filter(|_| !rest.is_empty());
        let path: Vec<&str> = std::iter::once(head)
            .chain(groups.map(|group| group.strip_suffix(']').unwrap_or(group)))
            .collect();
        insert(&mut root, &path, value);
    }
    Value::Object(root)
}

fn insert(map: &mut Map<String, Value>, path: &[&str], value: &str) {
    let Some((name, rest)) = path.split_first() else { return };
    let name = if name.is_empty() { map.len().to_string() } else { (*name).to_owned() };
    if rest.is_empty() {
        map.entry(name).or_insert_with(|| value.into());
        return;
    }
    let group = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(group) = group {
        insert(group, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::parse_form;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn brackets_become_levels() {
        let form = "amount=10&card[number]=42&card[exp][y]=1&expand[]=a&expand[]=b&t[0]=c&x[=y&x=z";
        let expected = json!({
            "amount": "10", "card": {"number": "42", "exp": {"y": "1"}},
            "expand": {"0": "a", "1": "b"}, "t": {"0": "c"}, "x": "y",
        });
        assert_eq!(nested(&parse_form(form)), expected);
    }

    proptest! {
        #[test]
        fn no_form_is_too_strange(text in "[a\\[\\]=&%x0-9]{0,60}") {
            prop_assert!(nested(&parse_form(&text)).is_object());
        }
    }
}
