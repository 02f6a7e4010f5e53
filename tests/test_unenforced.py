"""What the file asks for and this version lacks is said, and nothing else is."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from llmguard.defaults import default_settings
from llmguard.settings import EmbeddedUpstream, LiteLLMUpstream, Model, OpenAIUpstream, Settings
from llmguard.settings_policies import Decoding, Limit, Outputs, Policy, Prompts, Selection, Watermark
from llmguard.unenforced import unenforced

LIMIT = Limit(per="key", of="requests", limit=1)
EVERY_PROTECTION = Policy(
    endpoints=("chat", "embeddings"),
    limits=(LIMIT,),
    decoding=Decoding(),
    outputs=Outputs(),
    prompts=Prompts(),
    watermark=Watermark(),
)
"""All of them are enforced, for models that can be marked."""


def keys(policy: Policy) -> list[str]:
    """The keys that are warned of."""
    settings = Settings(secret=SecretStr("s" * 32), upstreams={}, models={}, policies={"p": policy})
    return [notice.key for notice in unenforced(settings)]


def test_prompts_are_not_watched_without_a_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmguard.unenforced.vocabulary_file", lambda: None)
    policy = Policy(prompts=Prompts())
    assert keys(policy) == ["policies.p.prompts"]
    assert keys(Policy(prompts=Prompts(detect=False))) == []


@pytest.mark.parametrize(
    "policy",
    [
        Policy(),
        EVERY_PROTECTION,
        Policy(outputs=Outputs(scores="bucket", timing_bucket_ms=50, pad_stream=True)),
        Policy(prompts=Prompts(detect=False)),
        Policy(watermark=Watermark(scheme="none")),
        Policy(watermark=Watermark(fraction=0)),
    ],
)
def test_what_is_not_asked_for_is_not_warned_of(policy: Policy) -> None:
    assert keys(policy) == []


UPSTREAMS = {
    "builtin": EmbeddedUpstream(kind="embedded"),
    "sglang": OpenAIUpstream(kind="openai", base_url="http://a/v1", engine="sglang"),
    "vllm": OpenAIUpstream(kind="openai", base_url="http://b/v1", engine="vllm"),
    "claude": LiteLLMUpstream(kind="litellm"),
}


def said(watermark: Watermark, models: tuple[str, ...] = ("*",)) -> dict[str, str]:
    """What is warned of a policy's watermark, by the model it names, where each upstream has one of its name."""
    settings = Settings(
        secret=SecretStr("s" * 32),
        upstreams=UPSTREAMS,
        models={name: Model(task="chat", upstream=name, model="m") for name in UPSTREAMS}
        | {"minilm": Model(task="embedding", upstream="vllm", model="e")},
        policies={"p": Policy(models=models, watermark=watermark)},
    )
    found = {}
    for notice in unenforced(settings):
        named = next((name for name in settings.models if f"the text of {name} " in notice.message), "")
        found[named or notice.key] = notice.message
    return found


def test_text_that_no_mark_can_reach_is_named_model_by_model() -> None:
    found = said(Watermark())
    assert set(found) == {"vllm", "claude"}
    assert "--watermark-config" in found["vllm"]
    assert set(said(Watermark(), ("c*", "builtin"))) == {"claude"}


def test_what_selection_and_a_processor_reach_is_not_warned_of() -> None:
    assert said(Watermark(selection=Selection())) == {}
    plugin = UPSTREAMS["vllm"].model_copy(update={"watermark_plugin": True})
    settings = Settings(
        secret=SecretStr("s" * 32),
        upstreams={"vllm": plugin},
        models={"m": Model(task="chat", upstream="vllm", model="m")},
        policies={"p": Policy(watermark=Watermark())},
    )
    assert unenforced(settings) == ()


def test_unigram_asks_for_what_it_needs() -> None:
    found = said(Watermark(scheme="unigram"))
    assert set(found) == {*UPSTREAMS}
    assert all("vocabulary" in message for message in found.values())


def test_a_scheme_that_is_not_made_is_named_once() -> None:
    assert set(said(Watermark(scheme="kgw"))) == {"policies.p.watermark.scheme"}


def test_defaults_warn_of_nothing(tmp_path: Path) -> None:
    assert unenforced(default_settings(tmp_path)) == ()
