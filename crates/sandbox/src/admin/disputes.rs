//! The payer's and the issuer's side of disputes, for tests: open one, decide one.

use std::sync::Arc;

use serde::Deserialize;

use super::{body, confirm, error};
use crate::clock::Id;
use crate::core::{DisputeStage, DisputeState, NewDispute, Refusal};
use crate::dialect::own::dispute_view;
use crate::http::{Call, Reply};
use crate::provider::Provider;

/// An id behind any dialect's prefix, or bare.
fn id_of(text: &str) -> Result<Id, Reply> {
    let bare = text.rsplit_once('_').map_or(text, |(_, bare)| bare);
    Id::parse(bare).ok_or_else(|| error(404, "no such object"))
}

fn refused(refusal: Refusal) -> Reply {
    let status = if refusal == Refusal::NotFound { 404 } else { 409 };
    error(status, refusal.message())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opened {
    payment: String,
    amount: Option<i64>,
    reason: Option<String>,
    stage: Option<DisputeStage>,
}

pub(super) async fn open(
    provider: &Arc<Provider>,
    call: &Call,
    account: &str,
) -> Result<Reply, Reply> {
    let Opened { payment, amount, reason, stage } = body(call)?;
    let id = id_of(&payment)?;
    let reason = reason.unwrap_or_else(|| "fraudulent".to_owned());
    let new = NewDispute { amount, reason, stage: stage.unwrap_or(DisputeStage::Dispute) };
    let account = provider.account(account);
    let (opened, seq) = provider.change(&account, |books| books.dispute_open(id, &new));
    let (payment, dispute) = opened.map_err(refused)?;
    confirm(provider, seq, Reply::json(201, &dispute_view(&payment, &dispute))).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    status: DisputeState,
    stage: Option<DisputeStage>,
}

pub(super) async fn decide(
    provider: &Arc<Provider>,
    call: &Call,
    account: &str,
    id: &str,
) -> Result<Reply, Reply> {
    let Moved { status, stage } = body(call)?;
    let id = id_of(id)?;
    let account = provider.account(account);
    let (moved, seq) = provider.change(&account, |books| books.dispute_move(id, stage, status));
    let (payment, dispute) = moved.map_err(refused)?;
    confirm(provider, seq, Reply::json(200, &dispute_view(&payment, &dispute))).await
}
