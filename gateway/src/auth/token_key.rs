//! A key that verifies tokens: one algorithm, one key of that algorithm, checked when it is loaded.
//!
//! Invariant: the algorithm comes from the configuration or the key set, never from a token. A key
//! that could make the verifier fail or panic does not get past its constructor here.

use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;
use jsonwebtoken::{Algorithm, DecodingKey};

use super::credential::Fingerprint;
use super::fault::FaultKind;
use crate::config::JwtKeyConfig;

/// Shortest secret of HS256, in bytes. Source: RFC 7518 section 3.2.
const HMAC_SECRET_BYTES_MIN: usize = 32;

/// Length of an RSA modulus, in bytes: 2048 to 4096 bits. Source: RFC 7518 section 3.3; the upper
/// bound is the verifier's own.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;

/// Longest RSA exponent, in bytes; every one in use is 3 bytes.
const EXPONENT_BYTES_MAX: usize = 4;

/// The algorithms that tokens may be signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenAlgorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// RSA PKCS #1 v1.5 with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// `EdDSA` on Ed25519.
    EdDsa,
}

impl TokenAlgorithm {
    /// The algorithm of that name in `alg`; names are case-sensitive.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// Its name in `alg`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn verifier(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::HS256,
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A key and what it is for.
#[derive(Clone, Debug)]
pub(super) struct TokenKey {
    /// Its name in tokens; `None`: for tokens that name none.
    pub(super) kid: Option<Box<str>>,
    /// The one algorithm that it verifies.
    pub(super) algorithm: TokenAlgorithm,
    /// Tells it from other keys, also of the same `kid`.
    pub(super) fingerprint: Fingerprint,
    key: DecodingKey,
}

impl TokenKey {
    /// A key as configured: a secret, or a public key in PEM.
    pub(super) fn from_config(config: &JwtKeyConfig) -> Result<Self, FaultKind> {
        let text = config.key.expose(); // the key is made from it here, and nothing else is
        let algorithm = TokenAlgorithm::from_name(&config.alg)
            .ok_or_else(|| FaultKind::Algorithm { alg: config.alg.clone() })?;
        let key = match algorithm {
            TokenAlgorithm::Hs256 => Self::from_secret(text.as_bytes())?,
            TokenAlgorithm::Rs256 => Self::from_rsa_pem(text)?,
            TokenAlgorithm::Es256 => Self::from_point(&pem_content(algorithm, text)?)?,
            TokenAlgorithm::EdDsa => Self::from_ed25519(&pem_content(algorithm, text)?)?,
        };
        Ok(key.named(config.kid.clone()))
    }

    /// The same key under a `kid`.
    pub(super) fn named(self, kid: Option<Box<str>>) -> Self {
        Self { kid, ..self }
    }

    /// An HS256 secret, 32 bytes at least.
    pub(super) fn from_secret(secret: &[u8]) -> Result<Self, FaultKind> {
        if secret.len() < HMAC_SECRET_BYTES_MIN {
            let bytes_min = HMAC_SECRET_BYTES_MIN;
            return Err(FaultKind::SecretShort { bytes: secret.len(), bytes_min });
        }
        if secret.trim_ascii_start().starts_with(b"-----BEGIN") {
            // The classic confusion: a public key, which everyone has, taken as the secret.
            return Err(form(TokenAlgorithm::Hs256, "a secret, not a key in PEM"));
        }
        let key = DecodingKey::from_secret(secret);
        Self::checked(TokenAlgorithm::Hs256, key, &[secret])
    }

    /// An RSA key, 2048 to 4096 bits.
    ///
    /// - `modulus`, `exponent`: big-endian, as in a JWK's `n` and `e`.
    pub(super) fn from_rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, FaultKind> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let is_odd = |number: &[u8]| number.last().is_some_and(|byte| byte & 1 == 1);
        let is_fit = MODULUS_BYTES.contains(&modulus.len()) && is_odd(modulus);
        if !is_fit {
            return Err(form(TokenAlgorithm::Rs256, "an RSA modulus of 2048 to 4096 bits"));
        }
        if exponent.len() > EXPONENT_BYTES_MAX || !is_odd(exponent) || exponent == [1] {
            return Err(form(TokenAlgorithm::Rs256, "an odd exponent from 3 up, 32 bits at most"));
        }
        let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
        Self::checked(TokenAlgorithm::Rs256, key, &[modulus, exponent])
    }

