//! Tokens (JWT in compact form, RFC 7519): from text to verified claims.
//!
//! The header chooses a key by `kid` and nothing else; the key says which algorithm there is. Then
//! the signature, and only then is a claim looked at. Time is passed in: the verifier's own clock
//! and its own claim checks are not used.
//!
//! Invariant: no text of a token decides how it is verified.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_protocol::GameId;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::claims::{Claims, Scalars};
use super::credential::{Fingerprint, TokenCredential};
use super::error::AuthError;
use super::fault::{AuthFault, FaultKind};
use super::jwks;
use super::sample::is_sample;
use super::token_key::TokenKey;
use crate::config::JwtConfig;

/// Longest token, in bytes: what one HTTP header line can hold on most proxies.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Most keys: more than any rotation needs.
const KEY_COUNT_MAX: usize = 64;

/// What verifies tokens: keys, and what their claims must say.
#[derive(Clone, Debug)]
pub(super) struct TokenVerifier {
    /// As configured, less its keys.
    config: JwtConfig,
    keys: Vec<TokenKey>,
}

/// A token whose every check passed.
#[derive(Clone, Debug)]
pub(super) struct VerifiedToken {
    /// `sub`.
    pub(super) subject: Box<str>,
    /// The games that it names.
    pub(super) games: Box<[GameId]>,
    /// Its scalar claims, sorted by name.
    pub(super) claims: Scalars,
    /// What a later configuration is to judge again.
    pub(super) credential: TokenCredential,
}

impl TokenVerifier {
    /// Makes the keys of a configuration and of its key set.
    ///
    /// - `jwks_text`: the content of `jwks_file`, where one is configured.
    ///
    /// Every fault goes to `faults`; what is returned then is not to be used.
    pub(super) fn new(
        config: &JwtConfig,
        jwks_text: Option<&str>,
        allow_samples: bool,
        faults: &mut Vec<AuthFault>,
    ) -> Self {
        let before = faults.len();
        let mut keys = Vec::new();
        for (index, key) in config.keys.iter().enumerate() {
            let place = format!("auth.jwt.keys[{index}]");
            let is_published =
                is_sample(key.key.expose()) || key.kid.as_deref().is_some_and(is_sample);
            if is_published && !allow_samples {
                faults.push(AuthFault::new(place, FaultKind::Sample));
                continue;
            }
            match TokenKey::from_config(key) {
                Ok(key) => keys.push(key),
                Err(kind) => faults.push(AuthFault::new(place, kind)),
            }
        }
        match (&config.jwks_file, jwks_text) {
            (Some(_), Some(text)) => keys.extend(jwks::parse(text, allow_samples, faults)),
            (Some(_), None) => {
                faults.push(AuthFault::new("auth.jwt.jwks_file", FaultKind::JwksMissing));
            }
            (None, _) => {}
        }
        if keys.is_empty() && faults.len() == before {
            faults.push(AuthFault::new("auth.jwt.keys", FaultKind::NoKeys));
        }
        check_names(&keys, faults);
        let config = JwtConfig { keys: Vec::new(), ..config.clone() };
        Self { config, keys }
    }

