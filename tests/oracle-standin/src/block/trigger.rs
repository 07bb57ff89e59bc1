//! Triggers: a function of PostgreSQL's and a trigger that calls it.

use super::parse::Reader;
use super::{Block, Step, Target};
use crate::error::OracleError;
use crate::rewrite::lexer::Token;
use crate::rewrite::{self, Action, Part};

/// Reads `CREATE [OR REPLACE] TRIGGER … FOR EACH ROW …`; returns the statements that make it.
///
/// # Errors
/// ORA-06550: it cannot be read; ORA-03001: what is not imitated.
pub fn create(tokens: &[Token], binds: &[String]) -> Result<Vec<Part>, OracleError> {
    let start = tokens.iter().position(|token| token.is("TRIGGER")).map_or(0, |index| index + 1);
    let mut reader = Reader::new(tokens.get(start..).unwrap_or_default());
    let name = reader.name()?.to_lowercase();
    let event = sql(reader.until(&["ON"], &[]), binds)?;
    reader.take("ON");
    let table = sql(reader.until(&["FOR", "REFERENCING", "WHEN", "DECLARE", "BEGIN"], &[]), binds)?;
    let scope = reader.until(&["WHEN", "DECLARE", "BEGIN"], &[]);
    if !scope.iter().any(|token| token.is("EACH"))
        || scope.iter().any(|token| token.is("REFERENCING"))
    {
        return Err(OracleError::not_imitated("triggers of statements, and REFERENCING"));
    }
    let mut condition = String::new();
    if reader.take("WHEN") {
        condition = format!("WHEN {} ", sql(reader.until(&["DECLARE", "BEGIN"], &[]), binds)?);
    }
    reader.take("DECLARE");
    let block = reader.block()?;
    let mut body = String::new();
    write_block(&block, binds, &mut body, "RETURN coalesce(NEW, OLD);")?;
    let made = |sql: String| Part { sql, parameters: Vec::new() };
    let replaces = tokens.iter().take(start).any(|token| token.is("REPLACE"));
    let create = if replaces { "CREATE OR REPLACE" } else { "CREATE" };
    Ok(vec![
        made(format!(
            "{create} FUNCTION \"trigger_{name}\"() RETURNS trigger LANGUAGE plpgsql AS $trigger$ {body} $trigger$"
        )),
        made(format!(
            "{create} TRIGGER \"{name}\" {event} ON {table} FOR EACH ROW {condition}EXECUTE FUNCTION \"trigger_{name}\"()"
        )),
    ])
}

/// The statement that drops a trigger, wherever it is.
pub fn drop_named(name: &str) -> Part {
    let name = name.to_lowercase().replace('\'', "''");
    let sql = format!(
        "DO $drop$ DECLARE place text; BEGIN SELECT tgrelid::regclass::text INTO place FROM pg_trigger \
         JOIN pg_class c ON c.oid = tgrelid WHERE tgname = '{name}' AND c.relnamespace = current_schema()::regnamespace; \
         IF place IS NULL THEN RAISE EXCEPTION 'trigger {name} does not exist' USING ERRCODE = '42704'; END IF; \
         EXECUTE 'DROP TRIGGER \"{name}\" ON ' || place; END $drop$"
    );
    Part { sql, parameters: Vec::new() }
}

/// `:NEW.a` and `:OLD.a` without their colons, and what the trigger asks about its event.
fn own_names(tokens: Vec<Token>, binds: &[String]) -> Vec<Token> {
    let event = |name: &str| Token::Made(format!("(TG_OP = '{name}')"));
    tokens
        .into_iter()
        .map(|token| match token {
            Token::Bind(index) => Token::Made(binds.get(index).cloned().unwrap_or_default()),
            token if token.is("INSERTING") => event("INSERT"),
            token if token.is("UPDATING") => event("UPDATE"),
            token if token.is("DELETING") => event("DELETE"),
            other => other,
        })
        .collect()
}

/// An expression, or a fragment.
fn sql(tokens: Vec<Token>, binds: &[String]) -> Result<String, OracleError> {
    let tokens = rewrite::expression::rewrite(own_names(tokens, binds))?;
    Ok(rewrite::part(tokens).sql)
}

