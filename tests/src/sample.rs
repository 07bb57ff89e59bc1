//! The writes of the sample games as the tests send them, and where the database keeps what they did.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::wait::wait_until;

/// The game that is written to.
pub const GAME: &str = "game1";

/// Creates an order; asynchronous. Key: `order_no`.
pub const ORDER_CREATE: &str = "order.create";
/// Tells an order and its state.
pub const ORDER_GET: &str = "order.get";
/// Moves items between players, with a ledger row. Key: `request_id`.
pub const TRANSFER: &str = "item.transfer";
/// Adds money, with a ledger row. Key: `request_id`.
pub const CREDIT: &str = "currency.credit";
/// Takes money away, if there is enough, with a ledger row. Key: `request_id`.
pub const DEBIT: &str = "currency.debit";

/// "The key was used with other parameters".
pub const KEY_REUSED: u16 = 2020;

/// Parameters of [`ORDER_CREATE`].
pub fn order(order_no: &str, player_id: i64, qty: i64) -> Value {
    json!({
        "order_no": order_no, "player_id": player_id, "product_id": "gems_60", "qty": qty,
        "amount": "5.99", "currency": "CNY", "channel": "web",
    })
}

/// The row that it becomes, as [`orders_sql`] prints it behind the number.
pub fn order_row(player_id: i64, qty: i64) -> String {
    format!("{player_id}\tgems_60\t{qty}\t5.99\tCNY\tweb\t0")
}

/// Orders whose numbers begin so.
pub fn orders_sql(prefix: &str) -> String {
    format!(
        "SELECT order_no, player_id, product_id, qty, amount, currency, channel, status \
         FROM game_order WHERE order_no LIKE '{prefix}%'"
    )
}

/// Parameters of [`TRANSFER`].
///
/// - `players`: who gives, who takes.
pub fn transfer(request_id: &str, players: (i64, i64), item_type: i64, qty: i64) -> Value {
    json!({
        "request_id": request_id, "from_player": players.0, "to_player": players.1,
        "item_type": item_type, "qty": qty,
    })
}

/// The ledger rows that it leaves, as [`transfers_sql`] prints them behind the key, with commas between.
pub fn transfer_row(players: (i64, i64), item_type: i64, qty: i64) -> String {
    format!("{item_type}\t{}:-{qty},{}:{qty}", players.0, players.1)
}

/// Ledger rows of transfers whose keys begin so: key, item type, player and how many; what went before what came.
pub fn transfers_sql(prefix: &str) -> String {
    format!(
        "SELECT request_id, item_type, CONCAT(CONCAT(player_id, ':'), qty) FROM item_ledger \
         WHERE request_id LIKE '{prefix}%' ORDER BY request_id, item_type, qty"
    )
}

/// Parameters of [`CREDIT`] and [`DEBIT`].
pub fn money(request_id: &str, player_id: i64, amount: i64) -> Value {
    json!({
        "request_id": request_id, "player_id": player_id, "currency": "gems", "amount": amount,
        "reason": "tests",
    })
}

/// Ledger rows of money whose keys begin so: key, player, what came (or, negative, went).
pub fn payments_sql(prefix: &str) -> String {
    format!(
        "SELECT request_id, player_id, amount FROM wallet_ledger WHERE request_id LIKE '{prefix}%'"
    )
}

/// Player, item type, how many.
pub const ITEMS_SQL: &str = "SELECT player_id, item_type, qty FROM player_item";

/// Player, how much.
pub const MONEY_SQL: &str = "SELECT player_id, balance FROM player_wallet";

/// How many orders and ledger rows there are. A transfer has two.
pub const ROW_COUNT_SQL: &str = "SELECT (SELECT COUNT(*) FROM game_order) \
    + (SELECT COUNT(*) FROM item_ledger) + (SELECT COUNT(*) FROM wallet_ledger)";

/// The gauge of records that wait in the journal, and its label.
const BACKLOG_METRIC: (&str, &str) = ("gateway_journal_backlog_records", "state=\"journalled\"");

/// Orders that wait in a gateway's journal.
pub fn backlog(gateway: &Gateway<'_>) -> u64 {
    let (name, label) = BACKLOG_METRIC;
    let value = gateway.metric(name, &[label]);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let count = value as u64;
    count
}

/// Waits until a gateway's journal has nothing left to apply.
#[track_caller]
pub fn wait_applied(gateway: &Gateway<'_>) {
    wait_until("the journal has nothing left to apply", || (backlog(gateway) == 0).then_some(()));
}
