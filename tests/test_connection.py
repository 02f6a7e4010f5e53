"""Reading once and bounded; knowing when the client has gone."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from llmguard import connection
from llmguard.connection import Message, WhileClientStays
from llmguard.errors import BodyTooLarge, ClientGone, Refused
from tests.collector import alive, uncollected
from tests.fakes.connection import FakeClient

pytestmark = pytest.mark.anyio

GONE: Message = {"type": "http.disconnect"}


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Watch from the beginning."""
    monkeypatch.setattr(connection, "WATCH_AFTER_S", 0)


# --- reading ------------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [(b"",), (b"x" * 10,), (b"x" * 5, b"x" * 5), (b"", b"x", b"")])
async def test_a_body_of_at_most_the_limit_is_read(blocks: tuple[bytes, ...]) -> None:
    assert await FakeClient(blocks=blocks).connection().read(10) == b"".join(blocks)


@pytest.mark.parametrize("blocks", [(b"x" * 11,), (b"x" * 10, b"x"), (b"x",) * 1000])
async def test_a_longer_one_is_not_read_to_its_end(blocks: tuple[bytes, ...]) -> None:
    client = FakeClient(blocks=blocks)
    with pytest.raises(BodyTooLarge):
        await client.connection().read(10)
    assert client.received <= 11


@pytest.mark.parametrize("declared", ["11", "9" * 5000, "-1", "ten", "", "1.5", "1e9", "+5", " 5", "٣"])
async def test_a_length_that_is_too_large_or_none_is_enough_to_refuse(declared: str) -> None:
    client = FakeClient(blocks=(b"x",), headers={"content-length": declared})
    with pytest.raises(BodyTooLarge):
        await client.connection().read(10)
    assert client.received == 0


async def test_a_length_that_lies_is_not_believed() -> None:
    with pytest.raises(BodyTooLarge):
        await FakeClient(blocks=(b"x" * 11,), headers={"content-length": "1"}).connection().read(10)


@pytest.mark.parametrize("blocks", [(), (b"half",)])
async def test_a_client_that_leaves_in_the_middle_has_sent_no_body(blocks: tuple[bytes, ...]) -> None:
    client = FakeClient(blocks=blocks, unfinished=True)
    client.leave()
    with pytest.raises(ClientGone):
        await client.connection().read(10)


@pytest.mark.parametrize("blocks", [(), (b"half",)])
async def test_a_client_that_sends_nothing_more_is_given_up(
    blocks: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BODY_TIMEOUT_S", 0)
    with pytest.raises(Refused) as raised:
        await FakeClient(blocks=blocks, unfinished=True).connection().read(10)
    assert raised.value.denial.code == "request_timeout"


# --- answering ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "read", "closes"),
    [
        ({"content-length": "9999999"}, False, True),
        ({"content-length": "9999999"}, True, False),
        ({"transfer-encoding": "chunked"}, False, True),
        ({"content-length": "100"}, False, False),
        ({}, False, False),
    ],
)
async def test_a_connection_with_a_long_unread_body_closes(headers: dict[str, str], read: bool, closes: bool) -> None:
    client = FakeClient(blocks=(b"x",), headers=headers)
    channel = client.connection()
    if read:
        await channel.read(10_000_000)
    await channel.start(200, [])
    assert (client.headers.get("connection") == "close") == closes


async def test_what_was_sent_is_counted_once_it_was_sent() -> None:
    client = FakeClient()
    channel = client.connection()
    await channel.start(200, [])
    await channel.write(b"12345", more=True)
    assert (channel.started, channel.ended, channel.sent_bytes) == (True, False, 5)
    await channel.write(b"678", more=False)
    assert (channel.ended, channel.sent_bytes) == (True, 8)


# --- while the client stays ---------------------------------------------------------------


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.get_running_loop().create_future()


