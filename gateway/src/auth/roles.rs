//! The roles of one configuration, as bits of a mask.
//!
//! A role has a bit of its own; a principal's mask has those of its roles and of all that they
//! inherit, so that a request's check is one AND. Bits are given out anew at every load: a mask
//! means nothing to another table.

use std::collections::HashMap;

use super::fault::{AuthFault, FaultKind};
use super::principal::{Access, AccessRule, AllowRule, RoleMask};
use crate::config::RoleConfig;

/// The role that everyone has, also without a credential.
pub const PUBLIC: &str = "public";

/// Most roles that a configuration may declare: a mask's bits, less the one of [`PUBLIC`].
pub const ROLE_COUNT_MAX: usize = 127;

/// Names of roles, their bits and what they inherit.
#[derive(Clone, Debug)]
pub struct RoleTable {
    roles: HashMap<Box<str>, Role>,
}

/// One role: its own bit, and that with those of all roles that it inherits.
#[derive(Clone, Copy, Debug)]
struct Role {
    own: RoleMask,
    all: RoleMask,
}

impl RoleTable {
    /// Gives each role its bit and resolves what it inherits.
    ///
    /// # Errors
    ///
    /// Every fault: too many roles, a name twice, `public` declared, an unknown parent, a circle.
    pub fn new(configs: &[RoleConfig]) -> Result<Self, Vec<AuthFault>> {
        let mut faults = Vec::new();
        let table = Self::build(configs, &mut faults);
        if faults.is_empty() { Ok(table) } else { Err(faults) }
    }

    /// As [`RoleTable::new`]; with faults a table to check names with, and for nothing else.
    pub(super) fn build(configs: &[RoleConfig], faults: &mut Vec<AuthFault>) -> Self {
        let (count, count_max) = (configs.len(), ROLE_COUNT_MAX);
        if count > count_max {
            faults.push(AuthFault::new("auth.roles", FaultKind::TooManyRoles { count, count_max }));
        }
        let configs = configs.get(..count_max).unwrap_or(configs);
        let indexes = index_names(configs, faults);
        let mut masks = parent_masks(configs, &indexes, faults);
        close(&mut masks);
        find_circles(configs, &masks, faults);

        let public = RoleMask(1);
        let mut roles = HashMap::from([(PUBLIC.into(), Role { own: public, all: public })]);
        for (index, (config, inherited)) in configs.iter().zip(&masks).enumerate() {
            let own = RoleMask(bit(index));
            let all = RoleMask(own.0 | inherited | public.0);
            roles.insert(config.name.clone(), Role { own, all });
        }
        Self { roles }
    }

    /// Whether a role is declared (or built in).
    pub fn contains(&self, name: &str) -> bool {
        self.roles.contains_key(name)
    }

    /// The bits of the named roles and of all that they inherit.
    ///
    /// - `names`: from a token or a key; a name that is not declared gives nothing.
    ///
    /// Returns at least the bit of `public`.
    pub fn mask(&self, names: &[Box<str>]) -> RoleMask {
        let known = names.iter().filter_map(|name| self.roles.get(name));
        RoleMask(known.fold(1, |mask, role| mask | role.all.0))
    }

    /// Compiles a template's `@allow` against this table.
    ///
    /// # Errors
    ///
    /// Every [`AllowFault`], in the order of the rules, so that the caller can tell them at the
    /// template's line.
    pub fn compile(&self, rules: &[AllowRule]) -> Result<Access, Vec<AllowFault>> {
        let mut access = Access::default();
        let mut faults = Vec::new();
        for rule in rules {
            match (self.roles.get(&rule.role), rule.claims.is_empty()) {
                (None, _) => faults.push(AllowFault::UnknownRole { role: rule.role.clone() }),
                (Some(_), true) if &*rule.role == PUBLIC => access.public = true,
                (Some(_), false) if &*rule.role == PUBLIC => {
                    faults.push(AllowFault::PublicWithClaim);
                }
                (Some(role), true) => access.roles.0 |= role.own.0,
                (Some(role), false) => {
                    access.rules.push(AccessRule { role: role.own, claims: rule.claims.clone() });
                }
            }
        }
        if faults.is_empty() { Ok(access) } else { Err(faults) }
    }
}

