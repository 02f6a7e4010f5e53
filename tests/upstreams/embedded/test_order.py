import pytest

from llmguard.errors import UpstreamFailure
from llmguard.upstreams.embedded.order import Turn, order_of
from tests.upstreams.embedded.requests import chat, completion

FUNCTION = {"name": "f"}
IMAGE = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [{"type": "function", "function": FUNCTION}]}, "tools"),
        ({"functions": [FUNCTION]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"verbosity": "high"}, "verbosity"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"content": [{"role": "user", "content": IMAGE}]}, "messages"),
        ({"content": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages"),
        ({"content": [{"role": "function", "content": "x", "name": "f"}]}, "messages"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(fields: dict[str, object], param: str):
    with pytest.raises(UpstreamFailure) as caught:
        order_of(chat(**fields))
    assert (caught.value.denial.code, caught.value.denial.param) == ("parameter_not_allowed", param)
    assert not caught.value.retryable


@pytest.mark.parametrize("fields", [{"echo": True}, {"suffix": "x"}, {"best_of": 2}, {"logprobs": 0}])
def test_the_same_for_text_completions(fields: dict[str, object]):
    with pytest.raises(UpstreamFailure) as caught:
        order_of(completion(**fields))
    assert caught.value.denial.param == next(iter(fields))


@pytest.mark.parametrize(
    "fields",
    [{"tool_choice": "none"}, {"response_format": {"type": "text"}}, {"logprobs": False}, {"user": "u"}, {"n": 2}],
)
def test_what_asks_for_nothing_is_let_pass(fields: dict[str, object]):
    assert order_of(chat(**fields)).turns


def test_another_model_is_not_here():
    with pytest.raises(UpstreamFailure) as caught:
        order_of(chat(model="gpt-4"))
    assert caught.value.denial.code == "model_not_found"


def test_turns_are_what_the_template_knows():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    order = order_of(
        chat([
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": parts},
            {"role": "assistant", "refusal": "no"},
        ])
    )  # fmt: skip
    assert order.turns == (Turn("system", "be brief"), Turn("user", "a\nb"), Turn("assistant", "no"))


def test_defaults_are_openais():
    order = order_of(chat())
    assert (order.sampling.temperature, order.sampling.top_p, order.n, order.max_tokens) == (1, 1, 1, None)
    assert order_of(completion()).max_tokens == 16
    assert order_of(completion(["a", "b"], n=3)).choices == 6
