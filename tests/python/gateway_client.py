"""A client of the gateway's TCP protocol, written from protocol.md alone.

It shares no code with the gateway: what both agree on is in the document. Needs `msgpack`.
"""

import hashlib
import hmac
import json
import os
import socket
import struct
import time

import msgpack

VERSION = 1
HELLO, WELCOME, CALL, REPLY, PING, PONG = 1, 2, 3, 4, 5, 6
GOAWAY, BATCH = 10, 11
DRY_RUN, WANTS_META = 1, 2  # flags of CALL
REPLAYED, WITH_META = 1, 2  # flags of REPLY
MSGPACK, JSON = 0, 1
HEADER = struct.Struct(">IBBBBIHH")


class Refused(Exception):
    """The gateway answered with a code."""

    def __init__(self, code, body):
        super().__init__(f"{code} {body.get('message')}")
        self.code = code
        self.body = body


class Closed(Exception):
    """The gateway closed the connection."""


def mac(secret, key_id, moment, nonce, game, client):
    """HMAC-SHA256 over the fields of a game server's HELLO, each preceded by its length as u32."""
    signed = b""
    for field in (key_id.encode(), str(moment).encode(), nonce, game.encode(), client.encode()):
        signed += struct.pack(">I", len(field)) + field
    return hmac.new(secret, signed, hashlib.sha256).digest()


class Client:
    """One connection."""

    def __init__(self, host, port, codec=MSGPACK, timeout=60.0):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.codec = codec
        self.last_id = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Frames.

    def send(self, kind, payload=b"", *, request_id=None, flags=0, deadline_ms=0, codec=None):
        """Sends a frame; its request id."""
        if request_id is None:
            self.last_id += 1
            request_id = self.last_id
        codec = self.codec if codec is None else codec
        header = HEADER.pack(
            12 + len(payload), VERSION, kind, codec, flags, request_id, deadline_ms, 0
        )
        self.socket.sendall(header + payload)
        return request_id

    def read(self):
        """The next frame: kind, request id, number, flags, what it says."""
        length, version, kind, codec, flags, request_id, number, _ = HEADER.unpack(
            self._exactly(HEADER.size)
        )
        if version != VERSION or length < 12:
            raise ValueError(f"not a frame: version {version}, {length} bytes")
        payload = self._exactly(length - 12)
        value = payload if kind in (PING, PONG) else self.decode(payload, codec)
        return kind, request_id, number, flags, value

    def _exactly(self, count):
        parts = []
        while count:
            part = self.socket.recv(count)
            if not part:
                raise Closed()
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def encode(self, value):
        if self.codec == JSON:
            return json.dumps(value).encode()
        return msgpack.packb(value, use_bin_type=True)

    @staticmethod
    def decode(payload, codec):
        if codec == JSON:
            return json.loads(payload)
        return msgpack.unpackb(payload, raw=False, strict_map_key=True)

    def answer(self, request_id):
        """What was answered under an id."""
        kind, answered, code, _, body = self.read()
        if kind not in (REPLY, WELCOME) or answered != request_id:
            raise ValueError(f"kind {kind}, id {answered}: {body}")
        if code:
            raise Refused(code, body)
        return body

    # Messages.

    def hello(self, game, auth, client="python"):
        message = {"client": client, "game": game, "auth": auth}
        return self.answer(self.send(HELLO, self.encode(message)))

    def hello_api_key(self, game, api_key):
        return self.hello(game, {"api_key": api_key})

    def hello_mac(self, game, key_id, secret, *, moment=None, nonce=None, client="python"):
        """HELLO of a game server. Its bytes need MessagePack."""
        moment = int(time.time()) if moment is None else moment
        nonce = os.urandom(16) if nonce is None else nonce
        code = mac(secret.encode(), key_id, moment, nonce, game, client)
        auth = {"key_id": key_id, "time": moment, "nonce": nonce, "mac": code}
        return self.hello(game, auth, client)

    def call(self, operation, params, game=None, **options):
        message = [operation, params] if game is None else [game, operation, params]
        return self.answer(self.send(CALL, self.encode(message), **options))

    def told(self, operation, params, *, dry_run=False):
        """A call's result, what the gateway says of it, and whether it is a replay."""
        flags = WANTS_META | (DRY_RUN if dry_run else 0)
        request_id = self.send(CALL, self.encode([operation, params]), flags=flags)
        kind, answered, code, flags, body = self.read()
        if kind != REPLY or answered != request_id:
            raise ValueError(f"kind {kind}, id {answered}: {body}")
        if code:
            raise Refused(code, body)
        if not flags & WITH_META:
            raise ValueError(f"no meta was sent: {body}")
        meta, result = body
        return result, meta, bool(flags & REPLAYED)

    def batch(self, calls):
        return self.answer(self.send(BATCH, self.encode(calls)))

    def ping(self, payload=b""):
        request_id = self.send(PING, payload)
        kind, answered, _, _, echoed = self.read()
        if (kind, answered) != (PONG, request_id):
            raise ValueError(f"kind {kind}, id {answered}")
        return echoed
