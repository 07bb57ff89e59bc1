//! What stands in the way of a mirror, found before anything is changed.

use super::capture::{is_ours, present};
use super::error::SwitchError;
use super::pair::{Pair, Role};
use super::side::Side;
use super::table::same_name;
use crate::config::Dialect;

const MYSQL_CASCADES: &str = "SELECT table_name, constraint_name FROM information_schema.referential_constraints \
    WHERE constraint_schema = DATABASE() AND (delete_rule NOT IN ('RESTRICT', 'NO ACTION') \
    OR update_rule NOT IN ('RESTRICT', 'NO ACTION')) ORDER BY table_name";
const MYSQL_ENGINES: &str = "SELECT table_name, engine FROM information_schema.tables \
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND engine NOT IN ('InnoDB', 'ROCKSDB') \
    ORDER BY table_name";
const MYSQL_LOCAL_KEYS: &str = "SELECT k.table_name, k.column_name FROM information_schema.key_column_usage k \
    JOIN information_schema.columns c ON c.table_schema = k.table_schema AND c.table_name = k.table_name \
    AND c.column_name = k.column_name WHERE k.table_schema = DATABASE() AND k.constraint_name = 'PRIMARY' \
    AND c.data_type = 'timestamp' ORDER BY k.table_name";

const ORACLE_FOREIGN_KEYS: &str = "SELECT table_name, constraint_name FROM user_constraints \
    WHERE constraint_type = 'R' AND status = 'ENABLED' ORDER BY table_name";
const ORACLE_FINE_KEYS: &str = "SELECT k.table_name, k.column_name FROM user_constraints p \
    JOIN user_cons_columns k ON k.constraint_name = p.constraint_name AND k.table_name = p.table_name \
    JOIN user_tab_cols c ON c.table_name = k.table_name AND c.column_name = k.column_name \
    WHERE p.constraint_type = 'P' AND c.data_type LIKE 'TIMESTAMP%' AND c.data_scale > 6 ORDER BY k.table_name";

/// Questions, each for what it finds a table and a name, and why that stands in the way.
type Questions = &'static [(Dialect, &'static str, &'static str)];

const OF_OWNER: Questions = &[
    (Dialect::Mysql, MYSQL_CASCADES, "what this foreign key does in cascade passes every trigger"),
    (Dialect::Mysql, MYSQL_ENGINES, "a table of this engine has no transactions"),
    (
        Dialect::Mysql,
        MYSQL_LOCAL_KEYS,
        "a key of this type (TIMESTAMP) depends on the writer's time zone",
    ),
    (Dialect::Oracle, ORACLE_FINE_KEYS, "a key of moments has six digits after the second at most"),
];
const OF_MIRROR: Questions = &[(
    Dialect::Oracle,
    ORACLE_FOREIGN_KEYS,
    "rows come in no order that this foreign key could follow: disable it while this database is the mirror",
)];

/// Finds it.
///
/// - `is_known`: whether the mirror is known as this owner's: triggers of the gateway's that it still has of the time
///   when it was the owner are removed by the copier.
///
/// # Errors
///
/// [`SwitchError::Refused`] with all of it.
pub(super) async fn obstacles(
    owner: &mut Side,
    mirror: &mut Side,
    pairs: &[Pair],
    is_known: bool,
) -> Result<(), SwitchError> {
    let mut faults = Vec::new();
    let is_wanted = |table: &str| pairs.iter().any(|pair| same_name(&pair.name, table));
    for (side, questions) in [(&mut *owner, OF_OWNER), (&mut *mirror, OF_MIRROR)] {
        let dialect = side.dialect();
        for (_, question, fault) in questions.iter().filter(|(of, ..)| *of == dialect) {
            for row in side.texts(question, Vec::new()).await? {
                let mut texts = row.into_iter().flatten();
                let (Some(table), Some(what)) = (texts.next(), texts.next()) else { continue };
                if is_wanted(&table) {
                    faults.push(format!("`{table}`, {what}: {fault}"));
                }
            }
        }
    }
    for (name, table) in present(mirror).await? {
        if !is_wanted(&table) || (is_known && is_ours(&name)) {
            continue;
        }
        let fault = if is_ours(&name) {
            "is the gateway's: retire the mirror that this database has itself"
        } else {
            "would act a second time on rows that are copied: drop it on the mirror"
        };
        faults.push(format!("the trigger {name} on `{table}` of `{}` {fault}", mirror.name()));
    }
    for pair in pairs {
        // Its key's text has to fit into the outbox.
        if pair.name.len() > 128 || pair.names(Role::Owner).columns.is_empty() {
            faults.push(format!("`{}` has too long a name, or no columns", pair.name));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(SwitchError::refused(faults.join("; "))) }
}
