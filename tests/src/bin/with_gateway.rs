//! Runs a command beside a gateway that serves the sample games: clients in other languages are tested so.
//!
//! `with_gateway COMMAND [ARGUMENT…]`. The command finds in its environment where the gateway is
//! (`GATEWAY_TCP`, `GATEWAY_HTTP`) and the keys that it takes (`GATEWAY_API_KEY`, `GATEWAY_KEY_ID`,
//! `GATEWAY_SECRET`). The exit status is the command's own.

#![expect(
    clippy::print_stderr,
    reason = "a command line program tells what is wrong with its call"
)]

use std::process::{Command, ExitCode};

use gateway_tests::{ADMIN_KEY, GAME_SERVER_SECRET, Setup};

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("usage: with_gateway COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let gateway = Setup::sqlite().start();
    let status = Command::new(&program)
        .args(arguments)
        .env("GATEWAY_TCP", gateway.tcp_address().to_string())
        .env("GATEWAY_HTTP", gateway.http_address().to_string())
        .env("GATEWAY_API_KEY", ADMIN_KEY)
        .env("GATEWAY_KEY_ID", "gs1")
        .env("GATEWAY_SECRET", GAME_SERVER_SECRET)
        .status();
    match status.map(|status| status.code().and_then(|code| u8::try_from(code).ok())) {
        Ok(code) => ExitCode::from(code.unwrap_or(1)),
        Err(error) => {
            eprintln!("{}: {error}", program.display());
            ExitCode::from(127)
        }
    }
}
