//! The providers of a world: what they do with a request, and what their caller gets to see of it.
//!
//! A provider has one set of books ([`books`]) and speaks one dialect. What it makes of a request
//! ([`Bank::serve`]) and what becomes of the answer ([`Fate`]) are two things, as they are in the world.

pub(crate) mod adyen;
pub(crate) mod books;
pub(crate) mod sandbox;
pub(crate) mod stripe;
pub(crate) mod webhook;

use std::collections::HashMap;

use baton_connect::{Filled, HttpReply, Method};
use serde_json::Value;

use self::books::{Books, Decline, Event, Kept, Paid, State, Verdict};
use crate::dice::Dice;
use crate::faults::Faults;

/// The language that a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sandbox,
    Stripe,
    Adyen,
}

/// What a provider is like.
#[derive(Clone, Debug)]
pub(crate) struct Traits {
    pub(crate) name: String,
    pub(crate) dialect: Dialect,
    /// Whether it honours idempotency keys.
    pub(crate) deduplicates: bool,
    /// How long it keeps them.
    pub(crate) keeps_keys_ms: i64,
    /// Whether it refuses what arrives after a cancel by its reference.
    pub(crate) fences: bool,
    /// How long at most until a look-up shows a payment.
    pub(crate) index_lag_ms: u64,
    /// How long at most after it was sent a request is executed.
    pub(crate) in_flight_ms: u64,
    /// Of a million approvals by the issuer, how many it refuses by itself.
    pub(crate) refuses: u32,
}

/// A request as it arrives.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn of(call: &Filled) -> Self {
        let key = call.headers.iter().find(|(name, _)| name == "idempotency-key");
        Self {
            method: call.method.as_str(),
            path: call.path.clone(),
            key: key.map(|(_, value)| value.as_str().to_owned()),
            body: call.body.to_vec(),
        }
    }

    pub(crate) fn asks(&self) -> bool {
        self.method == Method::Get.as_str()
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        let path = self.path.split('?').next().unwrap_or_default();
        path.split('/').filter(|segment| !segment.is_empty())
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Our reference of the call, where the request shows it.
    pub(crate) fn reference(&self) -> Option<String> {
        if let Some(key) = &self.key {
            return Some(key.clone());
        }
        if let Some(reference) = self.query("reference") {
            return Some(reference.to_owned());
        }
        self.json().get("reference").and_then(Value::as_str).map(str::to_owned)
    }

    /// What kind of request it is, in one word, without ids.
    pub(crate) fn kind(&self) -> &'static str {
        let last = self.segments().last().unwrap_or_default();
        match (self.method, last) {
            ("GET", _) => "look-up",
            (_, "captures" | "capture") => "capture",
            (_, "voids" | "cancels" | "cancel") => "void",
            (_, "refunds") => "refund",
            (_, "increments" | "increment_authorization" | "amountUpdates") => "raise",
            (_, "payment_intents") => "intent",
            (_, "payment_methods") => "method",
            _ => "purchase",
        }
    }
}

/// What an answer means to whoever reads it rightly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Approved,
    Open,
    Declined,
    Refused,
    /// An answer to a question, or to a call that moves nothing.
    Shown,
}

impl Meaning {
    pub(crate) fn of(paid: &Paid) -> Self {
        match paid.state {
            State::Authorized | State::Captured => Self::Approved,
            State::Pending | State::Challenge => Self::Open,
            State::Declined(_) => Self::Declined,
            State::Unconfirmed => Self::Shown,
        }
    }
}

/// An answer before anything happens to it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) reply: HttpReply,
    pub(crate) meaning: Meaning,
}

impl Served {
    pub(crate) fn new(status: u16, body: &Value, meaning: Meaning) -> Self {
        let body = body.to_string().into_bytes();
        Self { reply: HttpReply { status, headers: Vec::new(), body }, meaning }
    }

    pub(crate) fn shown(body: Value) -> Self {
        Self::new(200, &body, Meaning::Shown)
    }
}

/// What a dialect knows beside the request.
pub(crate) struct Context<'a> {
    pub(crate) now_ms: i64,
    pub(crate) lag_ms: i64,
    pub(crate) traits: &'a Traits,
    place: u64,
    dice: Dice,
    faults: &'a Faults,
}

