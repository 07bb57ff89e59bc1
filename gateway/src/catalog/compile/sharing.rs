//! What one caller's reply may share with another's: nothing that belongs to one request or principal.

use super::Compiler;
use crate::catalog::contract::{Decl, Key};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::{Scope, Source, Template};

impl Compiler<'_, '_> {
    /// What the gateway supplies must exist for every caller, and must not be kept for another one.
    pub(super) fn supplied(&mut self, supplied: &[(Source, Place)]) {
        let is_public = self.is_public();
        let is_cached = self.resolved.one(Key::Cache).is_some();
        for (source, place) in supplied {
            match source {
                Source::Claim(claim) if is_public => {
                    let message = format!("`public` callers have no claim `{claim}`");
                    let fix = "remove `public` from @allow";
                    self.findings.error(Rule::Allow, place, message, fix);
                }
                Source::Id | Source::Trace if is_cached => {
                    let message = "a value of one request in a reply that is cached for others";
                    self.findings.error(Rule::Cache, place, message, "remove it, or @cache");
                }
                Source::Now if is_cached => {
                    let message = "a cached reply keeps the moment of its fetch";
                    let fix = "keep the ttl short, or compare in the client";
                    self.findings.warning(Rule::Cache, place, message, fix);
                }
                _ => {}
            }
        }
    }

    fn is_public(&self) -> bool {
        self.resolved.one(Key::Allow).is_some_and(|entry| match &*entry.decl {
            Decl::Allow(rules) => rules.iter().any(|rule| &*rule.role == "public"),
            _ => false,
        })
    }

    /// A CDN asks nobody who may see a reply.
    pub(super) fn public(&mut self, template: &Template) {
        let Some(entry) = self.resolved.one(Key::HttpCache) else { return };
        let is_personal = template.cache.as_ref().is_some_and(|c| c.scope == Scope::Principal)
            || template
                .plan
                .sources()
                .any(|source| matches!(source, Source::Caller | Source::Claim(_)));
        let (message, fix) = if !self.is_public() {
            (
                "a reply that needs a credential cannot be in a CDN",
                "add `public` to @allow, or remove it",
            )
        } else if is_personal {
            ("a reply of one principal cannot be in a CDN", "remove it")
        } else {
            return;
        };
        self.findings.error(Rule::Http, &entry.place, message, fix);
    }
}
