//! What can be asked of an intent that was paid: capture, cancel, reverse. Each once under a client's key.

use baton_engine::{Alongside, Change, EngineError};
use baton_flow::{CallId, Payment, Refusal};
use baton_types::{Money, PaymentId};
use baton_vault::SealedKind;
use serde_json::json;

use crate::document::Stored;
use crate::fault::Fault;
use crate::follow::of_intent;
use crate::intent::{Cancelled, CaptureMethod, Intent, Seen};
use crate::key::Key;
use crate::service::{Merchant, Payments, allow};
use crate::status::{Flow, IntentStatus};

impl Payments {
    /// Takes all or part of what is held.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `CaptureTooMuch`, `Busy`, `KeyReused`.
    pub async fn capture(
        &self,
        merchant: &Merchant,
        id: &str,
        amount: Option<i64>,
        key: Option<&str>,
    ) -> Result<Seen, Fault> {
        let key = key.map(|key| Key::new(Flow::Capture.as_str(), key, &json!(amount)));
        self.once(merchant, id, key.as_ref(), async |seen| {
            allow(&seen, Flow::Capture)?;
            let payment = seen.payment.as_ref().ok_or(Fault::NotFound("payment"))?.id;
            let amount = amount.unwrap_or_else(|| seen.capturable());
            let amount = Change::Capture(Money::new(amount, seen.intent.body.currency));
            // Where one capture is all that was asked for, the intent's next version lets only one through.
            let is_single = seen.intent.body.capture == CaptureMethod::Manual;
            let next = (is_single || key.is_some()).then(|| {
                let mut next = seen.intent.clone().next(self.now());
                next.body.keys.remember(key.as_ref());
                next
            });
            self.change(merchant, seen.intent, payment, amount, next).await
        })
        .await
    }

    /// Gives an intent up: before it is confirmed, or by releasing what is held.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `Busy`, `KeyReused`.
    pub async fn cancel(
        &self,
        merchant: &Merchant,
        id: &str,
        reason: Option<String>,
        key: Option<&str>,
    ) -> Result<Seen, Fault> {
        let key = key.map(|key| Key::new(Flow::Cancel.as_str(), key, &json!(reason)));
        self.once(merchant, id, key.as_ref(), async |seen| {
            allow(&seen, Flow::Cancel)?;
            let now = self.now();
            let mut intent = seen.intent.clone().next(now);
            intent.body.cancellation_reason = reason;
            intent.body.keys.remember(key.as_ref());
            if let Some(payment) = seen.payment {
                let next = Some(intent);
                return self.change(merchant, seen.intent, payment.id, Change::Void, next).await;
            }
            intent.body.cancelled = Some(Cancelled { at: now });
            let kept = intent.body.method.as_mut().and_then(|method| method.card.record.take());
            let mut writes =
                vec![intent.write(), of_intent(&intent, None), self.no_expiry(&intent)];
            writes.extend(self.tell(&intent, IntentStatus::Cancelled.as_str()));
            self.commit(writes).await?;
            if let Some(record) = kept {
                self.drop_card(merchant, SealedKind::IntentCard, &record).await;
            }
            Ok(Seen { intent, payment: None, retry: false })
        })
        .await
    }

    /// Reverses an intent whose money was taken and has not settled.
    ///
    /// # Errors
    /// `NotFound`, `WrongStatus`, `Busy`, `KeyReused`.
    pub async fn cancel_post_capture(
        &self,
        merchant: &Merchant,
        id: &str,
        reason: Option<String>,
        key: Option<&str>,
    ) -> Result<Seen, Fault> {
        let flow = Flow::CancelPostCapture;
        let key = key.map(|key| Key::new(flow.as_str(), key, &json!(reason)));
        self.once(merchant, id, key.as_ref(), async |seen| {
            allow(&seen, flow)?;
            if seen.intent.body.is_setup() {
                return Err(Fault::Precondition("nothing was taken that could be reversed".into()));
            }
            let payment = seen.payment.as_ref().ok_or(Fault::NotFound("payment"))?.id;
            let mut next = seen.intent.clone().next(self.now());
            next.body.cancellation_reason = reason;
            next.body.keys.remember(key.as_ref());
            self.change(merchant, seen.intent, payment, Change::Void, Some(next)).await
        })
        .await
    }

    /// Carries a request out unless it was carried out before: then the intent is given as it stands.
    pub(crate) async fn once(
        &self,
        merchant: &Merchant,
        id: &str,
        key: Option<&Key>,
        act: impl AsyncFnOnce(Seen) -> Result<Seen, Fault>,
    ) -> Result<Seen, Fault> {
        let seen = self.see(merchant, id).await?;
        if seen.intent.body.keys.hold(key)? {
            return Ok(seen);
        }
        let done = act(seen).await;
        if key.is_none() || done.is_ok() {
            return done;
        }
        // The same request may have come twice at once: then the other one has carried it out.
        match self.see(merchant, id).await {
            Ok(seen) if seen.intent.body.keys.hold(key)? => Ok(seen),
            Ok(_) | Err(_) => done,
        }
    }

    pub(crate) async fn change(
        &self,
        merchant: &Merchant,
        intent: Stored<Intent>,
        payment: PaymentId,
        change: Change,
        next: Option<Stored<Intent>>,
    ) -> Result<Seen, Fault> {
        let id = intent.body.id.clone();
        let alongside = next
            .clone()
            .map(|next| Box::new(move |_: &Payment, _: CallId| vec![next.write()]) as Alongside);
        let done = self.engine().change_alongside(merchant.caller, payment, change, alongside);
        match done.await {
            Ok(answered) => {
                let intent = next.unwrap_or(intent);
                Ok(Seen { intent, payment: Some(answered.payment), retry: false })
            }
            Err(EngineError::StillRunning) => {
                let running = Fault::Engine(EngineError::StillRunning);
                self.see(merchant, &id).await.map_err(|_| running)
            }
            Err(EngineError::Refused(Refusal::TooMuch { .. })) => Err(Fault::CaptureTooMuch),
            Err(EngineError::Refused(refusal @ Refusal::NotMore { .. })) => {
                Err(Fault::Invalid { field: "amount", message: refusal.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}
