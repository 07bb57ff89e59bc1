//! Credentials verified on this thread: the same text again is a look-up, not a signature.
//!
//! A plain table behind a `&mut`: each frontend thread owns one. It holds what verified, never what
//! failed, and at most `count_max` of it; when full, a clock hand takes what was not asked for since
//! it last came by.
//!
//! Invariant: nothing is served past its time, from another generation, or for a text that is not
//! equal in every byte; texts are compared in constant time.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::quality::RandomState;

use super::authenticator::Authenticator;
use super::equal::is_equal_in_constant_time;
use super::error::AuthError;
use super::principal::Principal;

/// A credential as it came with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// `Authorization: Bearer …`, or a hello's `jwt`.
    Token(&'a str),
    /// `X-API-Key`, or a hello's `api_key`.
    ApiKey(&'a str),
}

/// Verified credentials of one thread.
///
/// Memory: at most `count_max` texts of up to 8 KiB, and their principals.
pub struct TokenCache {
    count_max: usize,
    generation: u64,
    /// Keyed at random, so that nobody can choose texts that collide.
    hasher: RandomState,
    /// By hash of the text: the place of its entry.
    places: HashMap<u64, usize, RandomState>,
    entries: Vec<Entry>,
    hand: usize,
}

struct Entry {
    hash: u64,
    is_token: bool,
    text: Box<str>,
    principal: Arc<Principal>,
    /// Asked for since the hand last came by.
    is_used: bool,
}

impl TokenCache {
    /// An empty cache.
    ///
    /// - `count_max`: most credentials that it holds, from `auth.token_cache`; 0 turns it off.
    pub fn new(count_max: u32) -> Self {
        Self {
            count_max: usize::try_from(count_max).unwrap_or(usize::MAX),
            generation: 0,
            hasher: RandomState::default(),
            places: HashMap::default(),
            entries: Vec::new(),
            hand: 0,
        }
    }

    /// The principal of a credential: remembered, or verified now and then remembered.
    ///
    /// - `authenticator`: of the request's snapshot.
    /// - `generation`: of that snapshot; a change of it empties the cache.
    /// - `now`: Unix seconds.
    ///
    /// Cost of a hit: a hash and a comparison of the text, no allocation. The reference count that it
    /// touches is this thread's alone.
    ///
    /// # Errors
    ///
    /// As [`Authenticator::bearer`] and [`Authenticator::api_key`]; a failure is not remembered.
    pub fn authenticate(
        &mut self,
        authenticator: &Authenticator,
        generation: u64,
        presented: Presented<'_>,
        now: u64,
    ) -> Result<Arc<Principal>, AuthError> {
        self.turn_to(generation);
        let hash = self.hasher.hash_one(presented.text());
        if let Some(principal) = self.get(hash, presented, now) {
            return Ok(Arc::clone(principal));
        }
        let principal = match presented {
            Presented::Token(token) => authenticator.bearer(token, now),
            Presented::ApiKey(key) => authenticator.api_key(key, now),
        }?;
        self.insert(hash, presented, Arc::clone(&principal), now);
        Ok(principal)
    }

    /// The principal of a credential that was verified before, by [`Self::authenticate`] alone.
    ///
    /// - `generation`, `now`: as there.
    pub fn remembered(
        &mut self,
        generation: u64,
        presented: Presented<'_>,
        now: u64,
    ) -> Option<Arc<Principal>> {
        self.turn_to(generation);
        let hash = self.hasher.hash_one(presented.text());
        self.get(hash, presented, now).map(Arc::clone)
    }

    /// Forgets what was verified for another generation.
    fn turn_to(&mut self, generation: u64) {
        if generation != self.generation {
            self.clear();
            self.generation = generation;
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.places.clear();
        self.entries.clear();
        self.hand = 0;
    }

    /// How many credentials it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn get(&mut self, hash: u64, presented: Presented<'_>, now: u64) -> Option<&Arc<Principal>> {
        let entry = self.entries.get_mut(*self.places.get(&hash)?)?;
        if !entry.is_of(presented) {
            return None;
        }
        if entry.principal.check_time(now).is_err() {
            entry.is_used = false;
            return None;
        }
        entry.is_used = true;
        Some(&entry.principal)
    }

    fn insert(&mut self, hash: u64, presented: Presented<'_>, principal: Arc<Principal>, now: u64) {
        let is_token = matches!(presented, Presented::Token(_));
        let entry =
            Entry { hash, is_token, text: presented.text().into(), principal, is_used: false };
        if let Some(place) = self.places.get(&hash) {
            // Its own expired entry, or one of the same 64-bit hash.
            if let Some(old) = self.entries.get_mut(*place) {
                *old = entry;
            }
        } else if self.entries.len() < self.count_max {
            self.places.insert(hash, self.entries.len());
            self.entries.push(entry);
        } else if let Some(place) = self.find_victim(now)
            && let Some(old) = self.entries.get_mut(place)
        {
            self.places.remove(&old.hash);
            *old = entry;
            self.places.insert(hash, place);
        }
    }

    /// The place under the hand, once the hand has passed what was used and is still valid.
    /// `None` only while there are no entries at all.
    fn find_victim(&mut self, now: u64) -> Option<usize> {
        // A full turn clears every mark, so that the first step of a second one ends at the latest.
        for _ in 0..=self.entries.len() {
            let place = self.hand;
            let entry = self.entries.get_mut(place)?;
            self.hand = (place + 1) % self.count_max;
            if !entry.is_used || entry.principal.check_time(now).is_err() {
                return Some(place);
            }
            entry.is_used = false;
        }
        None
    }
}

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache")
            .field("count_max", &self.count_max)
            .field("generation", &self.generation)
            .field("count", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token(***)",
            Self::ApiKey(_) => "ApiKey(***)",
        })
    }
}

