"""The guard counts the embedded model's tokens exactly as the model does."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from llmguard.settings import EmbeddedUpstream
from llmguard.upstreams.embedded.counting import EmbeddedCounter
from llmguard.upstreams.embedded.embedded import Embedded
from tests.upstreams.embedded.requests import chat, completion

pytestmark = pytest.mark.anyio

TEXTS = ("hello", "", "  many   spaces\n\n\tand tabs", "Grüße, 世界 🌍!", "<|im_end|> is text", "x" * 300)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_chats_input_is_what_the_model_reports(embedded: Embedded, text: str) -> None:
    for messages in (
        [{"role": "user", "content": text}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": text}]}],
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": text}, {"role": "user", "content": "b"}],
    ):
        request = chat(messages, max_tokens=1)
        assert embedded.counter is not None
        answer = await embedded.ask(request)
        assert answer.usage
        assert embedded.counter.prompt(request) == answer.usage.prompt_tokens


async def test_it_is_not_ready_before_it_can_count(cache: Path, settings: EmbeddedUpstream) -> None:
    """Else the first requests would be held to a bound of many times their tokens."""
    embedded = Embedded(settings, cache=cache)
    starting = asyncio.ensure_future(embedded.start())
    try:
        while not embedded.ready:
            assert not starting.done() or embedded.counter is not None
            await asyncio.sleep(0.001)
        assert embedded.counter is not None
        await starting
    finally:
        await embedded.close()


async def test_completions_of_several_prompts(embedded: Embedded) -> None:
    request = completion(["one two", "", "three"], max_tokens=1)
    answer = await embedded.ask(request)
    assert answer.usage
    assert embedded.counter is not None
    assert embedded.counter.prompt(request) == answer.usage.prompt_tokens


async def test_an_answers_text_is_about_what_was_generated(embedded: Embedded) -> None:
    """Not exactly: the text that tokens make can be cut into others, and the end of an answer has none."""
    answer = await embedded.ask(chat("Count to ten.", max_tokens=40, seed=1))
    assert answer.usage
    assert embedded.counter is not None
    said = answer.choices[0].message.content or ""
    assert abs(embedded.counter.text(said) - answer.usage.completion_tokens) <= 2


def test_what_the_model_refuses_is_not_counted(cache: Path) -> None:
    counter = EmbeddedCounter(cache)
    assert counter.prompt(chat("a", logprobs=True)) is None
    with pytest.raises(ValueError, match="no token"):
        counter.marker("<|none|>")


def test_it_needs_no_torch(cache: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from llmguard.upstreams.embedded.counting import EmbeddedCounter
assert EmbeddedCounter(Path({str(cache)!r})).text("one two three") == 3
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
