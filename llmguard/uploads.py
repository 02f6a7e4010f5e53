"""How much memory uploads may take while they are read and kept, all of them and each tenant's."""

TOTAL_FILES, TENANT_FILES = 8, 4
"""Of the largest size."""


class Uploads:
    """Uploads under way, by the id of their exchange, and what each was said to take."""

    def __init__(self, largest: int) -> None:
        self._total = TOTAL_FILES * largest
        self._each = TENANT_FILES * largest
        self._open: dict[str, tuple[str, int]] = {}

    def enter(self, id: str, tenant: str, size: int) -> bool:
        """Whether there is room; then it is taken, until `leave`."""
        mine = sum(taken for owner, taken in self._open.values() if owner == tenant)
        all_taken = sum(taken for _, taken in self._open.values())
        if mine + size > self._each or all_taken + size > self._total:
            return False
        self._open[id] = (tenant, size)
        return True

    def leave(self, id: str) -> None:
        """An upload has ended; any other id does nothing."""
        self._open.pop(id, None)
