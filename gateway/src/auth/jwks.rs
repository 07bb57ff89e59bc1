//! A JSON Web Key Set (RFC 7517): the keys in it that can verify tokens.
//!
//! Keys for other purposes or of other kinds are passed over, as the RFC asks: an issuer's set may
//! hold them. A key of a kind that is built in must be whole, or the set is refused.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::fault::{AuthFault, FaultKind};
use super::sample::is_sample;
use super::token_key::{TokenAlgorithm, TokenKey};

/// The configuration key that faults of a set are told under.
const KEY: &str = "auth.jwt.jwks_file";

/// A set as written.
#[derive(Deserialize)]
struct JwkSet {
    keys: Vec<serde_json::Value>,
}

/// A key as written, as far as verifying goes.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<Box<str>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<String>,
}

/// The keys of a set that verify tokens, in its order.
///
/// - `text`: the file's content, JSON.
/// - `allow_samples`: whether published sample keys are taken.
///
/// Faults go to `faults`, each under the place of its key in the set.
pub(super) fn parse(text: &str, allow_samples: bool, faults: &mut Vec<AuthFault>) -> Vec<TokenKey> {
    let set: JwkSet = match serde_json::from_str(text) {
        Ok(set) => set,
        Err(error) => {
            faults.push(AuthFault::new(KEY, not_a_set(&error)));
            return Vec::new();
        }
    };
    let mut keys = Vec::new();
    for (index, value) in set.keys.into_iter().enumerate() {
        match parse_key(value, allow_samples) {
            Ok(Some(key)) => keys.push(key),
            Ok(None) => {}
            Err(kind) => faults.push(AuthFault::new(format!("{KEY} keys[{index}]"), kind)),
        }
    }
    keys
}

/// One key; `None`: not for verifying tokens, or of a kind that is not built in.
fn parse_key(value: serde_json::Value, allow_samples: bool) -> Result<Option<TokenKey>, FaultKind> {
    let jwk: Jwk = serde_json::from_value(value).map_err(|error| not_a_set(&error))?;
    let Some(algorithm) = jwk.algorithm() else { return Ok(None) };
    if !allow_samples && jwk.kid.as_deref().is_some_and(is_sample) {
        return Err(FaultKind::Sample);
    }
    let key = match algorithm {
        TokenAlgorithm::Rs256 => TokenKey::from_rsa(
            &member(algorithm, jwk.n.as_ref())?,
            &member(algorithm, jwk.e.as_ref())?,
        )?,
        TokenAlgorithm::Es256 => {
            let (x, y) = (member(algorithm, jwk.x.as_ref())?, member(algorithm, jwk.y.as_ref())?);
            TokenKey::from_point(&[&[4], &x[..], &y[..]].concat())?
        }
        TokenAlgorithm::EdDsa => TokenKey::from_ed25519(&member(algorithm, jwk.x.as_ref())?)?,
        TokenAlgorithm::Hs256 => {
            let secret = member(algorithm, jwk.k.as_ref())?;
            if !allow_samples && std::str::from_utf8(&secret).is_ok_and(is_sample) {
                return Err(FaultKind::Sample);
            }
            TokenKey::from_secret(&secret)?
        }
    };
    Ok(Some(key.named(jwk.kid)))
}

impl Jwk {
    /// What it verifies tokens with; `None`: it is not for that, or with nothing built in.
    fn algorithm(&self) -> Option<TokenAlgorithm> {
        let verifies = |operations: &Vec<String>| operations.iter().any(|name| name == "verify");
        if self.purpose.as_ref().is_some_and(|purpose| purpose != "sig")
            || !self.key_ops.as_ref().is_none_or(verifies)
        {
            return None;
        }
        let algorithm = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => TokenAlgorithm::Rs256,
            ("EC", Some("P-256")) => TokenAlgorithm::Es256,
            ("OKP", Some("Ed25519")) => TokenAlgorithm::EdDsa,
            ("oct", _) => TokenAlgorithm::Hs256,
            _ => return None,
        };
        self.alg.as_ref().is_none_or(|name| name == algorithm.name()).then_some(algorithm)
    }
}

/// A number or secret of a key, decoded.
fn member(algorithm: TokenAlgorithm, text: Option<&String>) -> Result<Vec<u8>, FaultKind> {
    let decoded = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let reason = "a JWK with all members of its kind, in base64url";
    decoded.ok_or(FaultKind::KeyForm { alg: algorithm.name(), reason })
}

