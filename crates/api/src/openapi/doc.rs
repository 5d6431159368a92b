//! What a route says of itself. A route cannot be made without it, and there is no way to leave out its
//! name, its group, what it is for, or what it answers.

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator};

/// How a type's schema is made.
pub(crate) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// The groups that operations are listed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Payments.
    PaymentGateway,
    /// The merchant's accounts at gateways.
    PaymentGatewayAccounts,
    /// Texts kept for the merchant.
    StringTokens,
    /// Checks of a key.
    Utils,
    /// Wallets.
    EWalletOperations,
    /// What providers tell.
    Webhooks,
    /// Keys and other things of the operator's.
    Admin,
    /// Whether the server works, and this description.
    Server,
    /// Intents of the Payments API.
    Payments,
    /// What is given back.
    Refunds,
    /// What payers want back through their banks.
    Disputes,
    /// Who pays.
    Customers,
    /// What they pay with.
    PaymentMethods,
    /// Consents to be charged later.
    Mandates,
    /// Merchants, with what belongs to them.
    Accounts,
    /// A merchant's keys.
    ApiKeys,
    /// A merchant's accounts at providers.
    Connectors,
    /// What merchants are told.
    MerchantWebhooks,
}

impl Tag {
    /// Those of the Gateway API and of the server, in the order in which they are shown.
    pub(crate) const OF_GATEWAY: [Self; 8] = [
        Self::PaymentGateway,
        Self::PaymentGatewayAccounts,
        Self::StringTokens,
        Self::Utils,
        Self::EWalletOperations,
        Self::Webhooks,
        Self::Admin,
        Self::Server,
    ];

    /// Those of the Payments API.
    pub(crate) const OF_PAYMENTS: [Self; 10] = [
        Self::Payments,
        Self::Refunds,
        Self::Disputes,
        Self::Customers,
        Self::PaymentMethods,
        Self::Mandates,
        Self::Accounts,
        Self::ApiKeys,
        Self::Connectors,
        Self::MerchantWebhooks,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PaymentGateway => "PaymentGateway",
            Self::PaymentGatewayAccounts => "PaymentGatewayAccounts",
            Self::StringTokens => "StringTokens",
            Self::Utils => "Utils",
            Self::EWalletOperations => "EWalletOperations",
            Self::Webhooks => "Webhooks",
            Self::Admin => "Admin",
            Self::Server => "Server",
            Self::Payments => "Payments",
            Self::Refunds => "Refunds",
            Self::Disputes => "Disputes",
            Self::Customers => "Customers",
            Self::PaymentMethods => "PaymentMethods",
            Self::Mandates => "Mandates",
            Self::Accounts => "Accounts",
            Self::ApiKeys => "ApiKeys",
            Self::Connectors => "Connectors",
            Self::MerchantWebhooks => "Webhooks",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::PaymentGateway => "Take, hold, give back: one call names one or more accounts.",
            Self::PaymentGatewayAccounts => "Your accounts at gateways, with their credentials.",
            Self::StringTokens => "Texts that are kept for you, and used by name.",
            Self::Utils => "Whose key it is, and for what.",
            Self::EWalletOperations => "Wallets and hosted card fields: not in this version.",
            Self::Webhooks => "What providers tell by themselves, under their signature.",
            Self::Admin => "For the operator's key, or a key with the `admin` scope.",
            Self::Server => "For load balancers, monitoring and clients' tools; no key is needed.",
            Self::Payments => "Make, confirm, capture, cancel: an amount, and how it is paid.",
            Self::Refunds => "Give back what was taken, whole or in parts.",
            Self::Disputes => {
                "What payers want back through their banks: look, give in, or show why not."
            }
            Self::Customers => "Who pays, as far as you want it kept.",
            Self::PaymentMethods => "Saved cards, and what can be offered to a payer.",
            Self::Mandates => "A payer's consents to be charged later.",
            Self::Accounts => "Merchant accounts and their profiles.",
            Self::ApiKeys => "Keys for servers, and for one customer's browser.",
            Self::MerchantWebhooks => "What your server is told, and how that went.",
            Self::Connectors => "Accounts at providers, with their credentials and limits.",
        }
    }
}

/// A parameter in the path or in the query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    pub(crate) shape: Shape,
}

impl Param {
    /// A parameter with values of this type.
    pub(crate) const fn of<T: JsonSchema>(name: &'static str, description: &'static str) -> Self {
        Self { name, description, shape: shape::<T> }
    }
}

