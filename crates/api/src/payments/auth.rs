//! Who asks the Payments API: the operator, a merchant's server, or a browser.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use baton_engine::Caller;
use baton_engine::keys::Scope;
use baton_payments::{Fault, Merchant, ProfileId};
use baton_types::MerchantId;
use http::HeaderMap;

use super::error::Refusal;
use crate::App;
use crate::auth::{peer, presented, tell};
use crate::metrics::Limited;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The operator's key from the configuration.
    Operator,
    /// The operator for the merchant in the path, or that merchant's own key.
    OperatorOrMerchant,
    /// A merchant's key.
    Merchant,
    /// A merchant's key, or a publishable one with the secret of an intent.
    MerchantOrBrowser,
    /// A payer's browser, which has no key: what the path holds is the proof.
    Payer,
}

impl Who {
    fn scopes(self) -> &'static [Scope] {
        match self {
            Self::Operator | Self::Payer => &[],
            Self::OperatorOrMerchant | Self::Merchant => &[Scope::Payments],
            Self::MerchantOrBrowser => &[Scope::Payments, Scope::Publishable, Scope::Ephemeral],
        }
    }

    fn operator(self) -> bool {
        matches!(self, Self::Operator | Self::OperatorOrMerchant)
    }
}

/// The id of a merchant account, as the merchant knows it.
pub(crate) type AccountId = Arc<str>;

/// How a request was let in.
#[derive(Clone, Debug)]
pub(crate) enum Asker {
    /// The operator: for whichever merchant the path names, perhaps in one of its profiles.
    Operator(Option<ProfileId>),
    /// A merchant's server.
    Server(Merchant, AccountId),
    /// A browser: only with the secret of an intent.
    Browser(Merchant, AccountId),
}

impl Asker {
    /// The merchant of the key; the operator has none.
    pub(crate) fn merchant(&self) -> Result<Merchant, Refusal> {
        self.account().map(|(merchant, _)| merchant)
    }

    /// The same, with the id of its merchant account.
    pub(crate) fn account(&self) -> Result<(Merchant, &AccountId), Refusal> {
        match self {
            Self::Operator(_) => Err(Refusal::unauthorized()),
            Self::Server(merchant, id) | Self::Browser(merchant, id) => Ok((*merchant, id)),
        }
    }

    /// How the audit log names the asker.
    pub(crate) fn actor(&self) -> baton_engine::audit::Actor {
        match self {
            Self::Operator(_) => baton_engine::audit::Actor::Operator,
            Self::Server(merchant, _) | Self::Browser(merchant, _) => merchant.caller.actor(),
        }
    }

    /// The merchant that the path names: any for the operator, its own for a merchant's key.
    pub(crate) async fn of_path(&self, app: &App, id: &str) -> Result<Merchant, Refusal> {
        let account = app.payments.account(id).await?;
        let merchant = self.of(app, account.merchant)?;
        match self {
            Self::Operator(Some(profile)) => within(app, merchant, *profile).await,
            Self::Operator(None) | Self::Server(..) | Self::Browser(..) => Ok(merchant),
        }
    }

    /// The same, also for a merchant account that was removed.
    pub(crate) async fn of_any_path(&self, app: &App, id: &str) -> Result<Merchant, Refusal> {
        self.of(app, app.payments.merchant(id).await?)
    }

    fn of(&self, app: &App, named: MerchantId) -> Result<Merchant, Refusal> {
        match self {
            Self::Operator(_) => Ok(app.payments.merchant_of(named)),
            Self::Server(merchant, _) if merchant.caller.merchant == named => Ok(*merchant),
            Self::Server(..) | Self::Browser(..) => Err(Fault::NotFound("merchant account").into()),
        }
    }
}

