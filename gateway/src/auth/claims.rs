//! What a verified token says: the registered claims, roles, games, and scalars for claim rules.
//!
//! Only called on text whose signature verified: the issuer is trusted, its mistakes are not.

use std::collections::BTreeMap;

use gateway_protocol::GameId;
use serde_json::{Map, Value};

use super::error::AuthError;
use super::principal::Claim;

/// Most scalar claims of a token, those within maps counted too.
pub(super) const CLAIM_COUNT_MAX: usize = 64;

/// Longest `sub`, in bytes: it is a part of log lines and cache keys.
const SUBJECT_BYTES_MAX: usize = 256;

/// The largest time taken, in Unix seconds (year 10889): exact in every JSON number.
const TIME_MAX: u64 = 1 << 48;

/// Names and values, sorted by name.
pub(super) type Scalars = Box<[(Box<str>, Claim)]>;

/// A token's claims, parsed.
#[derive(Clone, Debug)]
pub(super) struct Claims(Map<String, Value>);

impl Claims {
    /// Takes the JSON of a token's second part. Of a name given twice the last counts
    /// (RFC 7519 section 4).
    pub(super) fn parse(json: &[u8]) -> Result<Self, AuthError> {
        let parsed: Option<Map<String, Value>> = serde_json::from_slice(json).ok();
        parsed.map(Self).ok_or(AuthError::Malformed { what: "claims" })
    }

    /// `exp`, in Unix seconds, a fraction cut off. Every token needs one.
    pub(super) fn exp(&self) -> Result<u64, AuthError> {
        self.time("exp")?.ok_or_else(|| AuthError::ClaimMissing { claim: "exp".into() })
    }

    /// `nbf`, in Unix seconds, a fraction cut off.
    pub(super) fn nbf(&self) -> Result<Option<u64>, AuthError> {
        self.time("nbf")
    }

    /// `sub`: 1 to 256 bytes without control characters. Every token needs one.
    pub(super) fn sub(&self) -> Result<&str, AuthError> {
        let value = self.0.get("sub").filter(|value| !value.is_null());
        let value = value.ok_or_else(|| AuthError::ClaimMissing { claim: "sub".into() })?;
        let is_fit = |text: &&str| {
            !text.is_empty() && text.len() <= SUBJECT_BYTES_MAX && !text.contains(char::is_control)
        };
        value
            .as_str()
            .filter(is_fit)
            .ok_or_else(|| wrong_type("sub", "a text of 1 to 256 bytes without control characters"))
    }

    /// `iss`, if it is there.
    pub(super) fn iss(&self) -> Result<Option<&str>, AuthError> {
        match self.0.get("iss") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or(AuthError::WrongIssuer),
        }
    }

    /// `aud`: one text or a list of them, if it is there.
    pub(super) fn aud(&self) -> Result<Option<Box<[Box<str>]>>, AuthError> {
        match self.0.get("aud") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(one)) => Ok(Some([one.as_str().into()].into())),
            Some(Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(Box::from));
                texts.collect::<Option<_>>().map(Some).ok_or(AuthError::WrongAudience)
            }
            Some(_) => Err(AuthError::WrongAudience),
        }
    }

    /// The names in a claim: a list of texts, or one text with names between spaces (`scope`).
    ///
    /// - `path`: the claim's name; dots go into maps, unless a claim is named so as a whole.
    ///
    /// `None`: the token does not have the claim.
    pub(super) fn names(&self, path: &str) -> Result<Option<Box<[Box<str>]>>, AuthError> {
        match self.find(path) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => {
                Ok(Some(text.split_ascii_whitespace().map(Box::from).collect()))
            }
            Some(Value::Array(items)) => {
                let texts = items.iter().map(|item| item.as_str().map(Box::from));
                let texts = texts.collect::<Option<_>>();
                texts.map(Some).ok_or_else(|| wrong_type(path, "a text or a list of texts"))
            }
            Some(_) => Err(wrong_type(path, "a text or a list of texts")),
        }
    }

    /// The games in a claim, as [`Claims::names`]. What is not a game's name (`*`, too) gives none.
    pub(super) fn games(&self, path: &str) -> Result<Box<[GameId]>, AuthError> {
        let names = self.names(path)?.unwrap_or_default();
        Ok(names.iter().filter_map(|name| GameId::new(name).ok()).collect())
    }

    /// Every text, whole number and truth value, sorted by name; those in maps by their path.
    pub(super) fn scalars(&self) -> Result<Scalars, AuthError> {
        let mut found = BTreeMap::new();
        let mut open = vec![(String::new(), &self.0)];
        while let Some((prefix, map)) = open.pop() {
            for (name, value) in map {
                let path =
                    if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                if let Value::Object(inner) = value {
                    open.push((path, inner));
                } else if let Some(claim) = scalar(value) {
                    // The whole token's own claims come first, so none in a map can pose as one.
                    let _: &mut Claim = found.entry(path.into_boxed_str()).or_insert(claim);
                }
            }
            if found.len() > CLAIM_COUNT_MAX {
                return Err(AuthError::TooManyClaims { count_max: CLAIM_COUNT_MAX });
            }
        }
        Ok(found.into_iter().collect())
    }

    fn find(&self, path: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(path) {
            return Some(value);
        }
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(self.0.get(first)?, |value, name| value.get(name))
    }

    fn time(&self, name: &str) -> Result<Option<u64>, AuthError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                seconds(value).map(Some).ok_or_else(|| wrong_type(name, "a time in Unix seconds"))
            }
        }
    }
}

