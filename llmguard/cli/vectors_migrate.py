"""What `llmguard vectors migrate` does."""

import json
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from llmguard.cli.keys import PIPE_WIDTH, settings_of
from llmguard.clock import SystemClock
from llmguard.keys import derive
from llmguard.services.similarity import directory_of
from similarity.library.database import FILE, Database, LibraryError
from similarity.library.entries import Entries
from similarity.library.seal import Seal, dimensions
from similarity.migration import Migrated, migrated
from similarity.milvus import Milvus
from similarity.vectors import Ids, ids_of

KEY = "similarity-vectors"
"""The purpose of the key that the library's vectors are sealed with."""


def run(directory: Path | None, to: str, token: str, sample: int, config: Path | None, *, as_json: bool) -> int:
    """Copy, compare, report; the exit code."""
    settings = settings_of(config)
    directory = directory or directory_of(settings)
    if directory is None or not (directory / FILE).is_file():
        return _stopped(2, f"there are no vector stores in {directory or 'a memory: store'}")
    key = derive(settings.secret.get_secret_value().encode(), KEY)
    try:
        with closing(Database(directory)) as database:
            found = _copied(database, Seal(key), partial(Milvus.at, to, token), sample)
    except LibraryError as error:
        return _stopped(1, f"not finished, run it again: {error}")
    _show(found, as_json)
    return 0 if all(one.whole for one in found) else 1


def _copied(database: Database, seal: Seal, at: Callable[[Entries, int], Milvus], sample: int) -> list[Migrated]:
    with database.reading() as connection:
        stores = [int(row[0]) for row in connection.execute("SELECT DISTINCT store FROM chunks ORDER BY store")]
        total = int(connection.execute("SELECT count(*) FROM chunks").fetchone()[0])
        blob = connection.execute("SELECT vector FROM chunks LIMIT 1").fetchone()
    if blob is None:
        return []
    entries = Entries(database, SystemClock().time, seal, dimensions(blob[0]))
    source = random.SystemRandom()

    def chosen(ids: Ids) -> Ids:
        return ids_of(sorted(source.sample(ids.tolist(), min(sample, len(ids)))))

    with closing(at(entries, dimensions(blob[0]))) as target:
        return [one for one in _watched(migrated(entries, stores, target, chosen), total) if one.done]


def _watched(steps: Iterable[Migrated], total: int) -> Iterator[Migrated]:
    """The same, with a bar on a terminal."""
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar, before = progress.add_task("copying", total=total), 0
        for one in steps:
            progress.update(bar, completed=before + (one.chunks if one.done else one.copied))
            before += one.chunks if one.done else 0
            yield one


def _show(found: list[Migrated], as_json: bool) -> None:
    if as_json:
        rows = [{**asdict(one), "whole": one.whole} for one in found]
        typer.echo(json.dumps({"object": "list", "data": rows}, indent=2))
        return
    table = Table("store", "chunks", "copied now", "in Milvus", "compared", "wrong", "whole")
    for one in found:
        row = (one.store, one.chunks, one.copied, one.counted, one.sampled, one.wrong, "yes" if one.whole else "NO")
        table.add_row(*map(str, row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else PIPE_WIDTH).print(table)


def _stopped(status: int, message: str) -> int:
    typer.echo(f"llmguard vectors: {message}", err=True)
    return status
