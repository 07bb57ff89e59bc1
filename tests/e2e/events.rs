//! Events (`@emit`), from a call over either protocol to whoever reads them, on every database.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use gateway_tests::{
    Credential, Database, Gateway, Server, Setup, Transport, run_with, wait_until,
};
use serde_json::{Value, json};

gateway_tests::on_every_database! {
    write_is_told_once_over_either_protocol_and_a_refused_one_is_not,
    events_are_read_on_from_the_last_one_that_is_known,
    rows_of_a_batch_are_told_each_with_its_own_id,
    gateway_that_is_killed_in_the_middle_of_writes_has_told_of_those_that_are_there,
}

fn who() -> Credential {
    Credential::with_roles(&["game_server", "admin"])
}

/// One save of a character: code.
fn save(gateway: &Gateway<'_>, transport: Transport, seq: i64, level: i64) -> u16 {
    let params = json!({ "player_id": 1001, "character_id": 77, "save_seq": seq, "server_id": 1,
        "char_name": "Told", "class_id": 1, "char_level": level, "experience": 9_007_199_254_740_993_i64 });
    transport.call(gateway, &who(), "game1", "character.save", &params).code
}

/// What the operators' port lists, and after which event the next ones come.
fn listed(gateway: &Gateway<'_>, query: &str) -> (Vec<Value>, String) {
    let answer = gateway.admin(&format!("/events/game1{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = answer.json();
    let next = body["next"].as_str().expect("a place").to_owned();
    (body["events"].as_array().expect("a list").clone(), next)
}

/// All events of game1.
fn all(gateway: &Gateway<'_>) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), "0-0".to_owned());
    loop {
        let (events, next) = listed(gateway, &format!("?limit=1000&after={after}"));
        // Somebody may write on: a page that is not full is the last one.
        let is_last = events.len() < 1000;
        all.extend(events);
        if is_last {
            return all;
        }
        after = next;
    }
}

fn write_is_told_once_over_either_protocol_and_a_refused_one_is_not(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    assert_eq!(listed(gateway, ""), (vec![], "0-0".into()));
    for (seq, transport) in [(1, Transport::TcpMsgpack), (2, Transport::Http)] {
        assert_eq!(save(gateway, transport, seq, 30 + seq), 0);
        assert_eq!(save(gateway, transport, seq, 99), 0, "it comes late, and changes nothing");
    }
    let pay = |amount: &str| {
        let params = json!({ "payment_id": "PAY-00000001", "order_no": "NOBODYS-0001", "player_id": 1001,
            "amount": amount, "currency": "CNY" });
        Transport::Http.call(gateway, &who(), "game1", "order.pay", &params).code
    };
    assert_eq!(pay("5.99"), 2131);
    let (events, next) = listed(gateway, "");
    let data: Vec<&Value> = events.iter().map(|event| &event["data"]).collect();
    let saved = |level: i64| {
        json!({ "player_id": 1001, "character_id": 77, "char_level": level,
            "experience": 9_007_199_254_740_993_i64 })
    };
    assert_eq!(data, [&saved(31), &saved(32)]);
    let first = &events[0];
    let names = [&first["topic"], &first["event"], &first["operation"]];
    assert_eq!(names, ["character", "saved", "character.save"]);
    assert!(first["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{first}");
    assert_eq!(events[1]["id"], *next);
    assert_eq!(gateway.admin("/events/game2").json()["events"], json!([]), "another game's");
    assert_eq!(gateway.admin("/events/game9").status, 404);
    assert_eq!(gateway.admin("/events/game1?after=7").status, 400);
    assert_eq!(gateway.admin("/events/game1?limit=1001").status, 400);
}

fn events_are_read_on_from_the_last_one_that_is_known(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    // Several write at once, and somebody reads on meanwhile.
    let (mut levels, mut after) = (Vec::new(), "0-0".to_owned());
    thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for seq in 1..=40 {
                assert_eq!(save(gateway, Transport::Http, seq, seq), 0);
            }
        });
        let mut read = || {
            let (events, next) = listed(gateway, &format!("?after={after}&limit=7"));
            assert!(events.len() <= 7);
            levels.extend(events.iter().map(|event| event["data"]["char_level"].as_i64().unwrap()));
            after = next;
            events.is_empty()
        };
        while !writing.is_finished() {
            read();
        }
        writing.join().expect("all are written");
        while !read() {}
    });
    assert_eq!(levels, (1..=40).collect::<Vec<_>>(), "each once, in their order");
    let config = gateway.folder().join("gateway.yaml");
    let config = config.to_str().unwrap();
    let library = database.shared().and_then(Server::library_folder);
    let run = |arguments: &[&str]| {
        run_with(library, &[&["events"], arguments, &["--config", config]].concat())
    };
    let output = run(&["game1", "--after", &after, "--json"]);
    let shown: Value = serde_json::from_str(&output.succeeded()).unwrap();
    assert_eq!(shown, json!({ "events": [], "next": after }));
    let output = run(&["game1", "--limit", "2"]).succeeded();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 2, "{output}");
    assert!(
        lines[1].contains("character.saved  by character.save")
            && lines[1].contains("\"char_level\":2,")
    );
    let refused = run(&["game9"]).text();
    assert!(refused.contains("there is no game `game9`"), "{refused}");
}

