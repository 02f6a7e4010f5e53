"""Which engine finds the nearest chunks: FAISS in this process, or Milvus where the settings name one."""

from pathlib import Path

from llmguard.settings_similarity import MilvusSettings
from similarity.catalogue import Catalogue
from similarity.engine import Engine
from similarity.library.database import LibraryError
from similarity.library.entries import Entries


def engine(milvus: MilvusSettings | None, entries: Entries, indexes: Path, key: bytes, dimensions: int) -> Engine:
    """The engine over a library; raises LibraryError where Milvus, or its client, is not there."""
    if milvus is None:
        return Catalogue(entries, indexes, key, dimensions)
    # Its client takes seconds to import, and is an extra.
    try:
        from similarity.milvus import Milvus  # noqa: PLC0415
    except ImportError as error:
        raise LibraryError("Milvus needs its client: pip install 'llmguard[milvus]'") from error
    token = milvus.token.get_secret_value() if milvus.token is not None else ""
    return Milvus.at(milvus.uri, token, entries, dimensions)
