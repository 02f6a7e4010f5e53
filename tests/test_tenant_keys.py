"""Keys are the same in every guard; SGLang's are claimed, so that no two tenants share one."""

import numpy as np
import pytest

from llmguard.store.store import StoreUnavailable
from llmguard.tenant_keys import TenantKeys
from tests.fakes.clock import FakeClock
from tests.guarded import Guarded, settings
from tests.serving import tree
from watermark.keys.registry import MemoryRegistry, RegistryError
from watermark.keys.words import key_id, words
from watermark.prf import murmur3

pytestmark = pytest.mark.anyio

MASTER = bytes(range(32))


def broken() -> MemoryRegistry:
    raise RegistryError("it is gone")


async def test_a_key_is_derived_and_nothing_is_asked_but_for_sglang() -> None:
    keys = TenantKeys(MASTER, broken, FakeClock())
    asked = {"tenant": "acme", "epoch": 3, "model": "m"}
    expected = words(MASTER, scheme="gumbel-vllm", **asked)[0], key_id(MASTER, scheme="gumbel-vllm", **asked)
    assert await keys.key("gumbel-vllm", "acme", 3, "m") == expected
    with pytest.raises(StoreUnavailable):
        await keys.key("gumbel-sglang", "acme", 3, "m")


async def test_sglangs_keys_are_claimed_once_and_all_apart() -> None:
    registry = MemoryRegistry()
    keys, others = (TenantKeys(MASTER, lambda: registry, FakeClock()) for _ in range(2))
    found = [await keys.key("gumbel-sglang", f"t{number}", 1, "m") for number in range(40)]
    assert found == [await others.key("gumbel-sglang", f"t{number}", 1, "m") for number in range(40)]
    assert found == [await keys.key("gumbel-sglang", f"t{number}", 1, "m") for number in range(40)]
    assert len(registry.records()) == 40
    assert len(set(murmur3.state(np.array([key for key, _ in found], np.uint64)).tolist())) == 40


async def test_without_its_registry_a_request_is_refused_and_not_served_unmarked() -> None:
    guard = Guarded()
    guard.app._tenant_keys._registry = broken
    fake = tree("http://upstream.invalid/v1")["upstreams"]["fake"] | {"engine": "sglang"}
    guard.app.reload(settings(upstreams={"fake": fake}, policies={"public": {"watermark": {}}, "narrow": {}}))
    client = await guard.chat()
    assert (client.status, client.json["error"]["code"]) == (503, "store_unavailable")
    assert guard.upstream.requests == []
