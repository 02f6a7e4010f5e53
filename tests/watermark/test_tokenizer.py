from hashlib import sha256

import numpy as np
import pytest
from tokenizers import Tokenizer

from llmguard.upstreams.embedded.convert import Gguf
from llmguard.upstreams.embedded.packages import chat_gguf
from tests.watermark.made import WORDS, tokenizer_file
from watermark import tokenizer as module
from watermark.tokenizer import TokenizerError, load


@pytest.fixture(scope="module")
def embedded():
    """The embedded chat model's, by its name."""
    return load("smollm2")


def test_a_file_or_its_folder_is_read_and_pinned(tmp_path):
    file = tokenizer_file(tmp_path / "tokenizer.json")
    for path in (file, tmp_path):
        found = load(str(path))
        assert found.digest == sha256(file.read_bytes()).hexdigest()
        assert found.vocabulary == len(WORDS)
        tokens, offsets = found.tokens(f"{WORDS[5]} {WORDS[9]}")
        assert tokens.tolist() == [5, 9]
        assert offsets.tolist() == [[0, 4], [5, 9]]


def test_a_text_is_never_cut_short_or_filled_up(tmp_path):
    file = tokenizer_file(tmp_path / "tokenizer.json")
    served = Tokenizer.from_file(str(file))
    served.enable_truncation(4)
    served.enable_padding(length=8)
    served.save(str(file))
    assert load(str(file)).tokens(" ".join(WORDS[:6]))[0].tolist() == [*range(6)]
    assert load(str(file)).tokens(WORDS[1])[0].tolist() == [1]


def test_the_embedded_models_is_the_one_that_it_generates_with(embedded, tmp_path):
    ours = Gguf(chat_gguf()).tokenizer()
    text = "In 2024, naïve cafés cost €12.50 — 東京 too.\n\n  def f(x): return x"
    assert embedded.tokens(text)[0].tolist() == ours.encode(text).ids
    ours.save(str(tmp_path / "tokenizer.json"))
    assert load(str(tmp_path)).digest == embedded.digest
    assert embedded.vocabulary == 49152


def test_long_texts_are_encoded_in_pieces_that_change_no_token(embedded, monkeypatch):
    text = "The quick brown fox jumps over the lazy dog, again and again. " * 50
    whole, places = embedded.tokens(text)
    monkeypatch.setattr(module, "PIECE", 100)
    pieces, offsets = embedded.tokens(text)
    np.testing.assert_array_equal(pieces, whole)
    np.testing.assert_array_equal(offsets, places)


def test_text_without_white_space_is_cut_as_well(tmp_path, monkeypatch):
    found = load(str(tokenizer_file(tmp_path / "tokenizer.json")))
    monkeypatch.setattr(module, "PIECE", 4)
    assert len(found.tokens("x" * 18)[0]) == 5
    assert found.tokens("")[0].size == 0


@pytest.mark.parametrize("name", ["gpt-17", "/nowhere/tokenizer.json"])
def test_an_unknown_name_is_said(name):
    with pytest.raises(TokenizerError, match="no tokenizer is known as"):
        load(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"no JSON"),
        ("tokenizer.json", b"\xff\xfe\x00"),
        ("tokenizer.json", b'{"model": {"type": "Rot13"}}'),
        ("model.gguf", b"GGUF"),
        ("model.gguf", b"something else that is long enough to be a header"),
        ("model.gguf", b""),
    ],
)
def test_what_is_no_tokenizer_is_said(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=name):
        load(str(tmp_path / name))
