"""What litellm is kept from doing, and its errors as rows of the table."""

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from llmguard.errors import Denial
from llmguard.settings import LiteLLMUpstream
from llmguard.upstreams.litellm import LiteLLM
from llmguard.upstreams.litellm_library import causes
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest
from tests.fakes.anthropic import FakeAnthropic, Fault, Reply
from tests.upstreams.litellm_calls import KEY, PROMPT, PROVIDER_TEXT, READ_ONLY, chat, chunks, failure, text

pytestmark = [pytest.mark.anyio, READ_ONLY]


ERRORS = {
    "authentication": (Reply(status=401, kind="authentication_error"), "upstream_error", True),
    "permission": (Reply(status=403, kind="permission_error"), "upstream_error", True),
    "not found": (Reply(status=404, kind="not_found_error"), "upstream_error", True),
    "invalid": (Reply(status=400, kind="invalid_request_error"), "invalid_value", False),
    "too large": (Reply(status=413, kind="request_too_large"), "invalid_value", False),
    "unprocessable": (Reply(status=422, kind="invalid_request_error"), "invalid_value", False),
    "too long": (Reply(status=400, kind="invalid_request_error", message="prompt is too long"), "invalid_value", False),
    "filtered": (
        Reply(status=400, kind="invalid_request_error", message="Output blocked by content filtering policy"),
        "invalid_value",
        False,
    ),
    "rate limit": (Reply(status=429, kind="rate_limit_error"), "overloaded", True),
    "unavailable": (Reply(status=503, kind="api_error"), "overloaded", True),
    "overloaded": (Reply(status=529, kind="overloaded_error"), "overloaded", True),
    "gateway timeout": (Reply(status=504, kind="api_error"), "upstream_timeout", True),
    "internal": (Reply(status=500, kind="api_error"), "upstream_error", True),
    "bad gateway": (Reply(status=502, kind="api_error"), "upstream_error", True),
}


