//! The database after a round, against what the clients remember.

use std::collections::BTreeMap;

use crate::sample;
use crate::server::Server;

use super::book::{Effect, Entry, Rows, Tally};

/// What players own: by player and item type, and by player.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Owned {
    items: BTreeMap<(i64, i64), i64>,
    money: BTreeMap<i64, i64>,
}

/// Compares the game's database with its own ledgers and with the clients' books.
#[derive(Debug)]
pub struct Verifier {
    schema: String,
    /// What the players have to own: as at the start, and every ledger row since.
    owned: Owned,
    /// Rows that are in the order table and in both ledgers.
    row_count: u64,
}

impl Verifier {
    /// Takes down what is there before the first call.
    pub fn new(server: &Server, schema: String) -> Self {
        let owned = owned(server, &schema);
        let row_count = row_count(server, &schema);
        Self { schema, owned, row_count }
    }

    /// Has it look at another schema from now on: the game was switched to it.
    pub fn look_at(&mut self, schema: String) {
        self.schema = schema;
    }

    /// Judges every call of a round, then the players' property as a whole.
    ///
    /// - `prefix`: of the keys of this round.
    pub fn judge<'e>(
        &mut self,
        server: &Server,
        prefix: &str,
        entries: impl Iterator<Item = &'e Entry>,
    ) -> Tally {
        let mut tally = Tally::default();
        let mut orders = rows(server, &self.schema, &sample::orders_sql(prefix));
        let mut transfers = joined(rows(server, &self.schema, &sample::transfers_sql(prefix)));
        let mut payments = rows(server, &self.schema, &sample::payments_sql(prefix));
        let found = [&orders, &transfers, &transfers, &payments];
        let found: usize = found.iter().flat_map(|table| table.values()).map(Vec::len).sum();
        self.row_count += u64::try_from(found).unwrap();
        for entry in entries {
            let (table, row) = match &entry.effect {
                Effect::Order { row } => (&mut orders, row.clone()),
                Effect::Transfer { from, to, item_type, qty } => {
                    (&mut transfers, sample::transfer_row((*from, *to), *item_type, *qty))
                }
                Effect::Money { player, delta } => (&mut payments, format!("{player}\t{delta}")),
            };
            let found = table.remove(&entry.key).unwrap_or_default();
            tally.judge(entry, &row, &found);
            for _ in &found {
                self.happened(&entry.effect);
            }
        }
        for (key, rows) in [orders, transfers, payments].into_iter().flatten() {
            tally.violations.push(format!("{key}: nobody sent that: {rows:?}"));
        }
        self.compare_property(server, &mut tally);
        tally
    }

    fn happened(&mut self, effect: &Effect) {
        match effect {
            Effect::Order { .. } => {}
            Effect::Transfer { from, to, item_type, qty } => {
                *self.owned.items.entry((*from, *item_type)).or_default() -= qty;
                *self.owned.items.entry((*to, *item_type)).or_default() += qty;
            }
            Effect::Money { player, delta } => {
                *self.owned.money.entry(*player).or_default() += delta;
            }
        }
    }

    /// What every player owns is what the start and the ledgers say, and no earlier row is gone or new.
    fn compare_property(&self, server: &Server, tally: &mut Tally) {
        let now = owned(server, &self.schema);
        for (who, count) in differences(&self.owned.items, &now.items) {
            tally.violations.push(format!("items of (player, type) {who:?}: {count}"));
        }
        for (who, count) in differences(&self.owned.money, &now.money) {
            tally.violations.push(format!("money of player {who}: {count}"));
        }
        let row_count = row_count(server, &self.schema);
        if row_count != self.row_count {
            let (expected, own) = (self.row_count, "orders and ledger rows");
            tally.violations.push(format!("{own}: {row_count} in all, {expected} expected"));
        }
    }
}

/// Where two accounts differ, in words. What is not there is 0.
fn differences<K: Ord + Copy>(
    expected: &BTreeMap<K, i64>,
    found: &BTreeMap<K, i64>,
) -> Vec<(K, String)> {
    let keys: std::collections::BTreeSet<K> =
        expected.keys().chain(found.keys()).copied().collect();
    let of = |account: &BTreeMap<K, i64>, key: &K| account.get(key).copied().unwrap_or(0);
    keys.into_iter()
        .filter(|key| of(expected, key) != of(found, key))
        .map(|key| (key, format!("{} found, {} expected", of(found, &key), of(expected, &key))))
        .collect()
}

fn owned(server: &Server, schema: &str) -> Owned {
    let numbers = |sql: &str| -> Vec<Vec<i64>> {
        let text = server.query(schema, sql);
        let row = |line: &str| line.split('\t').map(|it| it.parse().unwrap()).collect();
        text.lines().map(row).collect()
    };
    Owned {
        items: numbers(sample::ITEMS_SQL).iter().map(|row| ((row[0], row[1]), row[2])).collect(),
        money: numbers(sample::MONEY_SQL).iter().map(|row| (row[0], row[1])).collect(),
    }
}

fn row_count(server: &Server, schema: &str) -> u64 {
    server.query(schema, sample::ROW_COUNT_SQL).trim().parse().unwrap()
}

/// The first column is the key, the rest the row.
fn rows(server: &Server, schema: &str, sql: &str) -> Rows {
    let mut rows = Rows::new();
    for line in server.query(schema, sql).lines() {
        let (key, row) = line.split_once('\t').unwrap();
        rows.entry(key.to_owned()).or_default().push(row.to_owned());
    }
    rows
}

/// Rows of a key that begin alike, up to the last tab, are one, with commas between what differs.
fn joined(rows: Rows) -> Rows {
    let join = |rows: Vec<String>| {
        let mut of_type = BTreeMap::<String, Vec<String>>::new();
        for row in rows {
            let (before, last) = row.rsplit_once('\t').unwrap();
            of_type.entry(before.to_owned()).or_default().push(last.to_owned());
        }
        let one = |(before, all): (String, Vec<String>)| format!("{before}\t{}", all.join(","));
        of_type.into_iter().map(one).collect()
    };
    rows.into_iter().map(|(key, rows)| (key, join(rows))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_rows_of_a_transfer_are_one_and_those_of_a_second_one_show() {
        let rows = |lines: &[&str]| -> Rows {
            BTreeMap::from([("k".to_owned(), lines.iter().map(|&line| line.to_owned()).collect())])
        };
        let once = sample::transfer_row((1, 2), 3, 4);
        assert_eq!(joined(rows(&["3\t1:-4", "3\t2:4"])), rows(&[&once]));
        let twice = joined(rows(&["3\t1:-4", "3\t1:-4", "3\t2:4", "3\t2:4"]));
        assert_ne!(twice, rows(&[&once]));
        assert_eq!(joined(rows(&["3\t1:-4", "5\t2:4"]))["k"].len(), 2);
    }
}
