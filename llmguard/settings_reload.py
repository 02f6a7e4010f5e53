"""What a running guard can take over from a changed file, and what it cannot."""

from llmguard.settings import Settings


def changed_needs_restart(old: Settings, new: Settings) -> tuple[str, ...]:
    """The changed keys that wait for a restart: the socket, the processes, the stores and the master secret.

    Everything else takes effect with the reload. The names are dotted keys of the file.
    """
    pairs = {
        "secret": (old.secret, new.secret),
        "server.host": (old.server.host, new.server.host),
        "server.port": (old.server.port, new.server.port),
        "server.workers": (old.server.workers, new.server.workers),
        "store": (old.store, new.store),
        "alerts": (old.alerts, new.alerts),
        "similarity": (old.similarity, new.similarity),
    }
    return tuple(key for key, (before, after) in pairs.items() if before != after)
