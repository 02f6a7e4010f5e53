"""Indexes from vectors, or from the parts that a snapshot keeps."""

from similarity.index.cells import Cells
from similarity.index.flat import Flat
from similarity.index.graph import Graph
from similarity.index.index import Index, Kind, Parts
from similarity.vectors import Ids, Vectors


def begun(kind: Kind, sample: Vectors) -> Index:
    """An empty index for vectors like these [n, d]; sq8 and pq learn their cells from them, of 256 or more."""
    if kind is Kind.FLAT:
        return Flat(sample.shape[1])
    return Graph(sample.shape[1]) if kind is Kind.HNSW else Cells.trained(kind, sample)


def built(kind: Kind, ids: Ids, vectors: Vectors) -> Index:
    """An index of these vectors."""
    index = begun(kind, vectors)
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