    /// Verifies a token.
    ///
    /// - `token`: as it came, without the scheme's name.
    /// - `now`: Unix seconds.
    ///
    /// Cost: the signature's, see [`TokenKey::verify`]; allocates.
    ///
    /// # Errors
    ///
    /// Every [`AuthError`] of codes 3002, 3003 and 3005.
    pub(super) fn verify(&self, token: &str, now: u64) -> Result<VerifiedToken, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            let (bytes, bytes_max) = (token.len(), TOKEN_BYTES_MAX);
            return Err(AuthError::TooLong { bytes, bytes_max });
        }
        let (message, signature) = token.rsplit_once('.').ok_or(malformed("token"))?;
        let (header, payload) = message.split_once('.').ok_or(malformed("token"))?;
        if payload.contains('.') {
            return Err(malformed("token"));
        }
        let key = self.key_for(&decode(header, "header")?)?;
        if !key.verify(signature, message) {
            return Err(AuthError::BadSignature);
        }
        let claims = Claims::parse(&decode(payload, "claims")?)?;
        self.accept(&claims, key.fingerprint, now)
    }

    /// When a token of that `exp` stops being valid, in Unix seconds: leeway included.
    pub(super) fn end_of(&self, exp: u64) -> u64 {
        exp.saturating_add(self.config.leeway.as_secs())
    }

    /// The roles of a token that has no roles claim.
    pub(super) fn default_roles(&self) -> &[Box<str>] {
        &self.config.default_roles
    }

    /// Judges again, by this configuration, a token that an earlier one verified.
    ///
    /// # Errors
    ///
    /// [`AuthError::Revoked`] when its key is gone, [`AuthError::Expired`],
    /// [`AuthError::WrongIssuer`], [`AuthError::WrongAudience`].
    pub(super) fn check_again(&self, token: &TokenCredential, now: u64) -> Result<(), AuthError> {
        if !self.keys.iter().any(|key| key.fingerprint == token.key) {
            return Err(AuthError::Revoked);
        }
        self.check_end(token.exp, now)?;
        self.check_issuer(token.issuer.as_deref())?;
        self.check_audience(token.audiences.as_deref())
    }

    /// The key that a header asks for, if the header is one that this key accepts.
    fn key_for(&self, header: &[u8]) -> Result<&TokenKey, AuthError> {
        let header: Header<'_> = serde_json::from_slice(header).ok().ok_or(malformed("header"))?;
        if header.crit {
            return Err(AuthError::CriticalHeader);
        }
        let named = |key: &&TokenKey| key.kid.as_deref() == header.kid.as_deref();
        let key = self.keys.iter().find(named).ok_or(AuthError::UnknownKid)?;
        let expected = key.algorithm.name();
        if header.alg != expected {
            return Err(AuthError::WrongAlgorithm { expected });
        }
        Ok(key)
    }

    fn accept(
        &self,
        claims: &Claims,
        key: Fingerprint,
        now: u64,
    ) -> Result<VerifiedToken, AuthError> {
        let exp = claims.exp()?;
        self.check_end(exp, now)?;
        let leeway = self.config.leeway.as_secs();
        if let Some(valid_from) = claims.nbf()?.filter(|nbf| *nbf > now.saturating_add(leeway)) {
            return Err(AuthError::NotYetValid { valid_from });
        }
        let (issuer, audiences) = (claims.iss()?, claims.aud()?);
        self.check_issuer(issuer)?;
        self.check_audience(audiences.as_deref())?;

        Ok(VerifiedToken {
            subject: claims.sub()?.into(),
            games: claims.games(&self.config.games_claim)?,
            claims: claims.scalars()?,
            credential: TokenCredential {
                key,
                issuer: issuer.map(Box::from),
                role_names: claims.names(&self.config.roles_claim)?,
                audiences,
                exp,
            },
        })
    }

    fn check_end(&self, exp: u64, now: u64) -> Result<(), AuthError> {
        let expired_at = self.end_of(exp);
        if now >= expired_at { Err(AuthError::Expired { expired_at }) } else { Ok(()) }
    }

    fn check_issuer(&self, issuer: Option<&str>) -> Result<(), AuthError> {
        let accepted = &self.config.issuers;
        let is_accepted = accepted.is_empty()
            || issuer.is_some_and(|issuer| accepted.iter().any(|one| **one == *issuer));
        if is_accepted { Ok(()) } else { Err(AuthError::WrongIssuer) }
    }

    fn check_audience(&self, audiences: Option<&[Box<str>]>) -> Result<(), AuthError> {
        let accepted = &self.config.audiences;
        let is_accepted = match audiences {
            None => accepted.is_empty(),
            Some(audiences) => audiences.iter().any(|one| accepted.contains(one)),
        };
        if is_accepted { Ok(()) } else { Err(AuthError::WrongAudience) }
    }
}

