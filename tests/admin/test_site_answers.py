"""The FastAPI side, over real sockets: what it refuses, and how it says so."""

from typing import Any

import pytest

from tests.fakes.openai_server import FakeOpenAI
from tests.serving import ADMIN_TOKEN, http, running, tree

pytestmark = pytest.mark.anyio

KEYS = "/admin/v1/keys"
ALICE = {"user": "alice", "tenant": "acme", "policy": "public"}


async def test_a_bad_body_names_its_parameter() -> None:
    cases: list[tuple[dict[str, Any], str, str | None, str]] = [
        ({"json": ALICE | {"user": "a b"}}, "invalid_value", "user", "'user' is not valid: string should match"),
        ({"json": ALICE | {"user": 1}}, "invalid_value", "user", "'user' is not valid: input should be a valid string"),
        ({"json": {"user": "a", "tenant": "t"}}, "invalid_value", "policy", "'policy' is missing."),
        ({"json": ALICE | {"policy": "none"}}, "invalid_value", "policy", "There is no such policy."),
        ({"json": ALICE | {"x": 1}}, "unknown_parameter", "x", "'x' is not a known parameter."),
        ({"json": []}, "invalid_value", None, "The request body is not valid: input should be"),
        ({"data": b"{", "headers": {"content-type": "application/json"}}, "invalid_value", None, "is not valid JSON."),
        ({}, "invalid_value", None, "The request body is missing."),
    ]
    async with FakeOpenAI() as fake, running(tree(fake.url)) as guard, http(guard, ADMIN_TOKEN) as client:
        for request, code, param, message in cases:
            async with client.post(KEYS, **request) as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"], error["param"]) == (400, code, param)
            assert message in error["message"]


@pytest.mark.parametrize("presented", ["", ADMIN_TOKEN, "Bearer", "Bearer x", f"Basic {ADMIN_TOKEN}", "Bearer é"])
async def test_only_the_operators_token_is_taken(presented: str) -> None:
    async with FakeOpenAI() as fake, running(tree(fake.url)) as guard, http(guard, None) as client:
        async with client.get(KEYS, headers={"authorization": presented}) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (401, "invalid_api_key")
        async with client.get(KEYS, headers={"authorization": f"bearer {ADMIN_TOKEN}"}) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/v1/chat/completions", 405, "POST"),
        ("DELETE", "/v1/models/chat", 405, "GET"),
        ("POST", "/health/live", 405, "GET"),
        ("GET", "/v1/models/", 404, None),
        ("GET", "/health/live/", 404, None),
        ("GET", "/v1/chat/completions/", 404, None),
    ],
)
async def test_a_url_that_is_not_served_so(method: str, path: str, status: int, allow: str | None) -> None:
    async with FakeOpenAI() as fake, running(tree(fake.url)) as guard, http(guard) as client:
        async with client.request(method, path, allow_redirects=False) as response:
            assert (response.status, response.headers.get("allow")) == (status, allow)
            assert response.headers["x-request-id"].startswith("req_")
