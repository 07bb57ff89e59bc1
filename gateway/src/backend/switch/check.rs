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
    if owner.dialect() == Dialect::Mysql {
        for (question, fault) in [
            (MYSQL_CASCADES, "what this foreign key does in cascade passes every trigger"),
            (MYSQL_ENGINES, "a table of this engine has no transactions"),
            (MYSQL_LOCAL_KEYS, "a key of this type (TIMESTAMP) depends on the writer's time zone"),
        ] {
            for row in owner.texts(question, Vec::new()).await? {
                let mut texts = row.into_iter().flatten();
                let (Some(table), Some(what)) = (texts.next(), texts.next()) else { continue };
                if is_wanted(&table) {
                    faults.push(format!("`{table}`, {what}: {fault}"));
                }
            }
        }
    }
    if owner.dialect() == Dialect::Oracle {
        for pair in pairs {
            let moments = pair
                .key_columns()
                .find(|column| matches!(column.ty, crate::catalog::Type::Timestamp { .. }));
            if let Some(column) = moments {
                let (table, name) = (&pair.name, &column.name);
                faults.push(format!(
                    "`{table}`.`{name}`: a key of moments is not mirrored from Oracle"
                ));
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
