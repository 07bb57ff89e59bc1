//! Writes among other templates: what they name, what they make stale, and what overrides may change.

use super::load::tests::{TRANSFER, check, load_on, one, template, with};
use super::write_tests::{CREATE, GET, GRANT, error, sql};
use super::*;

/// A guarded change of a row that others change, too.
const RENAME: &str = "\
-- @kind  exec affected = 1 else 2105 STALE [412]
-- @param order_no string(32)
-- @param version int
-- @allow game_server
-- @version version
-- @current order.get(order_no)
UPDATE game_order SET version = version + 1 WHERE order_no = :order_no AND version = :version
";

#[test]
fn state_is_asked_for_by_the_key_from_a_read_that_keeps_no_absence() {
    let both = |create: (&str, &str), get: (&str, &str), rules: &[Rule]| {
        assert!(CREATE.contains(create.0) && GET.contains(get.0), "{create:?} {get:?}");
        let create = CREATE.replacen(create.0, create.1, 1);
        let get = GET.replacen(get.0, get.1, 1);
        check(&[("_base/order/create.sql", &create), ("_base/order/get.sql", &get)], rules);
    };
    let same = ("-- @allow", "-- @allow");
    let status = |args| ("order.get(order_no)", args);
    both(status("order.get(order_no = order_no)"), same, &[]);
    both(status("order.get(order_no = player_id)"), same, &[Rule::Write]);
    both(status("order.get()"), same, &[Rule::Write]);
    both(status("order.find(order_no)"), same, &[Rule::Write]);
    both(status("order.create(order_no)"), same, &[Rule::Write]);
    both(status("order.get(who = order_no)"), same, &[Rule::Write, Rule::Write]);
    both(same, ("one else 2131 ORDER_NOT_FOUND", "many"), &[Rule::Write]);
    both(same, ("one else 2131 ORDER_NOT_FOUND", "optional"), &[]);
    both(same, ("order_no string(32)", "order_no bigint"), &[Rule::Write]);
    both(same, ("player_id FROM", "player_id AS state FROM"), &[Rule::ResultColumns; 2]);
    let cache = |text| ("-- @allow", text);
    let stale = "-- @stale_ok a test\n-- @allow";
    both(same, cache(stale), &[]);
    let negative = "-- @stale_ok a test\n-- @cache l1=1s negative=1s\n-- @allow";
    both(same, cache(negative), &[Rule::Write]);
    both(same, cache(&negative.replace(" negative=1s", "")), &[]);
    let named = GET.replace("order_no, player_id FROM", "order_no, player_id AS state FROM");
    let named = named.replace("player_id bigint", "state bigint");
    check(&[("_base/order/create.sql", CREATE), ("_base/order/get.sql", &named)], &[Rule::Write]);
}

#[test]
fn guarded_write_names_its_version_and_the_row_that_is_there() {
    let both = |old: &str, new: &str, rules: &[Rule]| {
        assert!(RENAME.contains(old), "{old}");
        let text = RENAME.replacen(old, new, 1);
        check(&[("_base/order/rename.sql", &text), ("_base/order/get.sql", GET)], rules);
    };
    let files = [("_base/order/rename.sql", RENAME), ("_base/order/get.sql", GET)];
    let catalog = load_on(&files, Dialect::Sqlite).unwrap();
    let write = &catalog.template("game1", "order.rename").unwrap().write;
    assert_eq!(write.version_slot, Some(1));
    let current = Reading {
        op: gateway_protocol::OpId::new("order.get").unwrap(),
        args: vec![IncludeArg { param: "order_no".into(), slot: 0 }],
    };
    assert_eq!(write.current, Some(current));
    assert_eq!(write.guard.as_ref().unwrap().error, Some(error(2105, "STALE", 412)));

    both(" affected = 1 else 2105 STALE [412]", "", &[Rule::Write, Rule::Write]);
    both("-- @version version", "-- @version revision", &[Rule::ParamUndeclared]);
    both("AND version = :version", "", &[Rule::ParamUnused]);
    both("version int", "version list(int)", &[Rule::Write, Rule::List]);
    both(
        "@current order.get(order_no)",
        "@current order.rename(order_no, version)",
        &[Rule::Write],
    );
    both("@current order.get(order_no)", "@current order.get(order_no = version)", &[Rule::Write]);
    both("@current order.get(order_no)", "@current order.get()", &[Rule::Write]);
    both("@current order.get(order_no)", "@current order.get(who)", &[Rule::ParamUndeclared]);
    both("-- @allow", "-- @return a = b.c\n-- @allow", &[Rule::KeyValue]);
}

