//! From a credential to a principal, by the keys and roles of one configuration.
//!
//! Built at every load and read-only after; nothing here knows the time or touches a file.

use std::collections::HashMap;
use std::sync::Arc;

use gateway_protocol::GameId;

use super::api_key::{self, KeyHash};
use super::credential::{Credential, Fingerprint, TokenCredential};
use super::error::AuthError;
use super::fault::{AuthFault, FaultKind};
use super::hello::{self, HelloProof};
use super::jwt::{TokenVerifier, VerifiedToken};
use super::nonce_book::NonceBook;
use super::principal::{Games, Principal};
use super::roles::RoleTable;
use super::sample::is_sample;
use crate::config::{ApiKeyConfig, AuthConfig, GameServerKeyConfig, Secret};

/// The keys and roles of one configuration.
#[derive(Debug)]
pub struct Authenticator {
    roles: RoleTable,
    tokens: Option<TokenVerifier>,
    api_keys: HashMap<Box<str>, ApiKey>,
    game_servers: HashMap<Box<str>, GameServerKey>,
}

/// A configured API key. Its principal is copied for each caller: one shared among threads would have
/// them all write to its reference count.
#[derive(Debug)]
struct ApiKey {
    hash: KeyHash,
    principal: Principal,
}

/// A configured game-server key.
#[derive(Debug)]
struct GameServerKey {
    secret: Secret,
    fingerprint: Fingerprint,
    principal: Principal,
}

impl Authenticator {
    /// Builds keys and roles from a checked configuration.
    ///
    /// - `jwks_text`: the content of `auth.jwt.jwks_file`, where one is configured.
    /// - `allow_samples`: whether keys that the demo publishes are taken; only the demo's own.
    ///
    /// # Errors
    ///
    /// Every [`AuthFault`] there is, in the order of the section.
    pub fn new(
        config: &AuthConfig,
        jwks_text: Option<&str>,
        allow_samples: bool,
    ) -> Result<Self, Vec<AuthFault>> {
        let mut faults = Vec::new();
        let roles = RoleTable::build(&config.roles, &mut faults);
        let mut build = Build { roles: &roles, allow_samples, faults };
        let tokens = config.jwt.as_ref().map(|jwt| {
            build.check_roles("auth.jwt.default_roles", &jwt.default_roles);
            TokenVerifier::new(jwt, jwks_text, allow_samples, &mut build.faults)
        });
        let api_keys = build.api_keys(&config.api_keys);
        let game_servers = build.game_servers(&config.game_servers);
        if let Some(secret) = &config.cursor_secret {
            build.check_sample("auth.cursor_secret", &[secret.expose()]);
        }
        let faults = build.faults;
        if faults.is_empty() {
            Ok(Self { roles, tokens, api_keys, game_servers })
        } else {
            Err(faults)
        }
    }

    /// The roles, to compile `@allow` with.
    pub fn roles(&self) -> &RoleTable {
        &self.roles
    }

    /// Verifies a token. Cost: a signature, 1 to 200 µs; on a request's path ask a
    /// [`TokenCache`](super::TokenCache) first.
    ///
    /// - `token`: as it came, without the scheme's name.
    /// - `now`: Unix seconds.
    ///
    /// # Errors
    ///
    /// [`AuthError`]: expired, bad signature, or not accepted (3002, 3003, 3005).
    pub fn bearer(&self, token: &str, now: u64) -> Result<Arc<Principal>, AuthError> {
        let verifier = self.tokens.as_ref().ok_or(AuthError::TokensOff)?;
        let VerifiedToken { subject, games, claims, credential } = verifier.verify(token, now)?;
        let principal = Principal {
            caller: format!("jwt:{subject}").into(),
            roles: self.roles.mask(role_names(verifier, &credential)),
            games: Games::Only(games),
            claims,
            expires_at: Some(verifier.end_of(credential.exp)),
            credential: Credential::Token(Box::new(credential)),
        };
        Ok(Arc::new(principal))
    }