/// The parser's complaint, without the content that it complains of.
fn not_a_set(error: &serde_json::Error) -> FaultKind {
    let what = match error.classify() {
        serde_json::error::Category::Syntax | serde_json::error::Category::Eof => "not JSON",
        serde_json::error::Category::Data => "a member is missing or of another type",
        serde_json::error::Category::Io => "not readable",
    };
    let reason = format!("{what}, line {} column {}", error.line(), error.column());
    FaultKind::JwksForm { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::Signer;
    use super::*;

    #[track_caller]
    fn check(keys: &Value, expected: Result<&[&str], &[&str]>) {
        let mut faults = Vec::new();
        let parsed = parse(&json!({ "keys": keys }).to_string(), false, &mut faults);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        match expected {
            Ok(names) => {
                assert_eq!(texts, [""; 0]);
                let found: Vec<&str> = parsed.iter().map(|key| key.algorithm.name()).collect();
                assert_eq!(found, names);
            }
            Err(expected) => assert_eq!(texts, expected),
        }
    }

    /// A whole JWK with some members replaced; null takes one away.
    fn with(mut jwk: Value, changes: Value) -> Value {
        let Value::Object(changes) = changes else { panic!("an object") };
        for (name, value) in changes {
            let members = jwk.as_object_mut().unwrap();
            let _: Option<Value> = members.remove(&name);
            if !value.is_null() {
                members.insert(name, value);
            }
        }
        jwk
    }

    #[test]
    fn each_kind_of_key_is_read_with_and_without_its_alg() {
        let signers =
            [Signer::rsa(), Signer::p256(1), Signer::ed25519(1), Signer::hmac(&"s".repeat(32))];
        let names = ["RS256", "ES256", "EdDSA", "HS256"];
        let with_alg: Vec<_> = signers.iter().map(|signer| signer.jwk(Some("a"))).collect();
        let without: Vec<_> =
            with_alg.iter().map(|jwk| with(jwk.clone(), json!({ "alg": null }))).collect();
        check(&json!(with_alg), Ok(&names));
        check(&json!(without), Ok(&names));
    }

    #[test]
    fn keys_for_other_purposes_and_of_other_kinds_are_passed_over() {
        let rsa = Signer::rsa().jwk(None);
        check(
            &json!([
                with(rsa.clone(), json!({ "use": "enc" })),
                with(rsa.clone(), json!({ "key_ops": ["encrypt"] })),
                with(rsa.clone(), json!({ "alg": "RSA-OAEP" })),
                with(rsa.clone(), json!({ "alg": "HS256" })),
                with(rsa.clone(), json!({ "alg": "none" })),
                { "kty": "EC", "crv": "P-384", "x": "AA", "y": "AA" },
                { "kty": "unheard-of" },
                with(rsa, json!({ "use": "sig", "key_ops": ["verify"] })),
            ]),
            Ok(&["RS256"]),
        );
    }

    #[test]
    fn broken_keys_of_known_kinds_are_faults_each_at_its_place() {
        check(
            &json!([
                with(Signer::rsa().jwk(None), json!({ "n": null })),
                with(Signer::p256(1).jwk(None), json!({ "y": "AA" })),
                with(Signer::ed25519(1).jwk(None), json!({ "x": "AAAA" })),
                with(Signer::ed25519(1).jwk(None), json!({ "x": "not base64!" })),
                Signer::hmac(&"s".repeat(31)).jwk(None),
                { "kid": "no kty" },
                with(Signer::ed25519(1).jwk(None), json!({ "kid": "demo-only-1" })),
            ]),
            Err(&[
                "auth.jwt.jwks_file keys[0]: not a key for RS256: a JWK with all members of its kind, in base64url",
                "auth.jwt.jwks_file keys[1]: not a key for ES256: a valid public key of that kind",
                "auth.jwt.jwks_file keys[2]: not a key for EdDSA: an Ed25519 public key of 32 bytes",
                "auth.jwt.jwks_file keys[3]: not a key for EdDSA: a JWK with all members of its kind, in base64url",
                "auth.jwt.jwks_file keys[4]: secret of 31 bytes, at least 32",
                "auth.jwt.jwks_file keys[5]: not a JSON Web Key Set: a member is missing or of another type, line 0 column 0",
                "auth.jwt.jwks_file keys[6]: a published sample (`demo-only-`): anyone has it; make one of your own",
            ]),
        );
    }

    #[test]
    fn text_that_is_not_a_set_is_one_fault_without_its_content() {
        for text in ["", "[]", "{}", "{\"keys\": 1}", "{\"keys\": [", "secret-text"] {
            let mut faults = Vec::new();
            assert!(parse(text, true, &mut faults).is_empty());
            let [fault] = &faults[..] else { panic!("one fault for {text}") };
            assert!(matches!(fault.kind, FaultKind::JwksForm { .. }), "{text}");
            assert!(!fault.to_string().contains("secret-text"));
        }
    }
}