/// What is wrong with an `@allow` on this configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowFault {
    /// A role that the configuration does not declare.
    #[error("role `{role}` is not declared in auth.roles")]
    UnknownRole {
        /// Its name.
        role: Box<str>,
    },
    /// `public(… = claim.…)`: who has no credential has no claims.
    #[error("`public` cannot depend on a claim")]
    PublicWithClaim,
}

/// The bit of the role declared at `index`; bit 0 is `public`.
const fn bit(index: usize) -> u128 {
    2 << index
}

/// The place of each name; the first, when one stands there twice.
fn index_names<'c>(
    configs: &'c [RoleConfig],
    faults: &mut Vec<AuthFault>,
) -> HashMap<&'c str, usize> {
    let mut indexes = HashMap::new();
    for (index, config) in configs.iter().enumerate() {
        let name = &config.name;
        if &**name == PUBLIC {
            let kind = FaultKind::RoleReserved { role: name.clone() };
            faults.push(AuthFault::new("auth.roles", kind));
        } else if indexes.insert(&**name, index).is_some() {
            let kind = FaultKind::Twice { name: name.clone() };
            faults.push(AuthFault::new("auth.roles", kind));
        }
    }
    indexes
}

/// For each role the bits of those that it names as parents.
fn parent_masks(
    configs: &[RoleConfig],
    indexes: &HashMap<&str, usize>,
    faults: &mut Vec<AuthFault>,
) -> Vec<u128> {
    let mut masks = Vec::with_capacity(configs.len());
    for config in configs {
        let mut mask = 0;
        for parent in config.inherits.iter().filter(|parent| &***parent != PUBLIC) {
            if let Some(index) = indexes.get(&**parent) {
                mask |= bit(*index);
            } else {
                let key = format!("auth.roles.{}.inherits", config.name);
                let kind = FaultKind::UnknownRole { role: parent.clone() };
                faults.push(AuthFault::new(key, kind));
            }
        }
        masks.push(mask);
    }
    masks
}

/// Adds to each mask what its roles inherit in turn (Warshall's closure: 127² steps at most).
fn close(masks: &mut [u128]) {
    for via in 0..masks.len() {
        let inherited = masks.get(via).copied().unwrap_or(0);
        for mask in masks.iter_mut().filter(|mask| **mask & bit(via) != 0) {
            *mask |= inherited;
        }
    }
}

