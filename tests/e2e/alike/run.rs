//! One run of the script: calls one way, and what was told, with what differs from run to run made equal.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::{Duration, SystemTime};

use gateway_tests::{CALL, Codec, Credential, Gateway, REPLY, Wire, wait_until};
use serde_json::{Value, json};

/// Ids that the gateway gives out are larger: milliseconds are their upper bits.
const MADE_ID_MIN: i64 = 1 << 40;

/// How the calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// TCP, MessagePack.
    Tcp,
    /// HTTP, JSON.
    Http,
}

impl Way {
    /// Both.
    pub(super) const ALL: [Self; 2] = [Self::Tcp, Self::Http];
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A game server, who may do what the game itself does.
    Game,
    /// An operator.
    Admin,
    /// Player 1001.
    Player,
}

impl Who {
    fn credential(self) -> Credential {
        match self {
            Self::Game => Credential::with_roles(&["game_server"]),
            Self::Admin => Credential::with_roles(&["admin"]),
            Self::Player => Credential::player(1001),
        }
    }
}

/// One call and its reply.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Told {
    call: String,
    /// TCP: the code. HTTP: the status, and what `ETag` says of a row that nothing was made equal in.
    head: String,
    /// The reply as it came, but for what is made equal.
    body: Vec<u8>,
}

impl Told {
    /// Whether an operation with a name that begins so was called.
    pub(super) fn is_of(&self, prefix: &str) -> bool {
        self.call.contains(&format!(" {prefix}"))
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {:?}", self.call, self.head, String::from_utf8_lossy(&self.body))
    }
}

/// One run.
pub(super) struct Run<'g> {
    gateway: &'g Gateway<'g>,
    way: Way,
    wires: HashMap<(Who, String), Wire>,
    /// What was told, in order.
    pub(super) told: Vec<Told>,
    /// `game operation` of every call that was answered with code 0.
    pub(super) succeeded: BTreeSet<String>,
    made: Made,
}

impl<'g> Run<'g> {
    pub(super) fn new(gateway: &'g Gateway<'g>, way: Way) -> Self {
        Self {
            gateway,
            way,
            wires: HashMap::new(),
            told: Vec::new(),
            succeeded: BTreeSet::new(),
            made: Made {
                began: rfc3339(SystemTime::now()),
                ids: BTreeMap::new(),
                cursors: Vec::new(),
            },
        }
    }

    /// Calls, and remembers what was told.
    pub(super) fn call(&mut self, who: Who, game: &str, operation: &str, params: &Value) -> Value {
        let (code, head, body, value) = self.ask(who, game, operation, params);
        self.made.learn(&value);
        if code == 0 {
            self.succeeded.insert(format!("{game} {operation}"));
        }
        let call = format!("{who:?} {game} {operation} {params}");
        let call = String::from_utf8(self.made.hide(call.as_bytes())).unwrap();
        let hidden = self.made.hide(&body);
        let tag = head.1.filter(|_| hidden == body).unwrap_or_default();
        self.told.push(Told { call, head: format!("{} {tag}", head.0), body: hidden });
        value
    }

    /// The same by a game server, which has to succeed.
    #[track_caller]
    pub(super) fn ok(&mut self, game: &str, operation: &str, params: &Value) -> Value {
        self.ok_as(Who::Game, game, operation, params)
    }

    /// The same by anybody.
    #[track_caller]
    pub(super) fn ok_as(&mut self, who: Who, game: &str, operation: &str, params: &Value) -> Value {
        let value = self.call(who, game, operation, params);
        let done = format!("{game} {operation}");
        assert!(self.succeeded.contains(&done), "{done} {params}: {value}");
        value
    }

    /// Calls until the answer is as it should be; what was told meanwhile is not compared.
    pub(super) fn wait(
        &mut self,
        (game, operation, params): (&str, &str, &Value),
        is_there: impl Fn(&Value) -> bool,
    ) {
        wait_until(operation, || {
            let (_, _, _, value) = self.ask(Who::Game, game, operation, params);
            is_there(&value).then_some(())
        });
    }

