"""Filters against plain Python, and within their bounds."""

import operator
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from similarity.library.filters import parsed
from similarity.library.records import Attribute, Invalid
from tests.similarity.library.conftest import Library

values: SearchStrategy[Attribute] = st.sampled_from(["a", "b", "1", "", 0, 1, 1.5, -2, True, False])
numbers = st.sampled_from([0, 1, 1.5, -2])
names = st.sampled_from(["x", "y", "it's"])
ORDERS = ["gt", "gte", "lt", "lte"]
comparisons = st.one_of(
    st.builds(lambda t, k, v: {"type": t, "key": k, "value": v}, st.sampled_from(["eq", "ne"]), names, values),
    st.builds(
        lambda t, k, v: {"type": t, "key": k, "value": v}, st.sampled_from(["gt", "gte", "lt", "lte"]), names, numbers
    ),
    st.builds(
        lambda t, k, v: {"type": t, "key": k, "value": v},
        st.sampled_from(["in", "nin"]),
        names,
        st.lists(values, min_size=1, max_size=3),
    ),
)
filters = st.recursive(
    comparisons,
    lambda inner: st.builds(
        lambda t, f: {"type": t, "filters": f}, st.sampled_from(["and", "or"]), st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=6,
)


def same(a: object, b: object) -> bool:
    return a == b and isinstance(a, str) == isinstance(b, str) and isinstance(a, bool) == isinstance(b, bool)


def holds(given: Mapping[str, object], attributes: Mapping[str, Attribute]) -> bool:
    """What a filter means."""
    kind = given["type"]
    if kind in ("and", "or"):
        every = [holds(one, attributes) for one in given["filters"]]  # type: ignore[attr-defined]
        return all(every) if kind == "and" else any(every)
    value, there = given["value"], attributes.get(str(given["key"]))
    if kind in ("eq", "ne"):
        return same(there, value) == (kind == "eq")
    if kind in ("in", "nin"):
        return any(same(there, one) for one in value) == (kind == "in")  # type: ignore[attr-defined]
    if there is None or isinstance(there, str | bool):
        return False
    return bool(getattr(operator, {"gte": "ge", "lte": "le"}.get(str(kind), str(kind)))(there, value))


@settings(max_examples=25, deadline=None)
@given(
    given_filters=st.lists(filters, min_size=1, max_size=8), rows=st.lists(st.dictionaries(names, values), max_size=6)
)
def test_a_filter_selects_what_it_means(
    tmp_path_factory: pytest.TempPathFactory, given_filters: list[dict[str, object]], rows: list[dict[str, Attribute]]
) -> None:
    library = Library(tmp_path_factory.mktemp("library"))
    store = library.stores.create("acme").id
    for row in rows:
        library.put("acme", store, ["text"], row)
    library.put("acme", library.stores.create("acme").id, ["text"], {"x": 1})
    for one in given_filters:
        found = library.matching.allowed(1, parsed(one)).tolist()
        assert sorted(found) == [at for at, row in enumerate(rows, 1) if holds(one, row)]
    library.database.close()


def nested(depth: int) -> dict[str, object]:
    inner: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(depth):
        inner = {"type": "and", "filters": [inner]}
    return inner


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "x",
        {},
        {"type": "like", "key": "a", "value": "b"},
        {"type": "eq", "key": 1, "value": 1},
        {"type": "eq", "key": "a"},
        {"type": "eq", "key": "a", "value": None},
        {"type": "eq", "key": "a", "value": float("nan")},
        {"type": "eq", "key": "a", "value": 10**400},
        {"type": "eq", "key": "a", "value": 1, "more": 2},
        {"type": "gt", "key": "a", "value": "b"},
        {"type": "gt", "key": "a", "value": True},
        {"type": "in", "key": "a", "value": 1},
        {"type": "in", "key": "a", "value": []},
        {"type": "in", "key": "a", "value": [1] * 257},
        {"type": "and", "filters": []},
        {"type": "and", "filters": {}},
        {"type": "or", "filters": [nested(0)] * 65},
        {"type": "or", "filters": [{"type": "or", "filters": [nested(0)] * 20}] * 4},
        nested(8),
        nested(100),
    ],
)
def test_wrong_and_boundless_filters_are_refused(wrong: object) -> None:
    with pytest.raises(Invalid):
        parsed(wrong)


def test_the_bounds_themselves_are_taken(library: Library) -> None:
    wide = {"type": "or", "filters": [{"type": "in", "key": "a", "value": [1] * 256}] * 64}
    assert library.matching.allowed(1, parsed(nested(7))).tolist() == []
    assert library.matching.allowed(1, parsed(wide)).tolist() == []
