//! The judge: the exchange, which sees fencing tokens as they arrive, by the rules of design section 7 (and of
//! `examples/auditor`, which applies them to a log).
//!
//! A process that trades may send an order at any moment, so two of them alive at once have broken I2, and one whose
//! token is older than that of an order before has broken I1.

use std::fmt;

/// A rule of design section 7 or 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// No order with a token after one with a later token.
    I1,
    /// No two processes trade at the same time.
    I2,
    /// No order of an epoch before its reconciliation succeeded.
    I3,
    /// Epochs and tokens only grow, in the order in which they first appear.
    I5,
    /// Nothing of an older epoch may still act when a later one has begun to, with a reconciliation or with an order: more
    /// than I1 asks for (rule 5).
    Older,
    /// The ledger is cleared by evidence alone, and names whoever trades (rule 1).
    Ledger,
    /// Whoever trades has a deadline, and a guard that knows it (rule 8).
    Guard,
    /// When faults stop, one trades again (I4).
    Resumes,
}

impl Rule {
    pub const ALL: [Rule; 8] =
        [Rule::I1, Rule::I2, Rule::I3, Rule::I5, Rule::Older, Rule::Ledger, Rule::Guard, Rule::Resumes];

    /// The name of the property.
    pub fn name(self) -> &'static str {
        match self {
            Rule::I1 => "I1: no order after one with a later token",
            Rule::I2 => "I2: no two trade at once",
            Rule::I3 => "I3: nobody trades before the reconciliation succeeded",
            Rule::I5 => "I5: epochs and tokens only grow",
            Rule::Older => "no older epoch acts beside a later one",
            Rule::Ledger => "whoever may trade is in the ledger",
            Rule::Guard => "whoever may trade is guarded",
            Rule::Resumes => "when faults stop, one trades again",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A grant as it shows outside: what orders and reconciliations carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grant {
    pub epoch: u8,
    pub token: u8,
}

/// All that the exchange remembers. Of tokens, only the latest matters: whoever begins with an older one has broken a
/// rule already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Exchange {
    /// The latest token that has appeared, and its epoch.
    latest: Option<Grant>,
    /// An order with it has arrived.
    ordered: bool,
    /// Its reconciliation has succeeded.
    reconciled: bool,
    /// An order of a process that was killed is still on its way.
    pub on_its_way: Option<Grant>,
    /// The first rule that was broken.
    pub broken: Option<Rule>,
}

impl Exchange {
    /// A reconciliation begins to act: its token appears for the first time.
    pub fn acts(&mut self, grant: Grant) {
        if self.latest.is_some_and(|last| grant.token <= last.token || grant.epoch <= last.epoch) {
            self.breaks(Rule::I5);
        }
        self.appears(grant);
    }

    /// A reconciliation succeeds.
    pub fn reconciles(&mut self, grant: Grant) {
        self.reconciled |= self.latest == Some(grant);
    }

    /// An order arrives.
    pub fn order(&mut self, grant: Grant, reconciles: bool) {
        if self.is_past(grant) {
            self.breaks(if self.ordered { Rule::I1 } else { Rule::Older });
        }
        self.appears(grant);
        if reconciles && !self.reconciled {
            self.breaks(Rule::I3);
        }
        self.ordered |= self.latest == Some(grant);
    }

    fn appears(&mut self, grant: Grant) {
        if self.latest != Some(grant) && !self.is_past(grant) {
            (self.latest, self.ordered, self.reconciled) = (Some(grant), false, false);
        }
    }

    /// Whether an order with a later token has arrived.
    pub fn is_outdone(&self, grant: Grant) -> bool {
        self.is_past(grant) && self.ordered
    }

    /// Whether a later token has appeared.
    pub fn is_past(&self, grant: Grant) -> bool {
        self.latest.is_some_and(|last| grant.token < last.token)
    }

    /// The grants that it remembers.
    pub fn grants(&mut self) -> impl Iterator<Item = &mut Grant> {
        self.latest.iter_mut().chain(&mut self.on_its_way)
    }

    pub fn breaks(&mut self, rule: Rule) {
        self.broken = self.broken.or(Some(rule));
    }
}
