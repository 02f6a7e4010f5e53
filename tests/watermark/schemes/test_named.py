import numpy as np
import pytest

from watermark.keys.derivation import vllm_pair
from watermark.schemes.gumbel import Sglang, Vllm
from watermark.schemes.kgw import Lefthash, Selfhash
from watermark.schemes.named import SCHEMES, key_words, named
from watermark.schemes.synthid import SynthId
from watermark.schemes.unigram import Unigram


def test_names_mean_their_schemes():
    assert named("gumbel-vllm", width=2, vocabulary=9) == Vllm(2)
    assert named("gumbel-sglang", width=None, vocabulary=9) == Sglang(4)
    assert named("kgw", width=4, vocabulary=9) == Lefthash(9)
    assert named("kgw-selfhash", width=4, vocabulary=9) == Selfhash(9, width=4)
    assert named("unigram", width=None, vocabulary=9) == Unigram(9)
    assert named("synthid", width=None, vocabulary=9, words=20) == SynthId(20)


@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "kgw"])
def test_a_scheme_has_the_name_it_is_found_by(name):
    assert named(name, width=None, vocabulary=50, words=30).name == name


@pytest.mark.parametrize(("name", "width", "vocabulary"), [("rot13", 4, 9), ("gumbel-vllm", 0, 9), ("unigram", 1, 0)])
def test_what_cannot_be_is_refused(name, width, vocabulary):
    with pytest.raises(ValueError, match=r"scheme|width|vocabulary"):
        named(name, width=width, vocabulary=vocabulary)


def test_keys_are_read_from_hex():
    assert key_words("gumbel-vllm", ["0xA1b2"]).tolist() == [0xA1B2]
    assert key_words("gumbel-sglang-dual", ["1", "ffffffffffffffff"]).tolist() == [1, 2**64 - 1]
    assert key_words("gumbel-vllm-dual", ["2a"]).tolist() == vllm_pair(42).tolist()
    assert key_words("synthid", ["1"] * 30).shape == (30,)
    assert key_words("gumbel-vllm", ["2a"]).dtype == np.uint64


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gumbel-vllm", ["secretkey"]),
        ("gumbel-vllm", [""]),
        ("gumbel-vllm", ["-2a"]),
        ("gumbel-vllm", ["1_2"]),
        ("gumbel-vllm", ["1" * 17]),
        ("gumbel-vllm", ["1", "2"]),
        ("gumbel-sglang-dual", ["1"]),
        ("synthid", ["1"]),
        ("rot13", ["1"]),
    ],
)
def test_other_keys_are_refused_and_not_repeated(name, words):
    with pytest.raises(ValueError, match=r"key|scheme") as refused:
        key_words(name, words)
    assert "secretkey" not in str(refused.value)
