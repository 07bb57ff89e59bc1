//! A game server's hello: a MAC over who it is, when, and for which game.
//!
//! Invariant: nothing of a hello is believed before its MAC verifies; an unknown key costs the same
//! work as a wrong MAC.

use gateway_protocol::{GameId, HelloMac};

use super::error::AuthError;
use super::nonce_book::NONCE_BYTES;

/// How far a hello's time may be from the clock, either way, in seconds.
pub const HELLO_SKEW_SECONDS: u64 = 60;

/// Shortest shared secret, in bytes: as long as the MAC.
pub(super) const SECRET_BYTES_MIN: usize = 32;

/// The `auth` of a game server's HELLO, with the two fields beside it that its MAC covers.
#[derive(Clone, Copy, Debug)]
pub struct HelloProof<'a> {
    /// Which shared key.
    pub key_id: &'a str,
    /// When it was made, in Unix seconds.
    pub time: u64,
    /// 16 bytes that the key never used before.
    pub nonce: &'a [u8],
    /// HMAC-SHA256, 32 bytes.
    pub mac: &'a [u8],
    /// The HELLO's `game`, if it names one.
    pub game: Option<&'a GameId>,
    /// The HELLO's `client`.
    pub client: &'a str,
}

impl HelloProof<'_> {
    /// Checks the nonce's length, the MAC, then the time; the nonce is left to the book.
    ///
    /// - `secret`: the key's; `None` where the id is unknown.
    /// - `now`: Unix seconds.
    ///
    /// Returns the nonce.
    ///
    /// # Errors
    ///
    /// [`AuthError::Malformed`], [`AuthError::UnknownKey`], [`AuthError::BadSignature`],
    /// [`AuthError::Expired`] or [`AuthError::NotYetValid`] more than 60 s from the clock.
    pub(super) fn verify(
        &self,
        secret: Option<&[u8]>,
        now: u64,
    ) -> Result<[u8; NONCE_BYTES], AuthError> {
        let Ok(nonce) = <[u8; NONCE_BYTES]>::try_from(self.nonce) else {
            return Err(AuthError::Malformed { what: "nonce" });
        };
        let is_good = self.signed().verify(secret.unwrap_or(&[0; SECRET_BYTES_MIN]), self.mac);
        match (secret, is_good) {
            (None, _) => return Err(AuthError::UnknownKey),
            (Some(_), false) => return Err(AuthError::BadSignature),
            (Some(_), true) => {}
        }
        let end = self.end();
        if now > end {
            return Err(AuthError::Expired { expired_at: end.saturating_add(1) });
        }
        let valid_from = self.time.saturating_sub(HELLO_SKEW_SECONDS);
        if now < valid_from {
            return Err(AuthError::NotYetValid { valid_from });
        }
        Ok(nonce)
    }

    /// The last second in which it is accepted, in Unix seconds.
    pub(super) const fn end(&self) -> u64 {
        self.time.saturating_add(HELLO_SKEW_SECONDS)
    }

    /// What the MAC covers.
    fn signed(&self) -> HelloMac<'_> {
        HelloMac {
            key_id: self.key_id,
            time: self.time,
            nonce: self.nonce,
            game: self.game.map_or("", GameId::as_str),
            client: self.client,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const SECRET: &[u8] = b"test-only: a shared secret of 32+ bytes";
    const TIME: u64 = 1_000;

    /// The MAC of a proof, as a game server makes it.
    pub(in super::super) fn sign(proof: &HelloProof<'_>, secret: &[u8]) -> Vec<u8> {
        proof.signed().sign(secret).to_vec()
    }

    fn proof(mac: &[u8]) -> HelloProof<'_> {
        HelloProof { key_id: "gs1", time: TIME, nonce: &[7; 16], mac, game: None, client: "test" }
    }

    #[expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]
    #[track_caller]
    fn check(proof: HelloProof<'_>, now: u64, expected: Result<(), AuthError>) {
        assert_eq!(proof.verify(Some(SECRET), now).map(drop), expected);
    }

    #[test]
    fn hello_passes_sixty_seconds_from_the_clock_and_not_one_more() {
        let mac = sign(&proof(&[]), SECRET);
        check(proof(&mac), TIME, Ok(()));
        check(proof(&mac), TIME + 60, Ok(()));
        check(proof(&mac), TIME - 60, Ok(()));
        check(proof(&mac), TIME + 61, Err(AuthError::Expired { expired_at: TIME + 61 }));
        check(proof(&mac), TIME - 61, Err(AuthError::NotYetValid { valid_from: TIME - 60 }));
    }

    #[test]
    fn hello_with_any_field_changed_is_refused() {
        let mac = sign(&proof(&[]), SECRET);
        let good = proof(&mac);
        let game = GameId::new("game1").unwrap();
        let changed = [
            HelloProof { key_id: "gs2", ..good },
            HelloProof { time: TIME + 1, ..good },
            HelloProof { nonce: &[8; 16], ..good },
            HelloProof { game: Some(&game), ..good },
            HelloProof { client: "tesu", ..good },
            HelloProof { mac: &[], ..good },
            HelloProof { mac: &mac[..31], ..good },
        ];
        for proof in changed {
            check(proof, TIME, Err(AuthError::BadSignature));
        }
        for place in 0..mac.len() {
            let mut flipped = mac.clone();
            flipped[place] ^= 1;
            check(proof(&flipped), TIME, Err(AuthError::BadSignature));
        }
    }

    #[test]
    fn unknown_key_is_refused_even_with_the_mac_of_the_key_of_zeros() {
        let mac = sign(&proof(&[]), &[0; SECRET_BYTES_MIN]);
        assert_eq!(proof(&mac).verify(None, TIME), Err(AuthError::UnknownKey));
    }

    #[test]
    fn nonce_of_another_length_is_malformed() {
        for nonce in [&[0; 15][..], &[0; 17], &[]] {
            let unsigned = HelloProof { nonce, ..proof(&[]) };
            let mac = sign(&unsigned, SECRET);
            check(
                HelloProof { mac: &mac, ..unsigned },
                TIME,
                Err(AuthError::Malformed { what: "nonce" }),
            );
        }
    }

    #[test]
    fn time_at_the_ends_of_its_type_does_not_overflow() {
        for (time, now) in [(0, 0), (u64::MAX, u64::MAX), (u64::MAX, 0), (0, u64::MAX)] {
            let unsigned = HelloProof { time, ..proof(&[]) };
            let mac = sign(&unsigned, SECRET);
            let outcome = HelloProof { mac: &mac, ..unsigned }.verify(Some(SECRET), now);
            assert_eq!(outcome.is_ok(), time == now, "{time} {now}");
        }
    }
}
