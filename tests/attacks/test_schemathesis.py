"""The OpenAPI document and the running guard agree, for requests that follow it and for ones that do not."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import OpenAI
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks

from tests.fakes.openai_server import FakeOpenAI
from tests.serving import ADMIN_TOKEN, KEY, TIMEOUT_S, running, tree

pytestmark = pytest.mark.anyio

EXAMPLES, FEW = 50, 15
"""For each operation, of either kind: half follow the document, half do not. FEW where many operations are alike."""

THERE = {"model": "chat", "policy": "public"}

CHECKS: list[Any] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.allow_header_conformance,
]


def both(operation: Any) -> st.SearchStrategy[Case]:
    """Requests to this operation, some of which break the document where it can be broken."""
    good: st.SearchStrategy[Case] = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    # What it makes of a form to break it is now and then a good one.
    form = any(body.media_type == "multipart/form-data" for body in operation.body)
    if (operation.body or operation.path_parameters) and not form:
        return good | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    return good


def agreement(operation: Any, send: Callable[[Case], Any], known: Mapping[str, str]) -> Callable[[], None]:
    """A test of one operation; `known` are the path parameters of what is there."""

    alike = "vector_stores" in operation.path or operation.path.startswith("/v1/files")

    @settings(
        max_examples=FEW if alike else EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(both(operation))
    def agree(case: Case) -> None:
        if case.meta.generation.mode.is_positive and isinstance(case.body, dict):
            # Any other is not found, and no answer would be seen.
            case.body |= {name: there for name, there in THERE.items() if name in case.body}
        if case.meta.generation.mode.is_positive and case.method != "DELETE":
            case.path_parameters |= {name: known[name] for name in known if name in case.path_parameters}
        response = send(case)
        case.validate_response(response, checks=CHECKS)
        assert response.headers["x-request-id"]

    return agree


def stored(url: str) -> Mapping[str, str]:
    """A vector store with a file, put there in a batch: their ids, as paths name them."""
    with OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=TIMEOUT_S) as client:
        store = client.vector_stores.create(name="there").id
        file = client.files.create(file=("a.txt", b"red dog"), purpose="assistants").id
        batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[file], poll_interval_ms=10).id
    return {"vector_store_id": store, "file_id": file, "batch_id": batch}


def explore(url: str) -> Counter[tuple[str, int]]:
    """Send EXAMPLES requests to every operation of the document, check what comes back, count the statuses."""
    statuses: Counter[tuple[str, int]] = Counter()
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=TIMEOUT_S)
    with requests.Session() as session:

        def send(case: Case) -> Any:
            token = ADMIN_TOKEN if case.operation.path.startswith("/admin") else KEY
            headers = {"authorization": f"Bearer {token}"}
            response = case.call(url, session=session, headers=headers, timeout=TIMEOUT_S)
            statuses[case.operation.label, response.status_code] += 1
            return response

        known = stored(url)
        for found in schema.get_all_operations():
            agreement(found.ok(), send, known)()
    return statuses


async def test_the_document_and_the_guard_agree() -> None:
    async with FakeOpenAI() as fake:
        models = tree(fake.url)["models"]
        models["embedder"] = {"task": "embedding", "upstream": "fake", "model": "upstream-model"}
        async with running(tree(fake.url, models=models)) as guard:
            statuses = await asyncio.to_thread(explore, guard.url)
    print(sorted(statuses.items()))
    for operation in ("chat/completions", "completions", "responses"):
        assert statuses[f"POST /v1/{operation}", 200]
        assert statuses[f"POST /v1/{operation}", 400]
    for operation in ("", "/{vector_store_id}/search", "/{vector_store_id}/files", "/{vector_store_id}/file_batches"):
        assert statuses[f"POST /v1/vector_stores{operation}", 400]
    for operation in ("vector_stores", "vector_stores/{vector_store_id}/files/{file_id}", "files/{file_id}"):
        assert statuses[f"GET /v1/{operation}", 200]
