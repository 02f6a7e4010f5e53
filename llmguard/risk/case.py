"""What the watch keeps of one key, and of one cluster."""

from dataclasses import dataclass, field

from llmguard.risk.habits import Habits
from llmguard.risk.response import Ladder
from llmguard.risk.standing import NORMAL, Standing, State


@dataclass(slots=True)
class Case:
    """A key: whose it is, how its evidence and its standing are, and what was last told of it."""

    key: str
    user: str
    tenant: str
    policy: str = ""
    standing: Standing = NORMAL
    ladder: Ladder = ()
    excused: bool = False
    threshold: float = 3.0
    state: State = "normal"
    prompts: int = 0
    own: float = 0.0
    pooled: float = 0.0
    cluster: str | None = None
    flagged_at: float | None = None
    flagged_after: int | None = None
    told: bool = False
    seen_at: float = 0.0
    habits: Habits = field(default_factory=Habits)


@dataclass(slots=True)
class Group:
    """A cluster that was flagged: when, and at which threshold."""

    flagged_at: float
    flagged_after: int | None
    threshold: float
