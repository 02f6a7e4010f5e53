"""All stores against a dictionary: whatever is done to them, they give the same answers."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from msgspec.structs import replace

from llmguard.settings import StoreSettings
from llmguard.store import open_store
from llmguard.store.store import KeyConflict, KeyRecord, Store
from tests.fakes.clock import FakeClock
from tests.redis_server import RedisServer
from tests.store.records import key, secret

IDS = st.integers(0, 4).map("key_{}".format)
NAMES = st.lists(st.integers(0, 7).map("secret {}".format), min_size=1, max_size=3, unique=True)


class Stores(RuleBasedStateMachine):
    """The stores beside the model: keys by id."""

    urls: tuple[str, ...]
    server: RedisServer
    directory: Path

    @initialize()
    def open(self) -> None:
        self.server.clear()
        for file in self.directory.glob("*"):
            file.unlink()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.model: dict[str, KeyRecord] = {}
        self.stores: list[Store] = [
            open_store(StoreSettings(url=url, timeout_ms=5_000), clock=self.clock)
            for url in ("memory:", f"file:{self.directory}", self.server.url)
        ]

    @rule(id=IDS, names=NAMES, created_at=st.integers(0, 9).map(float))
    def put(self, id: str, names: list[str], created_at: float) -> None:
        record = key(id, *names, created_at=created_at)
        conflict = id in self.model or self._taken(id, record)
        for store in self.stores:
            if conflict:
                with pytest.raises(KeyConflict):
                    self.runner.run(store.put_key(record))
            else:
                self.runner.run(store.put_key(record))
        if not conflict:
            self.model[id] = record

    @rule(id=IDS, names=NAMES, user=st.sampled_from(["alice", "bob"]))
    def update(self, id: str, names: list[str], user: str) -> None:
        def change(record: KeyRecord) -> KeyRecord:
            return replace(record, user=user, secrets=key(id, *names).secrets)

        conflict = id in self.model and self._taken(id, change(self.model[id]))
        for store in self.stores:
            if conflict:
                with pytest.raises(KeyConflict):
                    self.runner.run(store.update_key(id, change))
            else:
                expected = change(self.model[id]) if id in self.model else None
                assert self.runner.run(store.update_key(id, change)) == expected
        if id in self.model and not conflict:
            self.model[id] = change(self.model[id])

    @rule(id=IDS)
    def get(self, id: str) -> None:
        for store in self.stores:
            assert self.runner.run(store.get_key(id)) == self.model.get(id)

    @rule(name=st.integers(0, 7).map("secret {}".format))
    def find(self, name: str) -> None:
        owners = [record for record in self.model.values() if secret(name) in record.secrets]
        for store in self.stores:
            assert self.runner.run(store.find_key(secret(name).lookup)) == (owners[0] if owners else None)

    @invariant()
    def lists_agree(self) -> None:
        expected = sorted(self.model.values(), key=lambda record: (record.created_at, record.id))
        for store in self.stores:
            assert self.runner.run(store.list_keys()) == expected

    def teardown(self) -> None:
        for store in self.stores:
            self.runner.run(store.close())
        self.runner.close()

    def _taken(self, id: str, record: KeyRecord) -> bool:
        others = {secret for other in self.model.values() if other.id != id for secret in other.secrets}
        return not others.isdisjoint(record.secrets)


def test_all_stores_agree_with_the_model(redis_server: RedisServer, tmp_path: Path) -> None:
    machine = type("StoresHere", (Stores,), {"server": redis_server, "directory": tmp_path})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
