"""Tests of the gateway through a client that shares nothing with it.

Where the gateway is and which keys it takes comes from arguments or from the environment: GATEWAY_TCP,
GATEWAY_API_KEY, GATEWAY_KEY_ID, GATEWAY_SECRET. The last line is `N passed, N failed`.
"""

import argparse
import json
import os
import struct
import sys
import time
import traceback
from pathlib import Path

from gateway_client import (
    BATCH,
    CALL,
    HEADER,
    JSON,
    MSGPACK,
    PING,
    REPLY,
    Client,
    Closed,
    Refused,
    mac,
)

OPTIONS = None
VECTORS = Path(__file__).parents[2] / "gateway" / "protocol" / "vectors"


def connect(codec=MSGPACK, hello=True):
    host, port = OPTIONS.address.rsplit(":", 1)
    client = Client(host, int(port), codec)
    if hello:
        client.hello_api_key("game1", OPTIONS.api_key)
    return client


def refused(action, *codes):
    try:
        answer = action()
    except Refused as refusal:
        assert refusal.code in codes, f"{codes} expected: {refusal}"
        assert refusal.body["code"] == refusal.code and refusal.body["message"]
        return refusal
    raise AssertionError(f"{codes} expected: {answer}")


def test_code_of_a_game_server_agrees_with_the_vectors():
    vectors = json.loads((VECTORS / "mac.json").read_text())
    assert vectors
    for vector in vectors:
        nonce, key = bytes.fromhex(vector["nonce"]), bytes.fromhex(vector["key"])
        code = mac(key, vector["key_id"], vector["time"], nonce, vector["game"], vector["client"])
        assert code.hex() == vector["mac"], vector["name"]


def test_hello_with_an_api_key_is_welcome():
    for codec in (MSGPACK, JSON):
        with connect(codec, hello=False) as client:
            welcome = client.hello_api_key("game1", OPTIONS.api_key)
            for name in ("server", "version", "catalog", "heartbeat_ms", "frame_bytes_max", "inflight_max"):
                assert name in welcome, (name, welcome)


def test_hello_with_a_code_is_welcome():
    with connect(hello=False) as client:
        client.hello_mac("game1", OPTIONS.key_id, OPTIONS.secret)
        assert client.call("player.get", {"player_id": 1001})["nickname"] == "Player1001"


def test_hello_with_a_wrong_code_is_refused_and_closed():
    with connect(hello=False) as client:
        refused(lambda: client.hello_mac("game1", OPTIONS.key_id, "x" * 48), 3003)
        try:
            client.read()
        except (Closed, ConnectionResetError):
            return
        raise AssertionError("the connection lives")


def test_hello_of_another_time_is_refused():
    with connect(hello=False) as client:
        moment = int(time.time()) - 120
        refused(
            lambda: client.hello_mac("game1", OPTIONS.key_id, OPTIONS.secret, moment=moment),
            3002, 3003, 3005,
        )


def test_hello_with_a_used_nonce_is_refused():
    nonce, moment = os.urandom(16), int(time.time())
    again = {"moment": moment, "nonce": nonce}
    with connect(hello=False) as client:
        client.hello_mac("game1", OPTIONS.key_id, OPTIONS.secret, **again)
    with connect(hello=False) as client:
        refused(
            lambda: client.hello_mac("game1", OPTIONS.key_id, OPTIONS.secret, **again),
            3003, 3004, 3005,
        )


def test_call_answers_the_row_in_both_codecs():
    forms = []
    for codec in (MSGPACK, JSON):
        with connect(codec) as client:
            forms.append(client.call("player.get", {"player_id": 1001}))
    assert [form["player_id"] for form in forms] == [1001, "1001"], forms
    names = [list(form) for form in forms]
    assert names[0] == names[1], "the same members in the same order"
    assert forms[0]["created_at"] == forms[1]["created_at"] == "2026-01-01T00:00:00.000000Z"


def test_decimal_is_a_string_padded_to_its_scale():
    for codec in (MSGPACK, JSON):
        with connect(codec) as client:
            assert client.call("order.get", {"order_no": "SO1001-0001"})["amount"] == "5.99"


def test_call_names_another_game():
    with connect() as client:
        bag = client.call("item.list_by_player", {"player_id": 1001}, game="game2")
        assert all("bind_type" in item for item in bag), bag


def test_page_is_walked_to_its_end_without_a_row_twice():
    with connect() as client:
        seen, cursor = [], None
        while True:
            params = {"server_id": 3, "limit": 7}
            if cursor is not None:
                params["cursor"] = cursor
            page = client.call("player.search", params)
            seen += [row["player_id"] for row in page["items"]]
            cursor = page.get("next")
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 30, seen


