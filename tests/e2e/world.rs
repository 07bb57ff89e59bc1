//! The sample game in memory: what its templates promise, written down a second time and in another way.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// A result, of which every member has to be in the answer as it is here; or the code of a refusal.
pub(super) type Expected = Result<Value, u16>;

/// A player's row, as far as it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Player {
    level: i64,
    version: i64,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Order {
    player: i64,
    /// 0 new, 1 paid, 2 delivered, 3 refunded, 4 failed.
    status: i64,
    version: i64,
    payment: Option<String>,
}

/// What has been done under a key.
#[derive(Clone, Debug, PartialEq)]
struct Done {
    params: Value,
    reply: Value,
}

/// Players, items, wallets, orders, mails; and what has been done, by operation and key.
#[derive(Clone, Debug)]
pub(super) struct World {
    players: BTreeMap<i64, Player>,
    items: BTreeMap<(i64, i64), i64>,
    wallets: BTreeMap<i64, i64>,
    orders: BTreeMap<String, Order>,
    mails: BTreeMap<(String, i64), (i64, i64)>,
    done: BTreeMap<(String, String), Done>,
}

/// One call's place in the world: what it is, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    /// The operation.
    pub(super) operation: &'static str,
    /// The parameter that is its idempotency key.
    pub(super) key: Option<&'static str>,
    /// Its parameters.
    pub(super) params: Value,
}

impl Call {
    fn number(&self, name: &str) -> i64 {
        self.params[name].as_i64().expect("a number")
    }

    fn text(&self, name: &str) -> String {
        self.params[name].as_str().expect("a text").to_owned()
    }
}

impl World {
    /// The seed of the sample games, for some of its players.
    pub(super) fn seeded(players: std::ops::RangeInclusive<i64>) -> Self {
        let player = |id: i64| (id, Player { level: 1 + (id - 1001) * 7 % 100, version: 1 });
        let items = |id: i64| (1..=3 + id % 5).map(move |kind| ((id, kind), 1 + (id + kind) % 99));
        Self {
            players: players.clone().map(player).collect(),
            items: players.clone().flat_map(items).collect(),
            wallets: players.map(|id| (id, 1000)).collect(),
            orders: BTreeMap::new(),
            mails: BTreeMap::new(),
            done: BTreeMap::new(),
        }
    }

    /// What the call has to answer, and whether as a repeat; the world is changed as it says.
    pub(super) fn take(&mut self, call: &Call) -> (Expected, bool) {
        let Some(key) = call.key else { return (self.act(call), false) };
        let place = (call.operation.to_owned(), call.text(key));
        if call.operation == "item.transfer"
            && call.params["from_player"] == call.params["to_player"]
        {
            return (Err(2102), false);
        }
        match self.done.get(&place) {
            Some(done) if done.params == call.params => return (Ok(done.reply.clone()), true),
            Some(_) => return (Err(2020), false),
            None => {}
        }
        let answer = self.act(call);
        if let Ok(reply) = &answer {
            self.done.insert(place, Done { params: call.params.clone(), reply: reply.clone() });
        }
        (answer, false)
    }

    /// One operation, all or nothing.
    fn act(&mut self, call: &Call) -> Expected {
        match call.operation {
            "player.get" => self.player(call.number("player_id")),
            "player.update" => self.update_player(call),
            "item.list_by_player" => Ok(self.bag(call.number("player_id"))),
            "item.grant" => self.grant(call),
            "item.consume" => self.consume(call),
            "item.transfer" => self.transfer(call),
            "currency.credit" => self.credit(call),
            "currency.debit" => self.debit(call),
            "order.create" => Ok(self.create_order(call)),
            "order.get" => self.order(&call.text("order_no")),
            "order.pay" => self.pay(call),
            "order.refund" => self.refund(call),
            "mail.send_many" => Ok(self.send_mails(call)),
            other => unreachable!("{other} is not in the model"),
        }
    }

    fn player(&self, id: i64) -> Expected {
        let player = self.players.get(&id).ok_or(2101_u16)?;
        Ok(json!({ "player_id": id, "player_level": player.level, "version": player.version }))
    }

    fn update_player(&mut self, call: &Call) -> Expected {
        let player = self.players.get_mut(&call.number("player_id")).ok_or(2101_u16)?;
        if player.version != call.number("version") {
            return Err(2023);
        }
        player.version += 1;
        player.level = call.number("player_level");
        Ok(json!({ "affected": 1 }))
    }

