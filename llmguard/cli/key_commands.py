"""What `llmguard keys` does, on settings and a store; `keys` is what reads the command line."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from rich.table import Table
from rich.text import Text

from llmguard import keys
from llmguard.clock import Clock
from llmguard.issuer import Issuer
from llmguard.settings import Settings
from llmguard.store import open_store
from llmguard.store.store import KeyRecord, Store

T = TypeVar("T")


class NegativeFinding(Exception):
    """The answer is no: exit status 1."""


class BadUsage(Exception):
    """What was asked for makes no sense: exit status 2."""


async def with_store(settings: Settings, clock: Clock, work: Callable[[Store, Issuer], Awaitable[T]]) -> T:
    """Do `work` on the store that the settings name, and close it. Raises `BadUsage`, `StoreUnavailable`."""
    if settings.store.scheme == "memory":
        raise BadUsage("a store in memory is the server's own: use the admin API, or store.url: file:DIRECTORY")
    try:
        store = open_store(settings.store, clock=clock)
    except ValueError as error:
        raise BadUsage(f"store.url: {error}") from error
    try:
        return await work(store, Issuer(store, keys.pepper(settings.secret.get_secret_value().encode()), clock))
    finally:
        await store.close()


async def issue(
    settings: Settings, issuer: Issuer, user: str, tenant: str, policy: str, expires_in_s: float | None
) -> tuple[KeyRecord, str]:
    """Make a key under one of the settings' policies; with its secret."""
    if policy not in settings.policies:
        raise BadUsage(f"no policy is named {policy!r}; there are: {', '.join(sorted(settings.policies))}")
    return await issuer.issue(user, tenant, policy, expires_in_s)


async def revoke(issuer: Issuer, id: str) -> None:
    """End a key."""
    if await issuer.revoke(id) is None:
        raise NegativeFinding(f"no key in the store has the id {id!r}")


async def rotate(issuer: Issuer, id: str, overlap_s: float) -> tuple[KeyRecord, str]:
    """Give a key a new secret; with that."""
    try:
        rotated = await issuer.rotate(id, overlap_s)
    except keys.KeyEnded as error:
        raise NegativeFinding(f"{id} is revoked or expired: issue a new key") from error
    if rotated is None:
        raise NegativeFinding(f"no key in the store has the id {id!r}")
    return rotated


def table(records: Sequence[KeyRecord], now: float) -> Table:
    """The keys as people read them; times in UTC."""
    shown = Table("id", "user", "tenant", "policy", "created", "expires", "state")
    shown.columns[0].no_wrap = True
    for key in records:
        state = "active" if keys.in_force(key, now) else "expired"
        if key.revoked_at is not None:
            state = f"revoked {date(key.revoked_at)}"
        expires = "never" if key.expires_at is None else date(key.expires_at)
        # Text: what stands in a store is not markup.
        shown.add_row(*map(Text, (key.id, key.user, key.tenant, key.policy, date(key.created_at), expires, state)))
    return shown


def date(time: float) -> str:
    """An epoch second to the minute, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%MZ")
