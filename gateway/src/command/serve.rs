//! `gateway serve`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use super::EXIT_CONFIG;
use super::output::Outcome;
use crate::control::Origin;
use crate::server::{self, Addresses, Plan, ServerError};

/// Serves until told to stop.
pub(super) fn serve(file: PathBuf) -> Outcome {
    let plan = Plan { origin: Origin::File(file), samples_allowed: false };
    run(plan, |addresses| announce(&addresses))
}

/// Serves a plan, and says how that ended.
pub(super) fn run(plan: Plan, listening: impl FnOnce(Addresses)) -> Outcome {
    match server::run(plan, listening) {
        Ok(()) => Outcome::default(),
        Err(ServerError::Faults(faults)) => {
            let mut text = String::new();
            for fault in &faults.0 {
                // Writing to a string does not fail.
                let _written = writeln!(text, "{fault}");
            }
            Outcome::failed(EXIT_CONFIG, text)
        }
        Err(error) => Outcome::failed(1, format!("gateway: {error}\n")),
    }
}

/// One line on standard output, for whoever waits until the gateway listens.
pub(super) fn announce(addresses: &Addresses) {
    let Addresses { tcp, http, admin } = addresses;
    let line = format!("listening tcp={tcp} http={http} admin={admin}\n");
    let _left = std::io::stdout().lock().write_all(line.as_bytes());
}
