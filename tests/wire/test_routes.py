"""Which requests go past FastAPI."""

import pytest

from llmguard.wire.models import MODEL
from llmguard.wire.routes import ENDPOINTS, find, served
from llmguard.wire.similarity_endpoints import STORE_FILE_GET


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.path)
def test_every_endpoint_is_found_by_its_method_and_path_alone(endpoint: object) -> None:
    assert find(endpoint.method, endpoint.path) is endpoint
    known = {other.method for other in ENDPOINTS if other.path == endpoint.path}
    for method in {"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "post", ""} - known:
        assert find(method, endpoint.path) is None


def test_no_two_endpoints_share_a_route() -> None:
    assert len({(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}) == len(ENDPOINTS)


def test_what_reaches_a_model_can_be_read_and_written() -> None:
    for endpoint in ENDPOINTS:
        written = endpoint.renderer is not None or endpoint.pooled is not None
        assert written == (endpoint.to_model is not None)
        assert endpoint.to_model is None or endpoint.request is not None
        assert endpoint.request is None or endpoint.method == "POST"
        assert endpoint.query is None or endpoint.method == "GET"


def test_a_path_has_as_many_steps_as_its_endpoint_and_none_is_empty() -> None:
    assert find("GET", "/v1/vector_stores/vs_1/files/file-2") is STORE_FILE_GET
    assert STORE_FILE_GET.places("/v1/vector_stores/vs_1/files/file-2") == ["vs_1", "file-2"]
    for path in ("/v1/vector_stores/", "/v1/vector_stores//files", "/v1/vector_stores/vs_1/", "/v1/files/a/b"):
        assert served(path) == []


@pytest.mark.parametrize("name", ["chat", "org/model", "a/b/c", "model:free", "..", "%2e"])
def test_a_models_name_may_hold_anything(name: str) -> None:
    assert find("GET", f"/v1/models/{name}") is MODEL


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1", "/v1/", "/v1/chat/completions/", "/V1/chat/completions", "//v1/chat/completions", "/v1/modelsx",
     "/v1/models/", "/v1/chat", "/v1/chat/completions/x", "/v1/./chat/completions", "/health/live"],
)  # fmt: skip
def test_nothing_else_is_hot(path: str) -> None:
    assert find("POST", path) is None
    assert find("GET", path) is None


def test_the_methods_of_a_path_are_told() -> None:
    assert served("/v1/chat/completions") == ["POST"]
    assert served("/v1/models/chat") == ["GET"]
    assert served("/v1/vector_stores/vs_1") == ["DELETE", "GET", "POST"]
    assert served("/v1/unknown") == []