/// One fault for each set of roles that reach themselves through each other.
fn find_circles(configs: &[RoleConfig], masks: &[u128], faults: &mut Vec<AuthFault>) {
    let mut told = 0;
    for (start, mask) in masks.iter().enumerate() {
        if mask & bit(start) == 0 || told & bit(start) != 0 {
            continue;
        }
        let mut roles = Vec::new();
        for (index, (config, back)) in configs.iter().zip(masks).enumerate() {
            if mask & bit(index) != 0 && back & bit(start) != 0 {
                told |= bit(index);
                roles.push(config.name.clone());
            }
        }
        faults.push(AuthFault::new("auth.roles", FaultKind::RoleCircle { roles }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str, inherits: &[&str]) -> RoleConfig {
        let inherits = inherits.iter().map(|parent| Box::from(*parent)).collect();
        RoleConfig { name: name.into(), inherits }
    }

    fn allow(role: &str, claims: &[(usize, &str)]) -> AllowRule {
        let claims = claims.iter().map(|(slot, claim)| (*slot, Box::from(*claim))).collect();
        AllowRule { role: role.into(), claims }
    }

    fn mask(table: &RoleTable, name: &str) -> RoleMask {
        table.mask(&[name.into()])
    }

    #[track_caller]
    fn check_faults(roles: &[RoleConfig], expected: &[&str]) {
        let faults = RoleTable::new(roles).unwrap_err();
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn role_has_what_it_inherits_over_several_steps_and_nothing_the_other_way() {
        // Declared child first, so that one pass over the list cannot be enough.
        let roles = [role("root", &["admin"]), role("admin", &["gm"]), role("gm", &["player"])];
        let roles = [&roles[..], &[role("player", &[]), role("bot", &[])]].concat();
        let table = RoleTable::new(&roles).unwrap();
        let for_player = table.compile(&[allow("player", &[])]).unwrap().roles;
        let for_admin = table.compile(&[allow("admin", &[])]).unwrap().roles;
        for name in ["root", "admin", "gm", "player"] {
            assert!(mask(&table, name).meets(for_player), "{name}");
        }
        assert!(!mask(&table, "bot").meets(for_player));
        assert!(mask(&table, "root").meets(for_admin));
        assert!(!mask(&table, "gm").meets(for_admin));
    }

    #[test]
    fn circle_is_a_fault_that_names_its_roles_and_not_those_that_lead_to_it() {
        let circle = [role("a", &["b"]), role("b", &["c"]), role("c", &["a"])];
        let roles = [&circle[..], &[role("in", &["a"]), role("self", &["self"])]].concat();
        check_faults(
            &roles,
            &[
                "auth.roles: roles inherit in a circle: a, b, c",
                "auth.roles: roles inherit in a circle: self",
            ],
        );
    }

    #[test]
    fn diamond_is_not_a_circle() {
        let roles =
            [role("top", &["l", "r"]), role("l", &["b"]), role("r", &["b"]), role("b", &[])];
        assert!(RoleTable::new(&roles).is_ok());
    }

    #[test]
    fn every_fault_of_the_roles_is_told_at_once() {
        check_faults(
            &[role("gm", &["boss"]), role("gm", &[]), role("public", &[]), role("x", &["public"])],
            &[
                "auth.roles: `gm` is declared twice",
                "auth.roles: role `public` is built in and cannot be declared",
                "auth.roles.gm.inherits: role `boss` is not declared in auth.roles",
            ],
        );
    }

    #[test]
    fn roles_at_the_limit_have_a_bit_each_and_one_more_is_refused() {
        let mut roles: Vec<_> = (0..127).map(|n| role(&format!("r{n}"), &[])).collect();
        let table = RoleTable::new(&roles).unwrap();
        let all = roles.iter().fold(0, |sum, role| sum | mask(&table, &role.name).0);
        assert_eq!(all, u128::MAX);
        roles.push(role("r127", &[]));
        check_faults(&roles, &["auth.roles: 128 roles, at most 127"]);
    }

    #[test]
    fn unknown_name_of_a_token_gives_no_more_than_public() {
        let table = RoleTable::new(&[role("gm", &[])]).unwrap();
        assert_eq!(mask(&table, "boss"), RoleMask(1));
        assert_eq!(table.mask(&[]), RoleMask(1));
    }

    #[test]
    fn allow_of_undeclared_roles_is_returned_by_name() {
        let table = RoleTable::new(&[role("gm", &[])]).unwrap();
        let rules = [allow("boss", &[]), allow("gm", &[]), allow("public", &[(0, "sub")])];
        let unknown = AllowFault::UnknownRole { role: "boss".into() };
        assert_eq!(table.compile(&rules), Err(vec![unknown, AllowFault::PublicWithClaim]));
    }

    #[test]
    fn allow_is_split_into_public_plain_roles_and_rules_with_claims() {
        let table = RoleTable::new(&[role("gm", &[]), role("player", &[])]).unwrap();
        let rules = [allow("public", &[]), allow("gm", &[]), allow("player", &[(1, "sub")])];
        let access = table.compile(&rules).unwrap();
        assert!(access.public);
        assert!(access.roles.meets(mask(&table, "gm")));
        let [rule] = &access.rules[..] else { panic!("one rule") };
        assert!(rule.role.meets(mask(&table, "player")));
        assert!(!rule.role.meets(mask(&table, "gm")));
        assert_eq!(rule.claims, [(1, Box::from("sub"))]);
    }
}
