//! What a dispute becomes by what its provider tells of it. Pure.
//!
//! A dispute goes through its stages in one direction, and within a stage from opened over challenged to its end. What would
//! lead back is old news, whenever it comes: providers tell things twice, late, and in another order than they happened.
//! What contradicts an end is not taken up either.

use baton_connect::{DisputeAction, DisputeFacts, DisputeStage, DisputeStatus};
use baton_types::Timestamp;

use super::{Answering, Dispute};

/// What was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It stands otherwise: merchants are told.
    Status,
    /// It stands as before, with other details.
    Details,
    /// Known, or old.
    Nothing,
    /// Another end than the one that is known.
    Contradicts,
}

/// What a status is, told in the stage in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Forward,
    Same,
    Old,
    Contradicts,
}

fn within(now: DisputeStatus, told: DisputeStatus) -> Move {
    use DisputeStatus::{Challenged, Opened};
    match (now, told) {
        (now, told) if now == told => Move::Same,
        (Opened, _) => Move::Forward,
        (_, Opened) => Move::Old,
        (Challenged, _) => Move::Forward,
        (_, Challenged) => Move::Old,
        (_, _) => Move::Contradicts,
    }
}

impl Dispute {
    /// Takes up what was told, with the time at which it was so, where that is known.
    pub(super) fn hear(&mut self, facts: &DisputeFacts, at: Option<Timestamp>) -> News {
        let told = self.meant(facts);
        let news = if facts.stage < self.stage {
            return News::Nothing;
        } else if facts.stage > self.stage {
            // What was answered before has led here.
            self.step = None;
            News::Status
        } else {
            match within(self.status, told) {
                Move::Forward => News::Status,
                Move::Same => News::Details,
                Move::Old => return News::Nothing,
                Move::Contradicts => return News::Contradicts,
            }
        };
        let is_older = at.zip(self.told_at).is_some_and(|(at, known)| at < known);
        let before = self.clone();
        if news == News::Status || !is_older {
            self.word.clone_from(&facts.word);
            self.amount = facts.amount;
            self.reason = facts.reason.clone().or(self.reason.take());
            self.reason_code = facts.reason_code.clone().or(self.reason_code.take());
            self.respond_by = facts.respond_by.or(self.respond_by);
            self.opened_at = self.opened_at.or(facts.opened_at);
            self.told_at = self.told_at.max(at);
        }
        (self.stage, self.status) = (facts.stage, told);
        self.conclude();
        if news == News::Details && *self == before { News::Nothing } else { news }
    }

    /// The status that is told, in our words. Some providers say of a dispute that was given up that it is lost.
    fn meant(&self, facts: &DisputeFacts) -> DisputeStatus {
        let gives_in = self.step.as_ref().is_some_and(|step| step.action == DisputeAction::Accept);
        let same_stage = facts.stage == self.stage;
        let gave_in = same_stage && (gives_in || self.status == DisputeStatus::Accepted);
        if gave_in && facts.status == DisputeStatus::Lost {
            return DisputeStatus::Accepted;
        }
        facts.status
    }

    /// Ends the answer that is on its way where it is shown to have arrived, or does not matter any more.
    fn conclude(&mut self) {
        let Some(step) = &self.step else { return };
        let is_done = match step.action {
            DisputeAction::Accept | DisputeAction::Retrieve => self.status.is_over(),
            DisputeAction::Submit => self.status != DisputeStatus::Opened,
        };
        if is_done {
            let Some(Answering { action, evidence, .. }) = self.step.take() else { return };
            let was_heard = match self.status {
                DisputeStatus::Challenged | DisputeStatus::Won | DisputeStatus::Lost => true,
                DisputeStatus::Opened
                | DisputeStatus::Accepted
                | DisputeStatus::Expired
                | DisputeStatus::Cancelled => false,
            };
            if action == DisputeAction::Submit && was_heard {
                self.evidence = evidence;
            }
        }
    }

    /// Whether the merchant can do this now.
    pub(super) fn allows(&self, action: DisputeAction) -> bool {
        let stage = match action {
            DisputeAction::Retrieve => return true,
            // Of an inquiry nothing was taken that could be given up.
            DisputeAction::Accept => self.stage != DisputeStage::PreDispute,
            DisputeAction::Submit => true,
        };
        stage && self.status == DisputeStatus::Opened
    }
}

