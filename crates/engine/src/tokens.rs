//! String tokens: secrets that a merchant keeps with us, and uses by name.
//!
//! Every clear-text read is in the audit log before the text leaves: one for a client, one for a payment.

use baton_types::Secret;
use baton_vault::{Revealed, Tenant, Token, TokenKind};
use serde_json::json;

use crate::audit::{Action, Entry};
use crate::engine::{Answered, Caller, Engine, Idempotency};
use crate::error::EngineError;

impl Caller {
    /// Whose secrets the caller may use: a sandbox key knows nothing of live ones.
    #[must_use]
    pub fn tenant(self) -> Tenant {
        Tenant { merchant: self.merchant, sandbox: self.sandbox }
    }
}

impl Engine {
    /// Keeps a text and gives a token for it. Three or four digits are a CVV: used once, within 15 minutes.
    ///
    /// # Errors
    /// The vault does not answer.
    pub async fn tokenize(&self, caller: Caller, payload: &Secret) -> Result<Token, EngineError> {
        Ok(self.inner.vault.tokenize(caller.tenant(), payload, self.inner.clock.now()).await?)
    }

    /// What is known of a token without its text.
    ///
    /// # Errors
    /// The vault does not answer.
    pub async fn token_meta(
        &self,
        caller: Caller,
        token: &str,
    ) -> Result<Option<Token>, EngineError> {
        Ok(self.inner.vault.meta(caller.tenant(), token, self.inner.clock.now()).await?)
    }

    /// A token's text, for the client. A CVV's token has ended with that.
    ///
    /// # Errors
    /// The vault or the audit log does not answer.
    pub async fn read_token(
        &self,
        caller: Caller,
        token: &str,
    ) -> Result<Option<Revealed>, EngineError> {
        self.reveal(caller, token, Action::TokenRead).await
    }

    /// A token's text, for a call to a provider. A CVV's token has ended with that.
    ///
    /// # Errors
    /// The vault or the audit log does not answer.
    pub async fn use_token(
        &self,
        caller: Caller,
        token: &str,
    ) -> Result<Option<Revealed>, EngineError> {
        self.reveal(caller, token, Action::TokenUsed).await
    }

    /// Forgets a token and its text; false if there is none.
    ///
    /// # Errors
    /// The vault or the audit log does not answer.
    pub async fn delete_token(&self, caller: Caller, token: &str) -> Result<bool, EngineError> {
        let deleted = self.inner.vault.delete(caller.tenant(), token).await?;
        if deleted {
            self.inner.audit.record(self.entry(caller, Action::TokenDeleted, token)).await?;
        }
        Ok(deleted)
    }

    /// The answer to an earlier request with this key, if there is one. Nothing is begun.
    ///
    /// # Errors
    /// The key stands for another request, or that one still runs.
    pub async fn repeated(
        &self,
        caller: Caller,
        idempotency: Idempotency,
    ) -> Result<Option<Answered>, EngineError> {
        match self.replay_or(caller.merchant, Some(idempotency), EngineError::NotFound).await {
            Ok(answered) => Ok(Some(answered)),
            Err(EngineError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn reveal(
        &self,
        caller: Caller,
        token: &str,
        action: Action,
    ) -> Result<Option<Revealed>, EngineError> {
        let now = self.inner.clock.now();
        let Some(revealed) = self.inner.vault.reveal(caller.tenant(), token, now).await? else {
            return Ok(None);
        };
        // Nobody sees the text before its reading is on record.
        let mut entry = self.entry(caller, action, token);
        entry.detail = json!({ "cvv": revealed.kind == TokenKind::Cvv });
        self.inner.audit.record(entry).await?;
        Ok(Some(revealed))
    }

    /// A token opens its text, so the log names it by a fingerprint.
    fn entry(&self, caller: Caller, action: Action, token: &str) -> Entry {
        let mut name = self.inner.vault.fingerprint(caller.tenant(), token);
        name.truncate(32);
        Entry {
            merchant: Some(caller.merchant),
            actor: caller.actor(),
            action,
            subject: name,
            detail: json!({}),
            request_id: None,
        }
    }
}
