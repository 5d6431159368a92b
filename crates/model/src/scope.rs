//! How large the world is, and which of its assumptions is broken on purpose.

use baton_flow::{Cancel, Candidate, DoubtMode, Order, OrderKind, RetryDeclines, quiet_ms};
use baton_types::{AccountId, Currency, Money, Timestamp};

/// One tick of the world, in milliseconds. Production's constants are not changed, so it is chosen to make
/// them few ticks: an obligation of `hold_safe` is due after two.
pub(crate) const TICK_MS: i64 = 30_000;

/// When the payment is opened, by a clock that is right.
const T0_MS: i64 = 1_795_176_000_000;

/// What the merchant asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The money is taken at once.
    Sale,
    /// The money is held.
    Hold,
}

/// What is done about a doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is resolved first.
    ResolveFirst,
    /// The next account is tried beside it, and the losing hold is voided.
    HoldSafe,
}

/// An assumption or a rule that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A provider executes a request one tick after its in-flight bound.
    InFlightExceeded,
    /// A provider's index shows what was executed one tick later than claimed.
    IndexLagExceeded,
    /// The other node's clock is ahead by one tick more than the bounds allow for.
    ClockAhead,
    /// The rule takes a sale for a hold, so that absence permits the next candidate.
    AbsenceForSales,
    /// The owner does not look at its clock before the first byte.
    SendByUnchecked,
    /// The owner looks at its clock, is suspended, and writes then.
    SuspendedAfterCheck,
    /// The owner's time to send is counted from the commit of the plan, not from what the plan says.
    DeadlineFromCommit,
    /// Whoever finds a plan sends it.
    SentFromRow,
    /// The store takes a write that is based on an old version.
    NoVersionGuard,
    /// A commit whose acknowledgement was lost is taken for done.
    LostAckIsSuccess,
    /// "Not found" counts by when it was answered, not by when it was asked.
    DatedByAnswer,
    /// The promise to void is in the owner's memory only.
    ObligationNotDurable,
    /// A provider confirms a cancel and executes the request all the same when it arrives.
    FenceLeaks,
    /// A void in doubt at a provider that cannot be asked is not followed by another.
    VoidedOnce,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::InFlightExceeded,
        Self::IndexLagExceeded,
        Self::ClockAhead,
        Self::AbsenceForSales,
        Self::SendByUnchecked,
        Self::SuspendedAfterCheck,
        Self::DeadlineFromCommit,
        Self::SentFromRow,
        Self::NoVersionGuard,
        Self::LostAckIsSuccess,
        Self::DatedByAnswer,
        Self::ObligationNotDurable,
        Self::FenceLeaks,
        Self::VoidedOnce,
    ];
}

/// The size of a world.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What is asked for.
    pub kind: Kind,
    /// What is done about a doubt.
    pub mode: Mode,
    /// How many accounts may be tried.
    pub candidates: u8,
    /// The tick from which no further candidate is tried.
    pub failover_until: i64,
    /// How many ticks a plan may wait for its first byte.
    pub send_window: i64,
    /// For how many ticks after it was sent a request may still be executed.
    pub in_flight: i64,
    /// For how many ticks after its execution a request may stay unseen.
    pub index_lag: i64,
    /// How many ticks the other node's clock may be off, either way. The bound that the rule is given is
    /// wider by as much.
    pub skew: i64,
    /// From this tick on nothing fails any more and everybody does what is due before time goes on.
    pub calm_from: i64,
    /// The last tick.
    pub horizon: i64,
    /// How many nodes resolve beside the owner.
    pub resolvers: u8,
    /// How many processes may die.
    pub crashes: u8,
    /// How many acknowledgements of commits may be lost.
    pub lost_acks: u8,
    /// Whether providers also say no.
    pub declines: bool,
    /// Whether a cancel also keeps out a request that arrives after it.
    pub fence: bool,
    /// Whether providers can be asked. If not, they tell by themselves, or never.
    pub askable: bool,
    /// Whether states are told apart by what no later step can tell.
    pub exact: bool,
    /// What is broken on purpose.
    pub faults: Vec<Fault>,
}

