//! A connection to one database of a game, to look at its row and to be registered there.

use std::time::{Duration, Instant};

use super::error::SwitchError;
use super::ownership::Said;
use super::registration::{Registration, leave, register};
use super::side::Side;
use super::state::{self, text};
use crate::config::ConnectionConfig;
use crate::observe::chain;

/// How long a database may take to answer; and how long one that did not is left alone.
const LOOK_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to one of the databases, for looks.
#[derive(Debug)]
pub(super) struct Post {
    config: ConnectionConfig,
    side: Option<Side>,
    /// It did not answer: not asked before then.
    resume_at: Option<Instant>,
    /// It had a row once: that it has no table any more is not to be believed.
    has_told: bool,
    /// It was said that nobody can register there.
    is_refusal_told: bool,
}

impl Post {
    /// One that is not connected yet.
    pub(super) fn new(config: &ConnectionConfig) -> Self {
        Self {
            config: config.clone(),
            side: None,
            resume_at: None,
            has_told: false,
            is_refusal_told: false,
        }
    }

    /// Asks for the game's row.
    pub(super) async fn ask(&mut self, game: &str) -> Said {
        if self.resume_at.is_some_and(|at| Instant::now() < at) {
            return Said::Away;
        }
        let asked = tokio::time::timeout(LOOK_TIMEOUT, self.ask_patiently(game)).await;
        match asked {
            Ok(Ok(said)) => {
                self.resume_at = None;
                self.has_told |= matches!(said, Said::Row(_));
                if said == Said::Untold && self.has_told { Said::Away } else { said }
            }
            Ok(Err(error)) => {
                tracing::debug!(connection = %self.config.name, %error, "no look at the rows of a switch");
                self.rest()
            }
            Err(_late) => self.rest(),
        }
    }

    fn rest(&mut self) -> Said {
        // Whatever state it is in: the next look begins anew.
        self.side = None;
        self.resume_at = Some(Instant::now() + LOOK_TIMEOUT);
        Said::Away
    }

    async fn ask_patiently(&mut self, game: &str) -> Result<Said, SwitchError> {
        let side = match &mut self.side {
            Some(side) => side,
            None => self.side.insert(Side::open(&self.config).await?),
        };
        match state::read(side, game).await {
            Ok(Some(state)) => Ok(Said::Row(Box::new(state))),
            Ok(None) => Ok(Said::Absent),
            Err(error @ SwitchError::Refused(_)) => {
                let sql = "SELECT flip_id FROM gateway_switch WHERE group_name = ?";
                match side.texts(sql, vec![text(game)]).await {
                    Err(SwitchError::Statement { .. }) => Ok(Said::Untold),
                    // There is a row, of a version that this one does not know.
                    _ => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Registers; false: it was not heard.
    pub(super) async fn say(&mut self, (game, name): (&str, &str), said: &Registration) -> bool {
        let Some(side) = &mut self.side else { return false };
        match tokio::time::timeout(LOOK_TIMEOUT, register(side, (game, name), said)).await {
            Ok(Ok(())) => {
                self.is_refusal_told = false;
                true
            }
            Ok(Err(error @ SwitchError::Statement { .. })) if !error.is_locked() => {
                if !self.is_refusal_told {
                    tracing::warn!(%game, connection = %self.config.name, error = %chain(&error),
                        "no flip waits for this gateway, because it cannot be registered: `gateway migrate` makes the columns");
                }
                self.is_refusal_told = true;
                false
            }
            Ok(Err(error)) => {
                tracing::debug!(connection = %self.config.name, %error, "this gateway is not registered");
                false
            }
            Err(_late) => {
                self.side = None;
                false
            }
        }
    }

    /// Takes the registration back.
    pub(super) async fn leave(&mut self, who: (&str, &str), dead_letters: i64) {
        let Some(side) = &mut self.side else { return };
        let left = leave(side, who, dead_letters);
        if let Ok(Err(error)) = tokio::time::timeout(LOOK_TIMEOUT, left).await {
            tracing::debug!(connection = %self.config.name, %error, "this gateway is still registered");
        }
    }

    /// Says good-bye.
    pub(super) async fn close(self) {
        if let Some(side) = self.side {
            side.close().await;
        }
    }
}
