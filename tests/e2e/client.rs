//! The client library, blocking and async, against the real gateway.

#![expect(clippy::panic, reason = "a test stops at its first surprise")]

use std::time::Duration;

use gateway_client::{
    AsyncClient, BatchCall, Client, ClientError, Codec, Credential, Options, Request, Value,
};
use gateway_tests::{
    ADMIN_KEY, Database, GAME_SERVER_SECRET, Gateway, Setup, Signal, Token, wait_until,
};

gateway_tests::on_every_server! {
    deadline_of_a_call_is_kept_by_the_gateway,
}

const PLAYER: &[(&str, Value<'static>)] = &[("player_id", Value::Int(1001))];
const NOBODY: &[(&str, Value<'static>)] = &[("player_id", Value::Int(5))];

fn admin() -> Credential {
    Credential::ApiKey(ADMIN_KEY.to_owned())
}

fn options(codec: Codec, credential: Credential) -> Options {
    Options { codec, ..Options::new("e2e", "game1", credential) }
}

fn connect(gateway: &Gateway<'_>, codec: Codec, credential: Credential) -> Client {
    Client::connect(gateway.tcp_address(), options(codec, credential)).unwrap()
}

/// A member of a map.
#[track_caller]
fn member<'v>(value: &'v Value<'_>, name: &str) -> &'v Value<'v> {
    let Value::Map(members) = value else { panic!("{value:?} is no map") };
    let found = members.iter().find(|(own, _)| own == name);
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> u16 {
    match outcome {
        Err(ClientError::Refused(refused)) => refused.code,
        other => panic!("refused expected: {other:?}"),
    }
}

#[test]
fn blocking_client_calls_with_every_credential_in_both_codecs() {
    let gateway = Setup::sqlite().start();
    for codec in [Codec::MsgPack, Codec::Json] {
        let credentials = [
            admin(),
            Credential::Jwt(Token::new("1001", &["player"]).sign()),
            Credential::SharedKey {
                key_id: "gs1".to_owned(),
                key: GAME_SERVER_SECRET.as_bytes().to_vec(),
            },
        ];
        for credential in credentials {
            let mut client = connect(&gateway, codec, credential);
            let reply = client.call("player.get", PLAYER).unwrap();
            assert_eq!(member(&reply.value, "nickname"), &Value::Str("Player1001".into()));
            client.ping().unwrap();
        }
    }
    let wrong = Credential::ApiKey("tests-admin.wrong".to_owned());
    let outcome = Client::connect(gateway.tcp_address(), options(Codec::MsgPack, wrong));
    assert_eq!(refused(outcome.map(|_| ())), 3003);
}

#[test]
fn blocking_client_goes_on_after_a_refusal_and_tells_meta_and_batches() {
    let gateway = Setup::sqlite().start();
    let mut client = connect(&gateway, Codec::MsgPack, admin());
    assert_eq!(refused(client.call("player.get", NOBODY)), 2101);
    assert_eq!(refused(client.call("player.nothing", &[])), 2001);
    let request = Request { wants_meta: true, ..Request::new("player.get", PLAYER) };
    let reply = client.request(&request).unwrap();
    let Value::Str(version) = member(reply.meta.as_ref().unwrap(), "template") else {
        panic!("{reply:?}")
    };
    assert_eq!(version.len(), 16);
    assert_eq!(member(&reply.value, "player_id"), &Value::Int(1001));

    let calls: [BatchCall<'_>; 2] = [("player.get", PLAYER), ("player.get", NOBODY)];
    let answers = client.batch(&calls).unwrap();
    assert_eq!(answers.len(), 2);
    let first = answers[0].as_ref().unwrap();
    assert_eq!(member(first, "nickname"), &Value::Str("Player1001".into()));
    assert_eq!(answers[1].as_ref().unwrap_err().code, 2101);
}

#[test]
fn blocking_client_pipelines_and_every_reply_has_its_id() {
    let gateway = Setup::sqlite().start();
    let mut client = connect(&gateway, Codec::MsgPack, admin());
    let mut waiting = std::collections::BTreeMap::new();
    for player_id in 1001..1101 {
        let params = [("player_id", Value::Int(player_id))];
        let id = client.send(&Request::new("player.get", &params)).unwrap();
        assert!(waiting.insert(id.0, player_id).is_none(), "{id:?} is given twice");
    }
    while let Some((id, reply)) = client.receive().unwrap() {
        let player_id = waiting.remove(&id.0).unwrap();
        assert_eq!(member(&reply.unwrap().value, "player_id"), &Value::Int(player_id));
        if waiting.is_empty() {
            break;
        }
    }
    assert!(waiting.is_empty(), "{waiting:?}");
}

/// The deadline goes with the call, so the gateway's own answer comes before the client gives up.
fn deadline_of_a_call_is_kept_by_the_gateway(database: Database) {
    let Some(server) = database.shared().filter(|server| server.makes_readers_wait()) else {
        return;
    };
    let gateway = Setup::on(server).start();
    let schema = gateway.schemas().unwrap().name("game1");
    let lock = server.lock(&schema, "player");
    let mut client = connect(&gateway, Codec::MsgPack, admin());
    let params = [("server_id", Value::Int(3))];
    let deadline = Some(Duration::from_millis(300));
    let request = Request { deadline, ..Request::new("player.count", &params) };
    let outcome = client.request(&request);
    assert_eq!(refused(outcome), 1003, "the query is cut at the call's own deadline");
    drop(lock);
    client.call("player.count", &params).unwrap();
}

#[test]
fn async_client_is_shared_by_many_tasks_and_told_to_go_away() {
    let mut gateway = Setup::sqlite().start();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build().unwrap();
    let client = runtime.block_on(async {
        let options = options(Codec::MsgPack, admin());
        let client = AsyncClient::connect(gateway.tcp_address(), options).await.unwrap();
        assert_eq!(client.welcome().server, "gateway");
        let mut tasks = tokio::task::JoinSet::new();
        for player_id in 1001..1201 {
            let client = client.clone();
            tasks.spawn(async move {
                let params = [("player_id", Value::Int(player_id))];
                let reply = client.call("player.get", &params).await.unwrap();
                assert_eq!(member(&reply.value, "player_id"), &Value::Int(player_id));
            });
        }
        let mut done = 0;
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
            done += 1;
        }
        assert_eq!(done, 200);
        assert_eq!(refused(client.call("player.get", NOBODY).await), 2101);
        let calls: [BatchCall<'_>; 2] = [("player.get", NOBODY), ("player.get", PLAYER)];
        let answers = client.batch(&calls).await.unwrap();
        assert_eq!(answers[0].as_ref().unwrap_err().code, 2101);
        assert!(answers[1].is_ok());
        client.ping().await.unwrap();
        client.renew(&admin()).await.unwrap();
        client
    });
    gateway.signal(Signal::Drain);
    wait_until("the client is told", || client.going_away());
    let later = runtime.block_on(client.call("player.get", PLAYER));
    assert!(
        matches!(later, Err(ClientError::GoingAway { .. } | ClientError::Closed { .. })),
        "{later:?}"
    );
    assert_eq!(gateway.wait_exit().code(), Some(0));
}
