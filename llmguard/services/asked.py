"""What a service reads of an exchange, and what it answers to more than one thing."""

from typing import Final, TypeVar

from llmguard.errors import Denial
from llmguard.exchange import Exchange

T = TypeVar("T")

HIDDEN: Final = Denial("content_hidden")


def asked(exchange: Exchange, shape: type[T]) -> T:
    """The body or query, which was validated to be of this type."""
    if not isinstance(exchange.asked, shape):
        raise TypeError(f"the exchange was validated as {type(exchange.asked).__name__}")
    return exchange.asked


def places(exchange: Exchange) -> list[str]:
    """The values of the path's parameters."""
    return exchange.endpoint.places(exchange.head.path)