    /// A point of P-256 in SEC 1 form.
    pub(super) fn from_point(point: &[u8]) -> Result<Self, FaultKind> {
        Self::checked(TokenAlgorithm::Es256, DecodingKey::from_ec_der(point), &[point])
    }

    /// An Ed25519 key, 32 bytes.
    pub(super) fn from_ed25519(public: &[u8]) -> Result<Self, FaultKind> {
        if public.len() != 32 {
            // Also because the verifier cuts 32 bytes off, and panics on fewer.
            return Err(form(TokenAlgorithm::EdDsa, "an Ed25519 public key of 32 bytes"));
        }
        Self::checked(TokenAlgorithm::EdDsa, DecodingKey::from_ed_der(public), &[public])
    }

    /// Whether a signature verifies.
    ///
    /// - `signature`: the third part of a token, in base64url.
    /// - `message`: its first two parts and the dot between them.
    ///
    /// Cost: HS256 about 1 µs, the others 50 to 200 µs; allocates.
    pub(super) fn verify(&self, signature: &str, message: &str) -> bool {
        let algorithm = self.algorithm.verifier();
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, algorithm)
            .unwrap_or(false)
    }

    fn from_rsa_pem(text: &str) -> Result<Self, FaultKind> {
        let der = pem_content(TokenAlgorithm::Rs256, text)?;
        let Ok((modulus, exponent)) =
            (DEFAULT_PROVIDER.key_utils.rsa_pub_components_from_public_key)(&der)
        else {
            return Err(form(TokenAlgorithm::Rs256, "an RSA public key"));
        };
        Self::from_rsa(&modulus, &exponent)
    }

    /// The key, if its algorithm's verifier takes it.
    fn checked(
        algorithm: TokenAlgorithm,
        key: DecodingKey,
        parts: &[&[u8]],
    ) -> Result<Self, FaultKind> {
        if (DEFAULT_PROVIDER.verifier_factory)(&algorithm.verifier(), &key).is_err() {
            return Err(form(algorithm, "a valid public key of that kind"));
        }
        let fingerprint = Fingerprint::of(&[&[algorithm.name().as_bytes()], parts].concat());
        Ok(Self { kid: None, algorithm, fingerprint, key })
    }
}

/// What a public key in PEM holds: PKCS #1 for RSA, a point for ES256, 32 bytes for `EdDSA`.
fn pem_content(algorithm: TokenAlgorithm, text: &str) -> Result<Vec<u8>, FaultKind> {
    let fault = || form(algorithm, "a public key in PEM (BEGIN PUBLIC KEY)");
    let pem = text.trim();
    // A private key does not belong here, and a certificate's dates would not be looked at.
    let is_public = pem.starts_with("-----BEGIN PUBLIC KEY-----")
        || pem.starts_with("-----BEGIN RSA PUBLIC KEY-----");
    if !is_public {
        return Err(fault());
    }
    let key = match algorithm {
        TokenAlgorithm::Rs256 => DecodingKey::from_rsa_pem(pem.as_bytes()),
        TokenAlgorithm::Es256 => DecodingKey::from_ec_pem(pem.as_bytes()),
        TokenAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
        TokenAlgorithm::Hs256 => return Err(fault()),
    };
    let content = key.and_then(|key| key.try_get_as_bytes().map(<[u8]>::to_vec));
    content.ok().ok_or_else(fault)
}

fn form(algorithm: TokenAlgorithm, reason: &'static str) -> FaultKind {
    FaultKind::KeyForm { alg: algorithm.name(), reason }
}

