//! What operators ask whoever applies records. It answers between two batches, because only it knows which record
//! stands in a transaction at the moment.

use std::collections::HashMap;
use std::time::Duration;

use foldhash::fast::RandomState;

use super::{Cause, OpenError, Record};
use crate::identity::Lane;
use crate::queue::Reply;

/// Wishes that may wait to be heard.
pub(super) const WISHES_MAX: usize = 64;

/// Why each of some records waits.
pub type Standings = HashMap<u64, Standing, RandomState>;

/// What is asked.
#[derive(Debug)]
pub enum Wish {
    /// To give a record up.
    Bury(Box<Burial>),
    /// Why these records wait.
    Why(Vec<(u64, Option<Lane>)>, Reply<Standings>),
}

/// A record that is to be given up.
#[derive(Debug)]
pub struct Burial {
    /// The record.
    pub record: Record,
    /// Who wants that, and why.
    pub reason: Box<str>,
    /// Also where its database does not tell whether it has the record's effect.
    pub is_forced: bool,
    /// Told when it is a dead letter, or why it is none.
    pub reply: Reply<Result<(), OpenError>>,
}

/// Why a record waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How often it failed, was late or met a lock, since the process began.
    pub try_count: u32,
    /// What was said the last time.
    pub last: Option<Cause>,
    /// What it waits for.
    pub waits: Waits,
}

/// What a record waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It stands in a transaction at the moment.
    Running,
    /// Its next try, after so long.
    Next(Duration),
    /// A record before it in its lane.
    Behind(u64),
    /// Its game's database, which is asked again after so long.
    Away(Duration),
    /// Its turn among others.
    Turn,
}
