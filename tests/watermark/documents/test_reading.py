import io
import os

import pytest

from watermark.documents import reading
from watermark.documents.document import Document
from watermark.documents.reading import documents


def read(*paths, stdin: bytes = b"", field: str = "text") -> list[Document]:
    return list(documents([str(path) for path in paths], stdin=io.BytesIO(stdin), field=field))


def test_a_folder_is_read_in_order_without_what_is_hidden(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("b/z.txt", "b/a.md", "c.html", ".hidden", ".git/x"):
        (tmp_path / name).write_text("<p>one</p>")
    found = read(tmp_path)
    assert [document.name.removeprefix(f"{tmp_path}/") for document in found] == ["c.html", "b/a.md", "b/z.txt"]
    assert [document.text for document in found] == ["one", "one", "<p>one</p>"]


def test_each_line_of_jsonl_is_a_document(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"answer": "one"}\n\n{"other": 1}\nnonsense\n{"answer": "  "}\n"last"')
    found = read(file, field="answer")
    assert [(document.name.rpartition(":")[2], document.text, document.unreadable) for document in found] == [
        ("1", "one", None),
        ("3", "", "the line has no text under 'answer'"),
        ("4", "", "the line is not JSON"),
        ("5", "", "it holds no text"),
        ("6", "last", None),
    ]


def test_standard_input_is_text_or_jsonl():
    assert read("-", stdin=b"one\ntwo\n") == [Document("-", "one\ntwo\n")]
    assert read("-", stdin=b'{"text": "one"}\n{"text": "two"}\n') == [Document("-:1", "one"), Document("-:2", "two")]
    assert read("-")[0].unreadable == "it holds no text"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.txt", b"", "it holds no text"),
        ("x.txt", b" \n\t", "it holds no text"),
        ("x.bin", b"\x00\x01", "it is a binary file"),
        ("x.txt", "Grüße".encode("latin-1"), "it is not text in one encoding: byte 2 is no UTF-8"),
        ("x.pdf", b"%PDF-", "the PDF is damaged"),
        ("x.jsonl", b"", "it is empty"),
    ],
)
def test_what_cannot_be_read_has_a_reason(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert [document.unreadable for document in read(tmp_path / name)] == [said]


def test_what_is_not_there_or_no_file_has_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").mkdir()
    said = [document.unreadable for document in read(tmp_path / "none", tmp_path / "pipe", tmp_path / "empty")]
    assert said == ["there is no such file", "it is no file", "the folder holds no file"]


def test_what_is_too_large_has_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 1 << 20)
    (tmp_path / "x.html").write_bytes(b"x" * ((1 << 20) + 1))
    (tmp_path / "x.jsonl").write_bytes(b'{"text": "' + b"x" * (1 << 20) + b'"}\n{"text": "one"}\n')
    assert "larger than 1 MiB" in read(tmp_path / "x.html")[0].unreadable
    assert "longer than 1 MiB" in read(tmp_path / "x.jsonl")[0].unreadable


@pytest.mark.parametrize("kind", ["x.txt", "x.html", "x.jsonl", "-"])
def test_a_long_text_is_read_in_parts_of_whole_words(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(reading, "PART", 100)
    text = " ".join(f"wörd{number}" for number in range(100))
    content = {"x.html": f"<p>{text}</p>", "x.jsonl": f'{{"text": "{text}"}}'}.get(kind, text).encode()
    (tmp_path / "x").write_bytes(content)
    found = read((tmp_path / "x").rename(tmp_path / kind)) if kind != "-" else read("-", stdin=content)
    assert "".join(document.text for document in found) == text
    assert all(len(document.text) <= 100 for document in found)
    assert all(document.text.startswith("wörd") for document in found)
    name = {"x.jsonl": "x.jsonl:1"}.get(kind, kind)
    assert [document.name.rpartition("/")[2] for document in found] == [
        f"{name} (part {number + 1})" for number in range(len(found))
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_characters_that_lie_over_two_reads_are_whole(tmp_path, monkeypatch, encoding):
    monkeypatch.setattr(reading, "PART", 7)
    (tmp_path / "x.txt").write_bytes("東京 Grüße 大阪 naïve".encode(encoding))
    assert "".join(document.text for document in read(tmp_path / "x.txt")) == "東京 Grüße 大阪 naïve"


def test_the_first_byte_that_is_wrong_is_said_however_late(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PART", 8)
    (tmp_path / "x.txt").write_bytes("Grüße aus Köln ".encode() * 3 + "ü".encode("latin-1") + b" und so fort")
    assert read(tmp_path / "x.txt")[-1].unreadable == "it is not text in one encoding: byte 54 is no UTF-8"
    (tmp_path / "x.txt").write_bytes("ü".encode()[:1])
    assert read(tmp_path / "x.txt")[-1].unreadable == "it is not text in one encoding: byte 0 is no UTF-8"
    (tmp_path / "x.txt").write_bytes(b"text " * 30 + b"\0\1")
    assert read(tmp_path / "x.txt")[-1].unreadable == "it is a binary file"
