"""Whether a constraint on the answer leaves the model more than one.

Each function says True only of a constraint that one answer alone can satisfy (or none). Schemas are followed as far
as they say what they allow; patterns and grammars are scanned for a place where they leave a choice, which is enough
to find the ones that spell an answer out. Two spellings of one text that look different pass for a choice.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any, Final

DEEPEST: Final = 32
COMPOSING: Final = frozenset({"enum", "anyOf", "oneOf", "allOf", "$ref"})
OPEN_CLASSES: Final = frozenset("dDwWsSpPXRhHvVN")
"""What, behind a backslash, stands for more than one character."""
REPEATS: Final = frozenset("*+?")
PIECE: Final = re.compile(
    r"\\(?P<escaped>.)|\[(?P<class>\^?\]?(?:\\.|[^\]\\])*)\]?|\{(?P<repeat>[^}]{0,32})\}"
    r"|(?P<begin>\((?:\?(?:[:=!>]|<[=!]|P?<\w+>))?)|(?P<end>\))|(?P<bar>\|)|(?P<free>[.*+?])|[^\\]|\\",
    re.DOTALL,
)
"""A pattern's pieces; whatever is none of the named ones stands for itself."""


def one_choice(options: Sequence[str]) -> bool:
    """A list of allowed answers of which there is only one."""
    return len(set(options)) < 2


def one_value(schema: Any, depth: int = 0) -> bool:
    """A JSON schema that one value satisfies: by `const`, an `enum` of one, or an object or array of nothing else."""
    if not isinstance(schema, dict) or depth > DEEPEST:
        # `true` allows anything and `false` nothing; what lies deeper than that has had its chances to be open.
        return schema is False
    if "const" in schema or schema.get("type") == "null":
        return True
    if COMPOSING.isdisjoint(schema):
        return _one_composite(schema, depth)
    if "enum" in schema:
        values = schema["enum"]
        return isinstance(values, list) and len({repr(value) for value in values}) < 2
    for name in ("anyOf", "oneOf"):
        branches = schema.get(name)
        if isinstance(branches, list) and branches:
            return len({repr(branch) for branch in branches}) < 2 and one_value(branches[0], depth + 1)
    if isinstance(schema.get("allOf"), list):
        return any(one_value(part, depth + 1) for part in schema["allOf"])
    if isinstance(schema.get("$ref"), str):
        return False  # a definition may hold anything; to hold one value it must be written for it
    return _one_composite(schema, depth)


def _one_composite(schema: dict[str, Any], depth: int) -> bool:
    kind = schema.get("type", "object" if "properties" in schema else None)
    if kind == "object":
        properties = schema.get("properties") or {}
        if not isinstance(properties, dict):
            return False
        additional = schema.get("additionalProperties", not properties)
        return additional is False and all(map(one_value, properties.values(), repeat(depth + 1)))
    if kind == "array":
        return schema.get("maxItems") == 0 or (
            schema.get("minItems") is not None
            and schema.get("minItems") == schema.get("maxItems")
            and one_value(schema.get("items"), depth + 1)
        )
    if kind == "string":
        return schema.get("maxLength") == 0 or (isinstance(schema.get("pattern"), str) and one_match(schema["pattern"]))
    if kind in ("integer", "number"):
        return schema.get("minimum") is not None and schema.get("minimum") == schema.get("maximum")
    return False


def one_match(pattern: str) -> bool:
    """A regular expression in which nothing is left open: no class, no repeat, no alternatives that differ."""
    texts, alternatives = [""], [set[str]()]
    for piece in PIECE.finditer(pattern):
        if _open(piece):
            return False
        if piece["begin"]:
            texts.append("")
            alternatives.append(set())
        elif piece["bar"]:
            alternatives[-1].add(texts[-1])
            texts[-1] = ""
        elif piece["end"] and len(texts) > 1:
            group = {*alternatives.pop(), texts.pop()}
            if len(group) > 1:
                return False
            texts[-1] += group.pop()
        else:
            texts[-1] += piece["class"] or piece[0]
    return len(alternatives[0] | {texts[0]}) < 2


def _open(piece: re.Match[str]) -> bool:
    """Whether a piece of a pattern stands for more than one text by itself."""
    inside = piece["class"] or ""
    least, comma, most = (piece["repeat"] or "").partition(",")
    return bool(
        piece["free"]
        or (piece["escaped"] or "-") in OPEN_CLASSES
        or (inside.startswith("^") or "\\" in inside or len(set(inside)) > 1)
        or (comma and least.strip() != most.strip())
    )


def one_expansion(grammar: str) -> bool:
    """A grammar (GBNF, EBNF, Lark) in which nothing is left open outside of its quoted texts."""
    outside, quoted = _split(grammar)
    if "[" in outside or any(char in outside for char in REPEATS) or "/" in outside or "{" in outside:
        return False
    return "|" not in outside or len(set(quoted)) < 2


def _split(grammar: str) -> tuple[str, Iterable[str]]:
    """What stands outside of quotes, and what in them; comments are left out."""
    outside: list[str] = []
    quoted: list[str] = []
    for line in grammar.splitlines():
        place = 0
        while place < len(line):
            char = line[place]
            if char == "#" or line.startswith("//", place):
                break
            if char not in "\"'":
                outside.append(char)
                place += 1
                continue
            end = place + 1
            while end < len(line) and line[end] != char:
                end += 2 if line[end] == "\\" else 1
            quoted.append(line[place + 1 : end])
            place = end + 1
    return "".join(outside), quoted
