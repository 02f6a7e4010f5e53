"""Which request a text came from: what an answer says is taken down, as keyed hashes of some phrases."""

from msgspec.structs import replace

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange, Outcome
from llmguard.quota.reservation import said
from llmguard.recollection import MOST_TEXT, Recollection, Source
from llmguard.wire.answer import Event


class Provenance(Step):
    """Remembers answers for as long as the policy's `watermark.remember` says, marked or not."""

    def __init__(self, recollection: Recollection) -> None:
        self._recollection = recollection

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Begin to listen."""
        setting = exchange.policy.watermark
        if setting is None or setting.remember is None or exchange.request is None:
            return exchange
        return replace(exchange, said={})

    def release(self, exchange: Exchange, event: Event) -> Event:
        """Keep what is said, choice by choice."""
        if exchange.said is not None:
            for choice in event.choices:
                exchange.said.setdefault(choice.index, []).extend(said(choice))
        return event

    async def settle(self, exchange: Exchange, outcome: Outcome) -> None:
        """Hand it over."""
        setting = exchange.policy.watermark
        if not exchange.said or setting is None or setting.remember is None:
            return
        who, mark = exchange.principal, exchange.marks.used if exchange.marks is not None else None
        source = Source(
            request_id=exchange.id,
            at=exchange.created,
            key=who.key,
            tenant=who.tenant,
            model=exchange.model,
            watermark_key=mark.key_id if mark else "",
            kept=0,
        )
        for parts in exchange.said.values():
            text = "".join(parts)
            self._recollection.note(text[:MOST_TEXT], source, setting.remember)
