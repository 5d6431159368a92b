//! Rows out of columns, strictly: what this program would not have written is `Corrupt`.

use baton_types::{Id, Kind, Timestamp};

use crate::compile::{Value, kind_name};
use crate::rows::{
    AccountRow, ApiKeyRow, AuditRow, DocumentRow, EventRow, GuardRow, IdempotencyRow, MerchantRow,
    OutboxRow, PaymentRow, ReferenceKind, ReferenceRow, TimerRow,
};
use crate::store::StoreError;

/// A row that can be read from the columns listed for its table in `sql`.
pub(crate) trait Decode: Sized {
    fn decode(row: &mut Columns) -> Result<Self, StoreError>;
}

/// Decodes all rows.
pub(crate) fn all<T: Decode>(rows: Vec<Vec<Value>>) -> Result<Vec<T>, StoreError> {
    rows.into_iter().map(|row| T::decode(&mut Columns(row.into_iter()))).collect()
}

/// A row's columns that have not been read yet.
pub(crate) struct Columns(std::vec::IntoIter<Value>);

impl Columns {
    fn next(&mut self) -> Value {
        // A missing column reads as null, and is then refused where a value is needed.
        self.0.next().unwrap_or(Value::Null)
    }

    /// Whether nothing is in the next column.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.0.as_slice().first(), None | Some(Value::Null))
    }

    pub(crate) fn bigint(&mut self) -> Result<i64, StoreError> {
        self.optional_bigint()?.ok_or_else(|| corrupt("a number is missing"))
    }

    pub(crate) fn optional_bigint(&mut self) -> Result<Option<i64>, StoreError> {
        match self.next() {
            Value::Int(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            Value::Text(_) | Value::Bytes(_) => Err(corrupt("expected a number")),
        }
    }

    /// A number that is kept as a wider one.
    pub(crate) fn int<T: TryFrom<i64>>(&mut self) -> Result<T, StoreError> {
        T::try_from(self.bigint()?).map_err(|_| corrupt("a number is out of range"))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, StoreError> {
        Ok(self.bigint()? != 0)
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, StoreError> {
        self.bigint().map(Timestamp::from_millis)
    }

    pub(crate) fn optional_time(&mut self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_bigint()?.map(Timestamp::from_millis))
    }

    pub(crate) fn text(&mut self) -> Result<String, StoreError> {
        self.optional_text()?.ok_or_else(|| corrupt("a text is missing"))
    }

    pub(crate) fn optional_text(&mut self) -> Result<Option<String>, StoreError> {
        match self.next() {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            Value::Int(_) | Value::Bytes(_) => Err(corrupt("expected a text")),
        }
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        self.optional_bytes()?.ok_or_else(|| corrupt("bytes are missing"))
    }

    pub(crate) fn optional_bytes(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.next() {
            Value::Bytes(bytes) => Ok(Some(bytes)),
            Value::Null => Ok(None),
            Value::Int(_) | Value::Text(_) => Err(corrupt("expected bytes")),
        }
    }

    fn optional_id<T: Kind>(&mut self) -> Result<Option<Id<T>>, StoreError> {
        self.optional_text()?.as_deref().map(parse).transpose()
    }

    /// A number that may be absent and is kept as a wider one.
    pub(crate) fn optional_int<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, StoreError> {
        let value = self.optional_bigint()?.map(T::try_from).transpose();
        value.map_err(|_| corrupt("a number is out of range"))
    }

    pub(crate) fn id<T: Kind>(&mut self) -> Result<Id<T>, StoreError> {
        parse(&self.text()?)
    }
}

fn parse<T: Kind>(text: &str) -> Result<Id<T>, StoreError> {
    Id::parse(text).map_err(|error| corrupt(&error.to_string()))
}

pub(crate) fn corrupt(why: &str) -> StoreError {
    StoreError::Corrupt(why.to_owned())
}

/// A count, alone in its row.
impl Decode for u64 {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        row.int()
    }
}

