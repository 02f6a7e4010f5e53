"""What of a request is a prompt, and what of a prompt goes further."""

import pytest
from msgspec import convert

from llmguard.risk.sight import Memory, Sight, said, site_of
from llmguard.wire.chat import ChatRequest
from llmguard.wire.completions import CompletionRequest


def chat(*messages: dict[str, object]) -> ChatRequest:
    """A chat of these messages."""
    return convert({"model": "m", "messages": list(messages)}, ChatRequest)


def test_the_last_user_turn_is_what_is_said() -> None:
    turns = [("system", "be brief"), ("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "fo")]
    assert said(chat(*({"role": role, "content": text} for role, text in turns))) == ["three"]
    assert said(chat({"role": "system", "content": "be brief"})) == []


def test_of_parts_the_texts_count() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    parts = [{"type": "text", "text": "what is"}, image, {"type": "text", "text": "this?"}]
    assert said(chat({"role": "user", "content": parts})) == ["what is this?"]
    assert said(chat({"role": "user", "content": [image]})) == [""]


def test_every_prompt_of_a_completion_counts() -> None:
    assert said(CompletionRequest(model="m", prompt="one")) == ["one"]
    assert said(CompletionRequest(model="m", prompt=["one", "two"])) == ["one", "two"]


def test_what_a_growing_string_repeats_is_left_out() -> None:
    memory = Memory()
    assert memory.newly("a", "one") == "one"
    assert memory.newly("a", "one two") == "two"
    assert memory.newly("a", "one two\nthree") == "three"
    assert memory.newly("b", "one two\nthree four") == "one two\nthree four"
    assert memory.newly("a", "one two\nthree") == "one two\nthree"
    assert memory.newly("a", "") == ""
    assert memory.newly("a", "anew") == "anew"


def test_the_memory_is_bounded_and_keeps_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmguard.risk.sight.MOST_KEYS", 2)
    memory = Memory()
    for key in "abc":
        memory.newly(key, "sesquipedalian")
    assert memory.newly("a", "sesquipedalian words") == "sesquipedalian words"
    assert "sesqui" not in str(memory._last)


@pytest.mark.parametrize(
    ("address", "site"),
    [
        ("192.0.2.77", "192.0.2.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix:/run/guard.sock", "unix:/run/guard.sock"),
        ("", ""),
    ],
)
def test_a_site(address: str, site: str) -> None:
    assert site_of(address) == site


def test_tags_are_of_kinds() -> None:
    sight = Sight(0.0, "k", "ana", "acme", "public", "192.0.2.0/24", b"\x01\x00\xff\xff")
    assert sight.tags == {"ip:192.0.2.0/24", "user:ana", "tenant:acme"}
    assert list(sight.tokens) == [1, 65535]
