"""Health, metrics, docs, and who may use the admin API."""

import json
import re

import pytest

from llmguard.store.store import StoreUnavailable
from llmguard.wire.routes import ENDPOINTS
from tests.guarded import Guarded
from tests.serving import ADMIN_TOKEN, KEY

pytestmark = pytest.mark.anyio

PATH = "/admin/v1/keys"
WRONG = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "Bearer wrong",
    f"Bearer {ADMIN_TOKEN}x",
    f"Bearer {ADMIN_TOKEN[:-1]}",
    f"Bearer {ADMIN_TOKEN.upper()}",
    f"Bearer {KEY}",
    f"Basic {ADMIN_TOKEN}",
    ADMIN_TOKEN,
    "Bearer \xe9",
    f"Bearer Bearer {ADMIN_TOKEN}",
]


def presented(authorization: str | None) -> dict[str, str]:
    """As a header."""
    return {} if authorization is None else {"authorization": authorization}


# --- the token ----------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [f"Bearer {ADMIN_TOKEN}", f"bearer {ADMIN_TOKEN}", f"Bearer  {ADMIN_TOKEN}"])
async def test_the_operator_is_let_in(authorization: str) -> None:
    client = await Guarded().ask(PATH, key=None, headers=presented(authorization))
    assert (client.status, client.json) == (200, {"object": "list", "data": []})


@pytest.mark.parametrize("authorization", WRONG)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", PATH), ("POST", PATH), ("DELETE", f"{PATH}/x"), ("POST", f"{PATH}/x/rotate"), ("GET", f"{PATH}?x=1")],
)
async def test_nobody_else_is(authorization: str | None, method: str, path: str) -> None:
    guard = Guarded()
    json = {"user": "mallory", "tenant": "acme", "policy": "public"} if method == "POST" else None
    path = path.partition("?")[0]
    client = await guard.ask(path, json, method=method, key=None, headers=presented(authorization))
    assert (client.status, client.error["code"]) == (401, "invalid_api_key")
    assert await guard.store.list_keys() == []


@pytest.mark.parametrize("authorization", [*WRONG, f"Bearer {ADMIN_TOKEN}", "Bearer None"])
async def test_without_a_token_the_admin_api_is_shut(authorization: str | None) -> None:
    client = await Guarded(admin={}).ask(PATH, key=None, headers=presented(authorization))
    assert (client.status, client.error["code"]) == (401, "invalid_api_key")


# --- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("GET", "/", b"", 404, "unknown_url", None),
        ("GET", "/v1/unknown", b"", 404, "unknown_url", None),
        ("GET", "/v1/chat/completions/", b"", 404, "unknown_url", None),
        ("POST", "/health/live", b"", 405, "method_not_allowed", None),
        ("PUT", PATH, b"", 405, "method_not_allowed", None),
        ("DELETE", f"{PATH}/none", b"", 404, "not_found", None),
        ("POST", PATH, b"{", 400, "invalid_value", None),
        ("POST", PATH, b'{"user": "carol", "tenant": "acme"}', 400, "invalid_value", "policy"),
        ("POST", PATH, b'{"user": "carol", "tenant": "acme", "policy": "none"}', 400, "invalid_value", "policy"),
        ("POST", PATH, b" " * 300_000, 413, "request_too_large", None),
    ],
)
async def test_every_error_has_the_one_shape(
    method: str, path: str, body: bytes, status: int, code: str, param: str | None
) -> None:
    client = await Guarded().ask(path, method=method, key=ADMIN_TOKEN, blocks=(body,))
    assert (client.status, client.error["code"]) == (status, code)
    assert client.error.keys() == {"message", "type", "param", "code"}
    if param:
        assert client.error["param"] == param
    assert client.headers["content-type"] == "application/json"
    assert re.fullmatch(r"req_[0-9a-f]{32}", client.headers["x-request-id"])
    assert "detail" not in client.json


async def test_a_store_that_fails_is_said_with_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unavailable() -> None:
        raise StoreUnavailable("redis://secret")

    guard = Guarded()
    monkeypatch.setattr(guard.store, "list_keys", unavailable)
    client = await guard.ask(PATH, key=ADMIN_TOKEN)
    assert (client.status, client.error["code"], client.headers["retry-after"]) == (503, "store_unavailable", "1")
    assert b"secret" not in client.body


# --- health, metrics, docs ----------------------------------------------------------------


async def test_health_needs_no_key() -> None:
    guard = Guarded()
    assert (await guard.ask("/health/live", key=None)).json == {"status": "live"}
    assert (await guard.ask("/health/ready", key=None)).json == {"status": "ready"}
    guard.upstream.ready = False
    not_ready = await guard.ask("/health/ready", key=None)
    assert (not_ready.status, not_ready.json) == (503, {"status": "not ready"})
    assert (await guard.ask("/health/live", key=None)).status == 200


async def test_metrics_are_prometheus_text() -> None:
    guard = Guarded()
    await guard.chat()
    client = await guard.ask("/metrics", key=None)
    assert client.headers["content-type"].startswith("text/plain")
    assert b'llmguard_requests_total{endpoint="chat",model="chat",status="200"} 1.0' in client.body


async def test_the_document_describes_every_route_and_each_reference_leads_somewhere() -> None:
    client = await Guarded().ask("/openapi.json", key=None)
    document = client.json
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert operation["summary"] == endpoint.summary
        assert ("requestBody" in operation) == (endpoint.request is not None)
    assert {"/health/live", "/health/ready", "/metrics", PATH} <= document["paths"].keys()
    schemas = document["components"]["schemas"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert references - schemas.keys() == set()
    operations = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(operations) == len(set(operations))


async def test_the_docs_load_nothing_from_strangers() -> None:
    client = await Guarded().ask("/docs", key=None)
    assert client.status == 200
    assert re.findall(r'(?:src|href)="(?:https?:)?//', client.body.decode()) == []
