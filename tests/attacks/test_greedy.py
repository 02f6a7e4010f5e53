"""Greedy extraction: one answer a prompt, whatever spells it. Refused or raised, and honest users untouched."""

from functools import cache

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmguard.app import App
from llmguard.decoding.engines import ENGINES, Defaults
from llmguard.decoding.judgement import breaches
from llmguard.settings_policies import Decoding
from llmguard.wire.model_request import ModelRequest
from tests.attacks.applications import application, asked
from tests.attacks.greedy import SERVING, UNKNOWN, Fields, honest, numeric, others
from tests.attacks.sampler import certainty
from tests.decoding.requests import chat
from tests.fakes.connection import FakeClient
from tests.fakes.upstream import FakeUpstream
from tests.guarded import CHAT, COMPLETION

pytestmark = pytest.mark.anyio

SPELLINGS = [*numeric(), *others()]
RAISING = {"deterministic": "raise", "seed": "drop", "logit_bias": "drop"}


@cache
def guard(engine: str, how: str) -> tuple[App, FakeUpstream]:
    """The application in front of one engine: refusing, raising, or without the control."""
    fake = FakeUpstream(extensions=sorted(ENGINES[engine].fields))
    without = ["decoding"] if how == "bare" else []
    return application(fake, without=without, kind=engine, **(RAISING if how == "raise" else {})), fake


async def ask(engine: str, how: str, fields: Fields) -> tuple[FakeClient, ModelRequest | None]:
    """The client with its answer, and what the upstream was sent."""
    app, fake = guard(engine, how)
    fake.requests.clear()
    if "prompt" in fields:
        client = await asked(app, {**COMPLETION, **fields}, "/v1/completions")
    else:
        client = await asked(app, {**CHAT, **fields})
    return client, fake.requests[0] if fake.requests else None


def sent(request: ModelRequest | None) -> Fields:
    """What stands in a request, as the upstream reads it."""
    found: Fields = msgspec.to_builtins(request)
    return found


def test_there_are_enough_of_both() -> None:
    assert len(SPELLINGS) >= 200
    assert len(list(honest())) >= 200


@pytest.mark.parametrize(("engine", "fields"), list(numeric()))
def test_each_numeric_spelling_leaves_one_candidate(engine: str, fields: Fields) -> None:
    assert certainty(fields, engine) > 0.99
    assert certainty({}, engine) < 0.03


@pytest.mark.parametrize(("engine", "fields"), SPELLINGS)
async def test_each_spelling_reaches_the_bare_upstream_and_is_refused_by_the_guard(engine: str, fields: Fields) -> None:
    client, request = await ask(engine, "bare", fields)
    assert client.status == 200
    assert {name: sent(request)[name] for name in fields} == fields
    client, request = await ask(engine, "refuse", fields)
    assert (client.status, request) == (400, None)
    assert client.error["code"] in ("deterministic_decoding", "parameter_not_allowed")
    assert client.error["param"].partition(".")[0] in fields


@pytest.mark.parametrize(("engine", "fields"), SPELLINGS)
async def test_each_spelling_is_raised_or_refused_where_the_policy_raises(engine: str, fields: Fields) -> None:
    client, request = await ask(engine, "raise", fields)
    if client.status == 400:
        assert client.error["code"] in ("deterministic_decoding", "parameter_not_allowed")
        assert request is None
        return
    assert request is not None
    assert client.headers["x-llmguard-decoding"]
    assert breaches(request, ENGINES[engine].defaults, Decoding()) == []
    assert certainty(sent(request), engine) < 0.75


@pytest.mark.parametrize("engine", SERVING)
@pytest.mark.parametrize("fields", UNKNOWN)
async def test_what_no_table_knows_is_passed_on_to_no_engine(engine: str, fields: Fields) -> None:
    client, request = await ask(engine, "refuse", fields)
    assert (client.status, request) == (400, None)
    assert (client.error["code"], client.error["param"]) == ("unknown_parameter", next(iter(fields)))


@pytest.mark.parametrize(("engine", "fields"), list(honest()))
async def test_an_honest_request_arrives_as_it_would_without_the_control(engine: str, fields: Fields) -> None:
    client, request = await ask(engine, "refuse", fields)
    assert client.status == 200, client.body
    assert "x-llmguard-decoding" not in client.headers
    assert request == (await ask(engine, "bare", fields))[1]


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.floats(0, 2),
        "top_p": st.floats(0, 1),
        "top_k": st.integers(-1, 100),
        "min_p": st.floats(0, 1),
        "typical_p": st.floats(0, 1),
        "top_n_sigma": st.floats(-1, 5),
        "repetition_penalty": st.floats(0, 10),
        "dynatemp_range": st.floats(0, 2),
        "xtc_probability": st.floats(0, 1),
        "xtc_threshold": st.floats(0, 1),
        "logit_bias": st.dictionaries(st.integers(0, 199).map(str), st.floats(-100, 5), max_size=2),
    },
)


@given(fields=FIELDS, engine=st.sampled_from(["vllm", "llamacpp"]))
@example(fields={"top_p": 0.5, "top_k": 2}, engine="vllm")
@example(fields={"top_p": 0.7, "typical_p": 0.7, "top_k": 3}, engine="llamacpp")
@example(fields={"top_p": 0.2, "typical_p": 0.2}, engine="vllm")
@example(fields={"temperature": 0.3, "repetition_penalty": 0.9, "top_p": 0.15}, engine="vllm")
@settings(max_examples=500, deadline=None, derandomize=True)
def test_whatever_the_guard_passes_leaves_an_unsure_model_unsure(fields: Fields, engine: str) -> None:
    """The other way round: combinations of fields that pass do not make the reference sampler certain.

    Always the same 500 of them: that none at all does is not claimed.
    """
    if not breaches(chat(**fields), Defaults(), Decoding(logit_bias="allow")):
        assert certainty(fields, engine) < 0.99
