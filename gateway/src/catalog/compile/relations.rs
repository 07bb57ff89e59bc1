//! Header lines that name parameters: who may call, under which address, what is cached, refused, brought
//! along and hidden.

use super::Compiler;
use super::slots::Slots;
use crate::auth::AllowRule;
use crate::catalog::contract::{
    Decl, IncludeDecl, Key, RequireDecl, RequireRight, TagDecl, TagDeclPart, path_names,
};
use crate::catalog::finding::{Place, Rule};
use crate::catalog::{
    CachePolicy, Column, HttpMethod, HttpRoute, Include, IncludeArg, Kind, Operand, Require,
    TagPart, TagPattern, Type,
};

impl Compiler<'_, '_> {
    pub(super) fn allow(&mut self, slots: &Slots) -> Vec<AllowRule> {
        let Some(entry) = self.resolved.one(Key::Allow) else { return Vec::new() };
        let Decl::Allow(rules) = &*entry.decl else { return Vec::new() };
        let mut allow = Vec::with_capacity(rules.len());
        for rule in rules {
            if &*rule.role == "public" && !rule.claims.is_empty() {
                let message = "`public` has no claims";
                self.findings.error(
                    Rule::Allow,
                    &entry.place,
                    message,
                    "name a role that has them",
                );
            }
            let mut claims = Vec::with_capacity(rule.claims.len());
            for (param, claim) in &rule.claims {
                let slot = slots.need_single(param, (Rule::Allow, &entry.place), self.findings);
                claims.extend(slot.map(|slot| (slot, claim.clone())));
            }
            allow.push(AllowRule { role: rule.role.clone(), claims });
        }
        allow
    }

    pub(super) fn http(&mut self, kind: Kind, slots: &Slots) -> Option<HttpRoute> {
        let entry = self.resolved.one(Key::Http)?;
        let Decl::Http(route) = &*entry.decl else { return None };
        for name in path_names(&route.path).filter(|name| *name != "game") {
            // The path is an input like any other, but it uses nothing: the parameter needs its use elsewhere.
            let slot = slots.list.iter().find(|slot| &*slot.name == name);
            if slot.is_none_or(|slot| !slot.required || !slot.ty.is_single()) {
                let message = format!("`{{{name}}}` is not a required single parameter");
                self.findings.error(
                    Rule::Http,
                    &entry.place,
                    message,
                    "declare it, or take it out of the path",
                );
            }
        }
        if kind.is_write() && route.method == HttpMethod::Get {
            let message = "GET on a write: browsers and proxies repeat it at will";
            self.findings.error(
                Rule::Http,
                &entry.place,
                message,
                "use POST, PUT, PATCH or DELETE",
            );
        }
        Some(route.clone())
    }

    pub(super) fn cache(&mut self, slots: &Slots) -> Option<CachePolicy> {
        let entry = self.resolved.one(Key::Cache)?;
        let Decl::Cache(cache) = &*entry.decl else { return None };
        Some(CachePolicy {
            l1_ttl: cache.l1_ttl,
            l2_ttl: cache.l2_ttl,
            negative_ttl: cache.negative_ttl,
            tags: cache.tags.iter().filter_map(|tag| self.tag(tag, &entry.place, slots)).collect(),
            scope: cache.scope,
        })
    }

    pub(super) fn invalidate(&mut self, slots: &Slots) -> Vec<TagPattern> {
        let mut patterns: Vec<TagPattern> = Vec::new();
        for entry in self.resolved.all(Key::Invalidate) {
            let Decl::Invalidate(tags) = &*entry.decl else { continue };
            for tag in tags {
                let pattern = self.tag(tag, &entry.place, slots);
                patterns.extend(pattern.filter(|pattern| !patterns.contains(pattern)));
            }
        }
        patterns
    }