impl Scope {
    /// The scope that the tests explore: seconds.
    #[must_use]
    pub fn small(kind: Kind, mode: Mode) -> Self {
        Self {
            kind,
            mode,
            candidates: 2,
            failover_until: 3,
            send_window: 1,
            in_flight: 0,
            index_lag: 0,
            skew: 0,
            calm_from: 3,
            horizon: 100,
            resolvers: 1,
            crashes: 1,
            lost_acks: 0,
            declines: true,
            fence: false,
            askable: true,
            exact: false,
            faults: Vec::new(),
        }
    }

    /// The same world with something broken.
    #[must_use]
    pub fn broken(self, faults: &[Fault]) -> Self {
        Self { faults: faults.to_vec(), ..self }
    }

    /// Sets a size by its name; `None` if there is none of that name, or it cannot be so large.
    pub fn set(&mut self, name: &str, value: i64) -> Option<()> {
        match name {
            "candidates" => self.candidates = u8::try_from(value).ok()?,
            "failover_until" => self.failover_until = value,
            "send_window" => self.send_window = value,
            "in_flight" => self.in_flight = value,
            "index_lag" => self.index_lag = value,
            "skew" => self.skew = value,
            "calm_from" => self.calm_from = value,
            "horizon" => self.horizon = value,
            "resolvers" => self.resolvers = u8::try_from(value).ok()?,
            "crashes" => self.crashes = u8::try_from(value).ok()?,
            "declines" => self.declines = value != 0,
            "fence" => self.fence = value != 0,
            "askable" => self.askable = value != 0,
            "lost_acks" => self.lost_acks = u8::try_from(value).ok()?,
            _ => return None,
        }
        Some(())
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.faults.contains(&fault)
    }

    /// How long a request may really be executed after it was sent.
    pub(crate) fn executes_for(&self) -> i64 {
        self.in_flight + i64::from(self.has(Fault::InFlightExceeded))
    }

    /// How long it really may stay unseen.
    pub(crate) fn unseen_for(&self) -> i64 {
        self.index_lag + i64::from(self.has(Fault::IndexLagExceeded))
    }

    /// How far off the other nodes' clocks may really be.
    pub(crate) fn offsets(&self) -> Vec<i64> {
        if self.has(Fault::ClockAhead) {
            return vec![self.skew + 1];
        }
        (-self.skew..=self.skew).collect()
    }

    /// What the merchant asks for, as the production code has it.
    pub(crate) fn order(&self) -> Order {
        let [in_flight, index_lag, skew] =
            [self.in_flight, self.index_lag, self.skew].map(|ticks| ticks * TICK_MS);
        let candidate = |no: u8| Candidate {
            account: AccountId::from_bytes([no; 16]),
            label: format!("account-{no}"),
            gateway: "Model".to_owned(),
            quiet_ms: self.askable.then(|| quiet_ms(in_flight, index_lag, skew)),
            replay_ms: None,
            index_lag_ms: index_lag,
            cancel: Some(if self.fence { Cancel::Fence } else { Cancel::Plain }),
            increments: false,
            certificate: None,
            inline: false,
        };
        let kind = match self.kind {
            Kind::Sale if !self.has(Fault::AbsenceForSales) => OrderKind::Charge(amount()),
            Kind::Sale | Kind::Hold => OrderKind::Authorize(amount()),
        };
        Order {
            kind,
            merchant_ref: None,
            card: None,
            candidates: (1..=self.candidates).map(candidate).collect(),
            doubt: match self.mode {
                Mode::ResolveFirst => DoubtMode::ResolveFirst,
                Mode::HoldSafe => DoubtMode::HoldSafe,
            },
            retry_declines: RetryDeclines::GATEWAY_LIST,
            failover_until: at(self.failover_until),
            test: true,
            payer_present: true,
            imported: false,
        }
    }
}

/// A tick as production's time.
pub(crate) fn at(tick: i64) -> Timestamp {
    Timestamp::from_millis(T0_MS + tick * TICK_MS)
}

/// The amount of the payment.
pub(crate) fn amount() -> Money {
    let currency =
        Currency::parse("USD").unwrap_or_else(|_| unreachable!("a currency of the list"));
    Money::new(1_000, currency)
}
