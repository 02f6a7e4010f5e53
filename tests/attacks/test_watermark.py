"""A client that would rather not be marked: it cannot say so, and what it says otherwise changes nothing."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.asking import PATHS, body
from tests.fakes import FakeOpenAI
from tests.serving import Running, http, running, tree

pytestmark = pytest.mark.anyio

SWITCHES: list[dict[str, Any]] = [
    {"watermark": None},
    {"watermark": False},
    {"watermark": {"key": "0"}},
    {"watermarking": {"enabled": False}},
    {"watermarking_config": None},
    {"vllm_xargs": {"watermark": False}},
    {"vllm_xargs": {"watermark_config": None}},
    {"extra_body": {"watermark": None}},
    {"custom_params": {"watermark": None}},
    {"custom_logit_processor": "x"},
    {"logits_processors": []},
    {"sampling_params": {"watermark": None}},
    {"mark": None},
    {"marks": None},
]
HEADERS = {"x-watermark": "off", "x-sglang-watermark": "off", "x-llmguard-watermark": "off"}


@pytest.fixture
async def fake(anyio_backend: str) -> AsyncIterator[FakeOpenAI]:
    """The engine."""
    async with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
async def guard(fake: FakeOpenAI) -> AsyncIterator[Running]:
    """A guard whose policy has every text marked."""
    settings = tree(fake.url, policies={"public": {"watermark": {}}, "narrow": {}})
    settings["upstreams"]["fake"]["engine"] = "sglang"
    async with running(settings) as guard:
        yield guard


@pytest.mark.parametrize("endpoint", PATHS)
async def test_a_field_that_would_switch_it_off_is_refused(guard: Running, fake: FakeOpenAI, endpoint: str) -> None:
    async with http(guard) as client:
        for fields in SWITCHES:
            async with client.post(PATHS[endpoint], json=body(endpoint) | fields) as response:
                error = (await response.json())["error"]
            assert (response.status, error["code"], error["param"]) == (400, "unknown_parameter", next(iter(fields)))
    assert fake.requests == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("endpoint", PATHS)
async def test_what_is_let_through_is_marked_and_headers_do_not_matter(
    guard: Running, fake: FakeOpenAI, endpoint: str, *, stream: bool
) -> None:
    async with http(guard) as client:
        for headers in ({}, HEADERS):
            asked = body(endpoint, stream=stream, temperature=0.7)
            async with client.post(PATHS[endpoint], json=asked, headers=headers) as response:
                assert response.status == 200
                text = await response.text()
            assert "watermark" not in text
    keys = {request.body["watermark"]["key"] for request in fake.requests}
    assert len(fake.requests) == 2
    assert len(keys) == 1
    assert int(keys.pop(), 16) > 0