    /// Verifies an API key. Cost: a SHA-256, about 1 µs, also for an unknown id.
    ///
    /// - `key`: `<id>.<secret>`.
    /// - `now`: Unix seconds.
    ///
    /// # Errors
    ///
    /// [`AuthError`]: bad, unknown or expired (3003, 3002).
    pub fn api_key(&self, key: &str, now: u64) -> Result<Arc<Principal>, AuthError> {
        let (id, secret) = api_key::split(key)?;
        let known = self.api_keys.get(id);
        let is_good = known.map_or(&KeyHash::decoy(), |known| &known.hash).verify(secret);
        let known = known.ok_or(AuthError::UnknownKey)?;
        if !is_good {
            return Err(AuthError::BadSignature);
        }
        known.principal.check_time(now)?;
        Ok(Arc::new(known.principal.clone()))
    }

    /// Verifies a game server's hello and writes down its nonce.
    ///
    /// - `nonces`: the process's own, the same one for every authenticator.
    /// - `now`: Unix seconds.
    ///
    /// # Errors
    ///
    /// [`AuthError`]: bad or unknown (3003), too old (3002), from the future or replayed (3005), for
    /// a game that the key does not own (3103), and 1001 when the book of nonces is full.
    pub fn hello(
        &self,
        proof: &HelloProof<'_>,
        nonces: &NonceBook,
        now: u64,
    ) -> Result<Arc<Principal>, AuthError> {
        let known = self.game_servers.get(proof.key_id);
        // HMAC is what the secret is for.
        let nonce = proof.verify(known.map(|known| known.secret.expose().as_bytes()), now)?;
        let known = known.ok_or(AuthError::UnknownKey)?;
        if let Some(game) = proof.game {
            known.principal.admit_game(game)?;
        }
        nonces.write(known.fingerprint, nonce, proof.end(), now)?;
        Ok(Arc::new(known.principal.clone()))
    }

    /// Makes a live connection's principal anew, by this configuration.
    ///
    /// - `principal`: made by this authenticator or an earlier one.
    /// - `now`: Unix seconds.
    ///
    /// # Errors
    ///
    /// [`AuthError::Revoked`] when its key is gone or replaced under its id, [`AuthError::Expired`],
    /// and 3005 when a token's issuer or audience is no longer accepted.
    pub fn renew(&self, principal: &Principal, now: u64) -> Result<Arc<Principal>, AuthError> {
        match &principal.credential {
            Credential::None => Err(AuthError::Missing),
            Credential::Token(token) => {
                let verifier = self.tokens.as_ref().ok_or(AuthError::Revoked)?;
                verifier.check_again(token, now)?;
                Ok(Arc::new(Principal {
                    roles: self.roles.mask(role_names(verifier, token)),
                    expires_at: Some(verifier.end_of(token.exp)),
                    ..principal.clone()
                }))
            }
            Credential::ApiKey { id, .. } => {
                renewed(self.api_keys.get(id).map(|key| &key.principal), principal, now)
            }
            Credential::GameServer { key_id, .. } => {
                renewed(self.game_servers.get(key_id).map(|key| &key.principal), principal, now)
            }
        }
    }
}

/// The principal that a key has now, if it is the key that it was.
fn renewed(
    current: Option<&Principal>,
    old: &Principal,
    now: u64,
) -> Result<Arc<Principal>, AuthError> {
    let current = current.filter(|current| current.credential == old.credential);
    let current = current.ok_or(AuthError::Revoked)?;
    current.check_time(now)?;
    Ok(Arc::new(current.clone()))
}

/// The roles that a token names, or those of tokens that name none.
fn role_names<'a>(verifier: &'a TokenVerifier, token: &'a TokenCredential) -> &'a [Box<str>] {
    token.role_names.as_deref().unwrap_or_else(|| verifier.default_roles())
}

/// Keys under construction, and the faults found so far.
struct Build<'a> {
    roles: &'a RoleTable,
    allow_samples: bool,
    faults: Vec<AuthFault>,
}

