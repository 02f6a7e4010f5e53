"""`POST /v1/classify`: what is sent upstream, and how the answer is written."""

import msgspec
from msgspec.structs import replace

from llmguard.wire.endpoint import Endpoint
from llmguard.wire.pooling import ClassifyRequest, PoolingAnswer

_encode = msgspec.json.Encoder().encode


def to_model(asked: ClassifyRequest) -> ClassifyRequest:
    """The request without the end user's name, which is between the client and the guard alone."""
    return replace(asked, user=None)


def written(asked: object, answer: PoolingAnswer) -> bytes:
    """The answer as vLLM writes it."""
    return _encode(answer)


CLASSIFY = Endpoint(
    name="classify",
    method="POST",
    path="/v1/classify",
    summary="Label texts",
    request=ClassifyRequest,
    to_model=to_model,
    pooled=written,
    task="classify",
)
