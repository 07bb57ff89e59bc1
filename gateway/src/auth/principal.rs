//! The principal of a request and what an operation asks of it.

use gateway_protocol::GameId;

use super::credential::Credential;
use super::error::AuthError;

/// Who asks: a verified credential, resolved against the roles of one snapshot.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Stable name for logs, audit and `:_caller`: `jwt:<sub>`, `key:<id>`, `server:<key_id>`, `public`.
    pub caller: Box<str>,
    /// The roles it has, with those they inherit.
    pub roles: RoleMask,
    /// The games it may use.
    pub games: Games,
    /// What its token says, for claim rules and `:_claim.x`; sorted by name.
    pub claims: Box<[(Box<str>, Claim)]>,
    /// When it stops being valid, in Unix seconds; `None`: when revoked.
    pub expires_at: Option<u64>,
    /// What it was made from, so that a reload can make it anew.
    pub credential: Credential,
}

impl Principal {
    /// Who asks without a credential: no role, no game, no claim, and `public` for a name.
    pub fn nobody() -> Self {
        Self {
            caller: "public".into(),
            roles: RoleMask::default(),
            games: Games::Only([].into()),
            claims: [].into(),
            expires_at: None,
            credential: Credential::None,
        }
    }

    /// The claim of that name. Cost: a binary search, no allocation.
    ///
    /// - `name`: as in the token; of a claim within maps the path, with dots.
    pub fn claim(&self, name: &str) -> Option<&Claim> {
        let index = self.claims.binary_search_by(|(own, _)| (**own).cmp(name)).ok()?;
        self.claims.get(index).map(|(_, claim)| claim)
    }

    /// Whether it may use a game.
    ///
    /// # Errors
    ///
    /// [`AuthError::GameForbidden`] when it may not.
    pub fn admit_game(&self, game: &GameId) -> Result<(), AuthError> {
        if self.games.contains(game) {
            Ok(())
        } else {
            Err(AuthError::GameForbidden { game: game.clone() })
        }
    }

    /// Whether its time is not over; to be asked of a live connection's principal at every request.
    ///
    /// - `now`: Unix seconds.
    ///
    /// # Errors
    ///
    /// [`AuthError::Expired`] from the second on in which it is no longer valid.
    pub fn check_time(&self, now: u64) -> Result<(), AuthError> {
        match self.expires_at {
            Some(expired_at) if expired_at <= now => Err(AuthError::Expired { expired_at }),
            Some(_) | None => Ok(()),
        }
    }
}

/// A set of roles, as bits that [`super`]'s role table gives out anew at every load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoleMask(pub u128);

impl RoleMask {
    /// Whether the two sets share a role.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The games of a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Games {
    /// Every game, also those added later: operators' keys only.
    All,
    /// These.
    Only(Box<[GameId]>),
}

impl Games {
    /// Whether the game is among them.
    pub fn contains(&self, game: &GameId) -> bool {
        match self {
            Self::All => true,
            Self::Only(games) => games.contains(game),
        }
    }
}

/// A claim's value, as far as claims are compared and bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Text.
    Str(Box<str>),
    /// A whole number.
    Int(i64),
    /// A truth value.
    Bool(bool),
}

/// Who may call an operation: a template's `@allow`, compiled against the role table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Whether no credential is needed.
    pub public: bool,
    /// Roles that may call without a further condition.
    pub roles: RoleMask,
    /// Roles that may call if claims match.
    pub rules: Vec<AccessRule>,
}

/// A role that may call if its claims match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// The role, one bit.
    pub role: RoleMask,
    /// Slot (index into the template's slots) and the claim that it must equal. All must match.
    pub claims: Vec<(usize, Box<str>)>,
}

/// One entry of `@allow`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowRule {
    /// A role's name; `public` is everyone, without a credential.
    pub role: Box<str>,
    /// `player(player_id = claim.sub)`: each slot (index) must equal that claim.
    pub claims: Vec<(usize, Box<str>)>,
}
