"""What an OpenAI-wire upstream answers, as vLLM words it: pure functions from a request's body to JSON shapes.

Tokens are exact by definition: a prompt has one per word, an answer one per configured chunk and choice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

JSON = dict[str, Any]

ID = "upstream-secret-5f3a9c"
MODEL = "vendor/upstream-model-secret"
FINGERPRINT = "fp_upstream"
VENDOR = "UpstreamVendor/1.0"
CREATED = 1_700_000_001
TOOL_ID = "chatcmpl-tool-9e107d9d372bb682"
EXTRAS: JSON = {
    "prompt_token_ids": [128000, 9906, 1917],
    "kv_transfer_params": {"remote_host": "kv-7.internal.secret"},
    "provider": "SecretProvider",
}
ERROR_MESSAGE = (
    "EngineCore on gpu-7.internal.secret:8000 died; key sk-upstream-secret-0001; vendor/upstream-model-secret"
)
SECRETS = (
    ID,
    MODEL,
    FINGERPRINT,
    VENDOR,
    TOOL_ID,
    "prompt_token_ids",
    "kv_transfer_params",
    "internal.secret",
    "SecretProvider",
    "sk-upstream-secret",
    "EngineCore",
    "session=upstream",
    "x-upstream-secret",
)
"""Every text that only the upstream says: none of it may reach a client."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the fake says: one token a chunk.

    `delay_s` passes before each event; after `pause_after` events the stream waits for `FakeOpenAI.go`;
    `framing` (length, chunked, close) is how a plain answer's end is told; `obey_cap=False` ignores the request's
    cap; `leak_logprobs` sends log-probabilities that nobody asked for; `classify` gives each text's probabilities of
    the `labels`, `embed` its vector.
    """

    chunks: tuple[str, ...] = ("Hello", ",", " wör", "ld", " 🌍", "!")
    reasoning: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ('{"city":', ' "Zürich"}')
    finish_reason: str = "stop"
    model: str = MODEL
    delay_s: float = 0.0
    pause_after: int | None = None
    framing: str = "length"
    obey_cap: bool = True
    leak_logprobs: bool = False
    labels: tuple[str, ...] = ("no", "yes")
    classify: Callable[[Sequence[str]], list[list[float]]] = lambda texts: [[0.25, 0.75] for _ in texts]
    embed: Callable[[Sequence[str]], list[list[float]]] = lambda texts: [[0.6, 0.8] for _ in texts]

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.chunks)


@dataclass(frozen=True, slots=True)
class Said:
    """What is said to one request once its cap and its choices are known."""

    chunks: tuple[str, ...]
    finish_reason: str
    choices: int
    logprobs: bool
    tool: str | None


def said(body: JSON, answer: Answer, *, chat: bool) -> Said:
    """The answer, cut at the request's cap."""
    tools = body.get("tools") if chat and body.get("tool_choice") != "none" else None
    prompts = body.get("prompt")
    batch = (
        len(prompts) if not chat and isinstance(prompts, list) and prompts and isinstance(prompts[0], str | list) else 1
    )
    choices = batch * int(body.get("n") or 1)
    logprobs = answer.leak_logprobs or body.get("logprobs") not in (None, False)
    if tools:
        return Said(answer.arguments, "tool_calls", choices, logprobs=False, tool=tools[0]["function"]["name"])
    cap = body.get("max_completion_tokens") or body.get("max_tokens")
    if answer.obey_cap and cap is not None and cap < len(answer.chunks):
        return Said(answer.chunks[:cap], "length", choices, logprobs, tool=None)
    return Said(answer.chunks, answer.finish_reason, choices, logprobs, tool=None)


def words(value: object) -> int:
    """The number of words in every text of a prompt or of messages; a number is a token."""
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, int):
        return 1
    if isinstance(value, list):
        return sum(words(item) for item in value)
    if isinstance(value, dict):
        return words(value.get("content", value.get("text", "")))
    return 0


def usage(body: JSON, answer: Answer, *, chat: bool) -> JSON:
    """The exact usage of one request."""
    speech = said(body, answer, chat=chat)
    prompt = words(body.get("messages" if chat else "prompt"))
    completion = (len(speech.chunks) + len(answer.reasoning if chat else ())) * speech.choices
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def envelope(answer: Answer, kind: str) -> JSON:
    """The fields around the choices; `kind` is the OpenAI object."""
    prefix = "cmpl" if kind == "text_completion" else "chatcmpl"
    head = {"id": f"{prefix}-{ID}", "object": kind, "created": CREATED, "model": answer.model}
    return {**head, "system_fingerprint": FINGERPRINT}


def chat_logprobs(chunks: tuple[str, ...]) -> JSON:
    """Log-probabilities of a chat answer's tokens."""
    return {
        "content": [
            {"token": text, "logprob": -0.25, "bytes": list(text.encode()), "top_logprobs": []} for text in chunks
        ]
    }


