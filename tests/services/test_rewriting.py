"""What a question is without what surrounds it."""

import pytest

from llmguard.services.rewriting import rewritten


@pytest.mark.parametrize(
    ("question", "rest"),
    [
        ("Hello, can you please tell me about the refund policy?", "the refund policy"),
        ("please  show me\nthe limits.", "the limits"),
        ("I'd like to know about fees", "fees"),
        ("do you know why the card was declined?!", "why the card was declined"),
        ("why was my card declined", "why was my card declined"),
        ("hello", "hello"),
        ("sofas and hellos", "sofas and hellos"),
        ("wellness plans", "wellness plans"),
        ("???", "???"),
    ],
)
def test_courtesies_go_and_the_matter_stays(question: str, rest: str) -> None:
    assert rewritten(question) == rest


def test_a_long_row_of_greetings_takes_no_time() -> None:
    assert rewritten("hi " * 2700 + "x") == "x"
    assert rewritten("hi," * 2700)
