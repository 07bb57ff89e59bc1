#!/usr/bin/env python3
"""Writes the test vectors beside it, from the protocol's page alone: no code is shared with the gateway.

Standard library only. `generate.py --check` writes nothing and fails if a file differs.
"""
import base64, hashlib, hmac, json, pathlib, struct, sys

KINDS = {"HELLO": 1, "WELCOME": 2, "CALL": 3, "REPLY": 4, "PING": 5, "PONG": 6, "SUBSCRIBE": 7,
         "UNSUBSCRIBE": 8, "EVENT": 9, "GOAWAY": 10, "BATCH": 11}


def sized(small, small_max, small_head, heads, n):
    """A type byte with n in it, or the first of heads (byte, struct format, most) that holds n."""
    if small and n <= small_max:
        return bytes([small_head | n])
    for head, form, most in heads:
        if n <= most:
            return bytes([head]) + struct.pack(form, n)
    raise ValueError(n)


def pack(v):
    """MessagePack in its smallest form."""
    if v is None:
        return b"\xc0"
    if v is True or v is False:
        return b"\xc3" if v else b"\xc2"
    if isinstance(v, int):
        if v >= 0:
            return sized(True, 127, 0, [(0xcc, ">B", 255), (0xcd, ">H", 65535), (0xce, ">I", 2**32 - 1),
                                        (0xcf, ">Q", 2**64 - 1)], v)
        if v >= -32:
            return struct.pack(">b", v)
        for head, form, least in [(0xd0, ">b", -2**7), (0xd1, ">h", -2**15), (0xd2, ">i", -2**31), (0xd3, ">q", -2**63)]:
            if v >= least:
                return bytes([head]) + struct.pack(form, v)
    if isinstance(v, float):
        narrow = struct.pack(">f", v)
        if struct.unpack(">f", narrow)[0] == v:
            return b"\xca" + narrow
        return b"\xcb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode()
        return sized(True, 31, 0xa0, [(0xd9, ">B", 255), (0xda, ">H", 65535), (0xdb, ">I", 2**32 - 1)], len(b)) + b
    if isinstance(v, bytes):
        return sized(False, 0, 0, [(0xc4, ">B", 255), (0xc5, ">H", 65535), (0xc6, ">I", 2**32 - 1)], len(v)) + v
    if isinstance(v, list):
        head = sized(True, 15, 0x90, [(0xdc, ">H", 65535), (0xdd, ">I", 2**32 - 1)], len(v))
        return head + b"".join(map(pack, v))
    if isinstance(v, dict):
        head = sized(True, 15, 0x80, [(0xde, ">H", 65535), (0xdf, ">I", 2**32 - 1)], len(v))
        return head + b"".join(pack(k) + pack(x) for k, x in v.items())
    raise TypeError(v)


def text(v):
    """The value as JSON has it: bytes are base64."""
    def plain(v):
        if isinstance(v, bytes):
            return base64.b64encode(v).decode()
        if isinstance(v, list):
            return [plain(x) for x in v]
        if isinstance(v, dict):
            return {k: plain(x) for k, x in v.items()}
        return v
    return json.dumps(plain(v), separators=(",", ":"), ensure_ascii=False).encode(), plain(v)


def meaning(v):
    """The value as the vector files write it: see README.md, "Values"."""
    if isinstance(v, bytes):
        return {"$bytes": v.hex()}
    if isinstance(v, float):
        return {"$float": repr(v)}
    if isinstance(v, int) and not isinstance(v, bool) and abs(v) > 2**53:
        return {"$int": str(v)}
    if isinstance(v, list):
        return [meaning(x) for x in v]
    if isinstance(v, dict):
        return {k: meaning(x) for k, x in v.items()}
    return v


def frame(kind, codec, payload, flags=0, rid=7, field=0, version=1, reserved=0, length=None):
    length = 12 + len(payload) if length is None else length
    return struct.pack(">IBBBBIHH", length, version, kind, codec, flags, rid, field, reserved) + payload


def mac(key, key_id, time, nonce, game, client):
    h = hmac.new(key, digestmod=hashlib.sha256)
    for part in [key_id.encode(), str(time).encode(), nonce, game.encode(), client.encode()]:
        h.update(struct.pack(">I", len(part)) + part)
    return h.digest()


KEY = bytes(range(32))
NONCE = bytes(range(0xa0, 0xb0))
MACS = [dict(key=KEY, key_id="gs1", time=1700000000, nonce=NONCE, game="game1", client="arena-1"),
        dict(key=KEY, key_id="gs1", time=1700000000, nonce=NONCE, game="", client="arena-1"),
        dict(key=b"k" * 100, key_id="schl\u00fcssel", time=0, nonce=bytes(16), game="game2", client=""),
        dict(key=b"", key_id="", time=2**53, nonce=b"\xff" * 16, game="", client="")]


