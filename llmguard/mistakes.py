"""What is wrong with a settings file, and where."""

import json
import re
from dataclasses import dataclass

Path = tuple[str | int, ...]

PLAIN = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake. `line` counts from 1, None where no line can be named; `key` is dotted, "" for the file itself."""

    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        return ": ".join(str(part) for part in (self.line, self.key, self.message) if part)


class SettingsError(Exception):
    """The settings cannot be used. `mistakes` are all of them, in the order of the file."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


def dotted(path: Path) -> str:
    """`policies.public.limits[2].of`; a name that is not plain is quoted: `models["gpt-4.1"].task`."""
    key = ""
    for part in path:
        if isinstance(part, int):
            key += f"[{part}]"
        elif PLAIN.fullmatch(part):
            key += f".{part}" if key else part
        else:
            key += f"[{json.dumps(part[:64])}]"
    return key
