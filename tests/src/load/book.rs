//! What a client remembers of its calls: enough to say afterwards what must be in the database.

use std::collections::BTreeMap;

use crate::caller::Outcome;
use serde_json::Value;

/// What a call changes when it has its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An order; its row as the database prints it.
    Order {
        /// The row, columns apart by a tab.
        row: String,
    },
    /// Items move between players.
    Transfer {
        /// Who gives.
        from: i64,
        /// Who takes.
        to: i64,
        /// Of which type.
        item_type: i64,
        /// How many.
        qty: i64,
    },
    /// Money comes (positive) or goes (negative).
    Money {
        /// Whose.
        player: i64,
        /// How much.
        delta: i64,
    },
}

/// What the client knows about a call.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It was told that it happened; with the first answer.
    Acknowledged(Value),
    /// It was told that it did not happen.
    Refused(u16),
    /// No answer, or one that says as much.
    Unknown,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The operation.
    pub operation: &'static str,
    /// Its idempotency key.
    pub key: String,
    /// Its parameters.
    pub params: Value,
    /// The same key with other parameters: never to have an effect.
    pub other_params: Value,
    /// What it changes.
    pub effect: Effect,
    /// What became of it.
    pub fate: Fate,
}

impl Entry {
    /// Takes down what a call's outcome says.
    ///
    /// # Errors
    ///
    /// The words of a violation: a code that no such call may have.
    pub fn learn(&mut self, outcome: Outcome) -> Result<(), String> {
        self.fate = match outcome {
            Outcome::Done { body, .. } => Fate::Acknowledged(body),
            Outcome::Unknown => Fate::Unknown,
            Outcome::Refused { code, body } => {
                self.fate = Fate::Refused(code);
                return if is_expected(code) {
                    Ok(())
                } else {
                    Err(format!("{} {}: refused with {body}", self.operation, self.key))
                };
            }
        };
        Ok(())
    }

    /// Whether the client would send it again.
    pub const fn is_open(&self) -> bool {
        match self.fate {
            Fate::Acknowledged(_) => false,
            Fate::Refused(code) => code < 1600 || code == 2021,
            Fate::Unknown => true,
        }
    }

    /// Whether it is answered before its effect is in the database.
    pub const fn is_async(&self) -> bool {
        matches!(self.effect, Effect::Order { .. })
    }
}

/// Refusals that come of dying databases, full queues and poor players; no other is anybody's right. Nor are
/// the sample's own last resorts, `REQUEST_BOOKED` (2126) and `ORDER_NO_TAKEN` (2132): an effect would have come
/// twice, had the tables not refused it.
const fn is_expected(code: u16) -> bool {
    matches!(code, 1001..=1003 | 1301 | 1302 | 1304 | 1501..=1503 | 2021 | 2103 | 2106 | 2151)
}

/// Rows that the database has of a table, by key.
pub type Rows = BTreeMap<String, Vec<String>>;

/// What a round proved, or did not.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Orders that were acknowledged.
    pub orders: u64,
    /// Transfers that were acknowledged.
    pub transfers: u64,
    /// Debits and credits that were acknowledged.
    pub payments: u64,
    /// Calls that stayed without a definite answer.
    pub unknown: u64,
    /// Calls that were definitely refused.
    pub refused: u64,
    /// Acknowledged calls sent again, and calls with a used key and other parameters.
    pub repeats: u64,
    /// Acknowledged, and not there.
    pub lost: u64,
    /// There more than once, or in spite of a refusal.
    pub doubled: u64,
    /// Everything that is not as it has to be, in words.
    pub violations: Vec<String>,
}

impl Tally {
    /// Adds another one's counts and violations.
    pub fn add(&mut self, other: Self) {
        self.orders += other.orders;
        self.transfers += other.transfers;
        self.payments += other.payments;
        self.unknown += other.unknown;
        self.refused += other.refused;
        self.repeats += other.repeats;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.violations.extend(other.violations);
    }

    /// Counts one call by its fate, and compares it with its rows.
    ///
    /// - `rows`: as the database prints them; `row`: as it has to print it.
    pub fn judge(&mut self, entry: &Entry, row: &str, rows: &[String]) {
        let told = |what: &str| format!("{} {}: {what}", entry.operation, entry.key);
        match &entry.fate {
            Fate::Acknowledged(_) => {
                match &entry.effect {
                    Effect::Order { .. } => self.orders += 1,
                    Effect::Transfer { .. } => self.transfers += 1,
                    Effect::Money { .. } => self.payments += 1,
                }
                if rows.is_empty() {
                    self.lost += 1;
                    self.violations.push(told("acknowledged, and not in the database"));
                }
            }
            Fate::Refused(code) => {
                self.refused += 1;
                if !rows.is_empty() {
                    self.doubled += 1;
                    self.violations
                        .push(told(&format!("refused with {code}, and in the database")));
                }
            }
            Fate::Unknown => self.unknown += 1,
        }
        if rows.len() > 1 {
            self.doubled += 1;
            self.violations.push(told(&format!("{} times in the database", rows.len())));
        }
        for found in rows.iter().filter(|found| *found != row) {
            self.violations.push(told(&format!("the database has {found:?}, sent was {row:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROW: &str = "1001\t7";

    /// How many are lost and doubled, and how many violations there are.
    #[track_caller]
    fn check(fate: Fate, rows: &[&str], expected: (u64, u64, usize)) {
        let effect = Effect::Money { player: 1001, delta: 7 };
        let (params, other_params) = (json!({}), json!({}));
        let entry = Entry {
            operation: "currency.credit",
            key: "k".into(),
            params,
            other_params,
            effect,
            fate,
        };
        let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
        let mut tally = Tally::default();
        tally.judge(&entry, ROW, &rows);
        assert_eq!((tally.lost, tally.doubled, tally.violations.len()), expected);
    }

    #[test]
    fn acknowledged_effect_has_to_be_there_once_and_as_it_was_sent() {
        let acknowledged = || Fate::Acknowledged(json!({}));
        check(acknowledged(), &[ROW], (0, 0, 0));
        check(acknowledged(), &[], (1, 0, 1));
        check(acknowledged(), &[ROW, ROW], (0, 1, 1));
        check(acknowledged(), &["1001\t8"], (0, 0, 1));
    }

    #[test]
    fn refused_effect_may_not_be_there_and_an_unknown_one_once_at_most() {
        check(Fate::Refused(1302), &[], (0, 0, 0));
        check(Fate::Refused(1302), &[ROW], (0, 1, 1));
        check(Fate::Unknown, &[], (0, 0, 0));
        check(Fate::Unknown, &[ROW], (0, 0, 0));
        check(Fate::Unknown, &[ROW, ROW], (0, 1, 1));
        check(Fate::Unknown, &["1001\t8"], (0, 0, 1));
    }

    #[test]
    fn refusal_that_no_crash_explains_is_a_violation() {
        for (code, is_right) in [(1302, true), (2103, true), (1303, false), (2126, false)] {
            assert_eq!(is_expected(code), is_right, "{code}");
        }
    }
}
