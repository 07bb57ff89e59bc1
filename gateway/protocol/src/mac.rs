//! The message authentication code with which a game server proves that it knows the shared key.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 16;

/// Bytes of a code.
pub const MAC_BYTES: usize = 32;

/// What the code of a HELLO is computed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloMac<'a> {
    /// Which shared key.
    pub key_id: &'a str,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// Never used before with this key.
    pub nonce: &'a [u8],
    /// HELLO's game; empty when it names none.
    pub game: &'a str,
    /// HELLO's client.
    pub client: &'a str,
}

impl HelloMac<'_> {
    /// The HMAC-SHA256 with the shared key `key`, of any length, over `key_id`, `time` in decimal, `nonce`,
    /// `game` and `client`, each preceded by its length in bytes as 32 bits, big-endian.
    pub fn sign(&self, key: &[u8]) -> [u8; MAC_BYTES] {
        self.keyed(key).finalize().into_bytes().into()
    }

    /// Whether `mac` is the code, in a time that does not depend on where it differs.
    pub fn verify(&self, key: &[u8], mac: &[u8]) -> bool {
        self.keyed(key).verify_slice(mac).is_ok()
    }

    fn keyed(&self, key: &[u8]) -> Hmac<Sha256> {
        let mut hmac = keyed(key);
        let mut time = itoa::Buffer::new();
        let time = time.format(self.time).as_bytes();
        let parts = [
            self.key_id.as_bytes(),
            time,
            self.nonce,
            self.game.as_bytes(),
            self.client.as_bytes(),
        ];
        for part in parts {
            // Longer than 32 bits can say is longer than a frame: it came from no HELLO.
            hmac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            hmac.update(part);
        }
        hmac
    }
}

#[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: HelloMac<'static> = HelloMac {
        key_id: "gs1",
        time: 1_700_000_000,
        nonce: &[7; NONCE_BYTES],
        game: "game1",
        client: "arena",
    };

    #[test]
    fn code_verifies_with_its_key_and_with_no_other() {
        let mac = HELLO.sign(b"key");
        assert!(HELLO.verify(b"key", &mac));
        assert!(!HELLO.verify(b"kez", &mac));
        assert!(!HELLO.verify(b"key", &mac[..31]));
        assert!(!HELLO.verify(b"key", &[]));
        for bit in 0..MAC_BYTES * 8 {
            let mut flipped = mac;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!HELLO.verify(b"key", &flipped), "bit {bit}");
        }
    }

    #[test]
    fn each_field_and_the_border_between_fields_enters_the_code() {
        let mac = HELLO.sign(b"key");
        let others = [
            HelloMac { key_id: "gs2", ..HELLO },
            HelloMac { time: 1_700_000_001, ..HELLO },
            HelloMac { nonce: &[8; NONCE_BYTES], ..HELLO },
            HelloMac { game: "game2", ..HELLO },
            HelloMac { client: "arenb", ..HELLO },
            HelloMac { game: "game1a", client: "rena", ..HELLO },
            HelloMac { game: "", client: "game1arena", ..HELLO },
        ];
        for other in others {
            assert_ne!(other.sign(b"key"), mac, "{other:?}");
        }
    }

    /// RFC 4231, test case 2, through the same keyed primitive.
    #[test]
    fn primitive_is_hmac_sha256() {
        let mut hmac = keyed(b"Jefe");
        hmac.update(b"what do ya want for nothing?");
        let mac: [u8; MAC_BYTES] = hmac.finalize().into_bytes().into();
        assert_eq!(mac[..4], [0x5b, 0xdc, 0xc1, 0x46]);
        assert_eq!(mac[28..], [0x64, 0xec, 0x38, 0x43]);
    }
}
