"""How an upstream may misbehave, as values.

A fault is `Fault.NAME`; `after(k)` moves it behind the k-th event of a stream, `Fault.STATUS(n)` makes an error answer.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Self


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of misbehaviour.

    `events` is how many events of a stream go out before it shows (for a plain answer: half of the body does),
    `every_s` the seconds between drips, `size` the bytes of a huge event, `html` whether an error body is a page.
    """

    name: str
    events: int = 2
    every_s: float = 0.005
    size: int = 1 << 23
    status: int = 200
    html: bool = False

    REFUSE: ClassVar[Self]
    HANG: ClassVar[Self]
    HANG_MID_STREAM: ClassVar[Self]
    RESET_BEFORE: ClassVar[Self]
    RESET_MID_STREAM: ClassVar[Self]
    TRUNCATED_BODY: ClassVar[Self]
    BAD_JSON: ClassVar[Self]
    WRONG_TYPES: ClassVar[Self]
    BAD_SSE: ClassVar[Self]
    ERROR_FRAME: ClassVar[Self]
    NO_DONE: ClassVar[Self]
    CUT: ClassVar[Self]
    EMPTY_200: ClassVar[Self]
    HTML_200: ClassVar[Self]
    REDIRECT: ClassVar[Self]
    GZIP: ClassVar[Self]
    SLOW_DRIP: ClassVar[Self]
    HUGE_EVENT: ClassVar[Self]
    TOO_MANY_HEADERS: ClassVar[Self]
    USAGE_IN_LAST_CHOICE_CHUNK: ClassVar[Self]
    NO_USAGE: ClassVar[Self]
    MULTILINE_SSE: ClassVar[Self]
    CRLF_SSE: ClassVar[Self]
    COMMENTS_SSE: ClassVar[Self]
    SPLIT_UTF8: ClassVar[Self]

    @classmethod
    def STATUS(cls, status: int, *, html: bool = False) -> Self:
        """An answer of that status, its body full of what no client may see."""
        return cls("STATUS", status=status, html=html)

    def after(self, events: int) -> Self:
        """The same fault, once that many events of the stream are out."""
        return replace(self, events=events)

    def every(self, seconds: float) -> Self:
        """The same drip, at another pace."""
        return replace(self, every_s=seconds)

    def __str__(self) -> str:
        return f"{self.name}-{self.status}" if self.name == "STATUS" else self.name


NAMES = tuple(name for name in Fault.__annotations__ if name.isupper())
for _name in NAMES:
    setattr(Fault, _name, Fault(_name))
