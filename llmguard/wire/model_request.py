"""What is sent to a model that writes text: every route that reaches one is one of these two by then."""

from typing import TypeAlias

from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest

ModelRequest: TypeAlias = ChatRequest | CompletionRequest
