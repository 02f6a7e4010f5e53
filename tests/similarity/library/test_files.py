"""Uploaded files."""

import pytest

from similarity.library.database import Database, LibraryError
from similarity.library.records import Cut, Invalid, NotFound
from tests.similarity.library.conftest import Library


def test_a_file_comes_back_to_its_tenant_alone(library: Library) -> None:
    file = library.files.create("acme", "a.md", b"# hi", "assistants")
    assert library.files.content("acme", file.id) == b"# hi"
    assert library.files.get("acme", file.id) == file
    for operation in (library.files.get, library.files.content, library.files.delete, library.files.in_use):
        with pytest.raises(NotFound):
            operation("other", file.id)
    assert library.files.page("other", Cut()).items == []


@pytest.mark.parametrize(("name", "content"), [("a", b""), ("a", b"x" * 1001), ("", b"x"), ("n" * 256, b"x")])
def test_empty_large_and_nameless_files_are_refused(library: Library, name: str, content: bytes) -> None:
    with pytest.raises(Invalid):
        library.files.create("acme", name, content)


def test_files_are_listed_by_purpose(library: Library) -> None:
    made = [library.files.create("acme", "a", b"x", purpose).id for purpose in ("assistants", "user_data")]
    assert [file.id for file in library.files.page("acme", Cut(), "user_data").items] == made[1:]
    assert [file.id for file in library.files.page("acme", Cut()).items] == made[::-1]


def test_a_file_in_a_store_is_not_deleted_under_it(library: Library) -> None:
    store = library.stores.create("acme").id
    entry = library.put("acme", store, ["one"])
    assert [id for id, _ in library.files.in_use("acme", entry.file)] == [store]
    with pytest.raises(Invalid):
        library.files.delete("acme", entry.file)
    library.entries.detach("acme", store, entry.file)
    library.files.delete("acme", entry.file)
    with pytest.raises(NotFound):
        library.files.get("acme", entry.file)


def test_a_file_expires(library: Library) -> None:
    file = library.files.create("acme", "a", b"x", expires_in_s=10)
    library.at += 11
    with pytest.raises(NotFound):
        library.files.get("acme", file.id)
    assert library.files.sweep() == 1


def test_a_file_that_is_no_database_is_said_to_be_none(library: Library, tmp_path: object) -> None:
    library.database.close()
    (library.directory / "similarity.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(LibraryError):
        Database(library.directory)
