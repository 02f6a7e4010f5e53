"""`POST /v1/embeddings`: refused, whatever the body says."""

from llmguard.wire.endpoint import Endpoint

EMBEDDINGS = Endpoint(
    name="embeddings",
    method="POST",
    path="/v1/embeddings",
    summary="Refused: embeddings are not exported",
)
