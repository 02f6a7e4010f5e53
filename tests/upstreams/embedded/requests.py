"""Requests as the tests make them."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest

ENDLESS = {"logit_bias": {"0": -100, "1": -100, "2": -100}}
"""No token that ends an answer is ever drawn."""


def chat(content: Any = "Name the capital of France.", **fields: Any) -> ChatRequest:
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    return msgspec.convert({"model": "smollm2-135m-instruct", "messages": messages, **fields}, type=ChatRequest)


def completion(prompt: str | list[str] = "The capital of France is", **fields: Any) -> CompletionRequest:
    return msgspec.convert({"model": "smollm2-135m-instruct", "prompt": prompt, **fields}, type=CompletionRequest)


async def until(condition: Callable[[], bool]) -> None:
    """Let the other tasks go on until they have brought about `condition`."""
    for _ in range(100_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come about")