/// A `NumericDate`: a number of seconds, which may have a fraction.
fn seconds(value: &Value) -> Option<u64> {
    if let Some(whole) = value.as_u64() {
        return (whole <= TIME_MAX).then_some(whole);
    }
    #[expect(clippy::cast_precision_loss, reason = "2^48 is exact in a binary64")]
    let in_range = |number: &f64| (0.0..=TIME_MAX as f64).contains(number);
    let number = value.as_f64().filter(in_range)?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "in 0 to 2^48; the fraction is to be cut off"
    )]
    Some(number as u64)
}

fn scalar(value: &Value) -> Option<Claim> {
    match value {
        Value::String(text) => Some(Claim::Str(text.as_str().into())),
        Value::Bool(value) => Some(Claim::Bool(*value)),
        Value::Number(number) => number.as_i64().map(Claim::Int),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn wrong_type(claim: &str, expected: &'static str) -> AuthError {
    AuthError::ClaimType { claim: claim.into(), expected }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    #[track_caller]
    fn check_names(value: &Value, path: &str, expected: Option<&[&str]>) {
        let names = claims(value).names(path).unwrap();
        let names: Option<Vec<&str>> =
            names.as_ref().map(|names| names.iter().map(|name| &**name).collect());
        assert_eq!(names.as_deref(), expected, "{value}");
    }

    #[test]
    fn names_come_from_a_text_a_list_or_a_path_into_maps() {
        check_names(&json!({ "roles": "gm" }), "roles", Some(&["gm"]));
        check_names(&json!({ "scope": "gm  player" }), "scope", Some(&["gm", "player"]));
        check_names(&json!({ "roles": ["gm", "a b"] }), "roles", Some(&["gm", "a b"]));
        check_names(&json!({ "realm": { "r": ["gm"] } }), "realm.r", Some(&["gm"]));
        check_names(&json!({ "https://x.y/roles": "gm" }), "https://x.y/roles", Some(&["gm"]));
        check_names(&json!({ "a.b": "whole", "a": { "b": "in" } }), "a.b", Some(&["whole"]));
        check_names(&json!({ "roles": [] }), "roles", Some(&[]));
        check_names(&json!({ "roles": "" }), "roles", Some(&[]));
        for without in [json!({}), json!({ "realm": 7 }), json!({ "realm": {} })] {
            check_names(&without, "realm.r", None);
        }
    }

    #[test]
    fn names_of_another_type_are_refused() {
        for broken in [json!(7), json!(["gm", 7]), json!({ "gm": true }), json!(true)] {
            let error = claims(&json!({ "roles": broken })).names("roles").unwrap_err();
            assert_eq!(error, wrong_type("roles", "a text or a list of texts"));
        }
    }

    #[test]
    fn games_that_are_no_names_of_games_give_none() {
        let claims = claims(&json!({ "games": ["*", "game1", "Game2", "", "a.b"] }));
        assert_eq!(*claims.games("games").unwrap(), [GameId::new("game1").unwrap()]);
        assert_eq!(*claims.games("other").unwrap(), []);
    }

    #[test]
    fn times_are_whole_or_broken_numbers_in_range() {
        let exp = |value: Value| claims(&json!({ "exp": value })).exp();
        assert_eq!(exp(json!(1_000)), Ok(1_000));
        assert_eq!(exp(json!(1_000.9)), Ok(1_000));
        assert_eq!(exp(json!(1e9)), Ok(1_000_000_000));
        assert_eq!(exp(json!(TIME_MAX)), Ok(TIME_MAX));
        for broken in [
            json!(-1),
            json!("1000"),
            json!(TIME_MAX + 1),
            json!(u64::MAX),
            json!(1e300),
            json!([]),
        ] {
            assert_eq!(exp(broken.clone()), Err(wrong_type("exp", "a time in Unix seconds")));
        }
        assert_eq!(exp(Value::Null), Err(AuthError::ClaimMissing { claim: "exp".into() }));
    }

    #[test]
    fn subject_at_the_limit_passes_and_others_are_refused() {
        let longest = "s".repeat(256);
        assert_eq!(claims(&json!({ "sub": longest })).sub(), Ok(&*longest));
        for broken in [json!(""), json!("s".repeat(257)), json!(7), json!("a\nb"), json!(["a"])] {
            let outcome = claims(&json!({ "sub": broken })).sub().map(drop);
            assert!(matches!(outcome, Err(AuthError::ClaimType { .. })), "{broken}");
        }
        let missing = AuthError::ClaimMissing { claim: "sub".into() };
        assert_eq!(claims(&json!({})).sub(), Err(missing));
    }

    #[test]
    fn scalars_are_sorted_with_paths_and_without_what_cannot_be_compared() {
        let claims = claims(&json!({
            "sub": "7", "vip": true, "server": -3, "ratio": 0.5, "big": u64::MAX, "none": null,
            "list": [1], "game": { "player_id": 9, "deep": { "x": "y" } },
        }));
        let scalars = claims.scalars().unwrap();
        let expected = [
            ("game.deep.x", Claim::Str("y".into())),
            ("game.player_id", Claim::Int(9)),
            ("server", Claim::Int(-3)),
            ("sub", Claim::Str("7".into())),
            ("vip", Claim::Bool(true)),
        ];
        assert_eq!(*scalars, expected.map(|(name, claim)| (Box::from(name), claim)));
    }

    #[test]
    fn claim_in_a_map_cannot_pose_as_one_of_the_token_itself() {
        let claims = claims(&json!({ "a": { "b": "in" }, "a.b": "whole" }));
        assert_eq!(*claims.scalars().unwrap(), [("a.b".into(), Claim::Str("whole".into()))]);
    }

    #[test]
    fn claims_at_the_limit_pass_and_one_more_is_refused() {
        let make = |count: usize| -> Map<String, Value> {
            (0..count).map(|n| (format!("c{n}"), json!(n))).collect()
        };
        assert_eq!(claims(&json!(make(64))).scalars().unwrap().len(), 64);
        let refused = AuthError::TooManyClaims { count_max: 64 };
        assert_eq!(claims(&json!(make(65))).scalars(), Err(refused.clone()));
        let mut nested = make(63);
        nested.insert("m".into(), json!({ "x": 1, "y": 2 }));
        assert_eq!(claims(&json!(nested)).scalars(), Err(refused));
    }

    #[test]
    fn text_that_is_no_map_or_nested_beyond_reason_is_malformed() {
        let deep = "{\"a\":".repeat(10_000);
        for broken in ["", "[]", "7", "{\"a\":", "\u{feff}{}", &deep] {
            let outcome = Claims::parse(broken.as_bytes()).map(drop);
            assert_eq!(outcome, Err(AuthError::Malformed { what: "claims" }));
        }
        assert!(Claims::parse(b"{\"a\":\"\xff\"}").is_err());
    }
}
