"""Nearest vectors by inner product, on FAISS, which nothing outside this package imports."""

from similarity.index.build import begun, built, restored
from similarity.index.index import Found, Index, Kind, Parts, kind_for

__all__ = ["Found", "Index", "Kind", "Parts", "begun", "built", "kind_for", "restored"]