    fn bag(&self, id: i64) -> Value {
        let own = self.items.range((id, i64::MIN)..=(id, i64::MAX));
        own.map(
            |((player, kind), qty)| json!({ "player_id": player, "item_type": kind, "qty": qty }),
        )
        .collect()
    }

    fn grant(&mut self, call: &Call) -> Expected {
        let place = (call.number("player_id"), call.number("item_type"));
        self.players.get(&place.0).ok_or(2101_u16)?;
        let qty = self.items.get(&place).unwrap_or(&0) + call.number("qty");
        if qty > 9999 {
            return Err(2124);
        }
        self.items.insert(place, qty);
        Ok(json!({ "affected": 1, "qty": qty }))
    }

    fn take_items(&mut self, player: i64, call: &Call) -> Result<i64, u16> {
        let qty = self.items.get_mut(&(player, call.number("item_type"))).ok_or(2103_u16)?;
        if *qty < call.number("qty") {
            return Err(2103);
        }
        *qty -= call.number("qty");
        Ok(*qty)
    }

    fn consume(&mut self, call: &Call) -> Expected {
        let left = self.take_items(call.number("player_id"), call)?;
        Ok(json!({ "left": left }))
    }

    fn transfer(&mut self, call: &Call) -> Expected {
        let (from, to) = (call.number("from_player"), call.number("to_player"));
        let sender = self.players.get(&from);
        if sender.is_none_or(|sender| sender.level < 10) {
            return Err(2106);
        }
        self.players.get(&to).ok_or(2101_u16)?;
        self.take_items(from, call)?;
        *self.items.entry((to, call.number("item_type"))).or_default() += call.number("qty");
        Ok(json!({}))
    }

    fn credit(&mut self, call: &Call) -> Expected {
        let balance = self.wallets.get_mut(&call.number("player_id")).ok_or(2101_u16)?;
        *balance += call.number("amount");
        Ok(json!({ "balance": balance }))
    }

    fn debit(&mut self, call: &Call) -> Expected {
        let balance = self.wallets.get_mut(&call.number("player_id")).ok_or(2151_u16)?;
        if *balance < call.number("amount") {
            return Err(2151);
        }
        *balance -= call.number("amount");
        Ok(json!({ "balance": balance }))
    }

    fn create_order(&mut self, call: &Call) -> Value {
        let number = call.text("order_no");
        let player = call.number("player_id");
        let order = Order { player, status: 0, version: 1, payment: None };
        self.orders.insert(number.clone(), order);
        json!({ "state": "journalled", "key": number })
    }

    fn order(&self, number: &str) -> Expected {
        let order = self.orders.get(number).ok_or(2131_u16)?;
        Ok(json!({
            "order_no": number, "player_id": order.player, "status": order.status,
            "version": order.version, "state": "committed",
        }))
    }

    fn order_of(&mut self, call: &Call) -> Result<&mut Order, u16> {
        let order = self.orders.get_mut(&call.text("order_no")).ok_or(2131_u16)?;
        if order.player == call.number("player_id") { Ok(order) } else { Err(2131) }
    }

    fn pay(&mut self, call: &Call) -> Expected {
        let order = self.order_of(call)?;
        if call.params["amount"] != "5.99" {
            return Err(2136);
        }
        if order.status != 0 {
            return Err(2135);
        }
        order.status = 1;
        order.version += 1;
        order.payment = Some(call.text("payment_id"));
        Ok(json!({}))
    }

    fn refund(&mut self, call: &Call) -> Expected {
        let order = self.order_of(call)?;
        if !matches!(order.status, 1 | 2) {
            return Err(2138);
        }
        order.status = 3;
        order.version += 1;
        Ok(json!({ "payment_id": order.payment, "amount": "5.99", "currency": "CNY" }))
    }

    /// The one mail of a campaign that a player has already is refused, the others are sent.
    fn send_mails(&mut self, call: &Call) -> Value {
        let campaign = call.text("campaign");
        let mut rows = Vec::new();
        for mail in call.params["mails"].as_array().expect("rows") {
            let number = |name: &str| mail[name].as_i64().expect("a number");
            let place = (campaign.clone(), number("player_id"));
            let gift = (number("item_type"), number("qty"));
            let is_new = !self.mails.contains_key(&place);
            rows.push(if is_new { json!({ "affected": 1 }) } else { json!({ "code": 2162 }) });
            self.mails.entry(place).or_insert(gift);
        }
        let affected = rows.iter().filter(|row| row.get("affected").is_some()).count();
        json!({ "affected": affected, "rows": rows })
    }
}
