"""The keys under which tenants' text is marked: derived, so that every guard of one secret has the same."""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from llmguard.clock import Clock
from llmguard.mark import SGLANG, SGLANG_WIDTH
from llmguard.store.store import StoreUnavailable
from watermark.keys.words import key_id, words

if TYPE_CHECKING:
    from watermark.keys.registry import Registry

MOST_KNOWN: Final = 10_000


class TenantKeys:
    """Keys by format, tenant, epoch and public model, from `master`.

    That is all that most of them need. SGLang's format leaves 32 bits of a key, so that of some thousand tenants two
    may share a mark: there a key is claimed in the registry, and one that another tenant's claim cannot be told from
    is passed over. `registry()` opens it, in a thread, when it is first needed.
    """

    def __init__(self, master: bytes, registry: Callable[[], "Registry"], clock: Clock) -> None:
        self._master = master
        self._registry = lru_cache(maxsize=1)(registry)
        self._clock = clock
        self._known: dict[tuple[str, int, str], tuple[int, str]] = {}

    async def key(self, scheme: str, tenant: str, epoch: int, model: str) -> tuple[int, str]:
        """A key of 64 bits, and its id. Raises StoreUnavailable."""
        if scheme != SGLANG:
            (key,) = words(self._master, scheme=scheme, tenant=tenant, epoch=epoch, model=model)
            return key, key_id(self._master, scheme=scheme, tenant=tenant, epoch=epoch, model=model)
        found = self._known.get((tenant, epoch, model))
        if found is None:
            found = await asyncio.to_thread(self._claimed, tenant, epoch, model)
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[tenant, epoch, model] = found
        return found

    def _claimed(self, tenant: str, epoch: int, model: str) -> tuple[int, str]:
        # numpy: for those alone whose engine has this format.
        from watermark.keys.claiming import claim  # noqa: PLC0415
        from watermark.keys.record import Order  # noqa: PLC0415
        from watermark.keys.registry import RegistryError  # noqa: PLC0415

        # Which tokenizer the engine has is not known here: nothing of it is pinned.
        order = Order(tenant=tenant, model=model, scheme=SGLANG, width=SGLANG_WIDTH, vocabulary=0, tokenizer="")
        try:
            record = claim(self._registry(), self._master, order, epoch, now=self._clock.time())
        except RegistryError as error:
            raise StoreUnavailable("the registry of watermark keys cannot be used") from error
        return int(record.words[0], 16), record.id