def good():
    m = MACS[0]
    signed = {"key_id": m["key_id"], "time": m["time"], "nonce": m["nonce"], "mac": mac(**m)}
    params = {"player_id": 1001, "name": "J\u00fcrgen \"J\" \u2603\U0001f600\n", "ids": [1, -1, 300, -40000, 2**40],
              "big": 2**64 - 1, "small": -2**63, "rate": 1.5, "exact": 0.1, "on": True, "off": False, "none": None,
              "blob": b"\x00\xff\x10", "doc": {"a": [{}, []], "long": "x" * 40}, "": "empty name"}
    welcome = {"server": "gateway", "version": "0.1.0", "catalog": "9f86d081884c7d65", "heartbeat_ms": 15000,
               "frame_bytes_max": 1048576, "inflight_max": 1024}
    row = {"player_id": 9007199254740993, "nickname": "J\u00fcrgen", "balance": "12.50",
           "last_login_at": "2024-02-29T23:59:59.123Z", "avatar": b"\x01\x02"}
    error = {"code": 2010, "message": "parameter `player_id` is missing", "details": {"param": "player_id"}}
    cases = [
        ("hello with an API key", "HELLO", {"client": "arena-1", "game": "game1", "auth": {"api_key": "demo-key"}}, {}),
        ("hello with a JWT and no game", "HELLO", {"client": "arena-1", "auth": {"jwt": "aaa.bbb.ccc"}}, {}),
        ("hello with a code", "HELLO", {"client": "arena-1", "game": "game1", "auth": signed}, {}),
        ("welcome", "WELCOME", welcome, {}),
        ("call with the hello's game", "CALL", ["player.get", {"player_id": 1001}], {}),
        ("call with a game, a deadline and both flags", "CALL", ["game2", "player.get", {"player_id": 1001}],
         {"flags": 3, "field": 250}),
        ("call without parameters and the largest id and deadline", "CALL", ["server.list", {}],
         {"rid": 2**32 - 1, "field": 65535}),
        ("call with values of every kind", "CALL", ["x.y", params], {}),
        ("reply with a row", "REPLY", row, {}),
        ("reply with rows, replayed", "REPLY", [row, row], {"flags": 1}),
        ("reply with no row", "REPLY", None, {}),
        ("reply with a page", "REPLY", {"items": [row], "next": "b3BhcXVl"}, {}),
        ("reply to a write, with meta", "REPLY", [{"template": "0011223344556677", "cache": "miss"}, {"affected": 1}],
         {"flags": 2}),
        ("reply that refuses, with details", "REPLY", error, {"field": 2010}),
        ("reply that refuses, of a template", "REPLY", {"code": 2103, "message": "ITEM_NOT_ENOUGH"}, {"field": 2103}),
        ("reply to a dry run, with meta", "REPLY",
         [{"template": "0011223344556677", "cache": "bypass", "dry_run": True}, {"affected": 1}], {"flags": 2}),
        ("reply to a transaction, replayed, with meta", "REPLY",
         [{"template": "0011223344556677", "cache": "bypass"}, {"order_id": 9007199254740993, "gold": 40}], {"flags": 3}),
        ("reply to a batch of rows", "REPLY",
         {"affected": 1, "rows": [{"affected": 1}, {"code": 2022, "message": "duplicate row"}]}, {}),
        ("reply to a queued write", "REPLY", {"state": "journalled", "key": "SO-20260101-7"}, {}),
        ("reply to a repeat of a queued write", "REPLY", {"state": "journalled", "key": "SO-20260101-7"}, {"flags": 1}),
        ("reply with a dead order", "REPLY", {"state": "dead", "order_no": "SO-20260101-7", "since": "2026-01-01T00:00:00.000Z",
                                              "code": 2103, "message": "ITEM_NOT_ENOUGH"}, {}),
        ("reply that refuses a write, with the row that stands", "REPLY",
         {"code": 2105, "message": "STALE", "details": {"current": {"player_id": 1001, "version": 4}}}, {"field": 2105}),
        ("reply that refuses one row of many", "REPLY",
         {"code": 2103, "message": "ITEM_NOT_ENOUGH", "details": {"row": 2}}, {"field": 2103}),
        ("reply that concerns the connection", "REPLY", {"code": 1101, "message": "malformed"}, {"field": 1101, "rid": 0}),
        ("reply to a batch", "REPLY", [[0, row], [2010, error]], {}),
        ("subscribe", "SUBSCRIBE", ["player:1001"], {}),
        ("unsubscribe", "UNSUBSCRIBE", ["player:1001"], {}),
        ("event", "EVENT", {"topic": "player:1001", "event": "changed", "data": {"version": 8}}, {"rid": 0}),
        ("goaway", "GOAWAY", {"reason": "draining"}, {"rid": 0}),
        ("call of a dry run", "CALL", ["player.update", {"player_id": 1001, "version": 3, "gold": "5"}], {"flags": 1}),
        ("batch of two", "BATCH", [["player.get", {"player_id": 1001}], ["item.list_by_player", {"player_id": 1001}]], {}),
        ("batch of none", "BATCH", [], {}),
    ]
    for name, kind, value, head in cases:
        for codec, number in [("msgpack", 0), ("json", 1)]:
            data, seen = (pack(value), value) if codec == "msgpack" else text(value)
            yield {"name": f"{name}, {codec}", "frame": frame(KINDS[kind], number, data, **head).hex(),
                   "header": header(kind, codec, len(data), **head), "payload": meaning(seen)}
    for name, kind, data in [("empty ping", "PING", b""), ("ping with opaque bytes", "PING", b"\xc1\xff\x00"),
                             ("empty pong", "PONG", b""), ("pong with opaque bytes", "PONG", b"\xc1\xff\x00")]:
        yield {"name": name, "frame": frame(KINDS[kind], 0, data).hex(), "header": header(kind, "msgpack", len(data)),
               "opaque": data.hex()}
    yield {"name": "ping of the gateway", "frame": frame(5, 0, b"", rid=0).hex(), "header": header("PING", "msgpack", 0, rid=0),
           "opaque": ""}


