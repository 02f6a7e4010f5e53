"""Malformed requests without end, the same ones for the same seed."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.serving import ADMIN_TOKEN, KEY

JSON_TYPE = b"application/json"
BODIES: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"model": "chat", "messages": [{"role": "user", "content": "hi"}]},
        {
            "model": "chat",
            "messages": [
                {"role": "system", "content": "Be brief.", "name": "ops"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "c", "content": "5"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "maximum": 5}}}],
            "tool_choice": "auto",
            "parallel_tool_calls": True,
            "temperature": 0.5,
            "top_p": 1,
            "n": 1,
            "max_tokens": 8,
            "stop": ["a", "b"],
            "seed": 7,
            "logit_bias": {"5": 1},
            "logprobs": True,
            "top_logprobs": 2,
            "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
            "user": "u",
            "metadata": {"k": "v"},
        },
        {
            "model": "chat",
            "messages": [{"role": "user", "content": "hi"}],
            "stream": True,
            "stream_options": {"include_usage": True, "include_obfuscation": True},
        },
    ],
    "/v1/completions": [
        {"model": "chat", "prompt": "hi", "best_of": 2, "n": 1, "echo": False, "logprobs": 1, "suffix": "x"},
        {"model": "chat", "prompt": ["a", "b"], "stream": True, "stop": "x", "max_tokens": 5},
    ],
    "/v1/responses": [
        {"model": "chat", "input": "hi", "instructions": "x", "max_output_tokens": 8, "store": False},
        {
            "model": "chat",
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "5"},
            ],
            "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
            "tool_choice": {"type": "function", "name": "f"},
            "text": {"format": {"type": "text"}, "verbosity": "low"},
            "reasoning": {"effort": "low"},
            "stream": True,
        },
    ],
}
ADMIN: dict[str, list[dict[str, Any]]] = {
    "/admin/v1/keys": [{"user": "a", "tenant": "t", "policy": "none", "expires_in_s": 60}],
    "/admin/v1/keys/key_1/rotate": [{"overlap_s": 60}],
}
HOT = [*BODIES, "/v1/embeddings", "/v1/models", "/v1/models/chat"]
SITE = ["/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/admin/v1/keys", "/admin/v1/keys/x"]
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "LOCK", "M-SEARCH", "QUERY"]
TARGETS = [
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/chat/completions/",
    "/v1/chat/completions/../completions",
    "/v1/chat/%2e%2e/chat/completions",
    "/v1/chat/completions%00",
    "/v1/chat/completions;x=1",
    "/V1/CHAT/COMPLETIONS",
    "/v1/models/",
    "/v1/models//",
    "/v1/models/%2e%2e/%2e%2e/admin/v1/keys",
    "/v1/models/..%2f..%2fadmin",
    "/v1/models/%00",
    "/v1/models/%ff%fe",
    "/v1/models/" + "m" * 5000,
    "/v1/models/%E2%80%AE",
    "/v1/models/*",
    "/v1/models?x=%ff&%00",
    "/v1/models?" + "q" * 5000,
    "/v1/models#x",
    "/health/live/",
    "/docs/",
    "/static-offline-docs/%2e%2e/%2e%2e/etc/passwd",
    "/admin/v1/keys/%00/rotate",
    "/admin/v1/keys/%2e%2e",
    "/",
    "*",
    "http://elsewhere/v1/models",
    "?",
    "/%",
    "/%zz",
    "/\\..\\",
]
WORDS = ["", "a", "user", "function", "text", "\x00", "\ud800", "é", "😀", "__proto__", "$ref", "x" * 600, "1e999"]
KEYS = [
    "model",
    "messages",
    "role",
    "content",
    "type",
    "name",
    "stream",
    "n",
    "foo",
    "",
    "\x00",
    "__class__",
    "k" * 300,
]


@dataclass(frozen=True, slots=True)
class Case:
    """One request. `whole` says that its framing is sound: an answer must come, and the connection stays usable."""

    kind: str
    data: bytes
    method: str = "POST"
    path: str = ""
    body: bytes = b""
    whole: bool = True


def head(method: str, target: str, *headers: tuple[bytes, bytes]) -> bytes:
    lines = [method.encode() + b" " + target.encode("latin-1") + b" HTTP/1.1", b"host: guard"]
    return b"\r\n".join([*lines, *(name + b": " + value for name, value in headers), b"", b""])


def key(path: str) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + (ADMIN_TOKEN if path.startswith("/admin") else KEY).encode()


def post(kind: str, path: str, body: bytes, *headers: tuple[bytes, bytes]) -> Case:
    """A sound POST of this body; `headers` replace those of the same name."""
    names = {name for name, _ in headers}
    usual = [key(path), (b"content-type", JSON_TYPE), (b"content-length", b"%d" % len(body))]
    sent = [header for header in usual if header[0] not in names]
    return Case(kind, head("POST", path, *sent, *headers) + body, path=path, body=body)


class Malformed:
    """An endless iterator of cases."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)
        self._kinds: list[tuple[Callable[[], Case], int]] = [
            (self.bytes_of_a_body, 34),
            (self.structure_of_a_body, 28),
            (self.random_json, 8),
            (self.random_bytes, 5),
            (self.wrong_header, 8),
            (self.odd_target, 5),
            (self.odd_method, 4),
            (self.admin_body, 4),
            (self.bytes_of_a_head, 2),
            (self.framing, 2),
        ]

    def __iter__(self) -> Iterator[Case]:
        makers, weights = zip(*self._kinds, strict=True)
        while True:
            yield self._random.choices(makers, weights)[0]()

    # --- bodies -------------------------------------------------------------------------------

    def bytes_of_a_body(self) -> Case:
        """A valid body with a few bytes changed."""
        path, value = self._valid(BODIES)
        return post("bytes", path, self._mutated(json.dumps(value).encode()))

    def structure_of_a_body(self) -> Case:
        """A valid body with a value replaced, removed, added or given twice."""
        path, value = self._valid(BODIES)
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            self._change(value)
        body = json.dumps(value).encode()
        if self._random.random() < 0.1:
            name = self._random.choice(list(value) or ["x"])
            body = body[:-1] + b"," + json.dumps(name).encode() + b":1}"
        return post("structure", path, body)

    def random_json(self) -> Case:
        """Any JSON."""
        return post("json", self._path(), json.dumps(self._json(0)).encode())

    def random_bytes(self) -> Case:
        """Any bytes; sometimes very deep, sometimes very long."""
        random = self._random
        body = random.choice(
            [
                random.randbytes(random.randrange(200)),
                b"[" * random.randrange(1, 20_000),
                b'{"a":' * random.randrange(1, 5000),
                b'{"model":"' + b"x" * random.randrange(100_000) + b'"}',
                b'{"n":' + b"9" * random.randrange(1, 9000) + b"}",
                b" " * random.randrange(1000),
                b"\xef\xbb\xbf{}",
                b'"\\ud800"',
                json.dumps(self._json(0)).encode("utf-16"),
            ]
        )
        return post("random", self._path(), body)

    def admin_body(self) -> Case:
        """A body of the admin routes, changed in bytes or structure."""
        path, value = self._valid(ADMIN)
        if self._random.random() < 0.5:
            self._change(value)
            return post("admin", path, json.dumps(value).encode())
        return post("admin", path, self._mutated(json.dumps(value).encode()))

    # --- heads --------------------------------------------------------------------------------

    def wrong_header(self) -> Case:
        """A valid body under headers that it cannot be taken with, or that mean nothing."""
        path, value = self._valid(BODIES)
        random = self._random
        header = random.choice(
            [
                (b"content-type", b"text/plain"),
                (b"content-type", b""),
                (b"content-type", b"application/x-www-form-urlencoded"),
                (b"content-type", b"multipart/form-data; boundary=x"),
                (b"content-type", b"application/jsonx"),
                (b"content-type", b"\xff\xfe"),
                (b"content-type", JSON_TYPE + b"; charset=utf-16"),
                (b"content-encoding", b"gzip"),
                (b"content-encoding", b"br, identity"),
                (b"content-encoding", b"\xe9"),
                (b"authorization", b""),
                (b"authorization", b"Bearer"),
                (b"authorization", b"Bearer \xff\xfe"),
                (b"authorization", b"Bearer " + b"x" * 5000),
                (b"authorization", b"Basic Og=="),
                (b"x-forwarded-for", b"\xff, 1.2.3.4.5"),
                (b"x-" + b"n" * 3000, b"v"),
                (b"accept", b"\xf0\x9f\x98\x80"),
                (b"cookie", b"a=" + b"\xe9" * 3000),
            ]
        )
        return post("header", path, json.dumps(value).encode(), header)

    def odd_target(self) -> Case:
        """A path that is nearly one of the guard's."""
        target = self._random.choice(TARGETS)
        method = self._random.choice(["GET", "GET", "POST", "HEAD", "DELETE"])
        return Case("target", head(method, target, key(target), (b"content-length", b"0")), method)

    def odd_method(self) -> Case:
        """A path of the guard's with any method."""
        path, method = self._random.choice(HOT + SITE), self._random.choice(METHODS)
        return Case("method", head(method, path, key(path), (b"content-length", b"0")), method)

    def bytes_of_a_head(self) -> Case:
        """A sound request with a few bytes of its head changed."""
        path, value = self._valid(BODIES)
        body = json.dumps(value).encode()
        request = post("", path, body).data
        return Case("head", self._mutated(request[: -len(body)]) + body, whole=False)

    def framing(self) -> Case:
        """A body whose length is not what the head says, or a head that is not HTTP."""
        path, value = self._valid(BODIES)
        body = json.dumps(value).encode()
        random = self._random
        sound = post("", path, body).data
        data = random.choice(
            [
                *(framed(path, length, body) for length in LENGTHS),
                chunked(path, b"%x\r\n" % len(body) + body + b"\r\n"),
                chunked(path, b"%x\r\n" % len(body) + body[:5]),
                chunked(path, b"zz\r\n" + body),
                chunked(path, b"-1\r\n" + body),
                chunked(path, b"fffffffffffffffff\r\n" + body),
                framed(path, b"%d\r\ntransfer-encoding: chunked" % len(body), body),
                framed(path, b"%d\r\ncontent-length: 1" % len(body), body),
                framed(path, b"%d\r\ntransfer-encoding: gzip" % len(body), body),
                framed(path, b"%d\r\nexpect: 100-continue" % len(body), body),
                framed(path, b"%d\r\nupgrade: websocket\r\nconnection: upgrade" % len(body), body),
                sound + random.randbytes(50),
                sound[: random.randrange(len(sound))],
                b"GET " + b"/" + b"u" * 200_000 + b" HTTP/1.1\r\n\r\n",
                head("GET", "/v1/models", *((b"x-%d" % number, b"v" * 90) for number in range(3000))),
                head("GET", "/v1/models", (b"x", b"v" * 300_000)),
                head("GET", "/v1/models", *((b"x-%d" % number, b"") for number in range(5000))),
                head("GET", "/v1/models", (b"na me", b"v")),
                head("GET", "/v1/models", (b"", b"v")),
                head("GET", "/v1/models", (b"x", b"a\r\n b")),
                head("GET", "/v1/models", (b"x", b"\0")),
                head("GET", "/v1/models/\xff", key(path)),
                b"GET /v1/models\r\n\r\n",
                b"GET /v1/models HTTP/9.9\r\n\r\n",
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"CONNECT guard:80 HTTP/1.1\r\n\r\n",
                b"NONSENSE / HTTP/1.1\r\n\r\n",
                b"\r\n" * 100,
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                b"\0" * 1000,
                random.randbytes(300),
            ]
        )
        return Case("framing", data, method="", whole=False)

    # --- how ----------------------------------------------------------------------------------

    def _valid(self, bodies: dict[str, list[dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
        path = self._random.choice(list(bodies))
        value = self._random.choice(bodies[path])
        return path, json.loads(json.dumps(value))

    def _path(self) -> str:
        return self._random.choice([*BODIES, "/v1/embeddings"])

    def _mutated(self, data: bytes) -> bytes:
        random, changed = self._random, bytearray(data)
        for _ in range(random.choice((1, 1, 2, 5))):
            at = random.randrange(len(changed) + 1)
            match random.randrange(6):
                case 0:
                    changed[at : at + 1] = random.randbytes(1)
                case 1:
                    changed[at:at] = random.choice([b"\0", b'"', b",", b"{", b"]", b"\\", b"\xff", b"e999", b"\\ud800"])
                case 2:
                    del changed[at : at + random.choice((1, 2, 10))]
                case 3:
                    changed[at:at] = changed[at : at + random.randrange(30)]
                case 4:
                    del changed[at:]
                case _:
                    changed[at : at + 1] = random.choice([b"NaN", b"1e999", b"-", b"null", b"0.0", b"9" * 30])
        return bytes(changed)

    def _change(self, value: Any) -> None:
        """Change one place of a value, however deep."""
        random = self._random
        while True:
            places = list(value) if isinstance(value, dict) else list(range(len(value)))
            if not places or random.random() < 0.1:
                return self._add(value)
            place = random.choice(places)
            if isinstance(value[place], dict | list) and random.random() < 0.6:
                value = value[place]
                continue
            if random.random() < 0.3:
                del value[place]
            else:
                value[place] = self._json(2)
            return None

    def _add(self, value: Any) -> None:
        if isinstance(value, dict):
            value[self._random.choice(KEYS)] = self._json(2)
        else:
            value.extend([self._json(2)] * self._random.choice((1, 1, 3000)))

    def _json(self, depth: int) -> Any:
        random = self._random
        if depth < 4 and random.random() < 0.4:
            if random.random() < 0.5:
                return [self._json(depth + 1) for _ in range(random.randrange(4))]
            return {random.choice(KEYS): self._json(depth + 1) for _ in range(random.randrange(4))}
        numbers = [0, 1, -1, 0.5, 1.0, 3, 2**31, 2**63, 2**64, 10**40, -(10**40), 1e300, float("inf"), float("nan")]
        return random.choice([None, True, False, random.choice(numbers), random.choice(WORDS)])


LENGTHS = [b"", b"-1", b"+5", b"1e3", b"0x10", b"5 5", b"\xff", b"9" * 30, b"99999999", b"5", b"0", b"1, 1"]


def framed(path: str, length: bytes, body: bytes) -> bytes:
    return head("POST", path, key(path), (b"content-type", JSON_TYPE), (b"content-length", length)) + body


def chunked(path: str, body: bytes) -> bytes:
    return head("POST", path, key(path), (b"content-type", JSON_TYPE), (b"transfer-encoding", b"chunked")) + body
