"""A classifier's answer tells no more than the policy says."""

import hmac
from dataclasses import dataclass
from hashlib import blake2b

from llmguard.control import Step
from llmguard.errors import Denial
from llmguard.exchange import Exchange
from llmguard.outputs.noise import Noise
from llmguard.outputs.privacy import held
from llmguard.outputs.scores import Reduction, likeliest, told
from llmguard.quota.once import spent_once
from llmguard.risk.meanwhile import Meanwhile
from llmguard.settings import Settings
from llmguard.settings_policies import LabelPrivacy, Outputs
from llmguard.store.ledger import Counter, Ledger, Receipt
from llmguard.store.store import StoreUnavailable
from llmguard.wire.pooling import Classifications, ClassifyRequest, PoolingAnswer, texts


@dataclass(frozen=True, slots=True)
class Budget:
    """What a user's private labels are charged to: `most` of them, in the counter `measure`."""

    most: int
    every_s: float | None
    measure: str


class Scores(Step):
    """Reduces labels and scores, and charges private labels to the user before they are asked for.

    A policy that says nothing of outputs has labels alone. The noise depends on the text and on the model behind, never
    on who asks or when. Answers are changed in place, and in every mode: nobody is refused by it. `mode: observe` notes
    where a budget is used up.
    """

    def __init__(self, settings: Settings, key: bytes, ledger: Ledger, meanwhile: Meanwhile) -> None:
        self._observe = settings.mode == "observe"
        self._ledger = ledger
        self._meanwhile = meanwhile
        # One key for each model behind, so that nothing is learnt from its other public names.
        self._keys = {
            name: hmac.digest(key, f"{model.upstream}\0{model.model}".encode(), "sha256")
            for name, model in settings.models.items()
        }
        outputs = {name: policy.outputs or Outputs() for name, policy in settings.policies.items()}
        self._default = _reduction(Outputs())
        self._reductions = {name: _reduction(found) for name, found in outputs.items()}
        self._budgets = {name: _budget(found.privacy) for name, found in outputs.items() if found.privacy is not None}

    async def admit(self, exchange: Exchange) -> Exchange | Denial:
        """Charge the texts whose labels this user has not been told."""
        request, budget = exchange.pooling, self._budgets.get(exchange.principal.policy)
        if budget is None or not isinstance(request, ClassifyRequest):
            return exchange
        counter = Counter(f"user:{exchange.principal.user}", budget.measure, budget.every_s)
        digests = [self._digest(exchange.model, text) for text in texts(request)]
        try:
            receipt = await spent_once(
                self._ledger, f"{exchange.id}:labels", counter, budget.most, digests, forced=self._observe
            )
        except StoreUnavailable:
            return Denial("store_unavailable", retry_after_s=1.0)
        return exchange if receipt is None else _used_up(budget, receipt)

    def reduce(self, exchange: Exchange, answer: PoolingAnswer) -> PoolingAnswer:
        """Tell of each text what may be told; raises ValueError for an answer that is none."""
        request, target = exchange.pooling, exchange.target
        if not isinstance(answer, Classifications) or not isinstance(request, ClassifyRequest) or target is None:
            return answer
        how = self._reductions.get(exchange.principal.policy, self._default)
        key, labels = self._keys[exchange.model], target.labels
        prompts, who = exchange.policy.prompts, exchange.principal.key
        watched = prompts is not None and prompts.detect and who
        for item, text in zip(answer.data, texts(request), strict=True):
            found = told(item.probs, how, Noise(key, text))
            if watched:
                self._meanwhile.answered(who, (exchange.model, *likeliest(item.probs)))
            item.probs, item.num_classes = found.probs, len(found.probs)
            if labels:
                if len(labels) != len(found.probs):
                    raise ValueError("not the classes that the settings name")
                item.label = labels[found.label]
            elif how.chance:
                item.label = None  # the upstream's is that of its own highest
        return answer

    def _digest(self, model: str, text: str) -> str:
        return blake2b(text.encode("utf-8", "surrogatepass"), key=self._keys[model], digest_size=12).hexdigest()


def _reduction(outputs: Outputs) -> Reduction:
    epsilon = None if outputs.privacy is None else outputs.privacy.epsilon
    return Reduction(outputs.scores, outputs.top_k, outputs.smoothing, epsilon)


def _budget(privacy: LabelPrivacy) -> Budget:
    every = "ever" if privacy.every is None else f"{privacy.every:g}"
    measure = f"labels:{privacy.epsilon:g}:{every}"
    return Budget(held(privacy.epsilon, privacy.budget, privacy.delta), privacy.every, measure)


def _used_up(budget: Budget, receipt: Receipt) -> Denial:
    every = "" if budget.every_s is None else f" every {budget.every_s:g}s"
    message = f"Limit reached: {budget.most} labels of different texts per user{every}."
    wait = receipt.retry_after_s
    return Denial("insufficient_quota", message, "input", retry_after_s=wait, hopeless=wait is None)