#[cfg(test)]
mod tests {
    use baton_connect::Evidence;
    use baton_types::{Currency, Money, PaymentId};

    use super::*;

    fn at(millis: i64) -> Option<Timestamp> {
        Some(Timestamp::from_millis(millis))
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::parse("USD").unwrap())
    }

    fn dispute(stage: DisputeStage, status: DisputeStatus) -> Dispute {
        Dispute {
            id: "dp_1".into(),
            intent: "pay_1".into(),
            profile: "pro_1".into(),
            payment: PaymentId::from_bytes([1; 16]),
            attempt: 1,
            number: 1,
            account: "mca_1".into(),
            connector: "sandbox".into(),
            reference: "sd_1".into(),
            amount: usd(100),
            stage,
            status,
            word: "known".into(),
            reason: Some("fraudulent".into()),
            reason_code: None,
            respond_by: None,
            opened_at: None,
            told_at: at(1_000),
            evidence: Evidence::new(),
            step: None,
            steps: 0,
            messages: 1,
            keys: crate::key::Keys::default(),
        }
    }

    fn facts(stage: DisputeStage, status: DisputeStatus) -> DisputeFacts {
        DisputeFacts {
            reference: "sd_1".into(),
            payment: None,
            attempt: None,
            amount: usd(100),
            stage,
            status,
            word: "told".into(),
            reason: None,
            reason_code: None,
            respond_by: None,
            opened_at: None,
        }
    }

    fn step(action: DisputeAction) -> Answering {
        Answering {
            action,
            key: "dp_1-a1".into(),
            evidence: Evidence::from([(
                baton_connect::EvidenceField::UncategorizedText,
                "it was her".to_owned(),
            )]),
            planned_at: Timestamp::from_millis(900),
            send_by: Timestamp::from_millis(950),
            in_flight_ms: 10,
            keyed: false,
            doubt: None,
        }
    }

    /// Every state by every event. A row is a state: its stage and status. A column is what is told, in the order of
    /// [`DisputeStatus::ALL`], once for each stage: `+` is taken up, `=` is known, `.` is old, `!` contradicts.
    #[test]
    fn a_dispute_goes_forward_only() {
        #[rustfmt::skip]
        let rows = [
            //                                       pre_dispute dispute  pre_arbitration
            ("pre_dispute     dispute_opened        =++++++     +++++++  +++++++"),
            ("pre_dispute     dispute_challenged    .=+++++     +++++++  +++++++"),
            ("pre_dispute     dispute_accepted      ..=!=!!     +++++++  +++++++"),
            ("pre_dispute     dispute_won           ..!=!!!     +++++++  +++++++"),
            ("pre_dispute     dispute_lost          ..!!=!!     +++++++  +++++++"),
            ("pre_dispute     dispute_expired       ..!!!=!     +++++++  +++++++"),
            ("pre_dispute     dispute_cancelled     ..!!!!=     +++++++  +++++++"),
            ("dispute         dispute_opened        .......     =++++++  +++++++"),
            ("dispute         dispute_challenged    .......     .=+++++  +++++++"),
            ("dispute         dispute_accepted      .......     ..=!=!!  +++++++"),
            ("dispute         dispute_won           .......     ..!=!!!  +++++++"),
            ("dispute         dispute_lost          .......     ..!!=!!  +++++++"),
            ("dispute         dispute_expired       .......     ..!!!=!  +++++++"),
            ("dispute         dispute_cancelled     .......     ..!!!!=  +++++++"),
            ("pre_arbitration dispute_opened        .......     .......  =++++++"),
            ("pre_arbitration dispute_challenged    .......     .......  .=+++++"),
            ("pre_arbitration dispute_accepted      .......     .......  ..=!=!!"),
            ("pre_arbitration dispute_won           .......     .......  ..!=!!!"),
            ("pre_arbitration dispute_lost          .......     .......  ..!!=!!"),
            ("pre_arbitration dispute_expired       .......     .......  ..!!!=!"),
            ("pre_arbitration dispute_cancelled     .......     .......  ..!!!!="),
        ];
        let mut rows = rows.iter();
        for stage in DisputeStage::ALL {
            for status in DisputeStatus::ALL {
                let mut words = rows.next().unwrap().split_whitespace();
                assert_eq!(words.next(), Some(stage.as_str()));
                assert_eq!(words.next(), Some(status.as_str()));
                for (told_stage, want) in DisputeStage::ALL.iter().zip(words) {
                    let letter = |told: &DisputeStatus| {
                        let mut known = dispute(*stage, *status);
                        let before = known.clone();
                        let news = known.hear(&facts(*told_stage, *told), at(2_000));
                        let moved = (known.stage, known.status) != (*stage, *status);
                        assert_eq!(moved, news == News::Status, "{stage:?} {status:?} {told:?}");
                        match news {
                            News::Status => '+',
                            News::Details => '=',
                            News::Nothing | News::Contradicts => {
                                assert_eq!(known, before, "nothing of it is taken up");
                                if news == News::Nothing { '.' } else { '!' }
                            }
                        }
                    };
                    let got: String = DisputeStatus::ALL.iter().map(letter).collect();
                    assert_eq!(got, want, "{stage:?} {status:?}: {told_stage:?}");
                }
            }
        }
        assert!(rows.next().is_none());
    }

    #[test]
    fn details_are_those_of_the_latest_that_was_told() {
        use DisputeStage::Dispute as Stage;
        use DisputeStatus::{Challenged, Opened};
        let mut known = dispute(Stage, Opened);
        let more = DisputeFacts { respond_by: at(9_000), ..facts(Stage, Opened) };
        assert_eq!(known.hear(&more, at(2_000)), News::Details);
        assert_eq!((known.respond_by, known.told_at), (at(9_000), at(2_000)));
        assert_eq!(known.hear(&more, at(2_000)), News::Nothing, "a second time");
        let older = DisputeFacts { amount: usd(50), ..facts(Stage, Opened) };
        assert_eq!(known.hear(&older, at(1_500)), News::Nothing);
        assert_eq!(known.amount, usd(100));
        // How far it has come says more than a clock: the events of one second have one time.
        assert_eq!(known.hear(&facts(Stage, Challenged), at(1_500)), News::Status);
        assert_eq!((known.told_at, known.reason.as_deref()), (at(2_000), Some("fraudulent")));
    }

    /// An answer that is on its way, by what is told meanwhile: how the dispute stands then, and whether the answer is
    /// still open.
    #[test]
    fn an_answer_ends_when_it_is_shown_to_have_arrived() {
        use DisputeAction::{Accept, Submit};
        use DisputeStage::{Dispute as Stage, PreArbitration};
        use DisputeStatus::{Accepted, Cancelled, Challenged, Expired, Lost, Opened, Won};
        let rows = [
            (Accept, Stage, Opened, Opened, true, false),
            (Accept, Stage, Challenged, Challenged, true, false),
            (Accept, Stage, Lost, Accepted, false, false),
            (Accept, Stage, Accepted, Accepted, false, false),
            (Accept, Stage, Won, Won, false, false),
            (Accept, PreArbitration, Opened, Opened, false, false),
            (Accept, PreArbitration, Lost, Lost, false, false),
            (Submit, Stage, Opened, Opened, true, false),
            (Submit, Stage, Challenged, Challenged, false, true),
            (Submit, Stage, Won, Won, false, true),
            (Submit, Stage, Lost, Lost, false, true),
            (Submit, Stage, Expired, Expired, false, false),
            (Submit, Stage, Cancelled, Cancelled, false, false),
            (Submit, Stage, Accepted, Accepted, false, false),
        ];
        for (action, stage, told, want, open, kept) in rows {
            let mut known = Dispute { step: Some(step(action)), ..dispute(Stage, Opened) };
            known.hear(&facts(stage, told), at(2_000));
            let row = format!("{action:?} {stage:?} {told:?}");
            assert_eq!(known.status, want, "{row}");
            assert_eq!(known.step.is_some(), open, "{row}");
            assert_eq!(!known.evidence.is_empty(), kept, "{row}");
        }
    }

    #[test]
    fn a_merchant_answers_what_is_open() {
        use DisputeAction::{Accept, Submit};
        for stage in DisputeStage::ALL {
            for status in DisputeStatus::ALL {
                let known = dispute(*stage, *status);
                let open = *status == DisputeStatus::Opened;
                assert_eq!(known.allows(Submit), open, "{stage:?} {status:?}");
                let taken = *stage != DisputeStage::PreDispute;
                assert_eq!(known.allows(Accept), open && taken, "{stage:?} {status:?}");
            }
        }
    }
}
