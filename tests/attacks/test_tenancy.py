"""Five tenants do anything at random through the API: nobody ever sees a thing of another's, nor the time it takes."""

import asyncio
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from similarity.library.records import Store
from similarity.library.stores import Stores
from tests.attacks.side_channels import told_apart
from tests.fakes.words import WordsUpstream
from tests.services.site import TENANTS, Reply, Site, opened
from tests.services.site import settings as tree

OPERATIONS = ("make", "share", "put", "batch", "update", "describe", "detach", "delete_file", "delete", "look", "steal")
STEPS = st.lists(
    st.tuples(st.sampled_from(TENANTS), st.sampled_from(OPERATIONS), st.integers(0, 9)), min_size=5, max_size=25
)
"""Who does what, and to which of the things there are."""


@dataclass
class World:
    """What each tenant has made: its names bear its mark, and ids are remembered with their owner."""

    site: Site
    owners: dict[str, str] = field(default_factory=dict)
    stores: list[str] = field(default_factory=list)
    shared: set[str] = field(default_factory=set)
    files: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def mine(self, things: list[str], tenant: str, at: int) -> str | None:
        """One of a tenant's own things."""
        own = [thing for thing in things if self.owners[thing] == tenant]
        return own[at % len(own)] if own else None

    def kept(self, thing: str, tenant: str) -> str:
        """A thing that a tenant has made."""
        self.owners[thing] = tenant
        return thing

    async def step(self, tenant: str, operation: str, at: int) -> None:
        """One operation, and what its answer must not hold."""
        if operation == "steal":
            await self.steal(tenant, at)
            return
        reply = await self.own(tenant, operation, at)
        for text in [reply] if reply is not None else []:
            self.watched(tenant, text)

    async def own(self, tenant: str, operation: str, at: int) -> Reply | None:
        """An operation on what is the tenant's own."""
        ask, store, file = self.site.ask, self.mine(self.stores, tenant, at), self.mine(self.files, tenant, at)
        if operation in ("make", "share"):
            metadata = {"of": f"mark-{tenant}"} | ({"llmguard.share": "*"} if operation == "share" else {})
            reply = await ask(tenant, "POST", "/vector_stores", {"name": f"mark-{tenant}", "metadata": metadata})
            self.stores.append(self.kept(reply.json["id"], tenant))
            self.shared |= {reply.json["id"]} if operation == "share" else set()
            return reply
        if operation == "look" or store is None:
            return await ask(tenant, "GET", "/vector_stores" if at % 2 else "/files")
        path = f"/vector_stores/{store}"
        if operation == "put":
            entry = await self.site.put(tenant, store, f"text of mark-{tenant} {at}".encode(), f"mark-{tenant}.txt")
            self.files.append(self.kept(entry["id"], tenant))
            return await ask(tenant, "GET", f"{path}/files")
        if operation == "update":
            return await ask(tenant, "POST", path, {"name": f"mark-{tenant} {at}"})
        if operation == "delete":
            self.stores.remove(store)
            return await ask(tenant, "DELETE", path)
        if file is None:
            return await ask(tenant, "GET", path)
        return await self.filed(tenant, operation, path, file)

    async def filed(self, tenant: str, operation: str, path: str, file: str) -> Reply:
        """An operation on a file of the tenant's own, which may not be in that store."""
        ask = self.site.ask
        if operation == "batch":
            return await ask(tenant, "POST", f"{path}/file_batches", {"file_ids": [file]})
        if operation == "describe":
            return await ask(tenant, "POST", f"{path}/files/{file}", {"attributes": {"by": f"mark-{tenant}"}})
        if operation == "detach":
            return await ask(tenant, "DELETE", f"{path}/files/{file}")
        self.files.remove(file)
        return await ask(tenant, "DELETE", f"/files/{file}")

    async def steal(self, thief: str, at: int) -> None:
        """Everything that a known id of another's lets one try: it is not found, except a shared store's search."""
        others = [store for store in self.stores if self.owners[store] != thief]
        if not others:
            return
        store = others[at % len(others)]
        files = [file for file in self.files if self.owners[file] == self.owners[store]] or ["file-none"]
        file, path = files[at % len(files)], f"/vector_stores/{store}"
        attempts: list[tuple[str, str, object]] = [
            ("GET", path, None),
            ("POST", path, {"name": "stolen"}),
            ("DELETE", path, None),
            ("GET", f"{path}/files", None),
            ("POST", f"{path}/files", {"file_id": file}),
            ("GET", f"{path}/files/{file}", None),
            ("GET", f"{path}/files/{file}/content", None),
            ("DELETE", f"{path}/files/{file}", None),
            ("POST", f"{path}/file_batches", {"file_ids": [file]}),
            ("GET", f"/files/{file}", None),
            ("GET", f"/files/{file}/content", None),
            ("DELETE", f"/files/{file}", None),
        ]
        unknown = await self.site.ask(thief, "GET", "/vector_stores/vs_of-nobody")
        for method, tried, body in attempts:
            reply = await self.site.ask(thief, method, tried, body)
            assert reply.status == 404
            assert "mark-" not in reply.body.decode()
        gone = await self.site.ask(thief, "GET", path)
        assert gone.json == unknown.json
        search = await self.site.ask(thief, "POST", f"{path}/search", {"query": "text of mark"})
        assert search.status == (200 if store in self.shared else 404)
        for cursor in (f"/vector_stores?after={store}", f"/files?after={file}"):
            assert (await self.site.ask(thief, "GET", cursor)).status == 400

    def watched(self, tenant: str, reply: Reply) -> None:
        """Nothing of an answer is another's: no mark, and no id."""
        said = reply.body.decode()
        for other in TENANTS:
            assert other == tenant or f"mark-{other}" not in said
        for thing, owner in self.owners.items():
            assert owner == tenant or thing not in said

    async def counted(self) -> None:
        """Lists and counts are each tenant's own, to the last one."""
        for tenant in TENANTS:
            listed: Any = (await self.site.ask(tenant, "GET", "/vector_stores?limit=100")).json
            assert [one["id"] for one in listed["data"]] == [
                store for store in reversed(self.stores) if self.owners[store] == tenant
            ]
            files = (await self.site.ask(tenant, "GET", "/files?limit=100")).json
            assert {one["id"] for one in files["data"]} == {f for f in self.files if self.owners[f] == tenant}
            self.watched(tenant, Reply(200, {}, json.dumps([listed, files]).encode()))


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(STEPS)
def test_no_tenant_ever_sees_a_thing_of_anothers(steps: list[tuple[str, str, int]]) -> None:
    async def live() -> None:
        async with opened(WordsUpstream()) as site:
            world = World(site)
            for step in steps:
                await world.step(*step)
            for tenant in TENANTS:
                await world.step(tenant, "steal", 0)
            await world.counted()

    asyncio.run(live())