def header(kind, codec, size, flags=0, rid=7, field=0):
    return {"length": 12 + size, "kind": kind, "codec": codec, "flags": flags, "request_id": rid, "deadline_ms_or_code": field}


def bad_frames():
    """Frames that the gateway refuses, at server.tcp.frame_bytes_max = 1048576."""
    call = pack(["player.get", {}])
    cases = [("length 0", bytes(4), 1101, 0, True), ("length 11", frame(3, 0, b"", length=11)[:15], 1101, 0, True),
             ("length over the limit, header only", frame(3, 0, b"", length=1048577), 1102, 0, True),
             ("largest length, four bytes only", b"\xff" * 4, 1102, 0, True),
             ("version 0", frame(3, 0, call, version=0), 1103, 0, True), ("version 2", frame(3, 0, call, version=2), 1103, 0, True),
             ("version 2, five bytes only", frame(3, 0, call, version=2)[:5], 1103, 0, True),
             ("HTTP on the TCP port", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1102, 0, True),
             ("reserved field not 0", frame(3, 0, call, reserved=1), 1101, 0, True),
             ("call with id 0", frame(3, 0, call, rid=0), 1101, 0, True), ("hello with id 0", frame(1, 0, pack({}), rid=0), 1101, 0, True),
             ("batch with id 0", frame(11, 0, pack([]), rid=0), 1101, 0, True),
             ("kind 0", frame(0, 0, call), 1104, 7, False), ("kind 12", frame(12, 0, call), 1104, 7, False),
             ("kind 255 with codec and flags that are unknown too", frame(255, 9, call, flags=255), 1104, 7, False),
             ("codec 2", frame(3, 2, call), 1103, 7, False), ("call with flag 4", frame(3, 0, call, flags=4), 1103, 7, False),
             ("call with flag 128", frame(3, 1, b'["player.get",{}]', flags=128), 1103, 7, False),
             ("hello with a flag", frame(1, 0, pack({}), flags=1), 1103, 7, False),
             ("ping with a flag", frame(5, 0, b"", flags=1), 1103, 7, False),
             ("batch with a flag", frame(11, 0, pack([]), flags=2), 1103, 7, False)]
    for name, data, code, rid, closes in cases:
        yield {"name": name, "frame": data.hex(), "error": {"code": code, "request_id": rid, "closes": closes}}


