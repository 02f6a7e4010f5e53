"""Indexes from vectors, or from the parts that a snapshot keeps."""

from similarity.index.cells import Cells
from similarity.index.flat import Flat
from similarity.index.graph import Graph
from similarity.index.index import Index, Kind, Parts
from similarity.vectors import Ids, Vectors


def built(kind: Kind, ids: Ids, vectors: Vectors) -> Index:
    """An index of these vectors; sq8 and pq learn their cells from them, of which there must be 256 or more."""
    index: Index
    if kind is Kind.FLAT:
        index = Flat(vectors.shape[1])
    elif kind is Kind.HNSW:
        index = Graph(vectors.shape[1])
    else:
        index = Cells.trained(kind, vectors)
    index.add(ids, vectors)
    return index


def restored(kind: Kind, parts: Parts) -> Index:
    """The index that `parts` came from; raises ValueError where they are not such an index's."""
    try:
        if kind is Kind.FLAT:
            return Flat.of(parts)
        return Graph.of(parts) if kind is Kind.HNSW else Cells.of(kind, parts)
    except (KeyError, RuntimeError, IndexError) as error:
        raise ValueError(f"these are no parts of a {kind} index") from error