/// A token's header, as far as it is listened to. A name given twice is refused.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    #[serde(borrow, default)]
    kid: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
}

/// Whatever it is, it is there.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

fn decode(part: &str, what: &'static str) -> Result<Vec<u8>, AuthError> {
    URL_SAFE_NO_PAD.decode(part).ok().ok_or(malformed(what))
}

const fn malformed(what: &'static str) -> AuthError {
    AuthError::Malformed { what }
}

/// A fault for each `kid` that two keys have, one for a second key without, one for too many.
fn check_names(keys: &[TokenKey], faults: &mut Vec<AuthFault>) {
    if keys.len() > KEY_COUNT_MAX {
        let kind = FaultKind::TooManyKeys { count: keys.len(), count_max: KEY_COUNT_MAX };
        faults.push(AuthFault::new("auth.jwt", kind));
    }
    let mut seen = HashSet::new();
    for key in keys.iter().filter(|key| !seen.insert(key.kid.as_deref())) {
        let kind = key
            .kid
            .as_ref()
            .map_or(FaultKind::SecondWithoutKid, |kid| FaultKind::Twice { name: kid.clone() });
        faults.push(AuthFault::new("auth.jwt.keys", kind));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::super::principal::Claim;
    use super::super::testing::Signer;
    use super::*;
    use crate::config::{JwtKeyConfig, Secret};

    const NOW: u64 = 1_000_000;
    const SECRET: &str = "test-only: a secret of 32 bytes and more";

    fn key(kid: Option<&str>, signer: &Signer) -> JwtKeyConfig {
        let key = if signer.alg() == "HS256" { SECRET.into() } else { signer.public_pem() };
        JwtKeyConfig { kid: kid.map(Box::from), alg: signer.alg().into(), key: Secret::new(key) }
    }

    fn config(keys: Vec<JwtKeyConfig>) -> JwtConfig {
        JwtConfig {
            issuers: vec!["https://login.example".into(), "https://old.example".into()],
            audiences: vec!["gateway".into()],
            leeway: Duration::from_secs(30),
            roles_claim: "roles".into(),
            games_claim: "games".into(),
            default_roles: vec!["player".into()],
            keys,
            jwks_file: None,
        }
    }

    fn verifier(config: &JwtConfig) -> TokenVerifier {
        let mut faults = Vec::new();
        let verifier = TokenVerifier::new(config, None, false, &mut faults);
        assert_eq!(faults, []);
        verifier
    }

    /// One key of each algorithm, and one without a name.
    fn four_keys() -> TokenVerifier {
        verifier(&config(vec![
            key(Some("hs"), &Signer::hmac(SECRET)),
            key(Some("rs"), &Signer::rsa()),
            key(Some("es"), &Signer::p256(1)),
            key(Some("ed"), &Signer::ed25519(1)),
            key(None, &Signer::ed25519(2)),
        ]))
    }

    /// Claims that pass, with changes; null takes one away.
    fn claims(changes: Value) -> Value {
        let mut claims = json!({
            "iss": "https://login.example", "aud": "gateway", "sub": "7", "exp": NOW + 60,
            "roles": ["gm"], "games": ["game1"],
        });
        let Value::Object(changes) = changes else { panic!("an object") };
        for (name, value) in changes {
            claims[name] = value;
        }
        claims
    }

    #[expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]
    #[track_caller]
    fn check_claims(changes: Value, expected: Result<(), AuthError>) {
        let told = changes.to_string();
        let token = Signer::ed25519(1).token(Some("ed"), &claims(changes));
        assert_eq!(four_keys().verify(&token, NOW).map(drop), expected, "{told}");
    }

    #[expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]
    #[track_caller]
    fn check_header(signer: &Signer, header: Value, expected: AuthError) {
        let token = signer.sign(&header, &claims(json!({})));
        assert_eq!(four_keys().verify(&token, NOW).map(drop), Err(expected), "{header}");
    }

    #[test]
    fn token_of_each_algorithm_passes_with_its_own_key_and_with_no_other() {
        let signers = [Signer::hmac(SECRET), Signer::rsa(), Signer::p256(1), Signer::ed25519(1)];
        let kids = ["hs", "rs", "es", "ed"];
        for (signer, own) in signers.iter().zip(kids) {
            for kid in kids {
                let outcome = four_keys().verify(&signer.token(Some(kid), &claims(json!({}))), NOW);
                assert_eq!(outcome.is_ok(), kid == own, "{own} as {kid}");
            }
        }
    }

    #[test]
    fn token_gives_subject_games_roles_and_claims() {
        let token = Signer::p256(1).token(Some("es"), &claims(json!({ "server": 3 })));
        let verified = four_keys().verify(&token, NOW).unwrap();
        assert_eq!(&*verified.subject, "7");
        assert_eq!(*verified.games, [GameId::new("game1").unwrap()]);
        assert_eq!(verified.credential.role_names.as_deref(), Some(&["gm".into()][..]));
        assert_eq!(verified.credential.exp, NOW + 60);
        assert!(verified.claims.contains(&("server".into(), Claim::Int(3))));
    }

    #[test]
    fn public_key_used_as_an_hmac_secret_is_refused() {
        let forger = Signer::hmac(&Signer::rsa().public_pem());
        let expected = AuthError::WrongAlgorithm { expected: "RS256" };
        check_header(&forger, json!({ "alg": "HS256", "kid": "rs" }), expected);
        check_header(&forger, json!({ "alg": "RS256", "kid": "rs" }), AuthError::BadSignature);
    }

    #[test]
    fn algorithm_none_and_every_other_are_refused() {
        let expected = || AuthError::WrongAlgorithm { expected: "EdDSA" };
        for alg in ["none", "None", "", "HS256", "HS512", "ES256", "eddsa", "Ed25519"] {
            check_header(&Signer::ed25519(1), json!({ "alg": alg, "kid": "ed" }), expected());
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = part(&json!({ "alg": "none", "kid": "ed" }));
        let unsigned = format!("{header}.{}.", part(&claims(json!({}))));
        assert_eq!(four_keys().verify(&unsigned, NOW).map(drop), Err(expected()));
    }

    #[test]
    fn kid_selects_the_key_and_a_token_without_one_gets_the_key_without_one() {
        let unnamed = Signer::ed25519(2).token(None, &claims(json!({})));
        assert!(four_keys().verify(&unnamed, NOW).is_ok());
        let named_key = Signer::ed25519(1).token(None, &claims(json!({})));
        assert_eq!(four_keys().verify(&named_key, NOW).map(drop), Err(AuthError::BadSignature));
        let unknown = json!({ "alg": "EdDSA", "kid": "other" });
        check_header(&Signer::ed25519(1), unknown, AuthError::UnknownKid);
        let all_named = verifier(&config(vec![key(Some("ed"), &Signer::ed25519(1))]));
        assert_eq!(all_named.verify(&unnamed, NOW).map(drop), Err(AuthError::UnknownKid));
    }

    #[test]
    fn header_that_is_critical_or_broken_is_refused() {
        let signer = Signer::ed25519(1);
        for crit in [json!(["b64"]), json!([]), json!(null)] {
            let header = json!({ "alg": "EdDSA", "kid": "ed", "crit": crit });
            check_header(&signer, header, AuthError::CriticalHeader);
        }
        for header in
            [json!({}), json!([]), json!({ "alg": 7 }), json!({ "alg": "EdDSA", "kid": 7 })]
        {
            check_header(&signer, header, AuthError::Malformed { what: "header" });
        }
    }

    #[test]
    fn every_way_that_claims_can_be_bad_has_its_error() {
        let missing = |claim: &str| Err(AuthError::ClaimMissing { claim: claim.into() });
        let wrong =
            |claim: &str, expected| Err(AuthError::ClaimType { claim: claim.into(), expected });
        check_claims(json!({}), Ok(()));
        check_claims(json!({ "exp": null }), missing("exp"));
        check_claims(json!({ "exp": "soon" }), wrong("exp", "a time in Unix seconds"));
        check_claims(json!({ "nbf": [] }), wrong("nbf", "a time in Unix seconds"));
        check_claims(json!({ "sub": null }), missing("sub"));
        check_claims(json!({ "roles": 7 }), wrong("roles", "a text or a list of texts"));
        check_claims(json!({ "games": 7 }), wrong("games", "a text or a list of texts"));
        for iss in [json!(null), json!("https://evil.example"), json!(7), json!(["x"])] {
            check_claims(json!({ "iss": iss }), Err(AuthError::WrongIssuer));
        }
        for aud in [json!(null), json!("other"), json!(7), json!([]), json!(["gateway", 7])] {
            check_claims(json!({ "aud": aud }), Err(AuthError::WrongAudience));
        }
        check_claims(json!({ "aud": ["other", "gateway"] }), Ok(()));
        check_claims(json!({ "iss": "https://old.example" }), Ok(()));
    }

    #[test]
    fn times_pass_within_the_leeway_and_fail_one_second_beyond() {
        let expired = |expired_at| Err(AuthError::Expired { expired_at });
        check_claims(json!({ "exp": NOW - 29 }), Ok(()));
        check_claims(json!({ "exp": NOW - 30 }), expired(NOW));
        check_claims(json!({ "exp": 0 }), expired(30));
        check_claims(json!({ "nbf": NOW + 30 }), Ok(()));
        let early = Err(AuthError::NotYetValid { valid_from: NOW + 31 });
        check_claims(json!({ "nbf": NOW + 31 }), early);
    }

    #[test]
    fn audience_is_refused_where_none_is_configured_and_any_issuer_passes_where_none_is() {
        let open = JwtConfig {
            issuers: Vec::new(),
            audiences: Vec::new(),
            ..config(vec![key(None, &Signer::ed25519(1))])
        };
        let check = |changes: Value| {
            let token = Signer::ed25519(1).token(None, &claims(changes));
            verifier(&open).verify(&token, NOW).map(drop)
        };
        assert_eq!(check(json!({})), Err(AuthError::WrongAudience));
        assert_eq!(check(json!({ "aud": null, "iss": "https://any.example" })), Ok(()));
        assert_eq!(check(json!({ "aud": null, "iss": null })), Ok(()));
    }

    #[test]
    fn token_with_any_byte_changed_or_cut_short_is_refused() {
        let verifier = four_keys();
        let token = Signer::ed25519(1).token(Some("ed"), &claims(json!({})));
        for place in 0..token.len() {
            assert!(verifier.verify(token.get(..place).unwrap(), NOW).is_err(), "cut at {place}");
            let mut changed = token.clone().into_bytes();
            changed[place] ^= 1;
            let changed = String::from_utf8(changed).unwrap();
            assert!(verifier.verify(&changed, NOW).is_err(), "changed at {place}");
        }
    }

    #[test]
    fn text_that_is_no_token_is_malformed() {
        for text in ["", ".", "..", "...", "a.b", "a.b.c.d", "é.é.é", "Bearer x.y.z", " . . "] {
            let outcome = four_keys().verify(text, NOW).map(drop);
            assert!(matches!(outcome, Err(AuthError::Malformed { .. })), "{text}: {outcome:?}");
        }
        let padded = format!("{}=", Signer::ed25519(1).token(Some("ed"), &claims(json!({}))));
        assert_eq!(four_keys().verify(&padded, NOW).map(drop), Err(AuthError::BadSignature));
    }

    #[test]
    fn token_at_the_limit_passes_and_one_byte_more_is_refused_unread() {
        let sized = |pad: usize| {
            Signer::ed25519(1).token(Some("ed"), &claims(json!({ "pad": "p".repeat(pad) })))
        };
        // Three bytes of claims are four of the token: some length meets the limit or the one below.
        let longest = (5_800..6_100).map(sized).rfind(|token| token.len() <= TOKEN_BYTES_MAX);
        let longest = longest.unwrap();
        assert!(longest.len() + 2 > TOKEN_BYTES_MAX);
        assert!(four_keys().verify(&longest, NOW).is_ok());
        let bytes_max = TOKEN_BYTES_MAX;
        let refused = |bytes| Err(AuthError::TooLong { bytes, bytes_max });
        let over = "x".repeat(TOKEN_BYTES_MAX + 1);
        assert_eq!(four_keys().verify(&over, NOW).map(drop), refused(TOKEN_BYTES_MAX + 1));
        let at = "x".repeat(TOKEN_BYTES_MAX);
        let malformed = Err(AuthError::Malformed { what: "token" });
        assert_eq!(four_keys().verify(&at, NOW).map(drop), malformed);
    }

    #[test]
    fn rotation_accepts_both_keys_and_then_only_the_new_one() {
        let (old, new) = (Signer::ed25519(1), Signer::ed25519(2));
        let both = verifier(&config(vec![key(Some("2024"), &old), key(Some("2025"), &new)]));
        let after = verifier(&config(vec![key(Some("2025"), &new)]));
        let old_token = old.token(Some("2024"), &claims(json!({})));
        let new_token = new.token(Some("2025"), &claims(json!({})));
        assert!(both.verify(&old_token, NOW).is_ok());
        assert!(both.verify(&new_token, NOW).is_ok());
        assert!(after.verify(&new_token, NOW).is_ok());
        assert_eq!(after.verify(&old_token, NOW).map(drop), Err(AuthError::UnknownKid));
    }

    #[track_caller]
    fn check_faults(config: &JwtConfig, jwks_text: Option<&str>, expected: &[&str]) {
        let mut faults = Vec::new();
        let _: TokenVerifier = TokenVerifier::new(config, jwks_text, false, &mut faults);
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn key_set_adds_its_keys_and_must_be_given_where_it_is_configured() {
        let with_set = JwtConfig { jwks_file: Some("keys.json".into()), ..config(Vec::new()) };
        let set = json!({ "keys": [Signer::rsa().jwk(Some("rs")), Signer::p256(1).jwk(None)] });
        let mut faults = Vec::new();
        let verifier = TokenVerifier::new(&with_set, Some(&set.to_string()), false, &mut faults);
        assert_eq!(faults, []);
        for (signer, kid) in [(Signer::rsa(), Some("rs")), (Signer::p256(1), None)] {
            assert!(verifier.verify(&signer.token(kid, &claims(json!({}))), NOW).is_ok());
        }
        check_faults(&with_set, None, &["auth.jwt.jwks_file: the key set was not read"]);
        let empty = Some(r#"{"keys":[]}"#);
        check_faults(&with_set, empty, &["auth.jwt.keys: no key to verify tokens with"]);
    }

    #[test]
    fn keys_that_a_token_could_not_choose_between_are_faults() {
        let one = || key(Some("a"), &Signer::ed25519(1));
        let unnamed = || key(None, &Signer::ed25519(2));
        check_faults(
            &config(vec![one(), one(), unnamed(), unnamed()]),
            None,
            &[
                "auth.jwt.keys: `a` is declared twice",
                "auth.jwt.keys: a second key without `kid`, at most one",
            ],
        );
        check_faults(&config(vec![]), None, &["auth.jwt.keys: no key to verify tokens with"]);
    }

    #[test]
    fn keys_at_the_limit_pass_and_one_more_is_a_fault() {
        let keys = |count: u8| -> Vec<_> {
            (0..count).map(|n| key(Some(&n.to_string()), &Signer::ed25519(n))).collect()
        };
        check_faults(&config(keys(64)), None, &[]);
        check_faults(&config(keys(65)), None, &["auth.jwt: 65 keys, at most 64"]);
    }
}
