"""`GET /v1/models` and `/v1/models/{id}`: the public names, and nothing of what is behind them."""

from collections.abc import Sequence

import msgspec

from llmguard.wire.endpoint import Endpoint

MODELS = Endpoint(name="models", method="GET", path="/v1/models", summary="List the models that this key may use")
MODEL = Endpoint(name="models", method="GET", path="/v1/models/{model}", summary="One model, if this key may use it")


class ModelObject(msgspec.Struct):
    """A model as OpenAI lists it."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = "llmguard"


class ModelList(msgspec.Struct):
    """All of them."""

    data: Sequence[ModelObject]
    object: str = "list"
