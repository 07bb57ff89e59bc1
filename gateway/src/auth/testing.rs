//! What the tests of this module share: signers of tokens, and a principal.
//!
//! Every key here is made for these tests, is public by standing here, and opens nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use gateway_protocol::GameId;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::credential::{Credential, Fingerprint};
use super::principal::{Claim, Games, Principal, RoleMask};
use super::token_key::TokenKey;

/// A 2048-bit RSA key (PKCS #1), made for these tests and used nowhere else.
const RSA_TEST_ONLY: &str = concat!(
    "MIIEowIBAAKCAQEAv5miQa0IgaP1MQphypIwdTeh9SYWpOSRkIyVmdlc+5hNC6w6T+1iRwHsRjdohBcc89YoqAn9W8",
    "ZvifO/At0LWmtrQXRuG5fWJ3ZiXAE7D857PiJ9LzXteulJ3BDjkDJ5F9No3F8UXJ9b2/CsKWH8WwOAYAW5gZcV/d4m",
    "kx73VuXXdyNhwFti9ddfMvKS8kZ5bUoNXEECSEmfzlEgrIXa9HlWcT7N4dZslu1dcUZoUnNw/FE+zzGdiDcotFBioS",
    "EIq/gyVjQlOOUz2mMAtmoSsgM99QarchfL6ghT2uZpqTnKkCoVl2xXdu9tWo3zz4jYriXMkxWKlOtwsbzOxTtaWwID",
    "AQABAoIBABFZCecUEX+aG/Kx7nMcHmrBO+xJjmZP/bAOp+LzWnxl6J/vGvkuqfsk55g0nxrKnvKi8tvCynT7TWZlB+",
    "fsogEGAILqKv1bl5EgzRITLcj7beQ31N7SmAB3dppdexqMv129ZLKt9ywrD52lN76oImRj4kU6GiGWJPBvTfh8fBzw",
    "GqI3vNw1j1o0TK0ZEnviRVHIsaWLTAddddXMsiGUAK0g2Kdbyae28yrCuSeAT2M8OJZ3GuRPcg6FdMIYqP3xCOv94o",
    "HJDxEYTZpzBPUH3QKUda8Bi26Ii7UZ7j7s2mx+PZLCRJyKept8JqXawIDabZ4JztiSYIocqja9m93H3vUCgYEA8ncF",
    "4c+NoJwkpivdW/SG3SKawUj2Q4J/qothLC5MsO0HZ7oEu30ivw6P7k0ynXeauCD0SEr40JHQELHTaXOT2zsIjO+91+",
    "ZkV1bQ7QxUIKWuYsRFVo2IomPrx9/LBxjB5bc4tg4QC8SZo7CfXIissvp/8xDEkhX0t4Yl+oYXRFcCgYEAyku4f/5G",
    "Wp/kOgcoj4dPv2+iuzi4cFqwM1i66EAXqQjlg2W0XZyyOwJa3RgXqmcRtN2IlDSqxGDruvavX9ELtoSU2lfR0hnR39",
    "M0zLqYb2pTZHMXWmW1AmFRxtrePLTPCe2qTw6lKf8q9pFQ/ZWkF5ajRfW9zprpRxAHYDoed50CgYAeU3672J7pOL5o",
    "vlHIf5QisoJSrJKIrRjUtuwnf37+HhdwBNc0sBkZdnPQJX2wLlZ+szh6lk36oFI61FMR/G/A2uhd4FqJV3qzZdtp2s",
    "Hm93IRTmUxxzAQx5ik/jvBnnoaBkmkk6u0HRnuXFgCVeHr3OMF/tHnR7G9Bp1XcVAVrwKBgCJIBrIaAw4kfmafA+6e",
    "vZLxdiBIEmln1Og+px3ojpnkmhBUUeZzQXjig0doZ8pGwSdnS1fiPPYefpQmbb3NDTEW8qq1qybxnTFS92WiUWbAG/",
    "Wv00tMZQpMN7F9MaAT++nwzqWrE640QbGbGqB+lVox+uVGKa4zbkjOnJFgB/25AoGBAIAM5kfhBD2O2RHuFKATmbtJ",
    "uaWxCCb24Zulrte/UtjMZu4Z8FNW6dLzwkCVnoCINDlSTVQp6T9ctGnywEixmyk3GR6s+Tm2FZ2GrHkXeUL1lrhAnG",
    "3UbPQAp4ViveiFKkSsvQFoTeZHvGC1RDk1eyoRFYENTlZcAueSp384nAKw",
);

/// A principal of game1 with the claim `sub = "7"` and no roles.
pub(super) fn principal(caller: &str) -> Principal {
    Principal {
        caller: caller.into(),
        roles: RoleMask(1),
        games: Games::Only([GameId::new("game1").unwrap()].into()),
        claims: [("sub".into(), Claim::Str("7".into()))].into(),
        expires_at: None,
        credential: Credential::ApiKey { id: "test".into(), key: Fingerprint::default() },
    }
}

