"""The registry in Redis: what the library's file does, among several writers, and a server that is gone."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from llmguard.cli.main import app as llmguard
from llmguard.settings import StoreSettings
from llmguard.store import registry_of
from llmguard.store.registry_redis import KEY, RedisRegistry
from tests.store.redis_ledgers import empty_redis
from watermark.cli.main import app as watermark
from watermark.keys.claiming import claim
from watermark.keys.issuing import revoke
from watermark.keys.record import Order
from watermark.keys.registry import FileRegistry, MemoryRegistry, RegistryError

MASTER = bytes(range(32))
ORDER = Order(tenant="acme", model="m", scheme="gumbel-sglang", width=4, vocabulary=0, tokenizer="")


@pytest.fixture(params=["redis", "redis+cluster"])
def registry(request: pytest.FixtureRequest) -> RedisRegistry:
    found = registry_of(StoreSettings(url=empty_redis(request, request.param), timeout_ms=20_000))
    assert isinstance(found, RedisRegistry)
    return found


def test_what_one_guard_claims_another_finds_and_a_revocation_holds(registry: RedisRegistry) -> None:
    assert registry.records() == ()
    first = claim(registry, MASTER, ORDER, 1, now=1.0)
    other = RedisRegistry(registry._url, timeout_s=20)
    assert claim(other, MASTER, ORDER, 1, now=2.0) == first
    revoke(other, first.id, now=3.0)
    assert claim(registry, MASTER, ORDER, 1, now=4.0).words != first.words


def test_no_writer_loses_anothers_key(registry: RedisRegistry) -> None:
    orders = [replace(ORDER, tenant=f"t{number}") for number in range(8)]
    with ThreadPoolExecutor(4) as threads:
        claimed = list(threads.map(lambda order: claim(registry, MASTER, order, 1, now=1.0), orders))
    assert {record.id for record in registry.records()} == {record.id for record in claimed}
    assert len(claimed) == 8


def test_a_change_that_raises_changes_nothing(registry: RedisRegistry) -> None:
    claim(registry, MASTER, ORDER, 1, now=1.0)
    with pytest.raises(LookupError):
        revoke(registry, "wm_0", now=1.0)
    assert len(registry.records()) == 1


def test_a_server_that_is_gone_and_a_text_that_is_none_are_said() -> None:
    with pytest.raises(RegistryError, match="did not answer"):
        RedisRegistry("redis://127.0.0.1:1/0", timeout_s=5).records()


def test_each_store_has_its_registry(tmp_path: object) -> None:
    assert isinstance(registry_of(StoreSettings(url=f"file:{tmp_path}")), FileRegistry)
    assert isinstance(registry_of(StoreSettings(url="memory:")), MemoryRegistry)
    assert KEY.startswith("llmguard:")


def test_the_command_line_reads_it_by_its_url(registry: RedisRegistry) -> None:
    claimed = claim(registry, MASTER, ORDER, 1, now=1.0)
    url = registry._url
    done = CliRunner().invoke(llmguard, ["watermark", "keys", "list", "--registry", url, "--json"])
    assert done.exit_code == 0, done.output
    assert [key["id"] for key in json.loads(done.stdout)["data"]] == [claimed.id]
    assert CliRunner().invoke(llmguard, ["watermark", "keys", "revoke", "--registry", url, claimed.id]).exit_code == 0
    assert registry.records()[0].revoked_at is not None
    assert CliRunner().invoke(watermark, ["keys", "list", "--registry", url]).exit_code == 2
    assert CliRunner().invoke(llmguard, ["watermark", "keys", "list", "--registry", "ftp://x"]).exit_code == 2
