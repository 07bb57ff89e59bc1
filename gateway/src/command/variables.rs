//! What `gateway render` writes around a statement that gives values back: an SQL editor's variables.
//!
//! On MySQL a procedure's OUT arguments are user variables, which are selected behind the call; on Oracle they are
//! variables of the client (SQL*Plus, `SQLcl`, SQL Developer), which are declared before it and printed behind it.

use crate::catalog::{BindRef, Column, Dialect, Output, Source, Step, Template, Type};

/// The variables of one statement.
pub(super) struct Variables<'t> {
    dialect: Dialect,
    /// For each bind of a `call`: the output that it gives back.
    directions: Vec<Option<usize>>,
    outputs: Vec<(&'t str, &'static str)>,
    is_call: bool,
}

impl<'t> Variables<'t> {
    /// Those of a template's own statement, or of a step's.
    pub(super) fn of(template: &'t Template, step: Option<&'t Step>) -> Self {
        let value = |column: &'t Column| (&*column.name, oracle_type(&column.ty));
        let outputs = if template.procedure.is_some() {
            let output = |output: &'t Output| match output {
                Output::Value(column) => value(column),
                Output::Rows { name, .. } => (&**name, "REFCURSOR"),
            };
            template.outputs.iter().map(output).collect()
        } else {
            let returning = step.map_or(&template.write.returning, |step| &step.returning);
            returning.iter().map(value).collect()
        };
        let procedure = template.procedure.as_deref();
        Self {
            dialect: template.dialect,
            directions: procedure.map_or_else(Vec::new, |call| call.directions().collect()),
            outputs,
            is_call: procedure.is_some(),
        }
    }

    /// What stands at the n-th bind instead of a literal, if it gives something back.
    pub(super) fn name(&self, index: usize, bind: &BindRef) -> Option<String> {
        let output = match bind {
            BindRef::Source(Source::Out(output)) => Some(*output),
            _ => self.directions.get(index).copied().flatten(),
        };
        let (name, _) = self.outputs.get(output?)?;
        Some(format!("{}{name}", self.sign()))
    }

    const fn sign(&self) -> char {
        if matches!(self.dialect, Dialect::Oracle) { ':' } else { '@' }
    }

    /// A statement with what comes before it and behind it.
    ///
    /// - `inputs`: name and literal of each variable that a value goes into.
    pub(super) fn around(&self, statement: &str, inputs: &[(String, String)]) -> String {
        let mut text = String::new();
        let mut line = |parts: &[&str]| {
            text.extend(parts.iter().copied());
            text.push('\n');
        };
        let is_oracle = self.dialect == Dialect::Oracle;
        if self.outputs.is_empty() || !(is_oracle || self.is_call) {
            let end = if is_oracle && self.is_call { "\n/" } else { ";" };
            line(&[statement, end]);
            return text;
        }
        if is_oracle {
            for (name, ty) in &self.outputs {
                line(&["VARIABLE ", name, " ", ty]);
            }
        }
        for (name, literal) in inputs {
            let parts: &[&str] = if is_oracle {
                &["EXECUTE ", name, " := ", literal]
            } else {
                &["SET ", name, " = ", literal, ";"]
            };
            line(parts);
        }
        line(&[statement, if is_oracle && self.is_call { "\n/" } else { ";" }]);
        let values: Vec<String> =
            self.outputs.iter().map(|(name, _)| format!("{}{name}", self.sign())).collect();
        if is_oracle {
            line(&["PRINT ", &values.join(" ").replace(':', "")]);
            return text;
        }
        let has_value = |name: &&String| {
            self.directions.iter().flatten().any(|output| {
                self.outputs.get(*output).is_some_and(|(own, _)| **name == format!("@{own}"))
            })
        };
        let values: Vec<String> = values.iter().filter(has_value).cloned().collect();
        if !values.is_empty() {
            line(&["SELECT ", &values.join(", "), ";"]);
        }
        text
    }
}

/// A type that the client's variables have.
const fn oracle_type(ty: &Type) -> &'static str {
    match ty {
        Type::Bool | Type::Int | Type::Bigint | Type::Decimal { .. } => "NUMBER",
        Type::Float => "BINARY_DOUBLE",
        _ => "VARCHAR2(4000)",
    }
}