def bad_payloads():
    """Good frames whose payload is refused with 1101; the connection lives, but for a HELLO's."""
    deep = b"[" * 10000 + b"]" * 10000
    cases = [("call, empty payload", 3, 0, b""), ("call, truncated", 3, 0, pack(["player.get", {"a": 1}])[:-1]),
             ("call, byte behind it", 3, 0, pack(["player.get", {}]) + b"\xc0"), ("call, one element", 3, 0, pack(["player.get"])),
             ("call, four elements", 3, 0, pack(["g", "o", {}, 1])), ("call, a map", 3, 0, pack({})), ("call, operation a number", 3, 0, pack([1, {}])),
             ("call, game a number", 3, 0, pack([1, "player.get", {}])), ("call, params a list", 3, 0, pack(["player.get", []])),
             ("call, params nil", 3, 0, pack(["player.get", None])), ("call, integer key", 3, 0, pack(["player.get", {1: 1}])),
             ("call, extension type", 3, 0, b"\x92\xa1x\x81\xa1a\xd4\x01\x00"), ("call, timestamp extension", 3, 0, b"\x92\xa1x\x81\xa1a\xd6\xff\x00\x00\x00\x00"),
             ("call, byte that MessagePack never uses", 3, 0, b"\x92\xa1x\x81\xa1a\xc1"), ("call, text not UTF-8", 3, 0, b"\x92\xa1x\x81\xa1a\xa1\xff"),
             ("call, operation not UTF-8", 3, 0, b"\x92\xa1\xff\x80"), ("call, list announcing 2^32-1", 3, 0, b"\x92\xa1x\x81\xa1a\xdd\xff\xff\xff\xff"),
             ("call, map announcing 2^32-1", 3, 0, b"\x92\xa1x\xdf\xff\xff\xff\xff"), ("call, text announcing 2^32-1", 3, 0, b"\x92\xdb\xff\xff\xff\xff"),
             ("call, a thousand levels", 3, 0, b"\x92\xa1x\x81\xa1a" + b"\x91" * 1000 + b"\xc0"),
             ("call, JSON broken", 3, 1, b'["player.get",{]'), ("call, JSON with a byte behind it", 3, 1, b'["player.get",{}]]'),
             ("call, JSON not UTF-8", 3, 1, b'["player.get",{"a":"\xff"}]'), ("call, JSON ten thousand levels", 3, 1, deep),
             ("call, JSON number beyond 64 bits", 3, 1, b'["player.get",{"a":18446744073709551616}]'),
             ("call, JSON float beyond 64 bits", 3, 1, b'["player.get",{"a":1e400}]'), ("call, JSON half a surrogate pair", 3, 1, b'["player.get",{"a":"\\ud800"}]'),
             ("call, JSON zero byte in a number", 3, 1, b'["player.get",{"a":18\x0046}]'), ("call, MessagePack said to be JSON", 3, 1, pack(["player.get", {}])),
             ("call, JSON said to be MessagePack", 3, 0, b'["player.get",{}]'), ("batch, a call with a game", 11, 0, pack([["g", "o", {}]])),
             ("batch, a map", 11, 0, pack({})), ("batch, truncated", 11, 0, pack([["a", {}], ["b", {}]])[:-1]),
             ("batch, byte behind it", 11, 0, pack([["a", {}]]) + b"\xc0"), ("hello, no credential", 1, 0, pack({"client": "c"})),
             ("hello, no client", 1, 0, pack({"auth": {"jwt": "x"}})), ("hello, two credentials", 1, 0, pack({"client": "c", "auth": {"jwt": "x", "api_key": "y"}})),
             ("hello, unknown member", 1, 0, pack({"client": "c", "gmae": "g", "auth": {"jwt": "x"}})),
             ("hello, member twice", 1, 1, b'{"client":"c","client":"d","auth":{"jwt":"x"}}'),
             ("hello, credential without a nonce", 1, 0, pack({"client": "c", "auth": {"key_id": "k", "time": 1, "mac": bytes(32)}})),
             ("hello, time negative", 1, 0, pack({"client": "c", "auth": {"key_id": "k", "time": -1, "nonce": bytes(16), "mac": bytes(32)}})),
             ("hello, nonce not base64", 1, 1, b'{"client":"c","auth":{"key_id":"k","time":1,"nonce":"!","mac":""}}')]
    for name, kind, codec, data in cases:
        rid = 7
        yield {"name": name, "frame": frame(kind, codec, data).hex(), "error": {"code": 1101, "request_id": rid, "closes": kind == 1}}


def macs():
    for m in MACS:
        shown = {k: v.hex() if isinstance(v, bytes) else v for k, v in m.items()}
        yield {"name": f"key id {m['key_id']!r}, game {m['game']!r}, client {m['client']!r}", **shown, "mac": mac(**m).hex()}


here, stale = pathlib.Path(__file__).parent, []
for name, make in [("good", good), ("bad_frames", bad_frames), ("bad_payloads", bad_payloads), ("mac", macs)]:
    lines = ",\n".join(json.dumps(v, ensure_ascii=True) for v in make())
    path, content = here / f"{name}.json", f"[\n{lines}\n]\n"
    if "--check" not in sys.argv:
        path.write_text(content)
    elif path.read_text() != content:
        stale.append(path.name)
sys.exit(f"differ from what this script writes: {stale}" if stale else 0)
