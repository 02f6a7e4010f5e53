"""The limits of the settings, compiled: which of them hold for a request, and whose counters they are."""

import hashlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Final

from llmguard.exchange import Principal
from llmguard.quota.headers import RateLimitHeaders
from llmguard.quota.needs import picker
from llmguard.quota.rule import MEASURES, Rule
from llmguard.settings import Settings
from llmguard.settings_policies import EndpointName, Limit, Policy
from llmguard.store.ledger import Charge, Charges

MAX_KNOWN: Final = 10_000
DAY_S: Final = 86_400.0
SEARCHES: Final[tuple[EndpointName, ...]] = ("vector_stores",)
LISTS: Final[tuple[EndpointName, ...]] = ("similarity", "rerank")


class Applied:
    """The rules that hold for a kind of request, and whose counters they are.

    `watched`: the prompts of its key are, so that its standing is to be read along. `pick` takes the rules' measures
    from a request's amounts. What is worked out for a principal is kept, for MAX_KNOWN of
    them: to make the names of its counters anew for every request took as long as to charge them.
    """

    __slots__ = ("_known", "headers", "pick", "rules", "watched")

    def __init__(self, rules: tuple[Rule, ...], *, watched: bool) -> None:
        self.rules = rules
        self.watched = watched
        self.pick = picker([rule.place for rule in rules])
        self.headers = RateLimitHeaders(rules)
        self._known: dict[Principal, Charges] = {}

    def charges(self, who: Principal) -> Charges:
        """What a request of a principal is charged to, in the order of the rules."""
        found = self._known.get(who)
        if found is None:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            found = tuple([Charge(rule.counter(_id(rule.per, who)), rule.limit) for rule in self.rules])
            self._known[who] = found
        return found


class Rules:
    """Which limits hold where, worked out once for each policy, endpoint and model."""

    def __init__(self, settings: Settings) -> None:
        self._policies = settings.policies
        self._groups = settings.groups
        self._similarity = settings.similarity_model is not None
        self._known: dict[tuple[str, str, str], Applied] = {}

    def of(self, policy: str, endpoint: str, model: str) -> Applied:
        """The rules for a request to a configured model; none for the nameless policy of `mode: observe`."""
        place = (policy, endpoint, model)
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = self._find(*place)
        return found

    def per(self, scope: str, policy: str | None = None) -> tuple[Rule, ...]:
        """Every rule that counts by this scope, each counter once: of one policy, or of any."""
        chosen = [found for name, found in self._policies.items() if policy in (None, name)]
        return _distinct(compiled(limit) for found in chosen for limit in self._limits(found) if limit.per == scope)

    def _find(self, policy: str, endpoint: str, model: str) -> Applied:
        found = self._policies.get(policy)
        if found is None:
            return Applied((), watched=False)
        limits = (limit for limit in self._limits(found) if self._holds(limit, endpoint, model))
        watched = found.prompts is not None and found.prompts.detect
        return Applied(_distinct(map(compiled, limits)), watched=watched)

    def _limits(self, policy: Policy) -> Iterator[Limit]:
        """A policy's limits, with those that its `similarity` means where that is served."""
        yield from policy.limits
        told = policy.similarity
        for credits, endpoints in ((told.search_credits, SEARCHES), (told.list_credits, LISTS)):
            named = tuple(name for name in endpoints if name in policy.endpoints)
            if named and self._similarity:
                yield Limit(per="user", of="credits", limit=credits, every=DAY_S, on=named)

    def _holds(self, limit: Limit, endpoint: str, model: str) -> bool:
        if limit.on and endpoint not in limit.on:
            return False
        return not limit.models or any(fnmatchcase(model, pattern) for pattern in self._patterns(limit))

    def _patterns(self, limit: Limit) -> Iterator[str]:
        for name in limit.models:
            yield from self._groups.get(name[1:], ()) if name.startswith("@") else (name,)


def compiled(limit: Limit) -> Rule:
    """The rule of a limit. Its counter's name leaves out how much is allowed: what is spent outlives its change."""
    narrowed = "\0".join((*sorted(limit.on), "", *sorted(limit.models)))
    digest = hashlib.blake2b(narrowed.encode(), digest_size=6).hexdigest() if limit.on or limit.models else ""
    every = "ever" if limit.every is None else f"{limit.every:g}"
    return Rule(
        per=limit.per,
        of=limit.of,
        place=MEASURES.index(limit.of),
        limit=limit.limit,
        every_s=limit.every,
        measure=":".join((limit.of, every, digest)).rstrip(":"),
        on_exceed=limit.on_exceed,
    )


def _distinct(rules: Iterator[Rule]) -> tuple[Rule, ...]:
    """Each counter once, under its tightest limit: a request takes from it once."""
    tightest: dict[tuple[str, str], Rule] = {}
    for rule in rules:
        known = tightest.get((rule.per, rule.measure))
        if known is None or rule.limit < known.limit:
            tightest[rule.per, rule.measure] = rule
    return tuple(tightest.values())


def _id(per: str, who: Principal) -> str:
    return "" if per == "global" else str(getattr(who, per))