class TestErrors:
    @pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
    @pytest.mark.parametrize("case", ERRORS)
    async def test_rows(self, fake: FakeAnthropic, upstream: LiteLLM, case: str, *, stream: bool) -> None:
        fake.reply, code, retryable = ERRORS[case]
        error = await failure(upstream, chat(), stream=stream)
        assert (error.denial.code, error.retryable) == (code, retryable)
        assert len(fake.requests) == 1, "litellm must not retry by itself"

    @pytest.mark.parametrize(
        ("given", "seconds"), [("17", 17.0), ("0.5", 0.5), ("0", None), ("3600", None), ("-1", None), ("soon", None)]
    )
    async def test_retry_after(self, fake: FakeAnthropic, upstream: LiteLLM, given: str, seconds: float | None) -> None:
        fake.reply = Reply(status=429, kind="rate_limit_error", headers=(("retry-after", given),))
        assert (await failure(upstream, chat())).denial == Denial("overloaded", retry_after_s=seconds)

    @pytest.mark.parametrize(
        ("field", "value"), [("seed", 1), ("n", 2), ("logprobs", True), ("logit_bias", {"1": 5}), ("store", True)]
    )
    async def test_parameter_the_provider_lacks(
        self, fake: FakeAnthropic, upstream: LiteLLM, field: str, value: object
    ) -> None:
        error = await failure(upstream, chat(temperature=0.5, **{field: value}))
        assert (error.denial, error.retryable) == (Denial("parameter_not_allowed", param=field), False)
        assert fake.requests == []

    @pytest.mark.parametrize(
        ("request_", "denied"),
        [
            (chat(metadata={"a": "b"}), ("parameter_not_allowed", "metadata")),
            (text(echo=True), ("parameter_not_allowed", "echo")),
            (text(best_of=2), ("parameter_not_allowed", "best_of")),
            (text(suffix="x"), ("parameter_not_allowed", "suffix")),
            (text(logprobs=0), ("parameter_not_allowed", "logprobs")),
            (text(prompt=["a", "b"]), ("invalid_value", "prompt")),
        ],
        ids=["metadata", "echo", "best_of", "suffix", "logprobs", "prompts"],
    )
    async def test_field_that_cannot_be_passed_on(
        self, fake: FakeAnthropic, upstream: LiteLLM, request_: ChatRequest | CompletionRequest, denied: tuple[str, str]
    ) -> None:
        error = await failure(upstream, request_)
        assert (error.denial.code, error.denial.param, error.retryable) == (*denied, False)
        assert fake.requests == []

    @pytest.mark.parametrize(
        "part",
        [
            {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "file", "file": {"file_data": "http://127.0.0.1/secret.pdf"}},
        ],
        ids=["metadata service", "image", "file"],
    )
    async def test_media_by_url(self, fake: FakeAnthropic, upstream: LiteLLM, part: dict[str, Any]) -> None:
        error = await failure(upstream, chat(messages=[{"role": "user", "content": [part]}]))
        assert (error.denial.code, error.denial.param) == ("invalid_value", "messages")
        assert fake.requests == []

    async def test_media_by_value(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
        await upstream.ask(chat(messages=[{"role": "user", "content": [part]}]))
        assert fake.requests[0]["messages"][0]["content"][0]["source"]["data"] == "iVBORw0KGgo="

    async def test_top_k_without_limit(self, fake: FakeAnthropic, upstream: LiteLLM) -> None:
        await upstream.ask(chat(top_k=-1))
        assert "top_k" not in fake.requests[0]

    async def test_unknown_provider(self, upstream: LiteLLM) -> None:
        assert (await failure(upstream, chat(model="no-such-provider"))).denial.code == "upstream_error"

    async def test_litellm_is_not_installed(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setitem(sys.modules, "litellm", None)
        error = await failure(LiteLLM(LiteLLMUpstream(kind="litellm")), chat())
        assert error.denial == Denial("upstream_error")
        assert "pip install 'llmguard[litellm]'" in caplog.text


def test_an_error_raised_from_itself_has_an_end() -> None:
    error = ValueError()
    error.__cause__ = error
    assert set(causes(error)) == {error}


class TestSilence:
    async def test_nothing_of_prompt_or_provider_is_said(
        self,
        fake: FakeAnthropic,
        upstream: LiteLLM,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        errors = []
        await upstream.ask(chat())
        await chunks(upstream, chat())
        errors.append(await failure(upstream, chat(seed=1)))
        for status in (400, 401, 429, 500, 529):
            fake.reply = Reply(status=status, kind="api_error", message=PROVIDER_TEXT)
            errors += [await failure(upstream, chat()), await failure(upstream, chat(), stream=True)]
        fake.reply = Reply(fault=Fault.ERROR, kind="api_error", message=PROVIDER_TEXT)
        errors.append(await failure(upstream, chat(), stream=True))
        said = caplog.text + "".join(capfd.readouterr()) + "".join(repr(error.denial) for error in errors)
        assert "InternalServerError" in said, "the operator is told the kind of error"
        for secret in (PROMPT, PROVIDER_TEXT, KEY, "Hello"):
            assert secret not in said

    async def test_no_callbacks(self, upstream: LiteLLM) -> None:
        import litellm

        await upstream.ask(chat())
        kinds = ("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback")
        assert [getattr(litellm, kind) for kind in kinds] == [[]] * len(kinds)


def child(code: str, where: Path) -> str:
    """Runs the code in a Python of its own, in that directory; gives what it printed."""
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=where, env={"PYTHONPATH": root}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_import_is_lazy(tmp_path: Path) -> None:
    heavy = child(
        "import sys, llmguard.upstreams.litellm\nprint({'litellm', 'openai', 'httpx'} & set(sys.modules))", tmp_path
    )
    assert heavy == "set()\n"


AT_HOME = """
import asyncio, os, sys
from llmguard.settings import LiteLLMUpstream
from llmguard.upstreams.litellm import LiteLLM
from llmguard.upstreams.litellm_library import causes
from tests.fakes.anthropic import FakeAnthropic
from tests.upstreams.litellm_calls import CALLS_TOOL, TOOL, chat, chunks, text

seen = []

def hook(event, args):
    if event == "socket.getaddrinfo":
        seen.append((args[0], args[1]))
    elif event in ("socket.connect", "socket.sendto"):
        seen.append(args[1])
    elif event in ("subprocess.Popen", "os.system", "socket.gethostbyname", "urllib.Request"):
        seen.append((event, 0))

async def main():
    async with FakeAnthropic() as fake:
        sys.addaudithook(hook)
        upstream = LiteLLM(LiteLLMUpstream(kind="litellm", api_key="k", api_base=fake.url))
        await upstream.ask(chat())
        await chunks(upstream, text())
        fake.reply = CALLS_TOOL
        await chunks(upstream, chat(tools=[TOOL]))
        await upstream.close()
        assert seen, "the hook sees nothing"
        assert {(str(place[0]), int(place[1])) for place in seen} == {("127.0.0.1", fake.port)}, seen
    assert "FROM_DOTENV" not in os.environ

asyncio.run(main())
"""


def test_a_call_connects_to_the_provider_only(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("FROM_DOTENV=1\n")
    child(AT_HOME, tmp_path)
