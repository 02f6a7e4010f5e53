"""An embedding model that is made of words, as an upstream."""

import asyncio
from collections.abc import Sequence

from llmguard.errors import Denial, UpstreamFailure
from llmguard.wire.chat_answer import Usage
from llmguard.wire.pooling import Embedding, EmbeddingRequest, Embeddings, PoolingAnswer, PoolingRequest, texts
from tests.fakes.upstream import FakeUpstream
from tests.similarity.whole import embedded


class WordsUpstream(FakeUpstream):
    """A text is the sum of its words. `down` fails, `gate` holds back while it is shut; `asked` are the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.down = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[str] = []

    async def pool(self, request: PoolingRequest) -> PoolingAnswer:
        """A vector of 64 dimensions for each text."""
        assert isinstance(request, EmbeddingRequest)
        given: Sequence[str] = texts(request)
        self.asked += given
        await self.gate.wait()
        if self.down:
            raise UpstreamFailure(Denial("upstream_error"), retryable=False)
        vectors = [Embedding(index=at, embedding=row.tolist()) for at, row in enumerate(embedded(given))]
        return Embeddings(data=vectors, usage=Usage(prompt_tokens=len(given), completion_tokens=0, total_tokens=0))