impl<'a> Presented<'a> {
    const fn text(self) -> &'a str {
        match self {
            Self::Token(text) | Self::ApiKey(text) => text,
        }
    }
}

impl Entry {
    /// Whether it is the entry of a credential: the kinds are told apart, the texts equal.
    fn is_of(&self, presented: Presented<'_>) -> bool {
        self.is_token == matches!(presented, Presented::Token(_))
            && is_equal_in_constant_time(self.text.as_bytes(), presented.text().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::new_key;
    use super::super::testing::Signer;
    use super::*;
    use crate::config::{ApiKeyConfig, AuthConfig, JwtConfig, JwtKeyConfig, Secret};

    const NOW: u64 = 1_000_000;

    /// Whether a look-up was answered from the cache is seen by what it returns: the very same
    /// principal, or one made anew.
    struct Bed {
        authenticator: Authenticator,
        cache: TokenCache,
        generation: u64,
    }

    impl Bed {
        fn new(count_max: u32) -> Self {
            let key = Secret::new(Signer::ed25519(1).public_pem());
            let jwt = JwtConfig {
                issuers: Vec::new(),
                audiences: Vec::new(),
                leeway: Duration::from_secs(5),
                roles_claim: "roles".into(),
                games_claim: "games".into(),
                default_roles: Vec::new(),
                keys: vec![JwtKeyConfig { kid: None, alg: "EdDSA".into(), key }],
                jwks_file: None,
            };
            let config = AuthConfig { jwt: Some(jwt), ..AuthConfig::default() };
            let authenticator = Authenticator::new(&config, None, false).unwrap();
            Self { authenticator, cache: TokenCache::new(count_max), generation: 1 }
        }

        #[track_caller]
        fn get(&mut self, token: &str, now: u64) -> Result<Arc<Principal>, AuthError> {
            let token = Presented::Token(token);
            self.cache.authenticate(&self.authenticator, self.generation, token, now)
        }

        /// Whether the cache still answers with `principal`.
        #[track_caller]
        fn is_hit(&mut self, token: &str, principal: &Arc<Principal>) -> bool {
            Arc::ptr_eq(&self.get(token, NOW).unwrap(), principal)
        }
    }

    fn token(sub: usize, exp: u64) -> String {
        Signer::ed25519(1).token(None, &json!({ "sub": sub.to_string(), "exp": exp }))
    }

    #[test]
    fn same_text_again_is_the_same_principal_and_another_is_not() {
        let mut bed = Bed::new(8);
        let (one, two) = (token(1, NOW + 60), token(2, NOW + 60));
        let first = bed.get(&one, NOW).unwrap();
        assert!(bed.is_hit(&one, &first));
        assert_eq!(&*bed.get(&two, NOW).unwrap().caller, "jwt:2");
        assert!(bed.is_hit(&one, &first));
        assert_eq!(bed.cache.len(), 2);
    }

    #[test]
    fn entry_is_served_to_its_last_second_and_not_in_the_next() {
        let mut bed = Bed::new(8);
        let token = token(1, NOW + 60);
        let first = bed.get(&token, NOW).unwrap();
        let last = bed.get(&token, NOW + 64).unwrap();
        assert!(Arc::ptr_eq(&first, &last));
        let expired = AuthError::Expired { expired_at: NOW + 65 };
        assert_eq!(bed.get(&token, NOW + 65).map(drop), Err(expired));
    }

    #[test]
    fn only_what_was_verified_for_this_generation_and_is_still_valid_is_remembered() {
        let mut bed = Bed::new(8);
        let token = token(1, NOW + 60);
        let presented = Presented::Token(&token);
        assert!(bed.cache.remembered(1, presented, NOW).is_none(), "it is not verified here");
        assert!(bed.cache.is_empty());
        let first = bed.get(&token, NOW).unwrap();
        let again = bed.cache.remembered(1, presented, NOW + 64).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert!(bed.cache.remembered(1, Presented::ApiKey(&token), NOW).is_none());
        assert!(bed.cache.remembered(1, presented, NOW + 65).is_none());
        assert!(bed.cache.remembered(1, presented, NOW).is_some());
        assert!(bed.cache.remembered(2, presented, NOW).is_none());
    }

    #[test]
    fn failures_are_not_remembered() {
        let mut bed = Bed::new(8);
        let early = Signer::ed25519(1)
            .token(None, &json!({ "sub": "1", "exp": NOW + 60, "nbf": NOW + 10 }));
        assert!(bed.get(&early, NOW).is_err());
        assert!(bed.get("garbage", NOW).is_err());
        assert!(bed.cache.is_empty());
        assert!(bed.get(&early, NOW + 10).is_ok());
    }

    #[test]
    fn new_generation_drops_everything() {
        let mut bed = Bed::new(8);
        let token = token(1, NOW + 60);
        let first = bed.get(&token, NOW).unwrap();
        bed.generation = 2;
        assert!(!bed.is_hit(&token, &first));
        assert_eq!(bed.cache.len(), 1);
        bed.authenticator = Authenticator::new(&AuthConfig::default(), None, false).unwrap();
        bed.generation = 3;
        assert_eq!(bed.get(&token, NOW).map(drop), Err(AuthError::TokensOff));
        assert!(bed.cache.is_empty());
    }

    #[test]
    fn cache_never_holds_more_than_its_bound_and_keeps_what_is_used() {
        let mut bed = Bed::new(4);
        let hot = token(0, NOW + 60);
        let first = bed.get(&hot, NOW).unwrap();
        for sub in 1..40 {
            bed.get(&token(sub, NOW + 60), NOW).unwrap();
            assert!(bed.is_hit(&hot, &first), "after {sub}");
            assert!(bed.cache.len() <= 4);
            assert_eq!(bed.cache.places.len(), bed.cache.len());
        }
        assert_eq!(bed.cache.len(), 4);
    }

    #[test]
    fn full_cache_of_used_entries_still_takes_a_new_one() {
        let mut bed = Bed::new(2);
        let tokens = [token(0, NOW + 60), token(1, NOW + 60), token(2, NOW + 60)];
        for token in [&tokens[0], &tokens[0], &tokens[1], &tokens[1]] {
            bed.get(token, NOW).unwrap();
        }
        let new = bed.get(&tokens[2], NOW).unwrap();
        assert!(bed.is_hit(&tokens[2], &new));
        assert_eq!(bed.cache.len(), 2);
    }

    #[test]
    fn expired_entry_goes_before_a_valid_one_though_it_was_used() {
        let mut bed = Bed::new(2);
        let (short, long) = (token(0, NOW + 1), token(1, NOW + 600));
        for token in [&short, &short, &long, &long] {
            bed.get(token, NOW).unwrap();
        }
        let later = NOW + 100;
        bed.get(&token(2, NOW + 600), later).unwrap();
        let kept: Vec<&str> =
            bed.cache.entries.iter().map(|entry| &*entry.principal.caller).collect();
        assert_eq!(kept, ["jwt:2", "jwt:1"]);
    }

    #[test]
    fn cache_of_size_zero_verifies_every_time() {
        let mut bed = Bed::new(0);
        let token = token(1, NOW + 60);
        let first = bed.get(&token, NOW).unwrap();
        assert!(!bed.is_hit(&token, &first));
        assert!(bed.cache.is_empty());
    }

    #[test]
    fn api_key_given_as_a_token_is_not_answered_from_the_cache() {
        let mut bed = Bed::new(8);
        let new = new_key("web").unwrap();
        let key = ApiKeyConfig {
            id: "web".into(),
            hash: new.hash,
            roles: Vec::new(),
            games: None,
            expires_at: None,
        };
        let config = AuthConfig { api_keys: vec![key], ..AuthConfig::default() };
        bed.authenticator = Authenticator::new(&config, None, false).unwrap();
        let text = new.key.expose();
        let mut ask = |presented| bed.cache.authenticate(&bed.authenticator, 1, presented, NOW);
        let first = ask(Presented::ApiKey(text)).unwrap();
        assert!(Arc::ptr_eq(&ask(Presented::ApiKey(text)).unwrap(), &first));
        assert_eq!(ask(Presented::Token(text)).map(drop), Err(AuthError::TokensOff));
    }

    #[test]
    fn entry_of_the_same_hash_and_another_text_is_a_miss_and_is_replaced() {
        let mut bed = Bed::new(8);
        let (one, two) = (token(1, NOW + 60), token(2, NOW + 60));
        let first = bed.get(&one, NOW).unwrap();
        let hash = bed.cache.hasher.hash_one(&*one);
        assert!(bed.cache.get(hash, Presented::Token(&two), NOW).is_none());
        bed.cache.insert(hash, Presented::Token(&two), Arc::clone(&first), NOW);
        assert!(bed.cache.get(hash, Presented::Token(&one), NOW).is_none());
        assert_eq!(bed.cache.len(), 1);
    }
}
