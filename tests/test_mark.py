"""Which format marks the text of which model, and what it costs."""

from typing import Any

import pytest

from llmguard.mark import SELECTION, SGLANG, UNIGRAM, VLLM, Mark, Marks, format_of, mark_of
from llmguard.settings import AnyUpstream, EmbeddedUpstream, LiteLLMUpstream, Model, OpenAIUpstream
from llmguard.settings_policies import Selection, Watermark

KEY = (7, "wm_1")
PICKED = Watermark(selection=Selection())


def openai(engine: Any = "generic", *, plugin: bool = False) -> OpenAIUpstream:
    return OpenAIUpstream(kind="openai", base_url="http://a/v1", engine=engine, watermark_plugin=plugin)


CLAUDE, EMBEDDED = LiteLLMUpstream(kind="litellm"), EmbeddedUpstream(kind="embedded")
MODEL = Model(task="chat", upstream="u", model="m")
SIZED = MODEL.model_copy(update={"vocabulary": 50_000})


@pytest.mark.parametrize(
    ("setting", "upstream", "model", "found"),
    [
        (Watermark(), EMBEDDED, MODEL, VLLM),
        (Watermark(), openai("sglang"), MODEL, SGLANG),
        (Watermark(), openai("vllm"), MODEL, None),
        (Watermark(), openai("vllm", plugin=True), MODEL, VLLM),
        (Watermark(), CLAUDE, MODEL, None),
        (PICKED, CLAUDE, MODEL, SELECTION),
        (PICKED, openai("vllm"), MODEL, SELECTION),
        (PICKED, openai("sglang"), MODEL, SGLANG),
        (Watermark(scheme="unigram"), openai(), SIZED, UNIGRAM),
        (Watermark(scheme="unigram"), openai(), MODEL, None),
        (Watermark(scheme="unigram"), openai("ollama"), SIZED, None),
        (Watermark(scheme="unigram"), CLAUDE, SIZED, None),
        (Watermark(scheme="kgw", selection=Selection()), CLAUDE, MODEL, None),
    ],
)
def test_a_models_format_is_the_best_that_its_upstream_can(
    setting: Watermark, upstream: AnyUpstream, model: Model, found: str | None
) -> None:
    assert format_of(setting, upstream, model) == found


def test_a_streamed_answer_stays_as_it_is_unless_the_settings_choose_otherwise() -> None:
    for streaming, upstream, segment in (
        ("unmarked", openai("vllm"), None), ("whole", openai("vllm"), 0), ("segments", openai("vllm"), 32),
        ("segments", CLAUDE, 0),
    ):  # fmt: skip
        setting = Watermark(selection=Selection(streaming=streaming, segment_tokens=32))
        mark = mark_of(setting, upstream, MODEL, KEY, stream=True)
        assert (mark.segment if mark else None) == segment
        whole = mark_of(setting, upstream, MODEL, KEY, stream=False)
        assert whole is not None
        assert (whole.segment, whole.candidates) == (0, 2)


def test_the_most_that_is_read_is_that_of_all_calls() -> None:
    mark = Mark("id", SELECTION, 4, 1, candidates=4)
    assert mark.input_bound(100, 500) == 100
    assert Mark("id", SELECTION, 4, 1, candidates=4, together=False).input_bound(100, 500) == 400
    # Three turns: the prompt three times, and behind it 0, 64 and 128 tokens.
    assert Mark("id", SELECTION, 4, 1, candidates=2, segment=64).input_bound(100, 192) == 300 + 192
    marks = Marks({"a": mark, "b": Mark("id", VLLM, 4, 1)})
    assert (marks.candidates, marks.input_bound(100, 500)) == (4, 100)
    assert (Marks({}).candidates, Marks({}).input_bound(100, 500)) == (1, 100)
