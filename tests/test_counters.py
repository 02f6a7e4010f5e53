"""Tokens are counted by the tokenizer that the settings name: never fewer than the model reads."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from llmguard.counters import Counters, FileCounter, load
from llmguard.settings import Model
from llmguard.upstreams.embedded import sentences
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.pooling import ClassifyRequest, EmbeddingRequest
from tests.fakes.upstream import FakeUpstream
from tests.guarded import UPSTREAM_URL, Guarded
from tests.serving import tree
from watermark import tokenizer as packaged

pytestmark = pytest.mark.anyio

WORDS = FileCounter(lambda text: len(text.split()))
TEMPLATES = {
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant\n",
    "llama": "{% for m in messages %}<|start|>{{ m.role }}<|end|>\n\n{{ m.content }}<|im_end|>{% endfor %}"
    "<|start|>assistant<|end|>\n\n",
    "mistral": "<s>{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}",
}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer of the embedded chat model, as a file that an operator would have."""
    path = tmp_path_factory.mktemp("model") / "tokenizer.json"
    tokenizer = packaged.load("smollm2").tokenizer
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "[INST]", "[/INST]", "<s>"])
    path.write_text(tokenizer.to_str())
    return path


def chat(content: object = "hello there", **more: Any) -> ChatRequest:
    """A chat request."""
    return msgspec.convert({"model": "m", "messages": [{"role": "user", "content": content}], **more}, ChatRequest)


@pytest.fixture(scope="module")
def reference(file: Path) -> PreTrainedTokenizerFast:
    """The library's own way."""
    return PreTrainedTokenizerFast(tokenizer_file=str(file))


@pytest.fixture(scope="module")
def counter(file: Path) -> FileCounter:
    """Ours."""
    return load(str(file))


@hypothesis(max_examples=40, deadline=None)
@given(template=st.sampled_from(sorted(TEMPLATES)), turns=st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_a_chat_is_bounded_closely_whatever_its_template(
    counter: FileCounter, reference: PreTrainedTokenizerFast, template: str, turns: list[str]
) -> None:
    """The reference applies the template and tokenizes the whole, as an engine does."""
    messages = [
        {"role": ("user", "assistant")[place % 2] if text else "user", "content": text}
        for place, text in enumerate(turns)
    ]
    template = TEMPLATES[template]
    read = len(reference.apply_chat_template(messages, chat_template=template, tokenize=True, return_dict=False))
    found = counter.prompt(msgspec.convert({"model": "m", "messages": messages}, ChatRequest))
    assert found is not None
    assert read <= found <= read + 64 + 8 * len(turns)


async def test_texts_alone_are_counted_exactly(file: Path) -> None:
    counter, reference = load(str(file)), Tokenizer.from_file(str(file))
    texts = ["Grüße, 世界 🌍!", "", "x" * 300]
    read = sum(len(reference.encode(text).ids) for text in texts)
    for request in (
        CompletionRequest(model="m", prompt=texts),
        ClassifyRequest(model="m", input=texts),
        EmbeddingRequest(model="m", input=texts),
    ):
        assert counter.prompt(request) == read
    assert counter.text(texts[0]) == len(reference.encode(texts[0]).ids)


def test_a_file_that_cuts_and_fills_counts_whole_texts() -> None:
    """sentence-transformers' files truncate at 128 or 256 and pad: neither is how many tokens there are."""
    counter = load(str(sentences.directory() / "tokenizer.json"))
    assert counter.text("word " * 1000) == 1002
    assert counter.text("word") == 3


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([{"role": "user", "content": "a b", "name": "c"}], 3),
        ([{"role": "user", "content": [{"type": "text", "text": "a b"}, {"type": "text", "text": "c"}]}], 3),
        ([{"role": "assistant", "refusal": "a b"}], 2),
        ([{"role": "system", "content": "a"}, {"role": "user", "content": ""}], 1),
    ],
)
def test_every_text_of_a_message_counts(messages: list[Any], words: int) -> None:
    request = msgspec.convert({"model": "m", "messages": messages}, ChatRequest)
    assert WORDS.prompt(request) == words + 64 + 8 * len(messages)


CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [TOOL]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}},
        {"messages": [{"role": "user", "content": [PICTURE]}]},
        {"messages": [{"role": "assistant", "tool_calls": [CALL]}]},
    ],
    ids=str,
)
def test_what_a_template_writes_out_is_not_guessed(more: dict[str, Any]) -> None:
    assert WORDS.prompt(chat(**more)) is None


def test_an_encoding_of_tiktoken_is_found_in_a_package_and_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr("socket.socket.connect", refuse)
    counter = load("cl100k_base")
    assert counter.text("hello world") == 2
    assert counter.text("<|endoftext|>") > 1  # a client's text is no control token
    assert counter.prompt(CompletionRequest(model="m", prompt="tiktoken is great!")) == 6


def model(**more: Any) -> Model:
    return Model(task="chat", upstream="fake", model="m", **more)


async def test_a_model_has_the_tokenizer_that_it_names_or_its_upstreams(file: Path) -> None:
    upstream = FakeUpstream()
    upstream.counter = WORDS
    models = {"own": model(tokenizer=str(file)), "other": model()}
    counters = Counters(models, {"fake": upstream}, {})
    assert (counters.ready, counters.of("own"), counters.of("other")) == (False, None, WORDS)
    await counters.start()
    assert counters.ready
    own = counters.of("own")
    assert own is not None
    assert own.text("hello world") == 2
    # What is loaded outlives a reload, as long as a model names it.
    again = Counters(models, {"fake": upstream}, counters.loaded)
    assert (again.ready, again.of("own")) == (True, own)
    assert Counters({"other": model()}, {"fake": upstream}, counters.loaded).loaded == {}


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b"[1]"])
async def test_a_file_that_is_none_leaves_the_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    counters = Counters({"own": model(tokenizer=str(path))}, {"fake": FakeUpstream()}, {})
    await counters.start()
    assert counters.ready
    assert counters.of("own") is None
    assert "tokens are bounded by bytes" in caplog.text


async def test_a_limit_that_the_bytes_would_exceed_lets_the_counted_request_pass(file: Path) -> None:
    """600 bytes of one word are as many tokens to a bound of bytes, and 173 to the tokenizer and a template's bound."""
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello " * 100}], "max_tokens": 10}
    policy = {"models": ["*"], "limits": [{"per": "user", "of": "tokens", "limit": 400, "every": "1m"}]}
    bounded = await Guarded(policies={"public": policy}).chat(body)
    assert (bounded.status, bounded.error["code"]) == (429, "rate_limit_exceeded")
    named = {name: {**each, "tokenizer": str(file)} for name, each in tree(UPSTREAM_URL)["models"].items()}
    guard = Guarded(policies={"public": policy}, models=named)
    await guard.app._generation.counters.start()
    assert (await guard.chat(body)).status == 200
