"""A question without what surrounds it: what `rewrite_query` asks for."""

import re

COURTESY = re.compile(
    r"^(?:(?:hi|hello|hey|please|kindly|ok|okay|so|well)\b[\s,.!]*)*"
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell|show|explain to|help) me(?: with| about)?\b"
    r"|i(?:'d| would) like to (?:know|ask|find out)(?: about)?\b"
    r"|(?:please )?(?:tell|show) me(?: about)?\b|do you know\b)?[\s,:]*",
    re.IGNORECASE,
)


def rewritten(question: str) -> str:
    """On one line, without greetings, courtesies and closing marks; the question itself where nothing else is left."""
    line = " ".join(question.split())
    rest = COURTESY.sub("", line, count=1).rstrip(" ?!.")
    return rest or line
