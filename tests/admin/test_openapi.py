"""The OpenAPI document and the page that shows it."""

import re
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis

from llmguard.app import App
from llmguard.audit_log import AuditLog
from llmguard.errors import TABLE
from llmguard.metrics import Metrics
from llmguard.settings import Settings
from llmguard.store.memory import MemoryStore
from llmguard.upstreams.build import build_upstream
from llmguard.wire.routes import ENDPOINTS
from tests.fakes.clock import FakeClock
from tests.serving import tree

pytestmark = pytest.mark.anyio


@pytest.fixture
def app() -> App:
    clock = FakeClock()
    return App(
        Settings.model_validate(tree("http://127.0.0.1:1/v1")),
        clock=clock,
        store=MemoryStore(clock=clock),
        upstreams=lambda upstream: build_upstream(upstream, cache=Path("unused")),
        audit=AuditLog(0),
        metrics=Metrics(),
    )


async def get(app: App, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    return answer


@pytest.fixture
async def document(app: App) -> dict[str, Any]:
    found: dict[str, Any] = (await get(app, "/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation) for path, found in document["paths"].items() for method, operation in found.items()
    ]


async def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


async def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    def references(value: Any) -> set[str]:
        if isinstance(value, list):
            return {found for inner in value for found in references(inner)}
        if not isinstance(value, dict):
            return set()
        here = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return here | references(list(value.values()))

    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references(document) == known


async def test_every_hot_route_is_in_it(document: dict[str, Any]) -> None:
    for endpoint in ENDPOINTS:
        operation = document["paths"][endpoint.path][endpoint.method.lower()]
        assert ("requestBody" in operation) == (endpoint.request is not None)


async def test_every_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9_]+", ident) for ident in ids)


async def test_every_operation_but_health_needs_a_key(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        schemes = {name for scheme in operation.get("security", []) for name in scheme}
        if path.startswith("/admin"):
            assert schemes == {"operator"}
        elif path.startswith("/v1"):
            assert schemes == {"key", "api-key"}
        else:
            assert schemes == set()
        assert ("401" in operation["responses"]) == bool(schemes)
        assert schemes <= set(document["components"]["securitySchemes"])


async def test_errors_are_the_tables_and_in_one_shape(document: dict[str, Any]) -> None:
    for path, _, operation in operations(document):
        for status, response in operation["responses"].items():
            if status == "200" or (path, status) == ("/health/ready", "503"):
                continue
            codes = response["description"].split(", ")
            assert {TABLE[code].status for code in codes} == {int(status)}
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}
        assert "422" not in operation["responses"]


async def test_embeddings_may_be_refused_and_never_stream(document: dict[str, Any]) -> None:
    responses = document["paths"]["/v1/embeddings"]["post"]["responses"]
    assert set(responses["200"]["content"]) == {"application/json"}
    assert responses["403"]["description"] == "embeddings_not_exported"


@pytest.mark.parametrize("path", ["/docs", "/openapi.json"])
async def test_a_page_loads_nothing_from_elsewhere(app: App, path: str) -> None:
    text = (await get(app, path)).text
    assert "//" not in re.sub(r"// .*", "", text)


async def test_what_the_page_loads_is_there(app: App) -> None:
    page = (await get(app, "/docs")).text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(loaded) >= 3
    for path in loaded:
        assert path.startswith("/static-offline-docs/")
        assert (await get(app, path)).content