    /// A tag must be known before the database is asked: its parameters always have a value.
    fn tag(&mut self, tag: &TagDecl, place: &Place, slots: &Slots) -> Option<TagPattern> {
        let mut parts = Vec::with_capacity(tag.parts.len());
        let mut list_count = 0;
        for part in &tag.parts {
            parts.push(match part {
                TagDeclPart::Text(text) => TagPart::Text(text.clone()),
                TagDeclPart::Field { rows, field } => {
                    let slot = slots.need(rows, place, self.findings)?;
                    if slots.rows(rows).is_none() {
                        let message = format!("`{rows}` is not a parameter of rows");
                        self.findings.error(
                            Rule::Cache,
                            place,
                            message,
                            "name the parameter alone",
                        );
                        return None;
                    }
                    list_count += 1;
                    let field = slots.need_field(slot, field, place, self.findings)?;
                    TagPart::Field { slot, field }
                }
                TagDeclPart::Name(name) => {
                    let index = slots.need(name, place, self.findings)?;
                    let slot = slots.list.get(index)?;
                    list_count += usize::from(!slot.ty.is_single());
                    if matches!(slot.ty, Type::Rows(_)) {
                        let message = format!("`{name}` is rows, and no value");
                        let fix = format!("name a field of it: `{{{name}.…}}`");
                        self.findings.error(Rule::Cache, place, message, fix);
                    }
                    if !(slot.required || slot.default.is_some()) {
                        let message = format!("`{name}` may be missing, and with it the tag");
                        self.findings.error(
                            Rule::Cache,
                            place,
                            message,
                            "use a required parameter",
                        );
                    }
                    TagPart::Slot(index)
                }
            });
        }
        if list_count > 1 {
            let message = "two lists in one tag";
            self.findings.error(Rule::Cache, place, message, "keep one: it makes a tag an item");
        }
        Some(TagPattern { parts })
    }

    pub(super) fn requires(&mut self, slots: &Slots) -> Vec<Require> {
        let mut requires = Vec::new();
        for entry in self.resolved.all(Key::Require) {
            let Decl::Require(require) = &*entry.decl else { continue };
            requires.extend(self.require(require, &entry.place, slots));
        }
        requires
    }

    fn require(&mut self, require: &RequireDecl, place: &Place, slots: &Slots) -> Option<Require> {
        let left = slots.need(&require.left, place, self.findings)?;
        let ty = &slots.list.get(left)?.ty;
        let is_integer = |ty: &Type| matches!(ty, Type::Int | Type::Bigint);
        let is_text = |ty: &Type| matches!(ty, Type::Str { .. });
        let right = match &require.right {
            RequireRight::Literal(text) => match ty.parse(text) {
                Ok(literal) if ty.is_single() => Operand::Literal(literal),
                Ok(_) => {
                    return self.refuse(place, "a list does not compare", "compare single values");
                }
                Err(fault) => {
                    let fix = format!("write a value of the type of `{}`", require.left);
                    return self.refuse(place, &fault.to_string(), &fix);
                }
            },
            RequireRight::Param(name) => {
                let right = slots.need(name, place, self.findings)?;
                let other = &slots.list.get(right)?.ty;
                let alike = ty == other
                    || (is_integer(ty) && is_integer(other))
                    || (is_text(ty) && is_text(other));
                if !alike || !ty.is_single() {
                    let message = format!("`{}` and `{name}` do not compare", require.left);
                    return self.refuse(place, &message, "compare single values of one type");
                }
                Operand::Slot(right)
            }
        };
        let (comparison, error) = (require.comparison, require.error.clone());
        Some(Require { left, comparison, right, error })
    }

    fn refuse<T>(&mut self, place: &Place, message: &str, fix: &str) -> Option<T> {
        self.findings.error(Rule::KeyValue, place, message, fix);
        None
    }

    pub(super) fn includes(&mut self, slots: &Slots, columns: &[Column]) -> Vec<Include> {
        let mut includes = Vec::new();
        for entry in self.resolved.all(Key::Include) {
            let Decl::Include(include) = &*entry.decl else { continue };
            if columns.iter().any(|column| column.name == include.name) {
                let message = format!("`{}` is a column of the reply already", include.name);
                self.findings.error(Rule::Include, &entry.place, message, "give it another name");
            }
            includes.push(self.include(include, &entry.place, slots));
        }
        includes
    }

    fn include(&mut self, include: &IncludeDecl, place: &Place, slots: &Slots) -> Include {
        let mut args = Vec::with_capacity(include.call.args.len());
        for (param, own) in &include.call.args {
            let slot = slots.need(own, place, self.findings);
            args.extend(slot.map(|slot| IncludeArg { param: param.clone(), slot }));
        }
        Include { name: include.name.clone(), op: include.call.op.clone(), args }
    }

    pub(super) fn masked(&mut self, slots: &Slots) -> Vec<usize> {
        let mut masked = Vec::new();
        for entry in self.resolved.all(Key::Mask) {
            let Decl::Names(names) = &*entry.decl else { continue };
            for name in names {
                // Not `need`: hiding a parameter uses it for nothing.
                match slots.list.iter().position(|slot| slot.name == *name) {
                    Some(index) if !masked.contains(&index) => masked.push(index),
                    Some(_) => {}
                    None => {
                        let message = format!("there is no parameter `{name}` to hide");
                        let fix = "name a parameter: columns are never logged";
                        self.findings.error(Rule::ParamUndeclared, &entry.place, message, fix);
                    }
                }
            }
        }
        masked
    }
}
