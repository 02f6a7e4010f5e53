"""What the parsers say of a body, in the words of those who write clients."""

import re

_KINDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}
_UNITS = {"str": ("character", "characters"), "array": ("item", "items"), "object": ("entry", "entries")}
_SIGNS = {">=": "at least", "<=": "at most"}

_TYPE = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<given>[^`]*)`")
_RANGE = re.compile(r"Expected `(?:int|float)` (?P<sign>[<>]=) (?P<bound>[-\d.]+)")
_LENGTH = re.compile(r"Expected `(?P<kind>\w+)` of length (?P<sign>[<>]=) (?P<bound>\d+)")
_PATTERN = re.compile(r"Expected `str` matching regex '(?P<pattern>.*)'")

_JSON = re.compile(r"(?P<what>.*?)(?P<place> at line \d+ column \d+)?", re.DOTALL)
_NOT_JSON = {
    "EOF": "it ends too early",
    "recursion limit exceeded": "it is nested more than 200 deep",
    "unexpected end of hex escape": "half of a surrogate pair stands alone",
    "lone leading surrogate": "half of a surrogate pair stands alone",
    "invalid unicode code point": "it is not UTF-8",
    "control character": "a control character stands in a string",
    "expected ident": "expected true, false or null",
    "expected value": "expected a value",
    "key must be a string": "a key must be a string",
}


def not_json(reason: str) -> str:
    """jiter's message, with its place: `it ends too early at line 1 column 6`."""
    match = _JSON.fullmatch(reason)
    what, place = (match["what"], match["place"] or "") if match else (reason, "")
    return next((ours for theirs, ours in _NOT_JSON.items() if what.startswith(theirs)), what) + place


def not_valid(reason: str) -> str:
    """msgspec's message, without its place, as what follows a parameter's name: `must be at most 2`."""
    if match := _TYPE.fullmatch(reason):
        wanted = match["wanted"].split(" | ")
        # 1.0 is a number, and yet not the integer asked for.
        given = "a decimal" if match["given"] == "float" else _KINDS.get(match["given"], match["given"])
        return f"must be {_either([_KINDS.get(kind, kind) for kind in wanted])}, not {given}"
    if match := _RANGE.fullmatch(reason):
        return f"must be {_SIGNS[match['sign']]} {match['bound'].removesuffix('.0')}"
    if match := _LENGTH.fullmatch(reason):
        unit = _UNITS[match["kind"]][match["bound"] != "1"]
        return f"must have {_SIGNS[match['sign']]} {match['bound']} {unit}"
    if match := _PATTERN.fullmatch(reason):
        return f"must match the pattern {match['pattern']}"
    return f"is not valid: {reason[0].lower()}{reason[1:]}".replace("`", "")


def one_of(values: list[str]) -> str:
    """As what follows a parameter's name: `must be 'a', 'b' or 'c'`."""
    quoted = [f"'{value}'" for value in values]
    return f"must be {_either(quoted)}" if quoted else "has a value that is not allowed"


def _either(kinds: list[str]) -> str:
    *others, last = kinds
    return f"{', '.join(others)} or {last}" if others else last
