"""The table, and that nothing is said that does not stand in it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmguard.errors import TABLE, Denial
from llmguard.wire.errors import error_body, error_headers

SOURCE = Path(__file__).parents[1] / "llmguard"

STATED = {
    400: ["deterministic_decoding", "parameter_not_allowed", "unknown_parameter", "invalid_value"],
    401: ["invalid_api_key"],
    # `model_not_allowed` is never said: such a model answers as one that does not exist.
    403: ["endpoint_not_allowed", "embeddings_not_exported"],
    404: ["model_not_found"],
    413: ["request_too_large"],
    429: ["rate_limit_exceeded", "insufficient_quota", "challenge_required"],
    502: ["upstream_error"],
    503: ["store_unavailable", "overloaded"],
    504: ["upstream_timeout"],
}
TYPES = {
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "rate_limit_error",
    "insufficient_quota",
    "server_error",
}


@pytest.mark.parametrize(("status", "code"), [(status, code) for status, codes in STATED.items() for code in codes])
def test_the_contracts_codes_have_the_contracts_status(status: int, code: str) -> None:
    assert TABLE[code].status == status


def test_every_row_can_be_sent() -> None:
    for code, row in TABLE.items():
        assert 400 <= row.status < 600
        assert row.type in TYPES
        assert row.message.endswith((".", "instead."))
        assert code.encode() in error_body(Denial(code))


def test_a_retry_is_advised_against_where_it_cannot_help() -> None:
    for code, row in TABLE.items():
        told = dict(error_headers(Denial(code))).get(b"x-should-retry")
        assert told == (None if row.retry else b"false")
        assert row.retry or row.status < 502


@pytest.mark.parametrize(
    ("seconds", "milliseconds", "whole"),
    [(1.0, 1000, 1), (0.0, 1, 1), (0.0001, 1, 1), (1.2, 1200, 2), (60.0, 60000, 60)],
)
def test_when_to_come_back_is_never_too_early(seconds: float, milliseconds: int, whole: int) -> None:
    headers = dict(error_headers(Denial("overloaded", retry_after_s=seconds)))
    assert headers[b"retry-after-ms"] == b"%d" % milliseconds
    assert headers[b"retry-after"] == b"%d" % whole


def denials() -> Iterator[tuple[str, ast.Call]]:
    """Every place in the source that makes a denial."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Denial":
                yield f"{path.relative_to(SOURCE)}:{node.lineno}", node


def codes(node: ast.expr) -> set[str]:
    """The texts that stand in an expression."""
    return {part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def test_every_denial_in_the_source_uses_a_known_code() -> None:
    found = dict(denials())
    assert len(found) > 20
    literal = {place: call.args[0] for place, call in found.items() if isinstance(call.args[0], ast.Constant)}
    assert {place: codes(code) for place, code in literal.items() if not codes(code) <= TABLE.keys()} == {}
    computed = {place.partition(":")[0] for place in found.keys() - literal.keys()}
    # What hands on a code that was chosen elsewhere; a new one needs a look at where its codes come from.
    assert computed <= {
        "controls/decoding.py",
        "controls/quotas.py",
        "wire/request.py",
        "admin/site.py",
        "upstreams/litellm_wire.py",
        "upstreams/embedded/embedded.py",
    }
