//! How entries are hashed into a chain.
//!
//! An entry's hash is SHA-256 over the bytes of [`encode`]: a tag, then the number and the time as eight
//! bytes each, most significant first, then every text and the hash before as a field: one byte that says
//! whether it is there, its length as eight bytes, its bytes. No two entries have the same encoding, and
//! the encoding never changes: old chains verify for ever. A field that is added one day comes with a new
//! tag for the entries that have it.

use aws_lc_rs::digest;
use baton_store::{AuditQuery, AuditRow, Store, StoreError};
use baton_types::Timestamp;
use serde_json::Value;

/// The first bytes of every encoding: what this is a hash of, and in which form.
const TAG: &[u8] = b"baton audit entry 1\n";

/// The end of a chain, or any other place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The entry's number.
    pub seq: u64,
    /// The entry's hash.
    pub hash: Vec<u8>,
}

impl Head {
    /// The place of an entry.
    #[must_use]
    pub fn of(row: &AuditRow) -> Self {
        Self { seq: row.seq, hash: row.hash.clone() }
    }

    /// Reads what `Display` writes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (seq, hash) = text.trim().split_once(':')?;
        let seq = seq.parse().ok().filter(|seq| *seq > 0)?;
        let digits: Vec<u8> =
            hash.chars().map(|c| c.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
        let hash: Vec<u8> = digits
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(high << 4 | low),
                _ => None,
            })
            .collect::<Option<_>>()?;
        (hash.len() == digest::SHA256_OUTPUT_LEN).then_some(Self { seq, hash })
    }
}

/// `SEQ:HASH`, as commands show and take it.
impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seq, hex(&self.hash))
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An entry without its place in the chain.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) at: Timestamp,
    pub(super) merchant: Option<String>,
    pub(super) actor: String,
    pub(super) action: String,
    pub(super) subject: String,
    pub(super) detail: String,
    pub(super) request_id: Option<String>,
}

/// The entry that follows `prev`.
pub(super) fn link(draft: &Draft, prev: Option<&Head>) -> AuditRow {
    let draft = draft.clone();
    let mut row = AuditRow {
        seq: prev.map_or(0, |head| head.seq).saturating_add(1),
        at: draft.at,
        merchant: draft.merchant,
        actor: draft.actor,
        action: draft.action,
        subject: draft.subject,
        detail: draft.detail,
        request_id: draft.request_id,
        prev: prev.map(|head| head.hash.clone()),
        hash: Vec::new(),
    };
    row.hash = hash(&row);
    row
}

/// The hash that an entry has to have.
#[must_use]
pub fn hash(row: &AuditRow) -> Vec<u8> {
    digest::digest(&digest::SHA256, &encode(row)).as_ref().to_vec()
}

/// What is hashed of an entry: everything but the hash.
#[must_use]
pub fn encode(row: &AuditRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(TAG);
    bytes.extend_from_slice(&row.seq.to_be_bytes());
    bytes.extend_from_slice(&row.at.millis().to_be_bytes());
    for field in [
        row.merchant.as_deref().map(str::as_bytes),
        Some(row.actor.as_bytes()),
        Some(row.action.as_bytes()),
        Some(row.subject.as_bytes()),
        Some(row.detail.as_bytes()),
        row.request_id.as_deref().map(str::as_bytes),
        row.prev.as_deref(),
    ] {
        let content = field.unwrap_or_default();
        bytes.push(u8::from(field.is_some()));
        bytes.extend_from_slice(&u64::try_from(content.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

/// JSON without white space, its members sorted by name, whatever the map's own order is in this build.
pub(super) fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            let members = members.iter().map(|(name, value)| {
                format!("{}:{}", Value::from(name.as_str()), canonical(value))
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// The end of the chain.
///
/// # Errors
/// The store does not answer.
pub(super) async fn head(store: &dyn Store) -> Result<Option<Head>, StoreError> {
    let last = AuditQuery { newest_first: true, limit: 1, ..AuditQuery::default() };
    Ok(store.audit(&last).await?.first().map(Head::of))
}

/// One entry by number.
///
/// # Errors
/// The store does not answer.
pub(super) async fn entry(store: &dyn Store, seq: u64) -> Result<Option<AuditRow>, StoreError> {
    let before = seq.checked_sub(1);
    let from = AuditQuery { beyond: before, limit: 1, ..AuditQuery::default() };
    Ok(store.audit(&from).await?.pop().filter(|row| row.seq == seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn draft() -> Draft {
        Draft {
            at: Timestamp::from_millis(1_767_225_600_123),
            merchant: Some("mer_01fwhe4ydgfk1shh6w1g60eecf".into()),
            actor: "operator".into(),
            action: "key_created".into(),
            subject: "key_01fwhe4ydgfk1shh6w1g60eecf".into(),
            detail: canonical(&json!({ "scopes": ["gateway"], "name": "Ünïcode \"shop\"" })),
            request_id: None,
        }
    }

    /// Never to be changed: chains that were written like this must verify for ever.
    #[test]
    fn an_entry_is_encoded_and_hashed_like_this() {
        let first = link(&draft(), None);
        assert_eq!(
            hex(&encode(&first)),
            "6261746f6e20617564697420656e74727920310a00000000000000010000019b76daa87b0100000000000000\
             1e6d65725f30316677686534796467666b31736868367731673630656563660100000000000000086f706572\
             61746f7201000000000000000b6b65795f6372656174656401000000000000001e6b65795f30316677686534\
             796467666b31736868367731673630656563660100000000000000327b226e616d65223a22c39c6ec3af636f\
             6465205c2273686f705c22222c2273636f706573223a5b2267617465776179225d7d00000000000000000000\
             0000000000000000"
        );
        assert_eq!(
            Head::of(&first).to_string(),
            "1:ab25f35cb5fef914fa06e278ad5661e5c8230eedcfbfde988ebe24ebef48c9f6"
        );
        let second = link(&Draft { merchant: None, ..draft() }, Some(&Head::of(&first)));
        assert_eq!(
            Head::of(&second).to_string(),
            "2:c50fa7ee9d011ec3cb63d5c6007a171d1444742250a3875b057f955dd3db6050"
        );
    }

    #[test]
    fn json_is_sorted_at_every_depth() {
        let value = json!({ "b": [{ "y": 1, "x": null }], "a": "q\"\u{0}", "aa": true });
        assert_eq!(canonical(&value), r#"{"a":"q\"\u0000","aa":true,"b":[{"x":null,"y":1}]}"#);
        assert_eq!(serde_json::from_str::<Value>(&canonical(&value)).unwrap(), value);
    }

    #[test]
    fn a_head_is_read_as_it_is_shown() {
        let head = Head { seq: 12, hash: (0..32).collect() };
        assert_eq!(Head::parse(&head.to_string()), Some(head.clone()));
        let hash = hex(&head.hash);
        for text in ["", "12", "12:", "0:00", &format!("0:{hash}"), &format!("1:{hash}0"), "x:00"] {
            assert_eq!(Head::parse(text), None, "{text}");
        }
    }
}
