"""Every field of an engine is one of the wire's, and its meaning is known."""

from typing import get_args

import pytest
from pydantic import TypeAdapter

from llmguard.decoding.engines import ENGINES, engine_of
from llmguard.decoding.meanings import HARMLESS, MEANINGS
from llmguard.settings import AnyUpstream, OpenAIUpstream
from llmguard.wire.engine_fields import NAMES


@pytest.mark.parametrize("name", ENGINES)
def test_every_field_of_an_engine_is_on_the_wire_and_has_a_meaning(name: str) -> None:
    fields = ENGINES[name].fields
    assert fields <= set(NAMES)
    assert fields <= {*MEANINGS, *HARMLESS}


def test_no_field_is_on_the_wire_that_no_engine_knows_nor_both_judged_and_harmless() -> None:
    assert set(NAMES) == {field for engine in ENGINES.values() for field in engine.fields}
    assert not HARMLESS & set(MEANINGS)
    assert set(NAMES) == HARMLESS | set(MEANINGS)


def test_every_engine_of_the_settings_has_a_row() -> None:
    names = get_args(OpenAIUpstream.model_fields["engine"].annotation)
    assert {*names, "litellm", "embedded"} == set(ENGINES)


@pytest.mark.parametrize(
    ("settings", "row"),
    [
        ({"kind": "openai", "base_url": "http://h/v1"}, "generic"),
        ({"kind": "openai", "base_url": "http://h/v1", "engine": "llamacpp"}, "llamacpp"),
        ({"kind": "litellm"}, "litellm"),
        ({"kind": "embedded"}, "embedded"),
    ],
)
def test_an_upstream_has_its_engines_row(settings: dict[str, str], row: str) -> None:
    upstream: AnyUpstream = TypeAdapter(AnyUpstream).validate_python(settings)
    assert engine_of(upstream) is ENGINES[row]
