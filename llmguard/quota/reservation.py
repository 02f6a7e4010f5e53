"""What a request holds of its quotas while it runs, and what it has been given so far."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
from msgspec import UnsetType

from llmguard.quota.needs import Amounts, Needs
from llmguard.store.ledger import Charges
from llmguard.wire.answer import Event
from llmguard.wire.chat_answer import AnswerCall, Choice, ChunkChoice, DeltaFunction
from llmguard.wire.completions import CompletionChoice


class Reservation(msgspec.Struct):
    """The charges, what is held of each, whose measures `pick` takes from amounts, and a meter of the text relayed.

    The meter is the one thing of an exchange that changes, and only the quotas' control turns it. The texts themselves
    are `kept` where somebody can count their tokens. `weight` is what was held, and will be spent, is multiplied by.
    """

    charges: Charges
    amounts: Sequence[int]
    pick: Callable[[Sequence[int]], tuple[int, ...]]
    needs: Needs
    kept: list[str] | None = None
    weight: int = 1
    relayed_bytes: int = 0

    def spent(self, taken: Amounts) -> Sequence[int]:
        """What is spent of each charge, for these amounts that were taken."""
        spent = self.pick(taken)
        if self.weight == 1:
            return spent
        return [
            amount if charge.counter.level else max(amount, min(amount * self.weight, max(held, amount)))
            for amount, held, charge in zip(spent, self.amounts, self.charges, strict=True)
        ]

    def relay(self, event: Event) -> None:
        """Count what an event gives away."""
        size = 0
        for choice in event.choices:
            for text in said(choice):
                size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
                if self.kept is not None:
                    self.kept.append(text)
        self.relayed_bytes += size


def said(choice: "Choice | ChunkChoice | CompletionChoice") -> Iterable[str]:
    """The texts of a choice or of a piece of one: what is said, refused, and written as arguments of a call."""
    # Every event passes here; of a struct's class isinstance() takes six times as long to say no.
    if type(choice) is CompletionChoice:
        return (choice.text,)
    part = choice.delta if type(choice) is ChunkChoice else choice.message
    if not part.tool_calls and not part.function_call and not part.refusal:
        return (part.content,) if part.content else ()
    functions: list[AnswerCall | DeltaFunction | UnsetType | None] = [part.function_call or None]
    functions += [call.function for call in part.tool_calls or ()]
    texts = [part.content, part.refusal]
    for function in functions:
        if function:
            texts += [function.name, function.arguments]
    return [text for text in texts if text]