/// An issuer's side: a private key.
pub(super) struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    pub(super) fn hmac(secret: &str) -> Self {
        Self { algorithm: Algorithm::HS256, key: EncodingKey::from_secret(secret.as_bytes()) }
    }

    pub(super) fn rsa() -> Self {
        let der = STANDARD_NO_PAD.decode(RSA_TEST_ONLY).unwrap();
        Self { algorithm: Algorithm::RS256, key: EncodingKey::from_rsa_der(&der) }
    }

    /// A P-256 key: the scalar is `seed` in every byte (PKCS #8, RFC 5915).
    pub(super) fn p256(seed: u8) -> Self {
        let der = [
            &[0x30, 0x41, 2, 1, 0, 0x30, 0x13, 6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1][..],
            &[6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7],
            &[4, 0x27, 0x30, 0x25, 2, 1, 1, 4, 0x20],
            &[seed; 32],
        ];
        Self { algorithm: Algorithm::ES256, key: EncodingKey::from_ec_der(&der.concat()) }
    }

    /// An Ed25519 key from a seed of equal bytes (PKCS #8, RFC 8410).
    pub(super) fn ed25519(seed: u8) -> Self {
        let der = [&ED25519_PRIVATE[..], &[seed; 32]].concat();
        Self { algorithm: Algorithm::EdDSA, key: EncodingKey::from_ed_der(&der) }
    }

    /// Its name in `alg`.
    pub(super) fn alg(&self) -> &'static str {
        match self.algorithm {
            Algorithm::HS256 => "HS256",
            Algorithm::RS256 => "RS256",
            Algorithm::ES256 => "ES256",
            _ => "EdDSA",
        }
    }

    /// A token with this header, whatever it says, and these claims.
    pub(super) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    /// A token with an ordinary header.
    pub(super) fn token(&self, kid: Option<&str>, claims: &Value) -> String {
        let header = match kid {
            Some(kid) => json!({ "typ": "JWT", "alg": self.alg(), "kid": kid }),
            None => json!({ "typ": "JWT", "alg": self.alg() }),
        };
        self.sign(&header, claims)
    }

    /// The public key (or the secret) as a JWK.
    pub(super) fn jwk(&self, kid: Option<&str>) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = kid.map(str::to_owned);
        serde_json::to_value(jwk).unwrap()
    }

    /// The public key in its raw form: PKCS #1, an uncompressed point, or 32 bytes.
    pub(super) fn public_bytes(&self) -> Vec<u8> {
        let jwk = self.jwk(None);
        let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        match self.algorithm {
            Algorithm::RS256 => {
                let numbers = [integer(&member("n")), integer(&member("e"))].concat();
                tagged(0x30, &numbers)
            }
            Algorithm::ES256 => [&[4][..], &member("x"), &member("y")].concat(),
            _ => member("x"),
        }
    }

    /// The public key as `BEGIN PUBLIC KEY`.
    pub(super) fn public_pem(&self) -> String {
        let kind: &[u8] = match self.algorithm {
            Algorithm::RS256 => &[6, 9, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 1, 1, 5, 0],
            Algorithm::ES256 => &P256_KIND,
            _ => &[6, 3, 0x2B, 0x65, 0x70],
        };
        let bits = tagged(3, &[&[0][..], &self.public_bytes()].concat());
        let der = tagged(0x30, &[tagged(0x30, kind), bits].concat());
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }
}

/// The key that verifies a signer's tokens.
pub(super) fn token_key(signer: &Signer) -> TokenKey {
    let bytes = signer.public_bytes();
    match signer.algorithm {
        Algorithm::RS256 => {
            let jwk = signer.jwk(None);
            let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
            TokenKey::from_rsa(&member("n"), &member("e")).unwrap()
        }
        Algorithm::ES256 => TokenKey::from_point(&bytes).unwrap(),
        _ => TokenKey::from_ed25519(&bytes).unwrap(),
    }
}

const ED25519_PRIVATE: [u8; 16] =
    [0x30, 0x2E, 2, 1, 0, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70, 4, 0x22, 4, 0x20];

const P256_KIND: [u8; 19] =
    [6, 7, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 2, 1, 6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7];

/// A DER element.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match length {
        0..128 => vec![tag, u8::try_from(length).unwrap()],
        128..256 => vec![tag, 0x81, u8::try_from(length).unwrap()],
        _ => [&[tag, 0x82][..], &u16::try_from(length).unwrap().to_be_bytes()].concat(),
    };
    [head, content.to_vec()].concat()
}

/// A DER integer from an unsigned number.
fn integer(number: &[u8]) -> Vec<u8> {
    let sign: &[u8] = if number[0] < 128 { &[] } else { &[0] };
    tagged(2, &[sign, number].concat())
}