/// What an answer holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content {
    Empty,
    Json(Shape),
    /// A text of this media type.
    Text(&'static str),
}

/// One answer of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) meaning: &'static str,
    pub(crate) content: Content,
    /// Headers beyond those that every answer has: name and meaning.
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

/// A body, and one that works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body {
    pub(crate) shape: Shape,
    pub(crate) example: &'static str,
    pub(crate) required: bool,
}

/// A route's documentation without an answer: not enough for a route yet.
#[derive(Debug)]
pub(crate) struct Draft(Doc);

/// A route's documentation. Answers that the server gives to every request of a kind (401 where a key is
/// needed, 400 and 413 where there is a body, and so on) are added by the description itself.
#[derive(Debug)]
pub(crate) struct Doc {
    pub(crate) id: &'static str,
    pub(crate) tag: Tag,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) path: Vec<Param>,
    pub(crate) query: Vec<Param>,
    pub(crate) body: Option<Body>,
    pub(crate) answers: Vec<Answer>,
    pub(crate) idempotent: bool,
}

impl Doc {
    /// Begins with the operation's name, its group, a line on what it does, and what else there is to know.
    #[expect(
        clippy::new_ret_no_self,
        reason = "what begins here is no documentation before it has an answer"
    )]
    pub(crate) fn new(
        id: &'static str,
        tag: Tag,
        summary: &'static str,
        description: &'static str,
    ) -> Draft {
        let (path, query, answers) = (Vec::new(), Vec::new(), Vec::new());
        let (body, idempotent) = (None, false);
        Draft(Self { id, tag, summary, description, path, query, body, answers, idempotent })
    }

    /// An answer with a body of this type, which should be the very type that is serialised.
    pub(crate) fn gives<T: JsonSchema>(self, status: StatusCode, meaning: &'static str) -> Self {
        self.answer(status, meaning, Content::Json(shape::<T>))
    }

    /// An answer without a body.
    pub(crate) fn empty(self, status: StatusCode, meaning: &'static str) -> Self {
        self.answer(status, meaning, Content::Empty)
    }

    /// An answer in another form than JSON.
    pub(crate) fn text(
        self,
        status: StatusCode,
        meaning: &'static str,
        media: &'static str,
    ) -> Self {
        self.answer(status, meaning, Content::Text(media))
    }

    /// A header of the last answer.
    pub(crate) fn header(mut self, name: &'static str, meaning: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, meaning));
        }
        self
    }

    fn answer(mut self, status: StatusCode, meaning: &'static str, content: Content) -> Self {
        let (status, headers) = (status.as_u16(), Vec::new());
        self.answers.push(Answer { status, meaning, content, headers });
        self
    }
}

impl Draft {
    /// A parameter in the path; every one that the path names has to be here.
    pub(crate) fn path(mut self, param: Param) -> Self {
        self.0.path.push(param);
        self
    }

    /// A parameter in the query; none is ever required.
    pub(crate) fn query(mut self, param: Param) -> Self {
        self.0.query.push(param);
        self
    }

    /// The body: a type that says what is read, and an example that works on a new server.
    pub(crate) fn takes<T: JsonSchema>(mut self, example: &'static str) -> Self {
        self.0.body = Some(Body { shape: shape::<T>, example, required: true });
        self
    }

    /// The same, of a body that may be left out.
    pub(crate) fn may_take<T: JsonSchema>(mut self, example: &'static str) -> Self {
        self.0.body = Some(Body { shape: shape::<T>, example, required: false });
        self
    }

    /// The operation takes an `Idempotency-Key`.
    pub(crate) fn idempotent(mut self) -> Self {
        self.0.idempotent = true;
        self
    }

    /// See [`Doc::gives`].
    pub(crate) fn gives<T: JsonSchema>(self, status: StatusCode, meaning: &'static str) -> Doc {
        self.0.gives::<T>(status, meaning)
    }

    /// See [`Doc::empty`].
    pub(crate) fn empty(self, status: StatusCode, meaning: &'static str) -> Doc {
        self.0.empty(status, meaning)
    }

    /// See [`Doc::text`].
    pub(crate) fn text(
        self,
        status: StatusCode,
        meaning: &'static str,
        media: &'static str,
    ) -> Doc {
        self.0.text(status, meaning, media)
    }
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}