    fn ask(
        &mut self,
        who: Who,
        game: &str,
        operation: &str,
        params: &Value,
    ) -> (u16, (String, Option<String>), Vec<u8>, Value) {
        match self.way {
            Way::Tcp => {
                let gateway = self.gateway;
                let wire = self
                    .wires
                    .entry((who, game.to_owned()))
                    .or_insert_with(|| gateway.connect(game, &who.credential(), Codec::Msgpack));
                let reply = {
                    let frame = wire.request(CALL, &json!([operation, params]));
                    wire.exchange(&frame)
                };
                assert_eq!(reply.kind, REPLY);
                let value = reply.value();
                (reply.number, (reply.number.to_string(), None), reply.payload, value)
            }
            Way::Http => {
                let target = format!("/v1/{game}/call/{operation}");
                let headers = who.credential().headers();
                let reply = self.gateway.http().send_json("POST", &target, &headers, params);
                let code = if reply.status < 300 { 0 } else { reply.code() };
                // In front of the row's version stands that of the template, whose SQL is the dialect's own.
                let tag = reply.header("etag").and_then(|tag| tag.rsplit('-').next());
                let tag = tag.map(str::to_owned);
                let value = reply.json();
                (code, (reply.status.to_string(), tag), reply.body, value)
            }
        }
    }
}

/// What the gateway made up in this run: the same in every run by the order in which it was first told.
struct Made {
    /// When the run began.
    began: String,
    ids: BTreeMap<i64, usize>,
    cursors: Vec<String>,
}

impl Made {
    /// Takes down what a reply has of it.
    fn learn(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    if name == "next" || name == "cursor" {
                        self.cursors.extend(value.as_str().map(str::to_owned));
                    } else if name == "id" || name.ends_with("_id") {
                        let text = value.as_str().and_then(|text| text.parse().ok());
                        if let Some(id) = value.as_i64().or(text).filter(|id| *id >= MADE_ID_MIN) {
                            let number = self.ids.len();
                            self.ids.entry(id).or_insert(number);
                        }
                    }
                    self.learn(value);
                }
            }
            _ => {}
        }
    }

    /// Bytes of a reply with the same in the place of what differs from run to run, of the same length.
    fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for (id, number) in &self.ids {
            let text = id.to_string();
            replace(
                &mut bytes,
                text.as_bytes(),
                format!("{number:#>width$}", width = text.len()).as_bytes(),
            );
            // MessagePack: behind the mark of a number of 64 bits, signed or not.
            for mark in [0xd3, 0xcf] {
                let mut packed = vec![mark];
                packed.extend(id.to_be_bytes());
                let mut shown = vec![mark];
                shown.extend(format!("#{number:0>7}").as_bytes());
                replace(&mut bytes, &packed, &shown);
            }
        }
        for cursor in &self.cursors {
            replace(&mut bytes, cursor.as_bytes(), "~".repeat(cursor.len()).as_bytes());
        }
        hide_moments(&mut bytes, &self.began);
        bytes
    }
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "nothing around it may move");
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
        bytes[at + found..at + found + to.len()].copy_from_slice(to);
        at += found + to.len();
    }
}

/// Moments of the run itself; others, of the seed or of the script, are compared.
fn hide_moments(bytes: &mut [u8], began: &str) {
    const FORM: &[u8] = b"0000-00-00T00:00:00.000";
    let now = rfc3339(SystemTime::now());
    let is_own = |window: &[u8]| {
        let fits = |(form, byte): (&u8, &u8)| {
            if *form == b'0' { byte.is_ascii_digit() } else { form == byte }
        };
        let is_moment = FORM.iter().zip(window).all(fits);
        is_moment && (began.as_bytes()..=now.as_bytes()).contains(&&window[..now.len()])
    };
    for at in 0..bytes.len().saturating_sub(FORM.len()) {
        if is_own(&bytes[at..at + FORM.len()]) {
            let length = bytes[at..].iter().take_while(|byte| **byte != b'Z').count();
            bytes[at..at + length].fill(b'*');
        }
    }
}

/// `2026-11-23T02:22:50`: a moment in UTC, to the second.
fn rfc3339(moment: SystemTime) -> String {
    let seconds = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    // The civil date of a day's number, in eras of 400 years that begin in March.
    let day = seconds / 86_400 + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

#[test]
fn moments_of_a_run_are_made_equal_and_others_are_not() {
    let at = |seconds| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(0), "1970-01-01T00:00:00");
    assert_eq!(at(1_709_251_199), "2024-02-29T23:59:59");
    assert_eq!(at(1_798_761_600), "2027-01-01T00:00:00");
    let now = rfc3339(SystemTime::now());
    let text = format!("{now}.000001Z 2031-05-06T07:08:09.123456Z 2026-01-01T00:00:00.000000Z");
    let mut bytes = text.clone().into_bytes();
    hide_moments(&mut bytes, &now);
    let hidden = String::from_utf8(bytes).unwrap();
    assert_eq!(hidden, text.replace(&format!("{now}.000001"), &"*".repeat(26)));
}
