"""Where records are kept: a protocol, memory, and a file."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Protocol

import msgspec

from watermark.keys.record import KeyRecord

Records = tuple[KeyRecord, ...]
Change = Callable[[Records], Records]


class RegistryError(Exception):
    """The registry cannot be read or written; the message says what is wrong with it."""


class Registry(Protocol):
    """Records in the order of their issue."""

    def records(self) -> Records:
        """All records. Raises `RegistryError`."""

    def change(self, change: Change) -> Records:
        """Replace all records by `change` of them, as one step that no other writer interrupts; what is there then.

        Raises `RegistryError`, and what `change` raises, after which nothing is changed.
        """


class Contents(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file: JSON with one list."""

    keys: Records = ()


class MemoryRegistry:
    """A registry that is forgotten with its process; threads may share it."""

    def __init__(self) -> None:
        self._records: Records = ()
        self._lock = Lock()

    def records(self) -> Records:
        """All records."""
        return self._records

    def change(self, change: Change) -> Records:
        """Replace all records."""
        with self._lock:
            self._records = change(self._records)
            return self._records


class FileRegistry:
    """A registry in one JSON file, which only its owner may read, and which is never half-written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def records(self) -> Records:
        """All records; none where there is no file yet."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Contents).keys
        except FileNotFoundError:
            return ()
        except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
            raise RegistryError(f"{self._path.name} is no key registry: {error}") from error

    def change(self, change: Change) -> Records:
        """Replace all records, under a lock that other processes heed."""
        with self._locked():
            records = change(self.records())
            self._write(msgspec.json.format(msgspec.json.encode(Contents(records))))
            return records

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # The file itself is replaced by each write, so that the lock is on one beside it.
        lock = self._path.with_name(self._path.name + ".lock")
        try:
            descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise RegistryError(f"{lock.name} cannot be opened: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, contents: bytes) -> None:
        fresh = self._path.with_name(self._path.name + ".new")
        try:
            with open(os.open(fresh, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "wb") as file:
                file.write(contents)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:
            raise RegistryError(f"{self._path.name} cannot be written: {error}") from error