#[test]
fn contract_changes_with_what_a_queued_record_is_applied_by_and_with_nothing_else() {
    let contract = |old: &str, new: &str| {
        assert!(CREATE.contains(old), "{old}");
        let text = CREATE.replacen(old, new, 1);
        let files = [("_base/order/create.sql", &*text), ("_base/order/get.sql", GET)];
        let catalog = load_on(&files, Dialect::Mysql).unwrap();
        let template = catalog.template("game1", "order.create").unwrap();
        (template.contract, template.version)
    };
    let first = contract("order_no", "order_no");
    for (old, new) in [
        ("INSERT INTO", "INSERT  INTO"),
        ("game_server", "admin"),
        ("max=100", "max=200"),
        ("ttl=48h", "ttl=49h"),
        ("-- @retry 3\n", ""),
    ] {
        let other = contract(old, new);
        assert_eq!(other.0, first.0, "{new}");
        assert_ne!(other.1, first.1, "{new}");
    }
    for (old, new) in [
        ("player_id bigint", "player_id int"),
        ("-- @lane  player_id\n", ""),
        ("@lane  player_id", "@lane  order_no"),
        ("(:_id, :order_no", "(0, :order_no"),
        ("-- @allow", "-- @param memo string(9)\n-- @require memo <> '' else 2199 X\n-- @allow"),
    ] {
        assert_ne!(contract(old, new).0, first.0, "{new}");
    }
    // It stands in journals: the same on every build.
    assert_eq!(format!("{:016x}", first.0), "0c36396989271a98");
}

#[test]
fn transaction_counts_for_stale_rows_over_all_of_its_steps() {
    let read = "-- @kind many\n-- @param id int\n-- @result qty int\n-- @allow x\n\
                -- @cache l1=1s tag=bag:{id}\nSELECT i.qty FROM player_item i WHERE i.id = :id\n";
    let both = |tags: &str, rules: &[Rule]| {
        let text = TRANSFER.replacen("-- @audit", &format!("-- @audit{tags}"), 1);
        check(&[("_base/t.sql", &text), ("_base/r.sql", read)], rules);
    };
    both("", &[Rule::Stale]);
    both("\n-- @invalidate bag:{from_player}", &[]);
    let batch = |tag: &str, rules: &[Rule]| {
        let text = GRANT.replacen("-- @allow", &format!("{tag}-- @allow"), 1);
        check(&[("_base/g.sql", &text), ("_base/r.sql", read)], rules);
    };
    batch("", &[Rule::Stale]);
    batch("-- @invalidate bag:{items.qty}\n", &[]);
}

/// The steps of the transfer's override, with what its header says.
fn replaced(header: &str, steps: &str) -> Result<Vec<String>, Vec<Rule>> {
    let over = format!("{header}\n{steps}");
    let files = [("_base/item/transfer.sql", TRANSFER), ("game1/item/transfer.sql", &*over)];
    match load_on(&files, Dialect::Mysql) {
        Ok(catalog) => {
            let template = catalog.template("game1", "item.transfer").unwrap();
            let shown = |step: &Step| format!("{} {}", step.name, sql(step).contains("bound"));
            Ok(template.write.steps.iter().map(shown).collect())
        }
        Err(findings) => Err(findings.iter().map(|finding| finding.rule).collect()),
    }
}

#[test]
fn override_replaces_the_steps_that_it_names_and_keeps_the_others() {
    const DEBIT: &str = "-- @step debit exec affected = 1 else 2103 ITEM_NOT_ENOUGH\n\
        UPDATE player_item SET qty = qty - :qty WHERE player_id = :from_player\n\
        AND item_type = :item_type AND bound = 0\n";
    let header = "-- @extends\n-- @replace step debit";
    let steps = ["ledger false", "debit true", "credit false", "grant false"];
    assert_eq!(replaced(header, DEBIT), Ok(steps.map(str::to_owned).to_vec()));
    let refused = |header: &str, steps: &str| replaced(header, steps).unwrap_err();
    let one = vec![Rule::Override];
    assert_eq!(refused(header, ""), one);
    assert_eq!(refused("-- @replace step debit\n-- @replace step other", DEBIT), one);
    let credit = DEBIT.replace("step debit", "step credit");
    assert_eq!(refused(header, &format!("{DEBIT}{credit}")), one);
    assert_eq!(refused("-- @replace step other", &DEBIT.replace("step debit", "step other")), one);
    assert_eq!(refused(header, &DEBIT.replace(" affected = 1 else 2103 ITEM_NOT_ENOUGH", "")), one);
    assert_eq!(refused(header, &DEBIT.replace("= 1 else", ">= 0 else")), one);
    assert!(replaced(header, &DEBIT.replace("2103 ITEM_NOT_ENOUGH", "2104 TOO_FEW")).is_ok());
}

