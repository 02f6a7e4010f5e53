"""What is paid for once: a thing that was charged to a budget is free for whoever paid, until its window ends."""

from collections.abc import Iterable

from llmguard.store.ledger import Charge, Counter, Ledger, Receipt


async def spent_once(
    ledger: Ledger, id: str, budget: Counter, limit: int, things: Iterable[str], *, forced: bool = False
) -> Receipt | None:
    """Charge 1 for each of the `things` that its subject has not paid for; None where all of them are paid for then.

    Else the receipt that says when there will be room, and nothing is charged. Names of things hold no brace. Raises
    StoreUnavailable.
    """
    left = list(dict.fromkeys(things))
    while left:
        marks = [Charge(Counter(budget.subject, f"{budget.measure}:{name}", budget.every_s), 1) for name in left]
        amounts = (*(1 for _ in left), len(left))
        receipt = await ledger.reserve(id, (*marks, Charge(budget, limit, forced)), amounts)
        if not receipt.exceeded:
            await ledger.settle(id, amounts)
            return None
        paid = {place for place in receipt.exceeded if place < len(left)}
        if not paid:
            return receipt
        left = [name for place, name in enumerate(left) if place not in paid]
    return None
