//! HELLO: from a credential to a principal, and its renewal while the connection lives.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_protocol::message::{Auth, Hello, Welcome};
use gateway_protocol::{FrameHeader, FrameKind, GameId};

use super::connection::{Connection, Flow};
use super::identity::Login;
use crate::auth::{AuthError, HELLO_SKEW_SECONDS, HelloProof, Principal};
use crate::backend::{Job, NonceClaim};
use crate::cache::NonceError;
use crate::error::Error;
use crate::frontend::registry::Phase;
use crate::pipeline::unix_seconds;
use crate::queue;
use crate::snapshot::{RouteError, Snapshot};
use crate::worker::LocalSnapshot;

/// How long Redis is waited for before this instance decides alone.
const NONCE_TIMEOUT: Duration = Duration::from_secs(2);

/// A HELLO that is good as far as this instance knows, while others are asked for its nonce.
#[derive(Debug)]
pub(super) struct Claimed {
    header: FrameHeader,
    snapshot: LocalSnapshot,
    login: Login,
    answer: queue::Answer<Result<bool, NonceError>>,
}

/// Serves a HELLO. A first one that fails closes the connection; so does a later one, which was to renew
/// the credential.
///
/// [`Flow::Claim`] when other instances must be asked: nothing is read until [`finish`] has its answer.
pub(super) fn serve(connection: &Rc<Connection>, header: &FrameHeader, payload: &mut [u8]) -> Flow {
    let snapshot = connection.worker().snapshot();
    let begun = Hello::decode(header.codec, payload).map_err(Error::from).and_then(|hello| {
        let login = log_in(connection, &snapshot, &hello)?;
        Ok((login, claim(connection, &snapshot, &hello)?))
    });
    match begun {
        Ok((login, None)) => {
            accept(connection, header, &snapshot, login);
            Flow::Continue
        }
        Ok((login, Some(answer))) => {
            let claimed = Claimed { header: *header, snapshot, login, answer };
            connection.claimed.replace(Some(Box::new(claimed)));
            Flow::Claim
        }
        Err(error) => refuse(connection, header, &error),
    }
}

/// Waits for what other instances say of a HELLO's nonce, and answers the HELLO.
pub(super) async fn finish(connection: &Rc<Connection>) -> Flow {
    let Some(claimed) = connection.claimed.take() else { return Flow::Continue };
    let Claimed { header, snapshot, login, answer } = *claimed;
    let claim = monoio::time::timeout(NONCE_TIMEOUT, answer).await.ok().and_then(Result::ok);
    match verdict(claim.as_ref()) {
        Ok(()) => {
            accept(connection, &header, &snapshot, login);
            Flow::Continue
        }
        Err(error) => refuse(connection, &header, &error.into()),
    }
}

/// What a claim means for its hello. The own book has taken the nonce before: without a word from Redis
/// that decides.
fn verdict(claimed: Option<&Result<bool, NonceError>>) -> Result<(), AuthError> {
    match claimed {
        Some(Ok(false)) => Err(AuthError::Replayed),
        Some(Ok(true) | Err(_)) | None => Ok(()),
    }
}

/// Asks for a game server's nonce where other instances see it; `None`: there are no others.
fn claim(
    connection: &Connection,
    snapshot: &Snapshot,
    hello: &Hello<'_>,
) -> Result<Option<queue::Answer<Result<bool, NonceError>>>, Error> {
    let Auth::Mac { key_id, time, nonce, .. } = &hello.auth else { return Ok(None) };
    if snapshot.config.cache.redis.is_none() {
        return Ok(None);
    }
    // A nonce is one of its key: another key may use the same. All nonces have one length.
    let nonce = [nonce, key_id.as_bytes()].concat().into();
    let end = time.saturating_add(HELLO_SKEW_SECONDS + 1);
    let ttl = Duration::from_secs(end.saturating_sub(unix_seconds()));
    let (reply, answer) = queue::reply();
    let job = Job::Nonce(NonceClaim { nonce, ttl, reply });
    connection.worker().core().backend.offer(job).map_err(|_refused| Error::Overloaded)?;
    Ok(Some(answer))
}

fn accept(connection: &Connection, header: &FrameHeader, snapshot: &Arc<Snapshot>, login: Login) {
    connection.login.replace(Some(login));
    connection.presence.enter(Phase::Idle);
    welcome(connection, header, snapshot);
}

fn refuse(connection: &Connection, header: &FrameHeader, error: &Error) -> Flow {
    connection.refuse(header.request_id, header.codec, error);
    Flow::Close
}

fn log_in(
    connection: &Connection,
    snapshot: &Arc<Snapshot>,
    hello: &Hello<'_>,
) -> Result<Login, Error> {
    let worker = connection.worker();
    // A name that is no name names no game.
    let game = hello.game.as_deref().map(|game| GameId::new(game).or(Err(RouteError::NoSuchGame)));
    let game = game.transpose()?;
    let principal = match &hello.auth {
        Auth::ApiKey(key) => worker.api_key(snapshot, key)?,
        Auth::Jwt(token) => worker.bearer(snapshot, token)?,
        Auth::Mac { key_id, time, nonce, mac } => {
            let game = game.as_ref();
            let client = &hello.client;
            let proof = HelloProof { key_id, time: *time, nonce, mac, game, client };
            snapshot.authenticator.hello(&proof, &worker.core().nonces, unix_seconds())?
        }
    };
    if let Some(game) = &game {
        principal.admit_game(game)?;
        snapshot.game(game.as_str())?;
    }
    let game = game.map(|game| Rc::from(game.as_str()));
    Ok(Login { principal, generation: snapshot.generation, game })
}

fn welcome(connection: &Connection, header: &FrameHeader, snapshot: &Snapshot) {
    let welcome = Welcome {
        server: "gateway".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        catalog: (&*snapshot.catalog_hash).into(),
        heartbeat_ms: connection.terms.heartbeat_ms,
        frame_bytes_max: connection.frame_bytes_max(),
        inflight_max: connection.terms.inflight_max,
    };
    let reply =
        FrameHeader { kind: FrameKind::Welcome, flags: 0, deadline_ms_or_code: 0, ..*header };
    connection.send(&reply, |out| welcome.encode(header.codec, out));
}

/// Checks that a connection's credential still holds: not expired, and known to the newest snapshot.
///
/// # Errors
///
/// [`Error::Auth`] with expired or revoked.
pub(super) fn renew(connection: &Connection, snapshot: &Arc<Snapshot>) -> Result<(), Error> {
    let renewed: Option<Arc<Principal>> = {
        let login = connection.login.borrow();
        let Some(login) = login.as_ref() else { return Err(AuthError::Missing.into()) };
        login.principal.check_time(connection.unix_seconds())?;
        if login.generation == snapshot.generation {
            None
        } else {
            Some(snapshot.authenticator.renew(&login.principal, unix_seconds())?)
        }
    };
    if let Some(principal) = renewed
        && let Some(login) = connection.login.borrow_mut().as_mut()
    {
        login.principal = principal;
        login.generation = snapshot.generation;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_is_refused_only_when_another_instance_has_its_nonce() {
        assert_eq!(verdict(Some(&Ok(false))), Err(AuthError::Replayed));
        assert_eq!(verdict(Some(&Ok(true))), Ok(()));
        assert_eq!(verdict(Some(&Err(NonceError::Full))), Ok(()), "the own book decides");
        assert_eq!(verdict(None), Ok(()), "Redis hangs: the own book decides");
    }
}
