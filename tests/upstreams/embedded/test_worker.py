import io
from collections.abc import Iterator
from queue import SimpleQueue

import pytest

from llmguard.upstreams.embedded.frames import (
    Cancel,
    Embed,
    Finished,
    Refused,
    Reply,
    Request,
    ToWorker,
    packed,
    read_request,
)
from llmguard.upstreams.embedded.worker import Desk


class Over(BaseException):
    """Ends the desk, which otherwise serves for ever."""


class Scripted:
    """Request 1 never ends, request 2 fails, request 3 is answered, request 4 ends the desk."""

    def __init__(self) -> None:
        self.steps = 0
        self.closed = False

    def replies(self, request: Request) -> Iterator[Reply | None]:
        return getattr(self, f"_{request.id}")()

    def _1(self) -> Iterator[Reply | None]:
        try:
            while True:
                self.steps += 1
                yield None
        finally:
            self.closed = True

    def _2(self) -> Iterator[Reply | None]:
        raise ValueError("a secret prompt")
        yield None

    def _3(self) -> Iterator[Reply | None]:
        yield Finished(3, 1, 1)

    def _4(self) -> Iterator[Reply | None]:
        raise Over
        yield None


def served(*requests: ToWorker) -> tuple[Scripted, bytes]:
    models, inbox, out = Scripted(), SimpleQueue(), io.BytesIO()
    for request in requests:
        inbox.put(request)
    with pytest.raises(Over):
        Desk(models, inbox, out).serve()
    return models, out.getvalue()


def test_a_cancelled_request_stops():
    models, _ = served(Embed(1, ()), Cancel(1), Embed(4, ()))
    assert models.steps == 0


def test_requests_are_worked_on_in_turn():
    models, out = served(Embed(1, ()), Embed(3, ()), Embed(4, ()))
    assert models.steps == 1
    assert out == packed(Finished(3, 1, 1))


def test_a_failure_ends_its_request_only_and_its_message_is_not_logged(capsys: pytest.CaptureFixture[str]):
    _, out = served(Embed(2, ()), Embed(3, ()), Embed(4, ()))
    assert out == packed(Refused(2, "upstream_error")) + packed(Finished(3, 1, 1))
    log = capsys.readouterr().err
    assert "ValueError" in log
    assert "a secret prompt" not in log.replace('raise ValueError("a secret prompt")', "")


def test_frames_are_read_to_the_end_of_the_pipe():
    pipe = io.BytesIO(packed(Embed(1, ("é",))) + packed(Cancel(1)) + b"\x00\x00")
    assert [read_request(pipe) for _ in range(3)] == [Embed(1, ("é",)), Cancel(1), None]
