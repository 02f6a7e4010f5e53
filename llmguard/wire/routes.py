"""Every hot route, by method and path."""

from llmguard.wire.chat_endpoint import CHAT
from llmguard.wire.classify_endpoint import CLASSIFY
from llmguard.wire.completions_endpoint import COMPLETIONS
from llmguard.wire.embeddings_endpoint import EMBEDDINGS
from llmguard.wire.endpoint import Endpoint
from llmguard.wire.models import MODEL, MODELS
from llmguard.wire.responses_endpoint import RESPONSES

ENDPOINTS = (CHAT, COMPLETIONS, RESPONSES, CLASSIFY, EMBEDDINGS, MODELS, MODEL)

_ROUTES = {(endpoint.method, endpoint.path): endpoint for endpoint in ENDPOINTS}
_MODEL = "/v1/models/"


def find(method: str, path: str) -> Endpoint | None:
    """The endpoint that serves this request, if the guard's path does."""
    if endpoint := _ROUTES.get((method, path)):
        return endpoint
    if method == "GET" and path.startswith(_MODEL) and path != _MODEL:  # a model's name may hold slashes
        return MODEL
    return None


def served(path: str) -> list[str]:
    """The methods that a path of the guard is served by; none for any other path."""
    return [method for method in ("GET", "POST") if find(method, path)]
