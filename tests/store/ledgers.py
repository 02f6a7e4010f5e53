"""Local ledgers that have next to nothing at hand, so that every counter goes to its shelf and comes back."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from llmguard.store.ledger_local import LocalLedger
from llmguard.store.shelf_file import SCHEMA, FileShelf
from tests.fakes.clock import FakeClock


class FileLedger(LocalLedger):
    """A ledger over a file of its own, and over what is needed to use it."""

    def __init__(self, path: Path, *, clock: FakeClock, generation: int) -> None:
        self._connections = [_open(path), _open(path)]
        self._thread = ThreadPoolExecutor(1)
        shelf = FileShelf(*self._connections, self._thread, clock=clock)
        super().__init__(clock=clock, durable=shelf, generation=generation)

    async def close(self) -> None:
        """Write, then close the file."""
        await super().close()
        self._thread.shutdown()
        for connection in self._connections:
            connection.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(SCHEMA)
    return connection
