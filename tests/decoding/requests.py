"""Requests as the tests of decoding make them."""

from typing import Any

import msgspec

from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from llmguard.wire.model_request import ModelRequest


def chat(**fields: Any) -> ChatRequest:
    """A chat."""
    return msgspec.convert({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}, ChatRequest)


def completion(**fields: Any) -> CompletionRequest:
    """A text completion."""
    return msgspec.convert({"model": "m", "prompt": "hi", **fields}, CompletionRequest)


def either(**fields: Any) -> ModelRequest:
    """A text completion where the fields are one's, else a chat."""
    return completion(**fields) if {"best_of", "echo", "prompt"} & set(fields) else chat(**fields)
