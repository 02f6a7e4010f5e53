import hmac

import pytest

from watermark.keys.derivation import derived, vllm_pair

MASTER = bytes(range(32))


def test_a_key_is_the_start_of_an_hmac_over_parts_with_their_lengths():
    message = b"".join(len(part).to_bytes(4, "big") + part for part in (b"gumbel-vllm", b"acme", b"3", b"smollm2"))
    expected = int.from_bytes(hmac.digest(MASTER, bytes(4) + message, "sha256")[:8], "big")
    assert derived(MASTER, scheme="gumbel-vllm", tenant="acme", epoch=3, model="smollm2").tolist() == [expected]


def test_no_two_requests_share_a_key():
    found = {
        int(derived(MASTER, scheme=scheme, tenant=tenant, epoch=epoch, model=model)[0])
        for scheme, tenant, model in (("a", "bc", "d"), ("ab", "c", "d"), ("a", "b", "cd"))
        for epoch in (1, 11)
    }
    assert len(found) == 6
    assert len(set(derived(MASTER, scheme="s", tenant="t", epoch=1, model="m", columns=30).tolist())) == 30


def test_a_short_master_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        derived(b"short", scheme="s", tenant="t", epoch=1, model="m")


def test_vllm_derives_these_two():
    assert vllm_pair(42).tolist() == [37150756557148556, 15826636237805488045]
