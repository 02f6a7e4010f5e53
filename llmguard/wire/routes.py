"""Every hot route, by method and path."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from llmguard.wire.chat_endpoint import CHAT
from llmguard.wire.classify_endpoint import CLASSIFY
from llmguard.wire.completions_endpoint import COMPLETIONS
from llmguard.wire.embeddings_endpoint import EMBEDDINGS
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.models import MODEL, MODELS
from llmguard.wire.responses_endpoint import RESPONSES
from llmguard.wire.similarity_endpoints import SIMILARITY_ENDPOINTS

ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES, CLASSIFY, EMBEDDINGS, MODELS, MODEL, *SIMILARITY_ENDPOINTS)
METHODS = ("DELETE", "GET", "POST")


def _shaped(endpoints: Sequence[Endpoint]) -> Mapping[tuple[str, int], Sequence[tuple[list[str], Endpoint]]]:
    """Those with parameters in their paths, by method and the number of steps."""
    found = defaultdict(list)
    for endpoint in endpoints:
        if "{" in endpoint.path and endpoint is not MODEL:
            steps = endpoint.path.split("/")
            found[endpoint.method, len(steps)].append((steps, endpoint))
    return dict(found)


_ROUTES = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
_SHAPED = _shaped(ENDPOINTS)
_MODEL = "/v1/models/"


def find(method: str, path: str) -> Endpoint | None:
    """The endpoint that serves this request, if the guard's path does."""
    if endpoint := _ROUTES.get((method, path)):
        return endpoint
    if method == "GET" and path.startswith(_MODEL) and path != _MODEL:  # a model's name may hold slashes
        return MODEL
    given = path.split("/")
    for steps, endpoint in _SHAPED.get((method, len(given)), ()):
        if all(step == there or (step[:1] == "{" and there) for step, there in zip(steps, given, strict=True)):
            return endpoint
    return None


def served(path: str) -> list[str]:
    """The methods that a path of the guard is served by; none for any other path."""
    return [method for method in METHODS if find(method, path)]
