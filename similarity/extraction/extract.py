"""The text of an uploaded file, within bounds of memory, time and length."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import PurePath

from similarity.extraction.formats import SUFFIXES, Unreadable, jsonl, plain

INLINE = {"text": plain, "jsonl": jsonl}
"""Formats read here: one pass over the bytes, nothing that grows."""

UNSUPPORTED = f"files of these types are read: {', '.join(sorted(SUFFIXES))}"
REASON = 3
KEPT_ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What reading one file may take: memory, processor and waiting time, and the text it may give."""

    memory: int = 1 << 30
    seconds: int = 20
    characters: int = 16_000_000


def extracted(filename: str, content: bytes, bounds: Bounds) -> str:
    """A file's text, by its name's suffix; raises Unreadable, with a reason for the client.

    Formats with parsers are read by a child process that holds no secret, under limits of the kernel: a bomb
    or an endless file costs that process. Blocks; call it in a thread.
    """
    kind = SUFFIXES.get(PurePath(filename).suffix.lower())
    if kind is None:
        raise Unreadable(UNSUPPORTED)
    text = INLINE[kind](content) if kind in INLINE else _by_child(kind, content, bounds)
    if len(text) > bounds.characters:
        raise Unreadable("the file holds more text than is taken")
    if not text.strip():
        raise Unreadable("the file holds no text")
    return text


def _by_child(kind: str, content: bytes, bounds: Bounds) -> str:
    limits = [str(limit) for limit in (bounds.memory, bounds.seconds, bounds.characters)]
    command = [sys.executable, "-m", "similarity.extraction.child", kind, *limits]
    environment = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    try:
        done = subprocess.run(  # noqa: S603 - our own module, no word of the file's
            command, input=content, capture_output=True, timeout=bounds.seconds * 2, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unreadable("the file takes too long to read") from error
    if done.returncode == REASON:
        raise Unreadable(done.stdout.decode())
    if done.returncode != 0:
        raise Unreadable("the file takes too long or too much memory to read, or is damaged")
    return done.stdout.decode()
