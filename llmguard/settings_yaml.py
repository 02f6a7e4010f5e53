"""YAML 1.2 into plain values, with the place of every key, within bounds that hostile text cannot break.

The text is composed into nodes and the nodes are read here, not constructed by the
YAML library: so no tag can make an object, an alias cannot multiply what it stands
for without end, and every value keeps its line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from llmguard.mistakes import Mistake, Path, SettingsError, dotted

MAX_NODES = 50_000
MAX_DEPTH = 32

CORE = "tag:yaml.org,2002:"
TEXT = {f"{CORE}{name}" for name in ("str", "timestamp", "value", "merge")}
CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands: its offset in characters and its line, counted from 1."""

    offset: int
    line: int


@dataclass(slots=True)
class Document:
    """What a file says. `places` has every key and item; `unread` the paths whose value could not be read."""

    tree: object = None
    places: dict[Path, Place] = field(default_factory=dict)
    found: list[tuple[Place, Mistake]] = field(default_factory=list)
    unread: set[Path] = field(default_factory=set)

    def place(self, path: Path) -> Place:
        """The place of `path`, or of the nearest thing around it that is in the file."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place(0, 1))

    def mistake(self, path: Path, message: str, place: Place | None = None) -> None:
        """Note a mistake at `path`."""
        place = place or self.place(path)
        self.found.append((place, Mistake(place.line, dotted(path), message)))

    def mistakes(self) -> tuple[Mistake, ...]:
        """All of them, in the order of the file."""
        return tuple(mistake for _, mistake in sorted(self.found, key=lambda pair: pair[0]))


class TooLarge(YAMLError):
    """The text has more nodes than a settings file can need."""


@dataclass(frozen=True, slots=True)
class Alias:
    """A node that stands for an anchored one; the library would forget where it stands."""

    target: Node
    start_mark: StreamMark


Entry = tuple[str, Place, Node | Alias]  # a mapping's key, where it stands, and its value


class BoundedComposer(Composer):
    """Composes no more than `MAX_NODES` nodes, aliases apart from what they stand for.

    An anchor that is used again is taken as YAML takes it: silently.
    """

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False
        self.count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """One node and what is under it."""
        self.count += 1
        if self.count > MAX_NODES:
            raise TooLarge
        if not self.parser.check_event(AliasEvent):
            return super().compose_node(parent, index)
        mark = self.parser.peek_event().start_mark
        return Alias(super().compose_node(parent, index), mark)


def read_yaml(text: str) -> Document:
    """The document in `text`; SettingsError with one mistake where it is not YAML at all."""
    root = compose(text)
    document = Document()
    if root is None:
        return document
    document.places[()] = place_of(root)
    document.tree = Reading(document).value(root, (), ())
    return document


def compose(text: str) -> Node | None:
    """The root node; None where there is nothing but comments."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = BoundedComposer
    yaml.max_depth = MAX_DEPTH
    try:
        root: Node | None = yaml.compose(text)
    except (YAMLError, ValueError, OverflowError) as error:
        # An escape beyond Unicode ("\\UFFFFFFFF") reaches `chr` unchecked.
        raise SettingsError((Mistake(line_of(error, text), "", explain(error)),)) from None
    return root


def line_of(error: Exception, text: str) -> int | None:
    """The line that a YAML error names."""
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return mark.line + 1 if mark else None
    if isinstance(error, ReaderError):
        return text.count("\n", 0, error.position) + 1
    return None


def explain(error: Exception) -> str:
    """A YAML error in words that quote nothing of the file but single characters and token names."""
    if isinstance(error, TooLarge):
        return f"has more than {MAX_NODES} values"
    if isinstance(error, MaxDepthExceededError):
        return f"is nested more than {MAX_DEPTH} deep"
    if isinstance(error, ReaderError):
        return "is not YAML: a character that may not stand in it"
    if not isinstance(error, MarkedYAMLError):
        return "is not YAML"
    told = ", ".join(part for part in (error.context, error.problem) if part)
    quoted = re.compile(r"\s*('(?!<[a-z ]+>'|.')[^']{2,}'|\"[^\"]{2,}\")")
    return f"is not YAML: {quoted.sub('', ' '.join(told.split()))}"


def place_of(node: Node | Alias) -> Place:
    """Where a node begins."""
    return Place(node.start_mark.index, node.start_mark.line + 1)


def target(node: Node | Alias) -> Node:
    """The node itself, or what an alias stands for."""
    return node.target if isinstance(node, Alias) else node


