"""Requests to a guard, and what came of them, as a plain HTTP client sees it."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

PROMPT = "a prompt that nobody but its model may see"
PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "responses": "/v1/responses"}
ENDS = {"chat": "data: [DONE]\n\n", "completions": "data: [DONE]\n\n", "responses": '"type":"response.completed"'}


def body(endpoint: str = "chat", **more: Any) -> dict[str, Any]:
    """A valid request."""
    words = {"chat": {"messages": [{"role": "user", "content": PROMPT}]}, "completions": {"prompt": PROMPT}}
    return {"model": "chat", **words.get(endpoint, {"input": PROMPT}), **more}


@dataclass(frozen=True)
class Answered:
    """An answer, read to its end."""

    endpoint: str
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def streamed(self) -> bool:
        """Whether it came as events."""
        return self.headers["content-type"].startswith("text/event-stream")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a stream, without its `[DONE]`."""
        lines = (line.removeprefix("data: ") for line in self.text.split("\n") if line.startswith("data: "))
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def code(self) -> str:
        """The error's code: of the body, or of the frame that must be a broken stream's last; "" where all is well."""
        if not self.streamed:
            return str((json.loads(self.text).get("error") or {}).get("code", ""))
        if ENDS[self.endpoint] in self.text:
            assert all(event.get("error") is None for event in self.events)
            return ""
        *whole, last = self.events
        assert all(event.get("error") is None for event in whole)
        return str(last["error"]["code"])

    @property
    def said(self) -> str:
        """The text of the answer, of its first choice."""
        if self.endpoint == "responses":
            if self.streamed:
                return "".join(event.get("delta", "") for event in self.events)
            return str(json.loads(self.text)["output"][0]["content"][0]["text"])
        answers = self.events if self.streamed else [json.loads(self.text)]
        choices = [answer["choices"][0] for answer in answers if answer.get("choices")]
        if self.endpoint == "completions":
            return "".join(choice["text"] for choice in choices)
        return "".join(choice["delta" if self.streamed else "message"].get("content") or "" for choice in choices)


async def ask(client: aiohttp.ClientSession, endpoint: str = "chat", **more: Any) -> Answered:
    """Send a request and read its answer to the end, which must come as HTTP says."""
    async with client.post(PATHS[endpoint], json=body(endpoint, **more)) as response:
        return Answered(endpoint, response.status, response.headers, await response.text())


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for what nobody tells; raises TimeoutError."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def figure(client: aiohttp.ClientSession, name: str, **labels: str) -> float:
    """A figure of /metrics; 0 where there is none."""
    async with client.get("/metrics") as response:
        lines = (await response.text()).splitlines()
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    found = [line for line in lines if line.partition("{")[0].partition(" ")[0] == name]
    return sum(float(line.rpartition(" ")[2]) for line in found if all(label in line for label in wanted))
