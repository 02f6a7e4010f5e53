"""The settings as values: durations, secrets, the store's URL, and the JSON schema."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError
from ruamel.yaml import YAML

from llmguard.settings import EmbeddedUpstream, Model, Server, Settings, StoreSettings, schema
from llmguard.settings_policies import Decoding, Limit, Outputs, Policy, Prompts, Watermark
from llmguard.settings_values import HttpUrl, MasterSecret, Network, Seconds, Token, without_password

EXAMPLE = Path(__file__).parent / "example.yaml"


def values(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *((90, 90), (0.5, 0.5), ("90", 90), ("500ms", 0.5), ("30s", 30), ("1m", 60), ("12h", 43200), ("1d", 86400)),
        *(("2w", 1209600), ("1.5h", 5400)),
    ],
)
def test_duration(written: object, value: float) -> None:
    assert values(Seconds).validate_python(written) == pytest.approx(value)


@pytest.mark.parametrize(
    "written", ["", "s", "1 m", "1M", "-1m", "1m30s", "1e3", "inf", "nan", "1_0s", "٣s", 0, -1, float("nan"), "0s"]
)
def test_not_a_duration(written: object) -> None:
    with pytest.raises(ValidationError):
        values(Seconds).validate_python(written)


@pytest.mark.parametrize("written", ["10.0.0.1", "10.0.0.1/8", "::1", "fd00::/8"])
def test_network(written: str) -> None:
    assert values(Network).validate_python(written) == written


def test_slash_at_the_end_of_a_url_is_cut() -> None:
    assert values(HttpUrl).validate_python("https://h:1/v1/") == "https://h:1/v1"


@pytest.mark.parametrize(
    "written",
    ["", "h/v1", "ftp://h", "http://", "http://u@h", "http://h?x=1", "http://h#x", "http://[::1", "http://h:x"],
)
def test_not_a_url(written: str) -> None:
    with pytest.raises(ValidationError):
        values(HttpUrl).validate_python(written)


def test_secret_comes_out_of_the_environment() -> None:
    context = {"environ": {"NAME": "n" * 32}}
    for kind in (Token, MasterSecret):
        assert values(kind).validate_python("env:NAME", context=context) == SecretStr("n" * 32)


def test_without_an_environment_no_variable_is_set() -> None:
    with pytest.raises(ValidationError, match="NAME is not set"):
        values(MasterSecret).validate_python("env:NAME")


@pytest.mark.parametrize("written", ["", "a b", "a\n", "é", "a\x00"])
def test_not_a_token(written: str) -> None:
    with pytest.raises(ValidationError, match="visible ASCII"):
        values(Token).validate_python(written)


@pytest.mark.parametrize("written", ["é" * 15, "a" * 31, "\ud800" * 40])
def test_not_a_master_secret(written: str) -> None:
    with pytest.raises(ValidationError):
        values(MasterSecret).validate_python(written)


def test_master_secret_is_counted_in_bytes() -> None:
    assert values(MasterSecret).validate_python("é" * 16) == SecretStr("é" * 16)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("file:./data", "file:./data"),
        ("memory:", "memory:"),
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("rediss://:hunter2@h:1/0", "rediss://***@h:1/0"),
        ("redis+sentinel://u:hun@ter2@a:1,b:2/main", "redis+sentinel://***@a:1,b:2/main"),
    ],
)
def test_store_url_is_shown_without_its_password(url: str, shown: str) -> None:
    store = StoreSettings(url=url)
    assert store.url == url
    assert store.shown_url == without_password(url) == store.model_dump()["url"] == shown
    assert url not in repr(store)
    assert store.local is (store.scheme in ("file", "memory"))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Decoding(min_temperature=2.1),
        lambda: Decoding(min_top_p=1.1),
        lambda: Decoding(min_top_k=0),
        lambda: Decoding(max_n=0),
        lambda: Decoding(max_output_tokens=0),
        lambda: Outputs(timing_bucket_ms=-1),
        lambda: Prompts(alpha=0),
        lambda: Prompts(alpha=1),
        lambda: Watermark(context_width=0),
        lambda: Watermark(context_width=9),
        lambda: Watermark(fraction=1.1),
        lambda: Limit(per="key", of="requests", limit=-1),
        lambda: Server(max_body_bytes=1),
    ],
)
def test_out_of_range(wrong: Any) -> None:
    with pytest.raises(ValidationError):
        wrong()


def test_sections_that_are_not_named_are_none() -> None:
    policy = Policy()
    assert (policy.decoding, policy.outputs, policy.prompts, policy.watermark) == (None, None, None, None)
    assert "embeddings" not in policy.endpoints


def test_settings_are_frozen() -> None:
    model = Model(task="chat", upstream="u", model="m")
    with pytest.raises(ValidationError):
        model.upstream = "v"  # type: ignore[misc]


def test_settings_made_in_python() -> None:
    settings = Settings(
        secret=SecretStr("s" * 32),
        upstreams={"own": EmbeddedUpstream(kind="embedded")},
        models={},
        policies={"public": Policy()},
    )
    assert "sss" not in f"{settings!r}{settings.model_dump_json()}"


def properties(node: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property anywhere in a JSON schema."""
    if isinstance(node, dict):
        for name, inner in node.get("properties", {}).items():
            yield name, inner
        for inner in node.values():
            yield from properties(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from properties(inner)


def test_schema_describes_every_field() -> None:
    document = schema()
    described = list(properties(document))
    assert document["title"] == "llmguard settings"
    assert len(described) > 60
    undescribed = [(name, inner) for name, inner in described if not inner.get("description")]
    # Pydantic leaves out a description that the section itself carries word for word.
    assert [name for name, inner in undescribed if "$ref" not in inner] == []
    assert all(section.get("description") for section in document["$defs"].values())
    assert all(inner.get("additionalProperties") is False for inner in document["$defs"].values())
    assert json.loads(json.dumps(document)) == document


def test_schema_documents_env_for_every_secret() -> None:
    for name, inner in properties(schema()):
        if name in ("secret", "token", "api_key", "url"):
            assert "env:NAME" in inner["description"]


def test_example_fits_the_schema() -> None:
    validator = jsonschema.Draft202012Validator(schema())
    jsonschema.Draft202012Validator.check_schema(schema())
    example = YAML(typ="safe", pure=True).load(EXAMPLE.read_text())
    assert list(validator.iter_errors(example)) == []
    assert list(validator.iter_errors({**example, "modus": 1})) != []
    assert list(validator.iter_errors({**example, "server": {"drain_s": "soon"}})) != []


def test_vectors_are_granted_with_a_reason_or_not_at_all() -> None:
    reason = {"reason": "a partner searches our help pages"}
    granted = Outputs.model_validate({"embeddings": "reduced", "reduced": reason}).reduced
    assert granted is not None
    assert (granted.dimensions, granted.bits, granted.noise) == (256, 8, 0.02)
    assert Outputs().embeddings == "never"
    for wrong in (
        {"embeddings": "reduced"},
        {"embeddings": "reduced", "reduced": {}},
        {"embeddings": "reduced", "reduced": {"reason": " " * 20}},
        {"embeddings": "reduced", "reduced": {**reason, "noise": 0}},
        {"embeddings": "reduced", "reduced": {**reason, "bits": 32}},
        {"embeddings": "full"},
    ):
        with pytest.raises(ValidationError):
            Outputs.model_validate(wrong)