impl Build<'_> {
    fn api_keys(&mut self, configs: &[ApiKeyConfig]) -> HashMap<Box<str>, ApiKey> {
        let mut keys = HashMap::new();
        for (index, config) in configs.iter().enumerate() {
            let place = format!("auth.api_keys[{index}]");
            self.check_id(&place, &config.id, keys.contains_key(&config.id));
            self.check_roles(&format!("{place}.roles"), &config.roles);
            self.check_sample(&place, &[&config.id]);
            let hash = match KeyHash::parse(&config.hash) {
                Ok(hash) => hash,
                Err(kind) => {
                    self.faults.push(AuthFault::new(format!("{place}.hash"), kind));
                    continue;
                }
            };
            let principal = Principal {
                caller: format!("key:{}", config.id).into(),
                roles: self.roles.mask(&config.roles),
                games: config.games.as_ref().map_or(Games::All, |games| only(games)),
                claims: Box::default(),
                expires_at: config.expires_at,
                credential: Credential::ApiKey { id: config.id.clone(), key: hash.fingerprint() },
            };
            keys.insert(config.id.clone(), ApiKey { hash, principal });
        }
        keys
    }

    fn game_servers(
        &mut self,
        configs: &[GameServerKeyConfig],
    ) -> HashMap<Box<str>, GameServerKey> {
        let mut keys = HashMap::new();
        for (index, config) in configs.iter().enumerate() {
            let place = format!("auth.game_servers[{index}]");
            let secret = config.secret.expose(); // measured and fingerprinted, not kept elsewhere
            self.check_id(&place, &config.key_id, keys.contains_key(&config.key_id));
            self.check_roles(&format!("{place}.roles"), &config.roles);
            self.check_sample(&place, &[&config.key_id, secret]);
            if secret.len() < hello::SECRET_BYTES_MIN {
                let (bytes, bytes_min) = (secret.len(), hello::SECRET_BYTES_MIN);
                let kind = FaultKind::SecretShort { bytes, bytes_min };
                self.faults.push(AuthFault::new(format!("{place}.secret"), kind));
            }
            let fingerprint = Fingerprint::of(&[b"game server", secret.as_bytes()]);
            let principal = Principal {
                caller: format!("server:{}", config.key_id).into(),
                roles: self.roles.mask(&config.roles),
                games: only(&config.games),
                claims: Box::default(),
                expires_at: None,
                credential: Credential::GameServer {
                    key_id: config.key_id.clone(),
                    key: fingerprint,
                },
            };
            let key = GameServerKey { secret: config.secret.clone(), fingerprint, principal };
            keys.insert(config.key_id.clone(), key);
        }
        keys
    }

    fn check_id(&mut self, place: &str, id: &str, is_taken: bool) {
        if let Err(kind) = api_key::check_id(id) {
            self.faults.push(AuthFault::new(place, kind));
        }
        if is_taken {
            self.faults.push(AuthFault::new(place, FaultKind::Twice { name: id.into() }));
        }
    }

    fn check_roles(&mut self, place: &str, names: &[Box<str>]) {
        for role in names.iter().filter(|name| !self.roles.contains(name)) {
            let kind = FaultKind::UnknownRole { role: role.clone() };
            self.faults.push(AuthFault::new(place, kind));
        }
    }

    fn check_sample(&mut self, place: &str, texts: &[&str]) {
        if !self.allow_samples && texts.iter().any(|text| is_sample(text)) {
            self.faults.push(AuthFault::new(place, FaultKind::Sample));
        }
    }
}