impl Context<'_> {
    /// What becomes of a payment of this amount here. The issuer says the same everywhere.
    pub(crate) fn verdict(&self, amount: i64) -> Verdict {
        let order = books::order_of(amount);
        let mut issuer = self.dice.on("issuer").at(order);
        if issuer.chance(80_000) {
            return Verdict::Decline(Decline::Issuer);
        }
        let mut own = self.dice.on("own").at(order).at(self.place);
        if own.chance(15_000) {
            return Verdict::Decline(Decline::Risk);
        }
        if own.chance(self.traits.refuses) {
            return Verdict::Decline(Decline::Provider);
        }
        if own.chance(self.faults.challenge) {
            return Verdict::Challenge;
        }
        if own.chance(self.faults.pending) {
            let declines = own.chance(300_000);
            return Verdict::Pending { then: declines.then_some(Decline::Issuer) };
        }
        if own.chance(self.faults.partial) {
            return Verdict::Partial(amount.div_euclid(2));
        }
        Verdict::Approve
    }
}

/// When a request takes effect, if at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Never,
    First,
    LateMs(u64),
}

/// What becomes of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    Lost,
    Hangs,
    Error(u16),
    Garbage,
    CutShort,
    RateLimited,
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    /// No connection is made.
    pub(crate) unreachable: bool,
    pub(crate) commit: Commit,
    pub(crate) answer: Answer,
    pub(crate) twice: bool,
    /// How long the provider takes.
    pub(crate) takes_ms: u64,
}

/// An incident that a provider has for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Incident {
    Outage,
    Brownout,
    Blackhole,
}

struct Provider {
    traits: Traits,
    books: Books,
    incident: Option<(Incident, i64)>,
}

/// All providers of a world.
pub(crate) struct Bank {
    providers: Vec<Provider>,
    dice: Dice,
    faults: Faults,
    /// How many calls of a kind there have been for an order at a provider.
    calls: HashMap<(usize, u64, &'static str), u64>,
    /// Orders by the part that all references of a payment share.
    orders: HashMap<String, u64>,
}

impl Bank {
    pub(crate) fn new(traits: Vec<Traits>, dice: Dice, faults: Faults) -> Self {
        let new = |traits| Provider { traits, books: Books::default(), incident: None };
        Self {
            providers: traits.into_iter().map(new).collect(),
            dice,
            faults,
            calls: HashMap::new(),
            orders: HashMap::new(),
        }
    }

    /// What would become of a payment of this amount at a provider.
    pub(crate) fn verdict(&self, place: usize, amount: i64) -> Option<Verdict> {
        let traits = self.traits(place)?;
        let place = u64::try_from(place).unwrap_or(0);
        let (dice, faults) = (self.dice, &self.faults);
        Some(Context { now_ms: 0, lag_ms: 0, traits, place, dice, faults }.verdict(amount))
    }

    pub(crate) fn len(&self) -> usize {
        self.providers.len()
    }

    pub(crate) fn traits(&self, place: usize) -> Option<&Traits> {
        self.providers.get(place).map(|provider| &provider.traits)
    }

    pub(crate) fn books(&self, place: usize) -> Option<&Books> {
        self.providers.get(place).map(|provider| &provider.books)
    }

    pub(crate) fn books_mut(&mut self, place: usize) -> Option<&mut Books> {
        self.providers.get_mut(place).map(|provider| &mut provider.books)
    }

    /// No fault happens from now on.
    pub(crate) fn calm(&mut self) {
        self.faults = Faults::none();
        for provider in &mut self.providers {
            provider.incident = None;
        }
    }

    pub(crate) fn begin(&mut self, place: usize, incident: Incident, until_ms: i64) {
        if let Some(provider) = self.providers.get_mut(place) {
            provider.incident = Some((incident, until_ms));
        }
    }