fn write_block(
    block: &Block,
    binds: &[String],
    out: &mut String,
    end: &str,
) -> Result<(), OracleError> {
    if !block.declarations.is_empty() {
        out.push_str("DECLARE ");
    }
    for declaration in &block.declarations {
        let (data_type, _) = rewrite::ddl::data_type(&declaration.data_type)?;
        let value = if declaration.value.is_empty() {
            "NULL".to_owned()
        } else {
            sql(declaration.value.clone(), binds)?
        };
        let name = declaration.name.to_lowercase();
        out.extend([name.as_str(), " ", &data_type, " := ", &value, "; "]);
    }
    if !block.handlers.is_empty() {
        return Err(OracleError::not_imitated("handlers in a trigger"));
    }
    out.push_str("BEGIN ");
    write_steps(&block.steps, binds, out)?;
    out.push_str(end);
    out.push_str(" END; ");
    Ok(())
}

fn write_steps(steps: &[Step], binds: &[String], out: &mut String) -> Result<(), OracleError> {
    for step in steps {
        write_step(step, binds, out)?;
    }
    Ok(())
}

fn write_step(step: &Step, binds: &[String], out: &mut String) -> Result<(), OracleError> {
    match step {
        Step::Null => out.push_str("NULL; "),
        Step::Return => out.push_str("RETURN coalesce(NEW, OLD); "),
        Step::Assign(target, value) => {
            let target = match target {
                Target::NewColumn(column) => format!("NEW.{}", column.to_lowercase()),
                Target::Variable(name) => name.to_lowercase(),
                Target::Client(_) => {
                    return Err(OracleError::new(1036, "illegal variable name/number"));
                }
            };
            out.extend([target.as_str(), " := ", &sql(value.clone(), binds)?, "; "]);
        }
        Step::If(branches, otherwise) => {
            for (index, (condition, steps)) in branches.iter().enumerate() {
                let keyword = if index == 0 { "IF" } else { "ELSIF" };
                out.extend([keyword, " ", &sql(condition.clone(), binds)?, " THEN "]);
                write_steps(steps, binds, out)?;
            }
            if !otherwise.is_empty() {
                out.push_str("ELSE ");
                write_steps(otherwise, binds, out)?;
            }
            out.push_str("END IF; ");
        }
        Step::Sql(tokens, targets) if targets.is_empty() => {
            let program = rewrite::program_of(own_names(tokens.clone(), binds), Vec::new());
            let Action::Run(parts, _) = program.action? else {
                return Err(OracleError::new(4092, "cannot COMMIT or ROLLBACK in a trigger"));
            };
            for part in parts {
                out.push_str(&part.sql);
                out.push_str("; ");
            }
        }
        Step::Block(block) => write_block(block, binds, out, "")?,
        other => return Err(OracleError::not_imitated(format_args!("{other:?} in a trigger"))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewrite::lexer::lex;

    #[test]
    fn trigger_becomes_a_function_and_a_trigger() {
        let lexed = lex(
            "CREATE OR REPLACE TRIGGER t_outbox AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW
             DECLARE n NUMBER := 1;
             BEGIN
               IF DELETING THEN INSERT INTO box (k) VALUES ('[' || :OLD.id || ']');
               ELSE INSERT INTO box (k) VALUES (TO_CHAR(:NEW.id)); END IF;
             END;",
        )
        .unwrap();
        let parts = create(&lexed.tokens, &lexed.binds).unwrap();
        assert_eq!(
            parts[0].sql,
            "CREATE OR REPLACE FUNCTION \"trigger_t_outbox\"() RETURNS trigger LANGUAGE plpgsql AS $trigger$ DECLARE n numeric := 1; \
             BEGIN IF (TG_OP = 'DELETE') THEN INSERT INTO box ( k ) VALUES ( '[' ::text ||| OLD . id ||| ']' ::text ); ELSE INSERT INTO box ( k ) \
             VALUES ( oracle_standin.ora_to_char ( NEW . id ) ); END IF; RETURN coalesce(NEW, OLD); END;  $trigger$"
        );
        assert_eq!(
            parts[1].sql,
            "CREATE OR REPLACE TRIGGER \"t_outbox\" AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION \"trigger_t_outbox\"()"
        );
    }
}
