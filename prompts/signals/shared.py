"""One text from many keys: a prompt that goes on with a text which others of its cluster go on with, too.

People edit texts of their own. Who has a seed perturbed by many keys, or one long template filled,
sends each edit of it from another.
"""

from collections.abc import Hashable, Iterable

OTHERS = 2
"""Other keys whose last prompts are of the same text: two people may write one together."""


def of_many(text: object, key: Hashable, last: Iterable[tuple[object, Hashable]]) -> bool:
    """Whether, of the last prompts' texts and keys, OTHERS or more other keys sent this text, or an edit of it."""
    return len({whose for which, whose in last if which is text and whose != key}) >= OTHERS