BUCKET_MS, SLOWER_S, PAIRS, TIMES = 40, 0.015, 20, 5
"""A store of another's takes `SLOWER_S` longer to be refused than none, as it might on a busy disk."""


async def refused_after(site: Site, store: str) -> float:
    """Seconds until a store is said not to be there."""
    start = time.perf_counter()
    assert (await site.ask("bea", "GET", f"/vector_stores/{store}")).status == 404
    return time.perf_counter() - start


@pytest.mark.anyio
@pytest.mark.parametrize(("bucket_ms", "told"), [(0, True), (BUCKET_MS, False)])
async def test_times_tell_anothers_store_from_none_bare_and_not_in_buckets(bucket_ms: int, told: bool) -> None:
    policies = {"public": {"outputs": {"timing_bucket_ms": bucket_ms}}, "tight": {}}
    async with opened(WordsUpstream(), tree(policies=policies)) as site:
        theirs, get = await site.store("ann"), Stores.get

        def slower(stores: Stores, tenant: str, id: str) -> Store:
            if id == theirs and tenant != "tenant-ann":
                time.sleep(SLOWER_S)
            return get(stores, tenant, id)

        with patch.object(Stores, "get", slower):
            found = []
            for seed in range(TIMES):
                times: tuple[list[float], list[float]] = ([], [])
                for kind in np.random.default_rng(seed).permutation(np.repeat([0, 1], PAIRS)).tolist():
                    store = theirs if kind else f"vs_{secrets.token_hex(16)}"
                    times[kind].append(await refused_after(site, store))
                found.append(told_apart(times))
    # By chance alone one in a hundred: three of five once in 100,000 runs.
    assert sum(found) >= 3 if told else sum(found) <= 2
