"""Keys that are taken for one, whatever they share."""

from prompts.linkage import Linkage
from prompts.prompt import Said

NAME = "all"


class OneCluster(Linkage):
    """Links every key with every other."""

    def cluster(self, key: str) -> str | None:
        """The one there is."""
        return NAME

    def see(self, key: str, said: Said, tags: frozenset[str] = frozenset()) -> str | None:
        """The one there is."""
        return NAME
