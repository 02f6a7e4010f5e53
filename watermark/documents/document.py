"""One text, or why there is none. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """A text under the name that reports call it by; where it could not be read, the reason instead."""

    name: str
    text: str
    unreadable: str | None = None


class Unreadable(Exception):
    """There is no text to be had; the message says why, for people."""
