//! Whether a principal may call an operation: game and role before bind, claims after.

use gateway_protocol::GameId;

use super::error::AuthError;
use super::principal::{Access, Claim, Principal};

/// What is known before the parameters are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "`IfClaims` is not yet a yes"]
pub enum Admission {
    /// It may call, whatever the parameters.
    Yes,
    /// It may call if [`Access::claims_match`] once the parameters are bound.
    IfClaims,
}

impl Access {
    /// Whether a principal may call the operation, as far as game and roles decide.
    ///
    /// A credential that is given must be one of the game even where none is needed: its claims
    /// could be bound otherwise. Cost: a few ANDs and a comparison with each of its games.
    ///
    /// - `principal`: `None` when the request has no credential.
    /// - `game`: the game that the request names.
    ///
    /// # Errors
    ///
    /// [`AuthError::Missing`] without a principal unless public, [`AuthError::GameForbidden`],
    /// [`AuthError::RoleForbidden`].
    pub fn admits(
        &self,
        principal: Option<&Principal>,
        game: &GameId,
    ) -> Result<Admission, AuthError> {
        let Some(principal) = principal else {
            return if self.public { Ok(Admission::Yes) } else { Err(AuthError::Missing) };
        };
        principal.admit_game(game)?;
        if self.public || principal.roles.meets(self.roles) {
            Ok(Admission::Yes)
        } else if self.rules.iter().any(|rule| principal.roles.meets(rule.role)) {
            Ok(Admission::IfClaims)
        } else {
            Err(AuthError::RoleForbidden)
        }
    }

    /// Whether one of the rules that the principal's roles meet has all of its claims matched.
    ///
    /// To be called after bind when [`Access::admits`] said [`Admission::IfClaims`].
    ///
    /// - `matches`: whether the bound value of a slot (index) equals a claim. A claim that the
    ///   principal does not have matches nothing, and is not asked about.
    ///
    /// # Errors
    ///
    /// [`AuthError::ClaimMismatch`] when no rule matches.
    pub fn claims_match(
        &self,
        principal: &Principal,
        mut matches: impl FnMut(usize, &Claim) -> bool,
    ) -> Result<(), AuthError> {
        let mut rules = self.rules.iter().filter(|rule| principal.roles.meets(rule.role));
        let admitted = rules.any(|rule| {
            rule.claims.iter().all(|(slot, name)| {
                principal.claim(name).is_some_and(|claim| matches(*slot, claim))
            })
        });
        if admitted { Ok(()) } else { Err(AuthError::ClaimMismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::principal::{AccessRule, Games, RoleMask};
    use super::super::testing::principal;
    use super::*;

    const GM: RoleMask = RoleMask(2);
    const PLAYER: RoleMask = RoleMask(4);

    /// `@allow gm, player(slot 0 = claim.sub)`.
    fn access() -> Access {
        let rule = AccessRule { role: PLAYER, claims: vec![(0, "sub".into())] };
        Access { public: false, roles: GM, rules: vec![rule] }
    }

    fn game(name: &str) -> GameId {
        GameId::new(name).unwrap()
    }

    fn with_roles(roles: RoleMask) -> Principal {
        Principal { roles, ..principal("jwt:7") }
    }

    #[expect(clippy::needless_pass_by_value, reason = "expected values are written in place")]
    #[track_caller]
    fn check(principal: Option<&Principal>, expected: Result<Admission, AuthError>) {
        assert_eq!(access().admits(principal, &game("game1")), expected);
    }

    #[test]
    fn request_without_a_credential_is_refused_unless_public() {
        check(None, Err(AuthError::Missing));
        let public = Access { public: true, ..access() };
        assert_eq!(public.admits(None, &game("game1")), Ok(Admission::Yes));
        let nobody = with_roles(RoleMask(1));
        assert_eq!(public.admits(Some(&nobody), &game("game1")), Ok(Admission::Yes));
    }

    #[test]
    fn role_decides_and_a_plain_role_needs_no_claim() {
        check(Some(&with_roles(GM)), Ok(Admission::Yes));
        check(Some(&with_roles(PLAYER)), Ok(Admission::IfClaims));
        check(Some(&with_roles(RoleMask(GM.0 | PLAYER.0))), Ok(Admission::Yes));
        check(Some(&with_roles(RoleMask(1 | 8))), Err(AuthError::RoleForbidden));
    }

    #[test]
    fn credential_of_one_game_is_refused_in_another_even_where_none_is_needed() {
        let refused = Err(AuthError::GameForbidden { game: game("game2") });
        let public = Access { public: true, ..Access::default() };
        assert_eq!(access().admits(Some(&with_roles(GM)), &game("game2")), refused);
        assert_eq!(public.admits(Some(&with_roles(GM)), &game("game2")), refused);
        let operator = Principal { games: Games::All, ..with_roles(GM) };
        assert_eq!(access().admits(Some(&operator), &game("game2")), Ok(Admission::Yes));
        let nowhere = Principal { games: Games::Only(Box::default()), ..with_roles(GM) };
        let refused = Err(AuthError::GameForbidden { game: game("game1") });
        check(Some(&nowhere), refused);
    }

    #[test]
    fn claim_rule_passes_on_the_equal_value_and_fails_on_another_or_a_missing_claim() {
        let player = with_roles(PLAYER);
        let is_seven = |slot, claim: &Claim| slot == 0 && *claim == Claim::Str("7".into());
        assert_eq!(access().claims_match(&player, is_seven), Ok(()));
        assert_eq!(access().claims_match(&player, |_, _| false), Err(AuthError::ClaimMismatch));
        let without = Principal { claims: Box::default(), ..with_roles(PLAYER) };
        assert_eq!(access().claims_match(&without, |_, _| true), Err(AuthError::ClaimMismatch));
    }

    #[test]
    fn rule_of_a_role_that_the_principal_lacks_does_not_help_it() {
        let other = with_roles(RoleMask(8));
        assert_eq!(access().claims_match(&other, |_, _| true), Err(AuthError::ClaimMismatch));
    }

    #[test]
    fn every_claim_of_a_rule_must_match_and_one_rule_is_enough() {
        let both =
            AccessRule { role: PLAYER, claims: vec![(0, "sub".into()), (1, "server".into())] };
        let one = AccessRule { role: PLAYER, claims: vec![(2, "server".into())] };
        let claims = [("server", Claim::Int(3)), ("sub", Claim::Str("7".into()))];
        let player = Principal {
            claims: claims.map(|(name, claim)| (name.into(), claim)).into(),
            ..with_roles(PLAYER)
        };
        let access = |rules| Access { rules, ..Access::default() };
        let strict = access(vec![both.clone()]);
        assert_eq!(
            strict.claims_match(&player, |slot, _| slot != 1),
            Err(AuthError::ClaimMismatch)
        );
        assert_eq!(strict.claims_match(&player, |_, _| true), Ok(()));
        let either = access(vec![both, one]);
        assert_eq!(either.claims_match(&player, |slot, _| slot == 2), Ok(()));
    }
}
