"""Texts to vectors by the upstream of the settings in force."""

from collections.abc import Sequence

import pytest

from llmguard.errors import Denial, UpstreamFailure
from llmguard.services.embedder import AT_ONCE, ATTEMPTS, Embedder
from llmguard.settings import Settings
from llmguard.wire.pooling import PoolingAnswer, PoolingRequest
from tests.fakes.words import WordsUpstream
from tests.services.site import settings
from tests.similarity.whole import embedded

pytestmark = pytest.mark.anyio


class Failing(WordsUpstream):
    """Fails so often, as what can be tried again."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """Fail, or answer."""
        self.failures -= 1
        if self.failures >= 0:
            raise UpstreamFailure(Denial("upstream_timeout"), retryable=True)
        return await super().pool(request)


def embedder(upstream: WordsUpstream, models: Sequence[str] = ("of-words",)) -> Embedder:
    """Over settings whose model changes its name with every ask."""
    made = [settings() for _ in models]
    for tree, model in zip(made, models, strict=True):
        tree["models"]["words"]["model"] = model
    chosen = [Settings.model_validate(tree) for tree in made]
    return Embedder(lambda: (chosen.pop(0) if len(chosen) > 1 else chosen[0], {"fake": upstream}))


async def test_many_texts_are_asked_a_few_at_a_time_and_come_in_order() -> None:
    upstream, given = WordsUpstream(), [f"w{at}" for at in range(2 * AT_ONCE + 1)]
    assert await embedder(upstream)(given) == [row.tolist() for row in embedded(given)]
    assert upstream.asked == given


async def test_what_may_help_is_tried_again() -> None:
    assert len(await embedder(Failing(ATTEMPTS - 1))(["a"])) == 1
    with pytest.raises(UpstreamFailure):
        await embedder(Failing(ATTEMPTS))(["a"])


async def test_another_model_is_refused() -> None:
    made = embedder(WordsUpstream(), ("of-words", "of-others"))
    assert len(await made(["a"])) == 1
    with pytest.raises(UpstreamFailure):
        await made(["a"])
