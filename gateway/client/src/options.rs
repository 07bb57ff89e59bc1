//! Who connects, and how patient it is.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway_protocol::message::{Auth, Hello};
use gateway_protocol::{Codec, HelloMac, NONCE_BYTES};

use crate::ClientError;

/// How to connect. [`Options::new`] has the defaults; the fields are there to be changed.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name for the gateway's log: the server's, the program's.
    pub client: String,
    /// The game of calls that name none.
    pub game: Option<String>,
    /// The proof.
    pub credential: Credential,
    /// How payloads are written. Default: MessagePack.
    pub codec: Codec,
    /// For each address, connecting; then once more, HELLO. Default: 5 s.
    pub connect_timeout: Duration,
    /// Waiting for the reply of a request without a deadline of its own. Default: 10 s.
    pub call_timeout: Duration,
    /// Most requests in flight; the gateway's own bound holds too. Default: 256.
    pub inflight_max: usize,
    /// Longest reply taken, in bytes. Default: 16 MiB.
    pub reply_bytes_max: u32,
}

impl Options {
    /// The defaults.
    ///
    /// - `client`: a name for the gateway's log.
    /// - `game`: the game of calls that name none; empty: none.
    pub fn new(client: &str, game: &str, credential: Credential) -> Self {
        Self {
            client: client.to_owned(),
            game: (!game.is_empty()).then(|| game.to_owned()),
            credential,
            codec: Codec::MsgPack,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(10),
            inflight_max: 256,
            reply_bytes_max: 16 << 20,
        }
    }

    /// The HELLO that proves `credential`, now.
    pub(crate) fn hello<'a>(
        &'a self,
        credential: &'a Credential,
    ) -> Result<Hello<'a>, ClientError> {
        let game = self.game.as_deref();
        let auth = match credential {
            Credential::ApiKey(key) => Auth::ApiKey(Cow::Borrowed(key)),
            Credential::Jwt(token) => Auth::Jwt(Cow::Borrowed(token)),
            Credential::SharedKey { key_id, key } => {
                let mut nonce = [0; NONCE_BYTES];
                getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
                let time =
                    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
                let (game, client) = (game.unwrap_or_default(), self.client.as_str());
                let mac = HelloMac { key_id, time, nonce: &nonce, game, client }.sign(key);
                let (nonce, mac) = (nonce.to_vec().into(), mac.to_vec().into());
                Auth::Mac { key_id: Cow::Borrowed(key_id), time, nonce, mac }
            }
        };
        Ok(Hello { client: Cow::Borrowed(&self.client), game: game.map(Cow::Borrowed), auth })
    }
}

/// How a client proves who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// An API key, sent as it is: over a network that is trusted.
    ApiKey(String),
    /// A JSON Web Token, likewise.
    Jwt(String),
    /// A key shared with the gateway. The key itself is never sent, and what is sent cannot be used again.
    SharedKey {
        /// Which key.
        key_id: String,
        /// The key.
        key: Vec<u8>,
    },
}

/// Shows the kind and never the secret.
impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ApiKey(_) => f.write_str("ApiKey(..)"),
            Self::Jwt(_) => f.write_str("Jwt(..)"),
            Self::SharedKey { key_id, .. } => write!(f, "SharedKey({key_id}, ..)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_key_signs_the_hello_anew_each_time_and_is_not_shown() {
        let (key_id, key) = ("gs1".to_owned(), b"s3cret".to_vec());
        let credential = Credential::SharedKey { key_id, key: key.clone() };
        let options = Options::new("arena-1", "game1", credential);
        let mut nonces = Vec::new();
        for _ in 0..2 {
            let hello = options.hello(&options.credential).unwrap();
            let Auth::Mac { key_id, time, nonce, mac } = hello.auth else { panic!("{hello:?}") };
            let (game, client) = ("game1", "arena-1");
            let signed = HelloMac { key_id: &key_id, time, nonce: &nonce, game, client };
            assert!(signed.verify(&key, &mac));
            nonces.push(nonce.into_owned());
        }
        assert_ne!(nonces[0], nonces[1]);
        assert!(!format!("{options:?}").contains("115, 51"), "{options:?}");
    }
}