fn without_zeros(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number {
        number = rest;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Signer};
    use super::*;

    fn config(alg: &str, key: &str) -> JwtKeyConfig {
        JwtKeyConfig { kid: None, alg: alg.into(), key: crate::config::Secret::new(key) }
    }

    #[track_caller]
    fn check_fault(alg: &str, key: &str, expected: &str) {
        let fault = TokenKey::from_config(&config(alg, key)).unwrap_err();
        assert_eq!(fault.to_string(), expected);
    }

    #[test]
    fn secret_at_the_limit_passes_and_one_byte_less_is_refused() {
        assert!(TokenKey::from_config(&config("HS256", &"s".repeat(32))).is_ok());
        check_fault("HS256", &"s".repeat(31), "secret of 31 bytes, at least 32");
    }

    #[test]
    fn public_key_taken_as_a_secret_is_refused() {
        let pem = Signer::ed25519(1).public_pem();
        check_fault("HS256", &pem, "not a key for HS256: a secret, not a key in PEM");
    }

    #[test]
    fn algorithm_that_is_not_built_in_is_refused() {
        for alg in ["none", "HS512", "hs256", "PS256", ""] {
            let expected = format!("algorithm `{alg}`, must be HS256, RS256, ES256 or EdDSA");
            check_fault(alg, &"s".repeat(32), &expected);
        }
    }

    #[test]
    fn pem_of_another_kind_of_key_is_refused() {
        for (alg, signer) in
            [("RS256", Signer::ed25519(1)), ("ES256", Signer::rsa()), ("EdDSA", Signer::p256(1))]
        {
            let expected = format!("not a key for {alg}: a public key in PEM (BEGIN PUBLIC KEY)");
            check_fault(alg, &signer.public_pem(), &expected);
            check_fault(alg, "", &expected);
            check_fault(alg, &signer.public_pem().replace("PUBLIC", "PRIVATE"), &expected);
        }
    }

    #[test]
    fn same_key_from_pem_and_from_its_numbers_has_one_fingerprint() {
        for signer in [Signer::rsa(), Signer::p256(1), Signer::ed25519(1)] {
            let from_pem = TokenKey::from_config(&config(signer.alg(), &signer.public_pem()));
            let from_numbers = testing::token_key(&signer);
            assert_eq!(from_pem.unwrap().fingerprint, from_numbers.fingerprint);
        }
        let (one, two) = (Signer::ed25519(1), Signer::ed25519(2));
        assert_ne!(testing::token_key(&one).fingerprint, testing::token_key(&two).fingerprint);
    }

    #[test]
    fn rsa_key_outside_its_bounds_is_refused() {
        let modulus = |bytes: usize| [&[0xC1][..], &vec![1; bytes - 1]].concat();
        for bytes in [256, 512] {
            assert!(TokenKey::from_rsa(&modulus(bytes), &[1, 0, 1]).is_ok(), "{bytes}");
        }
        for bytes in [128, 255, 513] {
            assert!(TokenKey::from_rsa(&modulus(bytes), &[1, 0, 1]).is_err(), "{bytes}");
        }
        let mut even = modulus(256);
        even[255] = 2;
        assert!(TokenKey::from_rsa(&even, &[1, 0, 1]).is_err());
        for exponent in [&[][..], &[0], &[1], &[2], &[1, 0, 0, 0, 1]] {
            assert!(TokenKey::from_rsa(&modulus(256), exponent).is_err(), "{exponent:?}");
        }
    }

    #[test]
    fn point_off_the_curve_and_short_ed25519_key_are_refused() {
        let mut point = Signer::p256(1).public_bytes();
        assert!(TokenKey::from_point(&point).is_ok());
        *point.last_mut().unwrap() ^= 1;
        assert!(TokenKey::from_point(&point).is_err());
        for bytes in [0, 31, 33] {
            assert!(TokenKey::from_ed25519(&vec![1; bytes]).is_err(), "{bytes}");
        }
    }
}