#[test]
fn override_keeps_key_lane_guard_and_isolation() {
    let over = |base: &str, over: &str, rules: &[Rule]| {
        let files = [
            ("_base/order/create.sql", base),
            ("_base/order/get.sql", GET),
            ("game1/order/create.sql", over),
        ];
        check(&files, rules);
    };
    let widened = [Rule::Override];
    over(CREATE, "-- @idempotent key=order_no ttl=49h", &[]);
    over(CREATE, "-- @idempotent key=order_no ttl=47h", &widened);
    over(CREATE, "-- @idempotent key=player_id ttl=48h", &[Rule::Override, Rule::Write]);
    over(CREATE, "-- @lane order_no", &widened);
    over(CREATE, "-- @async max=5", &[]);
    over(CREATE, "-- @kind exec affected = 1", &[]);
    let synchronous = CREATE.lines().filter(|line| !line.contains("@async"));
    let synchronous: Vec<&str> = synchronous.filter(|line| !line.contains("@status")).collect();
    over(&synchronous.join("\n"), "-- @async", &widened);
    over(RENAME, "-- @kind exec affected = 1 else 2106 OTHER", &[]);
    over(RENAME, "-- @kind exec", &[Rule::Override, Rule::Write, Rule::Write]);
    over(RENAME, "-- @kind exec affected <> 0", &widened);
    over(TRANSFER, "-- @kind tx isolation=serializable", &[]);
    over(TRANSFER, "-- @kind tx", &widened);
}

/// The page for DBAs cannot show what does not load.
#[test]
fn examples_of_the_page_load_on_every_dialect() {
    let page = include_str!("../../../docs/templates.md");
    let blocks = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let is_call = |block: &&str| block.contains("call writes") || block.starts_with("CALL ");
    let (calls, blocks): (Vec<&str>, Vec<&str>) = blocks.partition(is_call);
    let [contract, bodies] = calls[..] else { panic!("a call and its bodies: {calls:?}") };
    let (of_mysql, of_oracle) = bodies.split_once('\n').expect("one for each database");
    let name = |(index, block): (usize, &&str)| match *block {
        block if block.starts_with("-- @extends") => "game1/item/transfer.sql".to_owned(),
        block if block.contains("-- @step ledger") => "_base/item/transfer.sql".to_owned(),
        _ => format!("_base/example/number{index}.sql"),
    };
    let names: Vec<String> = blocks.iter().enumerate().map(name).collect();
    let mut files: Vec<(&str, &str)> =
        names.iter().map(String::as_str).zip(blocks.iter().copied()).collect();
    assert_eq!(files.len(), 6);
    files.push(("_base/order/get.sql", GET));
    files.push(("_base/example/claim.sql", contract));
    files.push(("_base/example/claim.mysql.sql", of_mysql));
    files.push(("_base/example/claim.oracle.sql", of_oracle));
    for dialect in Dialect::ALL {
        let catalog = load_on(&files, dialect).expect("they load");
        assert_eq!(catalog.warnings, [], "{dialect}");
        let transfer = catalog.template("game1", "item.transfer").unwrap();
        assert!(sql(&transfer.write.steps[1]).contains("bind_type = 0"));
        assert!(!sql(&transfer.write.steps[2]).contains("bind_type = 0"));
    }
}

/// A batch whose rows are given ids, and a transaction that is given one.
const SEND: &str = "-- @kind batch\n-- @param why string(9)\n-- @param token string(9)\n\
    -- @param rows rows(a int)\n-- @mask token\n-- @allow x\n-- @emit mail.sent\n\
    INSERT INTO t (id, why, token, a) VALUES (:_id, :why, :token, :rows.a)\n";

#[test]
fn event_carries_what_it_names_or_else_every_parameter_that_is_not_masked() {
    let fields = |text: &str| -> Vec<String> {
        let template = template(text, Dialect::Mysql);
        let events = &template.write.events;
        events.iter().flat_map(|it| &it.fields).map(|it| it.name.to_string()).collect()
    };
    assert_eq!(fields(SEND), ["why", "rows"]);
    assert_eq!(fields(&SEND.replace("mail.sent", "mail.sent rows, _id")), ["rows", "_id"]);
    let template = template(
        &SEND.replace("mail.sent", "mail.box.sent why\n-- @emit mail.box.gone"),
        Dialect::Oracle,
    );
    let named: Vec<(&str, &str)> =
        template.write.events.iter().map(|it| (&*it.topic, &*it.event)).collect();
    assert_eq!(named, [("mail.box", "sent"), ("mail.box", "gone")]);
}

#[test]
fn event_that_says_what_nobody_may_know_or_what_is_not_there_is_a_finding() {
    let send = |new: &str, rules: &[Rule]| {
        with(SEND, "mail.sent", &format!("mail.sent{new}"), rules);
    };
    send("", &[]);
    send(" why, _id", &[]);
    send(" token", &[Rule::Write]);
    send(" who", &[Rule::ParamUndeclared]);
    send(" why, why", &[Rule::Write]);
    send("\n-- @emit mail.sent why", &[Rule::Write]);
    send("\n-- @emit mail.gone", &[]);
    let without_id = SEND.replace("id, why", "why").replace(":_id, ", "");
    one(&without_id, &[]);
    with(&without_id, "mail.sent", "mail.sent _id", &[Rule::Write]);
    let read = "-- @kind many\n-- @param id int\n-- @result a int\n-- @allow x\n-- @emit a.b\n\
                SELECT a FROM t WHERE id = :id";
    one(read, &[Rule::KeyValue]);
    // What only an event would tell of is used by nothing.
    with(SEND, ":why", "1", &[Rule::ParamUnused]);
}