@dataclass(slots=True)
class Reading:
    """Turns nodes into plain values and notes what is wrong on the way. `left` is how many may still be read."""

    document: Document
    left: int = MAX_NODES

    def value(self, given: Node | Alias, path: Path, above: tuple[Node, ...]) -> object:
        """The value of a node; None, noted as unread, where it has none. `above` are the nodes around it."""
        node = target(given)
        if not self.spend():
            return self.unread(path)
        if any(node is outer for outer in above):
            return self.unread(path, "an alias stands for something that it is part of")
        if len(above) > MAX_DEPTH:
            return self.unread(path, f"is nested more than {MAX_DEPTH} deep")
        if isinstance(node, MappingNode) and str(node.tag) == f"{CORE}map":
            return self.mapping(node, path, (*above, node))
        if isinstance(node, SequenceNode) and str(node.tag) == f"{CORE}seq":
            return self.sequence(node, path, (*above, node))
        if isinstance(node, ScalarNode):
            return self.scalar(node, path)
        return self.unread(path, "has a YAML tag that is not allowed here")

    def spend(self) -> bool:
        """Whether one more node may be read; said once where it may not."""
        self.left -= 1
        if self.left == -1:
            self.document.mistake((), f"stands for more than {MAX_NODES} values: too many aliases")
        return self.left >= 0

    def unread(self, path: Path, message: str | None = None) -> object:
        """Note that the value at `path` is not known, and say None in its place."""
        self.document.unread.add(path)
        if message:
            self.document.mistake(path, message)
        return None

    def sequence(self, node: SequenceNode, path: Path, above: tuple[Node, ...]) -> list[object]:
        """A list, item by item."""
        items = []
        for index, item in enumerate(node.value):
            if self.left < 0:
                break
            self.document.places[*path, index] = place_of(item)
            items.append(self.value(item, (*path, index), above))
        return items

    def mapping(self, node: MappingNode, path: Path, above: tuple[Node, ...]) -> dict[str, object]:
        """A mapping; its own keys win over merged ones, and the first of two equal keys over the second."""
        table: dict[str, object] = {}
        for name, place, item in self.entries(node, path, above):
            if self.left < 0:
                break
            here = (*path, name)
            self.document.places[here] = place
            table[name] = self.value(item, here, above)
        return table

    def entries(self, node: MappingNode, path: Path, above: tuple[Node, ...]) -> Iterator[Entry]:
        """The key and value nodes, those of `<<` last; a key comes once."""
        seen: dict[str, Place] = {}
        merged: list[Node | Alias] = []
        for given, item in node.value:
            key, place = target(given), place_of(given)
            if not isinstance(key, ScalarNode) or has_surrogate(key.value):
                self.document.mistake(path, "has a key that is not text", place)
            elif key.value == "<<" and key.style is None:
                merged.append(item)
            elif key.value in seen:
                again = f"stands here again, after line {seen[key.value].line}"
                self.document.mistake((*path, key.value), again, place)
            else:
                seen[key.value] = place
                yield key.value, place, item
        for name, place, item in self.merged(merged, path, above):
            if name not in seen:
                seen[name] = place
                yield name, place, item

    def merged(self, values: list[Node | Alias], path: Path, above: tuple[Node, ...]) -> Iterator[Entry]:
        """The entries that `<<: *one` or `<<: [*one, *two]` bring in; the earlier win."""
        for value in values:
            several = target(value)
            for given in several.value if isinstance(several, SequenceNode) else [value]:
                source = target(given)
                if not self.spend():
                    return
                if not isinstance(source, MappingNode):
                    self.document.mistake((*path, "<<"), "must be a mapping, or a list of them", place_of(given))
                elif any(source is outer for outer in above) or len(above) > MAX_DEPTH:
                    self.document.mistake((*path, "<<"), "merges something that it is part of", place_of(given))
                else:
                    yield from self.entries(source, path, (*above, source))

    def scalar(self, node: ScalarNode, path: Path) -> object:
        """Text, a number, true, false or null, by YAML 1.2's core schema."""
        tag, text = str(node.tag), node.value
        try:
            if tag in TEXT:
                return self.text(text, path)
            if tag in (f"{CORE}null", f"{CORE}bool"):
                return CONSTANTS[text.lower()]
            if tag == f"{CORE}int":
                return whole(text)
            if tag == f"{CORE}float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
        except (ValueError, KeyError):
            return self.unread(path, "is not what its form or its YAML tag says")
        return self.unread(path, "has a YAML tag that is not allowed here")

    def text(self, text: str, path: Path) -> object:
        """Text that can be encoded."""
        return (
            self.unread(path, "has a character that is none: half of a surrogate pair") if has_surrogate(text) else text
        )


def has_surrogate(text: str) -> bool:
    """Whether an escape has put half of a surrogate pair into `text`, which no encoding can write."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def whole(text: str) -> int:
    """An integer as YAML 1.2 writes it; one that begins with 0 is decimal."""
    digits = text.replace("_", "").lower()
    base = next((base for prefix, base in (("0x", 16), ("0o", 8), ("0b", 2)) if prefix in digits), 10)
    return int(digits, base)
