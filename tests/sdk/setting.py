"""What the tests with real clients have in common: the guard's settings, questions, and what is read from answers."""

from typing import Any

from pydantic import BaseModel

from tests.serving import tree

MESSAGES: Any = [{"role": "user", "content": "Say hello to me"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "weather", "description": "The weather of a city", "parameters": SCHEMA, "strict": True}
TOOLS: Any = [{"type": "function", "function": WEATHER}]
FLAT_TOOLS: Any = [{"type": "function", **WEATHER}]
ARGUMENTS = '{"city": "Zürich"}'


class City(BaseModel):
    """What a structured answer holds."""

    city: str


def settings(url: str, **upstream: Any) -> dict[str, Any]:
    """The tests' tree with a model whose name has a slash, seeds and logits; `upstream` changes the upstream's use."""
    made = tree(url)
    made["policies"] = made["policies"] | {"public": {"decoding": {"logprobs": "allow", "seed": "allow"}}}
    made["models"] = made["models"] | {"org/model": made["models"]["chat"]}
    made["upstreams"]["fake"] |= upstream
    return made


def text(chunks: list[Any]) -> str:
    """What the chunks of one chat choice say together."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices[:1])
