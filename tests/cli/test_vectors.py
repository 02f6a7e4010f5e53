"""`llmguard vectors migrate`: from the library of a directory into milvus-lite."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from llmguard.cli.main import app
from llmguard.cli.vectors_migrate import KEY
from llmguard.keys import derive
from similarity.library.database import Database
from similarity.library.entries import Entries, Piece
from similarity.library.files import Files
from similarity.library.records import Strategy
from similarity.library.seal import Seal
from similarity.library.stores import Stores
from tests.serving import tree
from tests.similarity.made import directions

DIMENSIONS, CHUNKS = 16, 7


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "guard.yaml"
    path.write_text(json.dumps(tree("http://127.0.0.1:9")))
    return path


@pytest.fixture
def directory(tmp_path: Path, config: Path) -> Path:
    """A library of one store with one file."""
    secret = json.loads(config.read_text())["secret"].encode()
    database = Database(tmp_path / "library")
    entries = Entries(database, lambda: 1.0, Seal(derive(secret, KEY)), DIMENSIONS)
    store = Stores(database, lambda: 1.0, lambda prefix: f"{prefix}1").create("acme").id
    file = Files(database, lambda: 1.0, lambda prefix: f"{prefix}1").create("acme", "a.txt", b"text").id
    entries.attach("acme", store, file, {}, Strategy())
    pending = entries.work(entries.pending()[0])
    assert pending is not None
    entries.complete(pending, [Piece("text", vector) for vector in directions(CHUNKS, DIMENSIONS, 1)])
    database.close()
    return tmp_path / "library"


def migrate(directory: Path, config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        app, ["vectors", "migrate", "--directory", str(directory), "--config", str(config), *arguments]
    )


def test_stores_are_migrated_once_and_found_whole(directory: Path, config: Path, tmp_path: Path) -> None:
    to = ("--to", str(tmp_path / "lite.db"))
    first = migrate(directory, config, *to, "--json")
    assert first.exit_code == 0, first.stderr
    (row,) = json.loads(first.stdout)["data"]
    assert (row["chunks"], row["copied"], row["counted"], row["sampled"], row["whole"]) == (7, 7, 7, 7, True)
    again = migrate(directory, config, *to)
    assert again.exit_code == 0
    assert "yes" in again.stdout


def test_another_secret_is_a_finding_and_no_vectors_are_shown(directory: Path, config: Path, tmp_path: Path) -> None:
    config.write_text(json.dumps({**json.loads(config.read_text()), "secret": "another secret of thirty-two bytes"}))
    result = migrate(directory, config, "--to", str(tmp_path / "lite.db"))
    assert result.exit_code == 1
    assert "its key is another" in result.stderr


def test_a_directory_without_stores_is_bad_usage(config: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = migrate(tmp_path / "empty", config, "--to", str(tmp_path / "lite.db"))
    assert result.exit_code == 2
    assert "no vector stores" in result.stderr


def test_a_milvus_that_is_not_there_is_told_soon(directory: Path, config: Path) -> None:
    result = migrate(directory, config, "--to", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert "run it again" in result.stderr
