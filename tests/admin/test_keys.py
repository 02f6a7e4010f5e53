"""Keys over HTTP."""

import re

import httpx
import pytest
from fastapi import FastAPI

from llmguard import keys
from llmguard.admin.keys import keys_router
from llmguard.errors import Refused
from llmguard.store.store import KeyRecord
from tests.fakes.clock import FakeClock
from tests.fakes.store import FakeStore

pytestmark = pytest.mark.anyio

PEPPER = b"pepper" * 6
ALICE = {"user": "alice", "tenant": "acme", "policy": "public"}
PATH = "/admin/v1/keys"


class Admin:
    """The API over a store in memory; `forgotten` are the ids that it gave to `forget`."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = FakeStore(self.clock)
        self.forgotten: list[str] = []
        app = FastAPI()
        app.include_router(keys_router(self.store, PEPPER, self.clock, lambda: {"public"}, self.forgotten.append))
        self.app = app

    async def ask(self, method: str, path: str, json: object = None) -> httpx.Response:
        """The answer to a request; what the endpoint raises is raised here."""
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://guard") as client:
            return await client.request(method, path, json=json)

    async def holder(self, secret: str) -> KeyRecord | None:
        """Whose valid key it is."""
        digest = keys.digest(PEPPER, secret.encode())
        listed = await self.store.list_keys()
        return next((record for record in listed if keys.valid(record, digest, self.clock.time())), None)


async def test_a_key_is_issued_and_shown_once() -> None:
    admin = Admin()
    answer = await admin.ask("POST", PATH, {**ALICE, "expires_in_s": 60})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    issued = answer.json()
    assert re.fullmatch(r"lg-[A-Za-z0-9_-]{43}", issued["key"])
    assert issued["created_at"] == 1_800_000_000
    assert issued["expires_at"] == 1_800_000_060
    record = await admin.holder(issued["key"])
    assert record is not None
    assert (record.id, record.user, record.tenant, record.policy) == (issued["id"], "alice", "acme", "public")


async def test_a_list_shows_no_secret_and_no_digest() -> None:
    admin = Admin()
    issued = (await admin.ask("POST", PATH, ALICE)).json()
    listed = (await admin.ask("GET", PATH)).json()
    del issued["key"]
    assert listed == {"object": "list", "data": [issued]}
    assert issued.keys() == {"id", "user", "tenant", "policy", "created_at", "expires_at", "revoked_at"}


async def test_a_revoked_key_is_void_forgotten_and_still_listed() -> None:
    admin = Admin()
    issued = (await admin.ask("POST", PATH, ALICE)).json()
    answer = await admin.ask("DELETE", f"{PATH}/{issued['id']}")
    assert answer.json() == {"id": issued["id"], "revoked": True}
    assert admin.forgotten == [issued["id"]]
    assert await admin.holder(issued["key"]) is None
    assert (await admin.ask("GET", PATH)).json()["data"][0]["revoked_at"] == 1_800_000_000
    assert (await admin.ask("DELETE", f"{PATH}/{issued['id']}")).json()["revoked"] is True


@pytest.mark.parametrize(("body", "overlap_s"), [(None, 86_400), ({}, 86_400), ({"overlap_s": 60}, 60)])
async def test_a_rotated_key_has_two_secrets_for_a_while(body: object, overlap_s: float) -> None:
    admin = Admin()
    old = (await admin.ask("POST", PATH, ALICE)).json()
    new = (await admin.ask("POST", f"{PATH}/{old['id']}/rotate", body)).json()
    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    assert admin.forgotten == [old["id"]]
    admin.clock.advance(overlap_s - 1)
    assert await admin.holder(old["key"]) == await admin.holder(new["key"]) is not None
    admin.clock.advance(1)
    assert await admin.holder(old["key"]) is None
    assert await admin.holder(new["key"]) is not None


@pytest.mark.parametrize(
    ("method", "path"), [("DELETE", "/key_none"), ("POST", "/key_none/rotate"), ("DELETE", "/%00"), ("DELETE", "/é")]
)
async def test_an_unknown_id_is_not_found(method: str, path: str) -> None:
    with pytest.raises(Refused) as raised:
        await Admin().ask(method, PATH + path)
    assert raised.value.denial.code == "not_found"


async def test_an_unknown_policy_is_refused() -> None:
    admin = Admin()
    with pytest.raises(Refused) as raised:
        await admin.ask("POST", PATH, {**ALICE, "policy": "private"})
    assert (raised.value.denial.code, raised.value.denial.param) == ("invalid_value", "policy")
    assert await admin.store.list_keys() == []


async def test_a_revoked_key_cannot_be_rotated() -> None:
    admin = Admin()
    issued = (await admin.ask("POST", PATH, ALICE)).json()
    await admin.ask("DELETE", f"{PATH}/{issued['id']}")
    with pytest.raises(Refused) as raised:
        await admin.ask("POST", f"{PATH}/{issued['id']}/rotate")
    assert raised.value.denial.code == "invalid_value"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**ALICE, "admin": True},
        {**ALICE, "user": ""},
        {**ALICE, "user": "\x1b[31m"},
        {**ALICE, "expires_in_s": 0},
        {**ALICE, "expires_in_s": -1},
        {**ALICE, "expires_in_s": 1e12},
        {**ALICE, "expires_in_s": "NaN"},
    ],
)
async def test_what_is_no_request_for_a_key_makes_none(body: object) -> None:
    admin = Admin()
    assert (await admin.ask("POST", PATH, body)).status_code == 422
    assert await admin.store.list_keys() == []


async def test_an_overlap_is_not_negative() -> None:
    admin = Admin()
    issued = (await admin.ask("POST", PATH, ALICE)).json()
    assert (await admin.ask("POST", f"{PATH}/{issued['id']}/rotate", {"overlap_s": -1})).status_code == 422
