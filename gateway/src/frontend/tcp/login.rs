//! HELLO: from a credential to a principal, and its renewal while the connection lives.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use gateway_protocol::message::{Auth, Hello, Welcome};
use gateway_protocol::{FrameHeader, FrameKind, GameId};

use super::connection::{Connection, Flow, Login};
use crate::auth::{AuthError, HELLO_SKEW_SECONDS, HelloProof, Principal};
use crate::backend::Claim;
use crate::cache::NonceError;
use crate::error::Error;
use crate::frontend::registry::Phase;
use crate::pipeline::unix_seconds;
use crate::queue;
use crate::snapshot::{RouteError, Snapshot};

/// Serves a HELLO. A first one that fails closes the connection; so does a later one, which was to renew
/// the credential.
///
/// Nothing else of the connection is served meanwhile: a CALL sent behind it finds its answer.
pub(super) async fn serve(
    connection: &Rc<Connection>,
    header: &FrameHeader,
    payload: &mut [u8],
) -> Flow {
    let snapshot = connection.worker().snapshot();
    let hello = Hello::decode(header.codec, payload).map_err(Error::from);
    let login = match hello {
        Ok(hello) => match log_in(connection, &snapshot, &hello) {
            Ok(login) => claim_nonce(connection, &hello.auth).await.map(|()| login),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match login {
        Ok(login) => {
            connection.login.replace(Some(login));
            connection.presence.enter(Phase::Idle);
            welcome(connection, header, &snapshot);
            Flow::Continue
        }
        Err(error) => {
            connection.refuse(header, &error);
            connection.worker().report(&error, None, connection.trace(header.request_id));
            Flow::Close
        }
    }
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

/// Claims a game server's nonce with the other instances, where there is Redis. While it does not answer
/// only this instance remembers: Redis down is never an error.
async fn claim_nonce(connection: &Connection, auth: &Auth<'_>) -> Result<(), Error> {
    let Auth::Mac { key_id, time, nonce, .. } = auth else { return Ok(()) };
    let Some(claims) = &connection.worker().core().claims else { return Ok(()) };
    let mut name = key_id.as_bytes().to_vec();
    name.push(0);
    name.extend_from_slice(nonce);
    let last = time.saturating_add(HELLO_SKEW_SECONDS + 1);
    let ttl = Duration::from_secs(last.saturating_sub(unix_seconds()));
    let (reply, answer) = queue::reply();
    let claim = Claim { nonce: name, ttl, reply };
    claims.offer(claim).map_err(|_refused| Error::Overloaded)?;
    match answer.await {
        Ok(Ok(true) | Err(NonceError::Redis(_))) => Ok(()),
        Ok(Ok(false)) => Err(AuthError::Replayed.into()),
        Ok(Err(NonceError::TooLong)) => Err(AuthError::Malformed { what: "nonce" }.into()),
        Ok(Err(NonceError::Full)) | Err(_) => Err(Error::Overloaded),
    }
}

fn welcome(connection: &Connection, header: &FrameHeader, snapshot: &Snapshot) {
    let welcome = Welcome {
        server: "gateway".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        catalog: (&*snapshot.catalog_hash).into(),
        heartbeat_ms: connection.heartbeat_ms,
        frame_bytes_max: connection.frame_bytes_max(),
        inflight_max: connection.inflight_max,
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
