"""`POST /v1/embeddings`: what is asked of the model, and how its vectors are written."""

from array import array
from base64 import b64encode
from sys import byteorder

import msgspec

from llmguard.wire.endpoint import Endpoint
from llmguard.wire.pooling import Embedding, EmbeddingRequest, Embeddings, PoolingAnswer

_encode = msgspec.json.Encoder().encode


class ToldUsage(msgspec.Struct):
    """What was read; nothing is written."""

    prompt_tokens: int
    total_tokens: int


class ToldEmbeddings(msgspec.Struct):
    """The answer as OpenAI's clients read it."""

    object: str
    data: list[Embedding]
    model: str
    usage: ToldUsage


def to_model(asked: EmbeddingRequest) -> EmbeddingRequest:
    """The request for whole vectors: how long they are and how they are written is between the client and the guard."""
    return EmbeddingRequest(model=asked.model, input=asked.input, encoding_format="float")


def written(asked: EmbeddingRequest, answer: PoolingAnswer) -> bytes:
    """The answer, its vectors as numbers or as base64 of little-endian float32."""
    if not isinstance(answer, Embeddings):
        raise TypeError("the answer holds no vectors")
    if asked.encoding_format == "base64":
        for item in answer.data:
            if not isinstance(item.embedding, str):
                item.embedding = base64(item.embedding)
    read = answer.usage.prompt_tokens if answer.usage is not None else 0
    return _encode(ToldEmbeddings(answer.object, answer.data, answer.model, ToldUsage(read, read)))


def base64(vector: list[float]) -> str:
    """Little-endian float32."""
    numbers = array("f", vector)
    if byteorder == "big":
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


EMBEDDINGS = Endpoint(
    name="embeddings",
    method="POST",
    path="/v1/embeddings",
    summary="Embed texts, where a policy grants reduced vectors",
    request=EmbeddingRequest,
    to_model=to_model,
    pooled=written,
    task="embedding",
)