impl Decode for PaymentRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            id: row.id()?,
            version: row.int()?,
            status: row.text()?,
            kind: row.text()?,
            amount_minor: row.optional_bigint()?,
            currency: row.optional_text()?,
            merchant_ref: row.optional_text()?,
            test: row.bool()?,
            account: row.optional_id()?,
            created_at: row.time()?,
            updated_at: row.time()?,
            schema: row.int()?,
            snapshot: row.text()?,
        })
    }
}

impl Decode for EventRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            payment: row.id()?,
            version: row.int()?,
            id: row.id()?,
            at: row.time()?,
            schema: row.int()?,
            body: row.text()?,
        })
    }
}

impl Decode for OutboxRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id()?,
            merchant: row.id()?,
            payment: row.id()?,
            version: row.int()?,
            due_at: row.time()?,
            attempts: row.int()?,
            body: row.text()?,
        })
    }
}

impl Decode for TimerRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            payment: row.id()?,
            call: row.text()?,
            kind: row.text()?,
            due_at: row.time()?,
            attempt: row.int()?,
            node: row.text()?,
            boot: row.id()?,
        })
    }
}

impl Decode for IdempotencyRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            key: row.text()?,
            fingerprint: row.bytes()?,
            payment: row.id()?,
            call: row.text()?,
            created_at: row.time()?,
            expires_at: row.time()?,
        })
    }
}

impl Decode for GuardRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            key: row.text()?,
            payment: row.id()?,
            created_at: row.time()?,
        })
    }
}

impl Decode for ReferenceRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        let merchant = row.id()?;
        let name = row.text()?;
        let kinds = [ReferenceKind::Attempt, ReferenceKind::Provider, ReferenceKind::Merchant];
        let kind = kinds.into_iter().find(|kind| kind_name(*kind) == name);
        let value = row.text()?;
        let account = row.text()?;
        Ok(Self {
            merchant,
            kind: kind.ok_or_else(|| corrupt("no kind of reference"))?,
            account: if account.is_empty() { None } else { Some(parse(&account)?) },
            value,
            payment: row.id()?,
            call: row.text()?,
            created_at: row.time()?,
        })
    }
}

impl Decode for MerchantRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self { id: row.id()?, name: row.text()?, created_at: row.time()? })
    }
}

impl Decode for AccountRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            id: row.id()?,
            number: row.bigint()?,
            name: row.text()?,
            gateway: row.text()?,
            base_url: row.optional_text()?,
            test: row.bool()?,
            created_at: row.time()?,
            updated_at: row.time()?,
            removed_at: row.optional_time()?,
            config: row.text()?,
        })
    }
}

impl Decode for ApiKeyRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.id()?,
            merchant: row.id()?,
            hash: row.bytes()?,
            hint: row.text()?,
            name: row.text()?,
            scopes: row.text()?.split_whitespace().map(str::to_owned).collect(),
            sandbox: row.bool()?,
            created_at: row.time()?,
            expires_at: row.optional_time()?,
            revoked_at: row.optional_time()?,
            rate_limit: row.optional_int()?,
        })
    }
}

impl Decode for DocumentRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            merchant: row.id()?,
            kind: row.text()?,
            id: row.text()?,
            version: row.int()?,
            owner: row.text()?,
            status: row.text()?,
            created_at: row.time()?,
            updated_at: row.time()?,
            removed_at: row.optional_time()?,
            schema: row.int()?,
            body: row.text()?,
        })
    }
}

impl Decode for AuditRow {
    fn decode(row: &mut Columns) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.int()?,
            at: row.time()?,
            merchant: row.optional_text()?,
            actor: row.text()?,
            action: row.text()?,
            subject: row.text()?,
            detail: row.text()?,
            request_id: row.optional_text()?,
            prev: row.optional_bytes()?,
            hash: row.bytes()?,
        })
    }
}