def test_text_of_every_script_is_stored_and_told_as_it_came():
    name = "玩家 ✓ é 🎮"
    with connect() as client:
        refused(lambda: client.call("player.search", {"server_id": 3, "name_prefix": 7}), 2011)
        client.call("player.update", {"player_id": 1299, "version": 1, "nickname": name})
        for codec in (MSGPACK, JSON):
            client.codec = codec
            assert client.call("player.get", {"player_id": 1299})["nickname"] == name


def test_refusals_have_their_codes():
    with connect() as client:
        cases = [
            ("player.get", {}, 2010),
            ("player.get", {"player_id": "x"}, 2011),
            ("player.get", {"player_id": 0}, 2012),
            ("player.get", {"player_id": 1001, "more": 1}, 2013),
            ("player.get", {"player_id": 5}, 2101),
            ("player.nothing", {}, 2001),
            ("player.search", {"server_id": 1, "cursor": "AAAA"}, 2015),
        ]
        for operation, params, code in cases:
            refused(lambda: client.call(operation, params), code)
        refused(lambda: client.call("player.get", {"player_id": 1001}, game="game9"), 2000)
        assert client.call("player.get", {"player_id": 1001})["player_id"] == 1001


def test_call_before_hello_is_refused():
    with connect(hello=False) as client:
        refused(lambda: client.call("player.get", {"player_id": 1001}, game="game1"), 3001)


def test_batch_answers_in_order():
    for codec in (MSGPACK, JSON):
        with connect(codec) as client:
            answers = client.batch(
                [["player.get", {"player_id": 1002}], ["player.get", {}], ["player.count", {"server_id": 3}]]
            )
            assert [answer[0] for answer in answers] == [0, 2010, 0], answers
            assert answers[0][1]["nickname"] == "Player1002"


def test_pipelined_calls_come_back_under_their_ids():
    with connect() as client:
        waiting = {}
        for number in range(200):
            player_id = 1001 + number
            payload = client.encode(["player.get", {"player_id": player_id}])
            waiting[client.send(CALL, payload)] = player_id
        while waiting:
            kind, request_id, code, _, body = client.read()
            assert (kind, code) == (REPLY, 0), body
            assert body["player_id"] == waiting.pop(request_id)


def test_meta_is_sent_when_it_is_wanted():
    with connect() as client:
        payload = client.encode(["player.get", {"player_id": 1001}])
        request_id = client.send(CALL, payload, flags=2)
        _, answered, code, flags, body = client.read()
        assert (answered, code, flags & 2) == (request_id, 0, 2)
        meta, result = body
        assert "template" in meta and result["player_id"] == 1001, body


def test_ping_is_echoed():
    with connect() as client:
        for payload in (b"", b"\x00\xff", b"x" * 4000):
            assert client.ping(payload) == payload


def test_unknown_kind_is_refused_and_the_connection_lives():
    with connect() as client:
        request_id = client.send(77, b"")
        kind, answered, code, _, _ = client.read()
        assert (kind, answered, code) == (REPLY, request_id, 1104)
        assert client.ping(b"alive") == b"alive"


def test_bad_payload_is_refused_and_the_connection_lives():
    with connect() as client:
        for kind in (CALL, BATCH):
            request_id = client.send(kind, b"\xc1")
            _, answered, code, _, _ = client.read()
            assert (answered, code) == (request_id, 1101)
        assert client.ping(b"alive") == b"alive"


def test_malformed_frame_is_answered_with_id_0_and_closed():
    broken = [
        (struct.pack(">I", 11) + b"\x01" * 11, 1101),
        (HEADER.pack(0x7FFFFFFF, 1, PING, 0, 0, 1, 0, 0), 1102),
        (HEADER.pack(12, 9, PING, 0, 0, 1, 0, 0), 1103),
    ]
    for data, expected in broken:
        with connect() as client:
            client.socket.sendall(data)
            kind, request_id, code, _, _ = client.read()
            assert (kind, request_id, code) == (REPLY, 0, expected), (code, expected)
            try:
                client.read()
            except (Closed, ConnectionResetError):
                continue
            raise AssertionError("the connection lives")


def main():
    global OPTIONS
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("tcp", "api_key", "key_id", "secret"):
        option = {"tcp": "address"}.get(name, name)
        default = os.environ.get(f"GATEWAY_{name.upper()}")
        parser.add_argument(f"--{option.replace('_', '-')}", default=default, required=default is None)
    OPTIONS = parser.parse_args()
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            test()
            passed += 1
            print(f"{name} ... ok")
        except Exception:  # a test reports whatever stopped it
            failed += 1
            print(f"{name} ... FAILED")
            traceback.print_exc(file=sys.stdout)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
