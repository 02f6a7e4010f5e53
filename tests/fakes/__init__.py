"""Servers that stand in for the world outside, and misbehave on request."""

from tests.fakes.answers import SECRETS, Answer
from tests.fakes.faults import Fault
from tests.fakes.openai_server import FakeOpenAI, Received

__all__ = ["SECRETS", "Answer", "FakeOpenAI", "Fault", "Received"]
