import json

import numpy as np
import pytest

from watermark.engines.vllm_config import ConfigError, read, written
from watermark.keys.derivation import vllm_pair
from watermark.schemes.gumbel import Vllm, VllmDual


def test_what_is_written_is_read_again():
    scheme, key = read(written("gumbel-vllm", ("00000000000000ff",), 3).encode())
    assert (scheme, key.tolist()) == (Vllm(3), [255])


def test_an_engines_own_configuration_is_read():
    assert read(b'{"algorithm":"gumbel","key":42}')[0] == Vllm(4)
    scheme, key = read(json.dumps({"algorithm": "dual_key_gumbel", "key": 7, "alpha": 0.2, "context_width": 2,
                                   "deduplicate_contexts": "all"}).encode())  # fmt: skip
    assert scheme == VllmDual(2, 0.2)
    assert np.array_equal(key, vllm_pair(7))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}",
                                     b'{"key": -1}', b'{"key": 18446744073709551616}', b'{"key": "x"}',
                                     b'{"key": 1, "prf": "md5"}', b'{"key": 1, "context_width": 0}', b"\xff",
                                     b'{"key": 987654321, "algorithm": "sbw"}'])  # fmt: skip
def test_anything_else_is_refused_in_words_without_its_key(content: bytes):
    with pytest.raises(ConfigError) as error:
        read(content)
    assert "987654321" not in str(error.value)


@pytest.mark.parametrize(("scheme", "words"), [("gumbel-sglang", ("1",)), ("gumbel-vllm-dual", ("1", "2"))])
def test_a_key_that_the_engine_cannot_have_is_not_written(scheme: str, words: tuple[str, ...]):
    with pytest.raises(ConfigError, match="cannot be given"):
        written(scheme, words, 4)