def text_logprobs(chunks: tuple[str, ...]) -> JSON:
    """Log-probabilities of a completion's tokens."""
    offsets = [len("".join(chunks[:index])) for index in range(len(chunks))]
    return {
        "tokens": list(chunks),
        "token_logprobs": [-0.25] * len(chunks),
        "top_logprobs": [{text: -0.25} for text in chunks],
        "text_offset": offsets,
    }


def tool_call(name: str, arguments: str) -> JSON:
    """A call of the first tool offered."""
    return {"id": TOOL_ID, "type": "function", "function": {"name": name, "arguments": arguments}}


def completion(body: JSON, answer: Answer, *, chat: bool) -> JSON:
    """A whole plain answer."""
    speech = said(body, answer, chat=chat)
    text = "".join(speech.chunks)
    choices: list[JSON] = []
    for index in range(speech.choices):
        choice: JSON = {"index": index, "finish_reason": speech.finish_reason, "stop_reason": None, "logprobs": None}
        if not chat:
            choice["text"] = text
            choice["logprobs"] = text_logprobs(speech.chunks) if speech.logprobs else None
        else:
            message: JSON = {"role": "assistant", "content": text, "refusal": None, "tool_calls": []}
            if speech.tool:
                message.update(content=None, tool_calls=[tool_call(speech.tool, text)])
            if answer.reasoning:
                message["reasoning_content"] = "".join(answer.reasoning)
            choice["message"] = message
            choice["logprobs"] = chat_logprobs(speech.chunks) if speech.logprobs else None
        choices.append(choice)
    kind = "chat.completion" if chat else "text_completion"
    return {**envelope(answer, kind), "choices": choices, "usage": usage(body, answer, chat=chat), **EXTRAS}


def deltas(speech: Said, answer: Answer) -> list[tuple[JSON, JSON | None]]:
    """The deltas of one chat choice, each with its log-probabilities."""
    found: list[tuple[JSON, JSON | None]] = [({"role": "assistant", "content": ""}, None)]
    found += [({"reasoning_content": text}, None) for text in answer.reasoning]
    if speech.tool:
        found.append(({"tool_calls": [{"index": 0, **tool_call(speech.tool, "")}]}, None))
        found += [({"tool_calls": [{"index": 0, "function": {"arguments": text}}]}, None) for text in speech.chunks]
        return found
    logprobs = [chat_logprobs((text,)) if speech.logprobs else None for text in speech.chunks]
    return found + [({"content": text}, found_) for text, found_ in zip(speech.chunks, logprobs, strict=True)]


def stream(body: JSON, answer: Answer, *, chat: bool) -> list[JSON]:
    """The chunks of a streamed answer, without the usage chunk; the last of each choice tells the finish reason."""
    speech = said(body, answer, chat=chat)
    head = envelope(answer, "chat.completion.chunk" if chat else "text_completion")
    parts: list[JSON] = []
    if chat:
        parts += [{"delta": delta, "logprobs": logprobs} for delta, logprobs in deltas(speech, answer)]
    else:
        logprobs = [text_logprobs((text,)) if speech.logprobs else None for text in speech.chunks]
        parts += [{"text": text, "logprobs": found} for text, found in zip(speech.chunks, logprobs, strict=True)]
    end: JSON = {"delta": {}, "logprobs": None} if chat else {"text": "", "logprobs": None}
    steps: list[tuple[JSON, str | None]] = [(part, None) for part in parts] + [(end, speech.finish_reason)]
    return [
        {**head, "choices": [{"index": index, **part, "finish_reason": reason, "stop_reason": None}], **EXTRAS}
        for part, reason in steps
        for index in range(speech.choices)
    ]


def usage_chunk(body: JSON, answer: Answer, *, chat: bool) -> JSON:
    """The chunk that closes a stream whose client asked for usage."""
    head = envelope(answer, "chat.completion.chunk" if chat else "text_completion")
    return {**head, "choices": [], "usage": usage(body, answer, chat=chat)}


def models(answer: Answer) -> JSON:
    """The upstream's own list."""
    return {
        "object": "list",
        "data": [{"id": answer.model, "object": "model", "created": CREATED, "owned_by": VENDOR, "root": "/secret"}],
    }


def error(status: int) -> JSON:
    """An error in OpenAI's shape, its message full of the upstream's affairs."""
    kind = "BadRequestError" if status < 500 else "InternalServerError"
    return {"error": {"message": ERROR_MESSAGE, "type": kind, "param": "secret_param", "code": status}}


PAGE = f"<html><head><title>Bad gateway</title></head><body><h1>{VENDOR}</h1><p>{ERROR_MESSAGE}</p></body></html>"