    /// Which order a request is about, as far as can be seen.
    pub(crate) fn order(&mut self, place: usize, request: &Request) -> Option<u64> {
        let bare = request.reference().as_deref().and_then(bare).map(str::to_owned);
        let known = bare.as_ref().and_then(|bare| self.orders.get(bare)).copied();
        if known.is_some() {
            return known;
        }
        let provider = self.providers.get(place)?;
        let books = &provider.books;
        let order = match provider.traits.dialect {
            Dialect::Sandbox | Dialect::Adyen => {
                let about = request.segments().nth(1).and_then(|id| books.place(id));
                let about = about.and_then(|place| books.payment(place)).map(|paid| paid.order);
                about.or_else(|| {
                    let amount = request.json().pointer("/amount/value").and_then(Value::as_i64)?;
                    Some(books::order_of(amount))
                })
            }
            Dialect::Stripe => stripe::order(books, request),
        };
        if let Some((bare, order)) = bare.zip(order) {
            self.orders.insert(bare, order);
        }
        order
    }

    /// What happens to a call, by its order, its kind and how many of them there were.
    pub(crate) fn fate(
        &mut self,
        place: usize,
        order: Option<u64>,
        request: &Request,
        now_ms: i64,
    ) -> Fate {
        let (kind, order) = (request.kind(), order.unwrap_or(u64::MAX));
        let count = self.calls.entry((place, order, kind)).or_default();
        *count = count.saturating_add(1);
        let number = u64::try_from(place).unwrap_or(0);
        let dice = self.dice.on("fate").on(kind).at(order).at(number).at(*count);
        let Some(provider) = self.providers.get(place) else { return FINE };
        let incident = provider.incident.filter(|(_, until_ms)| now_ms < *until_ms);
        let incident = incident.map(|(incident, _)| incident);
        if request.asks() {
            return asked(dice, &self.faults, incident);
        }
        told(dice, &self.faults, &provider.traits, incident)
    }

    /// Carries a request out and words the answer. A key that is known gets the answer that it got before.
    pub(crate) fn serve(&mut self, place: usize, request: &Request, now_ms: i64) -> Served {
        let Some(provider) = self.providers.get_mut(place) else {
            return sandbox::error(404, "not_found");
        };
        let Provider { traits, books, .. } = provider;
        let key = request.key.as_ref().filter(|_| traits.deduplicates);
        if let Some(kept) = key.and_then(|key| books.keys.get(key))
            && now_ms < kept.until_ms
        {
            let same = kept.request == request.body;
            let reply = if same { kept.reply.clone() } else { mismatch(traits.dialect) };
            return Served { reply, meaning: Meaning::Shown };
        }
        let number = u64::try_from(place).unwrap_or(0);
        let mut lag = self.dice.on("lag").at(number).at(u64::try_from(now_ms).unwrap_or(0));
        let beyond = lag.chance(self.faults.lag_beyond_bound);
        let more = if beyond { 120_000 } else { 0 };
        let lag_ms = lag.between(0, traits.index_lag_ms).saturating_add(more);
        let at = Context {
            now_ms,
            lag_ms: i64::try_from(lag_ms).unwrap_or(0),
            traits,
            place: number,
            dice: self.dice,
            faults: &self.faults,
        };
        let served = match traits.dialect {
            Dialect::Sandbox => sandbox::serve(books, &at, request),
            Dialect::Stripe => stripe::serve(books, &at, request),
            Dialect::Adyen => adyen::serve(books, &at, request),
        };
        if let Some(key) = key
            && (served.meaning != Meaning::Refused)
        {
            let kept = Kept {
                request: request.body.clone(),
                reply: served.reply.clone(),
                until_ms: now_ms.saturating_add(traits.keeps_keys_ms),
            };
            books.keys.insert(key.clone(), kept);
        }
        served
    }

    /// The answer to a request whose key is in use, or that arrives a second time.
    pub(crate) fn in_progress(&self, place: usize) -> HttpReply {
        match self.traits(place).map(|traits| traits.dialect) {
            Some(Dialect::Stripe) => stripe::in_progress(),
            Some(Dialect::Adyen) => adyen::in_progress(),
            Some(Dialect::Sandbox) | None => sandbox::in_progress(),
        }
    }

    /// The answer of a machine in front of the provider, or of one that broke.
    pub(crate) fn broken(&self, place: usize, status: u16) -> HttpReply {
        match self.traits(place).map(|traits| traits.dialect) {
            Some(Dialect::Stripe) => stripe::error(status, None, None).reply,
            Some(Dialect::Adyen) => adyen::error(status, "901").reply,
            Some(Dialect::Sandbox) | None => {
                let code = if status == 429 { "rate_limited" } else { "internal_error" };
                sandbox::error(status, code).reply
            }
        }
    }