async def within(receive: Callable[[], Awaitable[Message]], work: Callable[[], Awaitable[None]]) -> int:
    """Do the work while the client stays; how many cancellations are left over in the task."""
    task = asyncio.current_task()
    assert task is not None
    try:
        async with asyncio.timeout(5), WhileClientStays(receive):
            await work()
    finally:
        left = task.cancelling()
        await asyncio.sleep(0)  # a cancellation that is still under way would arrive here
    return left


async def test_work_ends_with_the_client(at_once: None) -> None:
    client = FakeClient()
    await client.receive()
    asyncio.get_running_loop().call_soon(client.leave)
    with pytest.raises(ClientGone):
        await within(client.receive, forever)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_that_is_done_is_left_alone_and_the_watch_ends(at_once: None) -> None:
    watched = asyncio.Event()
    ended = asyncio.Event()

    async def receive() -> Message:
        watched.set()
        try:
            await forever()
        finally:
            ended.set()
        return GONE

    async def work() -> None:
        await watched.wait()

    assert await within(receive, work) == 0
    await ended.wait()


async def test_other_messages_do_not_end_it(at_once: None) -> None:
    messages = [{"type": "http.request"}, {"type": "http.request"}]
    waiting = asyncio.Event()

    async def receive() -> Message:
        if messages:
            return messages.pop()
        waiting.set()
        await forever()
        return GONE

    async def work() -> None:
        await waiting.wait()

    assert await within(receive, work) == 0


async def test_an_error_of_the_work_is_its_own(at_once: None) -> None:
    async def work() -> None:
        raise KeyError("own")

    with pytest.raises(KeyError):
        await within(FakeClient().receive, work)


@pytest.mark.parametrize("order", ["work first", "client first"])
async def test_a_client_that_goes_just_as_the_work_ends(order: str, at_once: None) -> None:
    """Both in one turn of the loop: ended either way, and no cancellation is left behind for what follows."""
    done, gone = asyncio.Event(), asyncio.Event()
    watching = asyncio.Event()

    async def receive() -> Message:
        watching.set()
        await gone.wait()
        return GONE

    def both() -> None:
        for event in (done, gone) if order == "work first" else (gone, done):
            event.set()

    async def work() -> None:
        await watching.wait()
        asyncio.get_running_loop().call_soon(both)
        await done.wait()

    task = asyncio.current_task()
    assert task is not None
    try:
        assert await within(receive, work) == 0
    except ClientGone:
        assert order == "client first"
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_work_that_swallows_the_cancellation_is_still_told(at_once: None) -> None:
    async def receive() -> Message:
        return GONE

    async def work() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            return

    with pytest.raises(ClientGone):
        await within(receive, work)


async def test_a_cancellation_from_outside_passes(at_once: None) -> None:
    inside = asyncio.Event()

    async def work() -> None:
        inside.set()
        await forever()

    task = asyncio.ensure_future(within(FakeClient(unfinished=True).receive, work))
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_watch_starts_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    asked: list[tuple[float, Callable[[], None]]] = []
    received = []

    class Timer:
        cancelled = False

        def cancel(self) -> None:
            self.cancelled = True

    timer = Timer()

    def call_later(delay: float, callback: Callable[[], None]) -> Timer:
        asked.append((delay, callback))
        return timer

    async def receive() -> Message:
        received.append(1)
        return GONE

    with monkeypatch.context() as patched:
        patched.setattr(loop, "call_later", call_later)
        async with WhileClientStays(receive):
            assert [delay for delay, _ in asked] == [connection.WATCH_AFTER_S]
            await asyncio.sleep(0)
            assert received == []
        assert timer.cancelled


async def test_a_watch_that_was_begun_leaves_nothing_to_the_collector(at_once: None) -> None:
    """Every answer that takes longer than a moment has one."""
    client = FakeClient()
    await client.receive()
    with uncollected():
        before = alive(WhileClientStays)
        await within(client.receive, lambda: asyncio.sleep(0.01))
        await asyncio.sleep(0)
        assert alive(WhileClientStays) == before