/// Lets a request pass whose key is one of those that the route takes, with its [`Asker`] as an extension.
pub(crate) async fn require(
    State((app, who)): State<(Arc<App>, Who)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = peer(&request);
    let text = presented(request.headers());
    if let Some(many) = app.limiter.failed_too_often(peer)
        && !text.is_some_and(|text| is_operator(&app, text) || app.keyring.remembers(text))
    {
        app.metrics.limited(Limited::Peer);
        return Refusal::too_many(many.retry_after()).into();
    }
    let (mut asker, key, own_rate) = match asker(&app, who, request.headers()).await {
        Ok(Some(known)) => known,
        Ok(None) => {
            app.limiter.failed(peer);
            return Refusal::unauthorized().into();
        }
        Err(error) => return Refusal::from(error).into(),
    };
    let left = match app.limiter.take(key, own_rate) {
        None => None,
        Some(Ok(left)) => Some(left),
        Some(Err(many)) => {
            app.metrics.limited(Limited::Key);
            let mut response: Response = Refusal::too_many(many.retry_after()).into();
            tell(&mut response, many.left);
            return response;
        }
    };
    if let Err(refusal) = act_in_profile(&app, &mut asker, request.headers()).await {
        return refusal.into();
    }
    request.extensions_mut().insert(asker);
    let mut response = next.run(request).await;
    if let Some(left) = left {
        tell(&mut response, left);
    }
    response
}

/// The header that names the profile that a request acts in.
const PROFILE: &str = "x-profile-id";

/// A merchant in one of its profiles.
async fn within(app: &App, merchant: Merchant, profile: ProfileId) -> Result<Merchant, Refusal> {
    app.payments.profile(&merchant, Some(&profile.to_string())).await?;
    Ok(Merchant { profile: Some(profile), ..merchant })
}

/// Lets a request act in the profile that it names, if it names one: then nothing of another is there.
async fn act_in_profile(app: &App, asker: &mut Asker, headers: &HeaderMap) -> Result<(), Refusal> {
    let Some(named) = headers.get(PROFILE) else { return Ok(()) };
    let named = named.to_str().ok().and_then(ProfileId::parse);
    let named = named.ok_or(Fault::NotFound("business profile"))?;
    match asker {
        Asker::Operator(profile) => *profile = Some(named),
        Asker::Server(merchant, _) | Asker::Browser(merchant, _) => {
            *merchant = within(app, *merchant, named).await?;
        }
    }
    Ok(())
}

/// For routes whose path is the proof: whoever guesses is slowed as one who guesses keys.
pub(crate) async fn no_guessing(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = peer(&request);
    if let Some(many) = app.limiter.failed_too_often(peer) {
        app.metrics.limited(Limited::Peer);
        return Refusal::too_many(many.retry_after()).into();
    }
    let response = next.run(request).await;
    if response.status() == http::StatusCode::NOT_FOUND {
        app.limiter.failed(peer);
    }
    response
}

type Known = (Asker, Option<baton_types::ApiKeyId>, Option<u32>);

async fn asker(app: &App, who: Who, headers: &HeaderMap) -> Result<Option<Known>, Fault> {
    let Some(text) = presented(headers) else { return Ok(None) };
    if who.operator() && is_operator(app, text) {
        return Ok(Some((Asker::Operator(None), None, None)));
    }
    let (store, clock) = (app.engine.store().as_ref(), app.engine.clock());
    let Some(key) = app.keyring.authenticate(store, clock, text).await? else { return Ok(None) };
    let scopes = who.scopes().iter();
    let mut scopes = scopes.filter(|scope| key.scopes.iter().any(|word| word == scope.as_str()));
    let Some(scope) = scopes.next() else { return Ok(None) };
    let caller = Caller { merchant: key.merchant, sandbox: key.sandbox, key: Some(key.id) };
    let merchant = Merchant { caller, profile: None };
    // The keys of an account that was removed open nothing.
    let account = match app.payments.account_id(&merchant).await {
        Ok(id) => id.into(),
        Err(Fault::NotFound(_)) => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let asker = match scope {
        Scope::Publishable | Scope::Ephemeral => Asker::Browser(merchant, account),
        Scope::Gateway | Scope::Admin | Scope::Payments => Asker::Server(merchant, account),
    };
    Ok(Some((asker, Some(key.id), key.rate_limit)))
}

fn is_operator(app: &App, text: &str) -> bool {
    app.admin_key.as_ref().is_some_and(|key| {
        verify_slices_are_equal(text.as_bytes(), key.expose().as_bytes()).is_ok()
    })
}