fn rows_of_a_batch_are_told_each_with_its_own_id(database: Database) {
    let Some(gateway) = database.setup().map(Setup::start) else { return };
    let gateway = &gateway;
    let send = |request: &str, players: [i64; 2]| {
        let mails = players.map(|id| json!({ "player_id": id, "item_type": 900, "qty": 3 }));
        let params = json!({ "request_id": request, "campaign": "spring", "title": "Hello", "mails": mails });
        let answer = Transport::Http.call(gateway, &who(), "game1", "mail.send_many", &params);
        assert_eq!(answer.code, 0, "{}", answer.body);
        answer.body
    };
    let both = send("m1", [1001, 1002]);
    let second = send("m2", [1001, 1003]);
    assert_eq!(send("m2", [1001, 1003]), second, "the first answer again");
    let ids = [&both["rows"][0]["id"], &both["rows"][1]["id"], &second["rows"][1]["id"]];
    let (events, _) = listed(gateway, "");
    let expected: Vec<Value> = [1001, 1002, 1003]
        .iter()
        .zip(ids)
        .map(|(player, id)| {
            let id: i64 = id.as_str().expect("a text in JSON").parse().expect("a number");
            let mail = json!({ "player_id": player, "item_type": 900, "qty": 3 });
            json!({ "campaign": "spring", "mails": mail, "_id": id })
        })
        .collect();
    let data: Vec<Value> = events.iter().map(|event| event["data"].clone()).collect();
    assert_eq!(data, expected);
}

/// Every save counts one in the row's version: as many as are told of.
fn gateway_that_is_killed_in_the_middle_of_writes_has_told_of_those_that_are_there(
    database: Database,
) {
    let Some(mut gateway) = database.setup().map(Setup::start) else { return };
    for round in 1..=3 {
        let (address, headers) = (gateway.http_address(), who().headers());
        let writing = thread::spawn(move || {
            let Ok(mut stream) = TcpStream::connect(address) else { return };
            for seq in round * 1_000_000.. {
                let body =
                    json!({ "save_seq": seq, "server_id": 1, "char_name": "Told", "class_id": 1,
                    "char_level": round, "experience": seq })
                    .to_string();
                let length = body.len();
                let request = format!(
                    "PUT /v1/game1/players/1001/characters/77 HTTP/1.1\r\nHost: a\r\n{headers}\
                     Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
                );
                // Until there is nobody to write to.
                let sent = stream.write_all(request.as_bytes());
                if sent.is_err() || !stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                    return;
                }
            }
        });
        wait_until("some are written", || {
            let events = all(&gateway);
            let is_own = |event: &&Value| event["data"]["char_level"] == round;
            (events.iter().filter(is_own).count() > 5).then_some(())
        });
        gateway.kill();
        writing.join().expect("it ends");
        gateway.restart();
        let events = all(&gateway);
        let get = json!({ "player_id": 1001, "character_id": 77 });
        let row = Transport::Http.call(&gateway, &who(), "game1", "character.get", &get);
        assert_eq!(row.body["version"], events.len(), "round {round}: {}", row.body);
        let last = events.last().expect("one");
        assert_eq!(row.body["experience"], last["data"]["experience"].to_string());
    }
}