    /// What happened at a provider since somebody looked.
    pub(crate) fn take_events(&mut self, place: usize) -> Vec<Event> {
        self.books_mut(place).map(|books| std::mem::take(&mut books.events)).unwrap_or_default()
    }
}

/// What all references of a payment begin with.
fn bare(reference: &str) -> Option<&str> {
    reference.split('-').next().filter(|bare| !bare.is_empty())
}

fn mismatch(dialect: Dialect) -> HttpReply {
    match dialect {
        Dialect::Sandbox => sandbox::mismatch(),
        Dialect::Stripe => stripe::error(400, Some("idempotency_error"), None).reply,
        Dialect::Adyen => adyen::error(422, "704").reply,
    }
}

const FINE: Fate = Fate {
    unreachable: false,
    commit: Commit::First,
    answer: Answer::Whole,
    twice: false,
    takes_ms: 100,
};

fn asked(mut dice: Dice, faults: &Faults, incident: Option<Incident>) -> Fate {
    let fine = Fate { takes_ms: dice.between(20, 200), ..FINE };
    if incident == Some(Incident::Outage) {
        return Fate { unreachable: true, ..fine };
    }
    if dice.chance(faults.look_up_fails) {
        let ways = [Answer::Lost, Answer::Error(500), Answer::Garbage, Answer::Error(429)];
        let way = usize::try_from(dice.below(4)).unwrap_or(0);
        return Fate { answer: ways.get(way).copied().unwrap_or(Answer::Lost), ..fine };
    }
    fine
}

fn told(mut dice: Dice, faults: &Faults, traits: &Traits, incident: Option<Incident>) -> Fate {
    let fine = Fate { takes_ms: dice.between(50, 900), ..FINE };
    let fails = |commit, answer| Fate { commit, answer, ..fine };
    match incident {
        Some(Incident::Outage) => return Fate { unreachable: true, ..fine },
        Some(Incident::Brownout) => return fails(Commit::Never, Answer::Error(503)),
        Some(Incident::Blackhole) if dice.chance(800_000) => {
            return fails(
                Commit::First,
                if dice.chance(500_000) { Answer::Lost } else { Answer::Hangs },
            );
        }
        Some(Incident::Blackhole) | None => {}
    }
    let late = |dice: &mut Dice| {
        let most = traits.in_flight_ms.saturating_sub(200);
        Commit::LateMs(dice.between(200, most))
    };
    // One fate per call: the first whose share of the million is hit.
    let mut left = i64::try_from(dice.below(1_000_000)).unwrap_or(0);
    let mut hits = |rate: u32| {
        left = left.saturating_sub(i64::from(rate));
        left < 0
    };
    if hits(faults.unreachable) {
        Fate { unreachable: true, ..fine }
    } else if hits(faults.answer_lost) {
        fails(Commit::First, Answer::Lost)
    } else if hits(faults.answer_hangs) {
        fails(Commit::First, Answer::Hangs)
    } else if hits(faults.error_after) {
        fails(Commit::First, Answer::Error(500))
    } else if hits(faults.error_before) {
        fails(Commit::Never, Answer::Error(503))
    } else if hits(faults.request_lost) {
        fails(Commit::Never, if dice.chance(500_000) { Answer::Lost } else { Answer::Hangs })
    } else if hits(faults.late) {
        let commit = late(&mut dice);
        fails(commit, if dice.chance(700_000) { Answer::Lost } else { Answer::Error(503) })
    } else if hits(faults.beyond_bound) {
        let after = traits.in_flight_ms.saturating_add(dice.between(6_000, 15_000));
        fails(Commit::LateMs(after), Answer::Lost)
    } else if hits(faults.garbage) {
        fails(Commit::First, Answer::Garbage)
    } else if hits(faults.cut_short) {
        fails(Commit::First, Answer::CutShort)
    } else if hits(faults.rate_limited) {
        fails(Commit::Never, Answer::RateLimited)
    } else if hits(faults.sent_twice) {
        // Without deduplication a provider executes both: that is between it and its own network.
        Fate { twice: traits.deduplicates, ..fine }
    } else if hits(faults.slow) {
        Fate { takes_ms: dice.between(1_000, 20_000), ..fine }
    } else {
        fine
    }
}