fn only(games: &[GameId]) -> Games {
    Games::Only(games.into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::hello::tests::sign;
    use super::super::testing::Signer;
    use super::super::{AllowRule, NewKey, new_key};
    use super::*;
    use crate::config::{JwtConfig, JwtKeyConfig, RoleConfig};

    const NOW: u64 = 1_000_000;
    const SHARED: &str = "test-only: a shared secret of 32+ bytes";

    fn game(name: &str) -> GameId {
        GameId::new(name).unwrap()
    }

    fn role(name: &str, inherits: &[&str]) -> RoleConfig {
        let inherits = inherits.iter().map(|parent| Box::from(*parent)).collect();
        RoleConfig { name: name.into(), inherits }
    }

    fn api_key(id: &str, hash: &str) -> ApiKeyConfig {
        ApiKeyConfig {
            id: id.into(),
            hash: hash.into(),
            roles: vec!["gm".into()],
            games: Some(vec![game("game1")]),
            expires_at: None,
        }
    }

    fn game_server(key_id: &str, secret: &str) -> GameServerKeyConfig {
        GameServerKeyConfig {
            key_id: key_id.into(),
            secret: Secret::new(secret),
            roles: vec!["game_server".into()],
            games: vec![game("game1")],
        }
    }

    fn jwt(seed: u8) -> JwtConfig {
        let key = Secret::new(Signer::ed25519(seed).public_pem());
        JwtConfig {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::ZERO,
            roles_claim: "roles".into(),
            games_claim: "games".into(),
            default_roles: vec!["player".into()],
            keys: vec![JwtKeyConfig { kid: None, alg: "EdDSA".into(), key }],
            jwks_file: None,
        }
    }

    /// One of each credential; the API key's text beside.
    fn config() -> (AuthConfig, String) {
        let NewKey { key, hash } = new_key("web").unwrap();
        let config = AuthConfig {
            roles: vec![role("gm", &["player"]), role("player", &[]), role("game_server", &[])],
            jwt: Some(jwt(1)),
            api_keys: vec![api_key("web", &hash)],
            game_servers: vec![game_server("gs1", SHARED)],
            ..AuthConfig::default()
        };
        (config, key.expose().to_owned())
    }

    fn built(config: &AuthConfig) -> Authenticator {
        Authenticator::new(config, None, false).unwrap()
    }

    fn token(claims: &serde_json::Value) -> String {
        let mut all = json!({ "sub": "7", "exp": NOW + 60, "games": ["game1"] });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        Signer::ed25519(1).token(None, &all)
    }

    fn may(authenticator: &Authenticator, principal: &Principal, role: &str) -> bool {
        let rules = [AllowRule { role: role.into(), claims: Vec::new() }];
        principal.roles.meets(authenticator.roles().compile(&rules).unwrap().roles)
    }

    /// A hello of `gs1`, signed with `secret`.
    #[track_caller]
    fn check_hello(
        authenticator: &Authenticator,
        nonces: &NonceBook,
        game: Option<&GameId>,
        secret: &str,
        expected: Result<&str, AuthError>,
    ) {
        let unsigned = HelloProof {
            key_id: "gs1",
            time: NOW,
            nonce: &[7; 16],
            mac: &[],
            game,
            client: "test",
        };
        let mac = sign(&unsigned, secret.as_bytes());
        let outcome = authenticator.hello(&HelloProof { mac: &mac, ..unsigned }, nonces, NOW);
        let caller = outcome.map(|principal| principal.caller.to_string());
        assert_eq!(caller, expected.map(str::to_owned));
    }

    #[test]
    fn token_becomes_a_principal_with_inherited_roles_and_its_games() {
        let authenticator = built(&config().0);
        let principal = authenticator.bearer(&token(&json!({ "roles": "gm" })), NOW).unwrap();
        assert_eq!(&*principal.caller, "jwt:7");
        assert!(may(&authenticator, &principal, "player"));
        assert!(!may(&authenticator, &principal, "game_server"));
        assert_eq!(principal.games, Games::Only([game("game1")].into()));
        assert_eq!(principal.expires_at, Some(NOW + 60));
        assert_eq!(principal.check_time(NOW + 59), Ok(()));
        let expired = AuthError::Expired { expired_at: NOW + 60 };
        assert_eq!(principal.check_time(NOW + 60), Err(expired));
    }

    #[test]
    fn token_without_a_roles_claim_has_the_default_and_with_an_empty_one_none() {
        let authenticator = built(&config().0);
        let without = authenticator.bearer(&token(&json!({})), NOW).unwrap();
        assert!(may(&authenticator, &without, "player"));
        let empty = authenticator.bearer(&token(&json!({ "roles": [] })), NOW).unwrap();
        assert!(!may(&authenticator, &empty, "player"));
    }

    #[test]
    fn token_of_one_game_or_of_the_star_reaches_no_other_game() {
        let authenticator = built(&config().0);
        let one = authenticator.bearer(&token(&json!({})), NOW).unwrap();
        let refused = Err(AuthError::GameForbidden { game: game("game2") });
        assert_eq!(one.admit_game(&game("game2")), refused);
        let star = authenticator.bearer(&token(&json!({ "games": "*" })), NOW).unwrap();
        assert_eq!(star.admit_game(&game("game2")), refused);
    }

    #[test]
    fn token_is_refused_where_none_is_configured() {
        let authenticator = built(&AuthConfig { jwt: None, ..config().0 });
        let outcome = authenticator.bearer(&token(&json!({})), NOW).map(drop);
        assert_eq!(outcome, Err(AuthError::TokensOff));
    }

    #[test]
    fn api_key_becomes_its_principal_and_a_wrong_or_unknown_one_does_not() {
        let (config, key) = config();
        let authenticator = built(&config);
        let principal = authenticator.api_key(&key, NOW).unwrap();
        assert_eq!(&*principal.caller, "key:web");
        assert!(may(&authenticator, &principal, "player"));
        assert!(principal.admit_game(&game("game2")).is_err());

        let check = |key: &str| authenticator.api_key(key, NOW).map(drop);
        assert_eq!(check(&key.replace("web.", "other.")), Err(AuthError::UnknownKey));
        let another = new_key("web").unwrap();
        assert_eq!(check(another.key.expose()), Err(AuthError::BadSignature));
        assert_eq!(check(""), Err(AuthError::Malformed { what: "API key" }));
        let hash = config.api_keys[0].hash.get(..43).unwrap();
        let stored = check(&format!("web.{hash}"));
        assert_eq!(stored, Err(AuthError::BadSignature));
    }

    #[test]
    fn api_key_expires_in_its_second_and_only_a_star_has_every_game() {
        let (mut config, key) = config();
        config.api_keys[0].expires_at = Some(NOW);
        config.api_keys[0].games = None;
        let authenticator = built(&config);
        let before = authenticator.api_key(&key, NOW - 1).unwrap();
        assert_eq!(before.admit_game(&game("any_game")), Ok(()));
        let outcome = authenticator.api_key(&key, NOW).map(drop);
        assert_eq!(outcome, Err(AuthError::Expired { expired_at: NOW }));
        let wrong = format!("web.{}", "x".repeat(43));
        let outcome = authenticator.api_key(&wrong, NOW).map(drop);
        assert_eq!(outcome, Err(AuthError::BadSignature), "expiry is told to its owner alone");
    }

    #[test]
    fn hello_passes_once_and_its_repeat_is_refused_also_after_a_reload() {
        let (config, _) = config();
        let nonces = NonceBook::default();
        let own = game("game1");
        check_hello(&built(&config), &nonces, Some(&own), SHARED, Ok("server:gs1"));
        check_hello(&built(&config), &nonces, Some(&own), SHARED, Err(AuthError::Replayed));
    }

    #[test]
    fn hello_that_is_refused_uses_up_no_nonce() {
        let authenticator = built(&config().0);
        let nonces = NonceBook::new(1);
        let other = game("game2");
        let refused = AuthError::GameForbidden { game: other.clone() };
        check_hello(&authenticator, &nonces, None, "wrong", Err(AuthError::BadSignature));
        check_hello(&authenticator, &nonces, Some(&other), SHARED, Err(refused));
        check_hello(&authenticator, &nonces, None, SHARED, Ok("server:gs1"));
    }

    #[test]
    fn renewed_principal_has_the_roles_and_games_of_the_newer_configuration() {
        let (mut config, key) = config();
        let old = built(&config);
        let by_token = old.bearer(&token(&json!({})), NOW).unwrap();
        let by_key = old.api_key(&key, NOW).unwrap();

        config.roles.insert(0, role("first", &[]));
        config.roles[2].inherits.push("first".into());
        config.api_keys[0].roles = vec!["game_server".into()];
        config.api_keys[0].games = Some(vec![game("game2")]);
        let new = built(&config);
        let by_token = new.renew(&by_token, NOW).unwrap();
        assert!(may(&new, &by_token, "player") && may(&new, &by_token, "first"));
        let by_key = new.renew(&by_key, NOW).unwrap();
        assert!(may(&new, &by_key, "game_server") && !may(&new, &by_key, "gm"));
        assert_eq!(by_key.games, Games::Only([game("game2")].into()));
    }

    #[test]
    fn principal_of_a_key_that_is_gone_or_replaced_is_revoked() {
        let (config, key) = config();
        let old = built(&config);
        let nonces = NonceBook::default();
        check_hello(&old, &nonces, None, SHARED, Ok("server:gs1"));
        let principals = [
            old.bearer(&token(&json!({})), NOW).unwrap(),
            old.api_key(&key, NOW).unwrap(),
            Arc::new(old.game_servers["gs1"].principal.clone()),
        ];
        let replaced = AuthConfig {
            jwt: Some(jwt(2)),
            api_keys: vec![api_key("web", &new_key("web").unwrap().hash)],
            game_servers: vec![game_server("gs1", &SHARED.to_uppercase())],
            ..config.clone()
        };
        let gone = AuthConfig {
            jwt: None,
            api_keys: Vec::new(),
            game_servers: Vec::new(),
            ..config.clone()
        };
        for principal in &principals {
            assert!(old.renew(principal, NOW).is_ok());
            for config in [&replaced, &gone] {
                let outcome = built(config).renew(principal, NOW).map(drop);
                assert_eq!(outcome, Err(AuthError::Revoked), "{}", principal.caller);
            }
        }
    }

    #[test]
    fn renewal_is_refused_after_the_end_and_for_an_issuer_no_longer_accepted() {
        let (mut config, key) = config();
        let authenticator = built(&config);
        let by_token = authenticator.bearer(&token(&json!({ "iss": "a" })), NOW).unwrap();
        let by_key = authenticator.api_key(&key, NOW).unwrap();
        let expired = Err(AuthError::Expired { expired_at: NOW + 60 });
        assert_eq!(authenticator.renew(&by_token, NOW + 60).map(drop), expired);

        config.api_keys[0].expires_at = Some(NOW);
        config.jwt.as_mut().unwrap().issuers = vec!["b".into()];
        let newer = built(&config);
        let expired = Err(AuthError::Expired { expired_at: NOW });
        assert_eq!(newer.renew(&by_key, NOW).map(drop), expired);
        assert_eq!(newer.renew(&by_token, NOW).map(drop), Err(AuthError::WrongIssuer));
    }

    #[test]
    fn every_fault_of_the_section_is_told_at_once() {
        let hash = new_key("web").unwrap().hash;
        let mut broken = AuthConfig {
            roles: vec![role("gm", &["boss"]), role("game_server", &[])],
            jwt: Some(JwtConfig { default_roles: vec!["guest".into()], ..jwt(1) }),
            api_keys: vec![api_key("web", &hash), api_key("web", &hash), api_key("a.b", "md5:x")],
            game_servers: vec![game_server("gs1", &"s".repeat(31))],
            ..AuthConfig::default()
        };
        broken.api_keys[0].roles.push("chief".into());
        let faults = Authenticator::new(&broken, None, false).unwrap_err();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "auth.roles.gm.inherits: role `boss` is not declared in auth.roles",
                "auth.jwt.default_roles: role `guest` is not declared in auth.roles",
                "auth.api_keys[0].roles: role `chief` is not declared in auth.roles",
                "auth.api_keys[1]: `web` is declared twice",
                "auth.api_keys[2]: id `a.b` is not 1 to 64 characters of A-Z a-z 0-9 `_` `-`",
                "auth.api_keys[2].hash: not of the form sha256:<salt>:<digest>, salt 16 and digest 32 bytes in hexadecimal",
                "auth.game_servers[0].secret: secret of 31 bytes, at least 32",
            ]
        );
    }

    #[test]
    fn published_samples_are_refused_unless_allowed() {
        let NewKey { hash, .. } = new_key("demo-only-web").unwrap();
        let sample = format!("demo-only-{}", "s".repeat(32));
        let (mut config, _) = config();
        config.jwt.as_mut().unwrap().keys.push(JwtKeyConfig {
            kid: Some("hs".into()),
            alg: "HS256".into(),
            key: Secret::new(sample.clone()),
        });
        config.api_keys.push(api_key("demo-only-web", &hash));
        config.game_servers.push(game_server("gs2", &sample));
        config.cursor_secret = Some(Secret::new(sample));
        let faults = Authenticator::new(&config, None, false).unwrap_err();
        let keys: Vec<&str> = faults.iter().map(|fault| &*fault.key).collect();
        let expected =
            ["auth.jwt.keys[1]", "auth.api_keys[1]", "auth.game_servers[1]", "auth.cursor_secret"];
        assert_eq!(keys, expected);
        assert!(faults.iter().all(|fault| fault.kind == FaultKind::Sample));
        assert!(Authenticator::new(&config, None, true).is_ok());
    }

    #[test]
    fn debug_output_shows_no_secret() {
        let (config, key) = config();
        let text = format!("{:?}", built(&config));
        assert!(!text.contains(SHARED));
        assert!(!text.contains(key.split_once('.').unwrap().1));
    }
}
