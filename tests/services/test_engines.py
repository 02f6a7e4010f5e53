"""The engine that the settings name: over milvus-lite, and where there is no Milvus."""

from pathlib import Path

import pytest

from tests.fakes.words import WordsUpstream
from tests.services.site import opened, settings, texts

pytestmark = pytest.mark.anyio


async def test_milvus_finds_what_faiss_would(tmp_path: Path) -> None:
    made = settings(similarity={"directory": str(tmp_path / "vectors"), "milvus": {"uri": str(tmp_path / "milvus.db")}})
    async with opened(WordsUpstream(), made) as site:
        store = await site.store("ann", "red dog", "old tree", "blue bird")
        assert texts(await site.search("ann", store, "old tree"))[0] == "old tree"
        only = {"type": "eq", "key": "at", "value": 2}
        assert texts(await site.search("ann", store, "old tree", filters=only)) == ["blue bird"]
        await site.good("ann", "DELETE", f"/vector_stores/{store}")
    assert not list((tmp_path / "vectors").glob("indexes/*"))
