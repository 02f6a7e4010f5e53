import pytest
import torch

from watermark.prf.randperm import first, is_among, swaps, words


@pytest.mark.parametrize(("seed", "size"), [(7, 100), (15485863 * 77, 49152), (15485863, 1_000_003), (2**63 + 5, 5000)])
def test_it_is_torchs_permutation(seed: int, size: int):
    expected = torch.randperm(size, generator=torch.Generator().manual_seed(seed)).tolist()
    assert first(seed, size, size // 4).tolist() == expected[: size // 4]


def test_an_item_is_followed_to_where_the_shuffle_puts_it():
    for seed in range(30):
        swapped, green = swaps(seed, 60, 15), set(first(seed, 60, 15).tolist())
        assert {item for item in range(60) if is_among(item, swapped)} == green


def test_words_are_torchs():
    expected = torch.randint(0, 2, (65536,), generator=torch.Generator().manual_seed(0)).tolist()
    assert (words(0, 65536) & 1).tolist() == expected
