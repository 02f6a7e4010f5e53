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


@pytest.mark.parametrize("engine", ["faiss", "milvus"])
async def test_what_is_put_in_is_found_and_what_is_deleted_is_not(tmp_path: Path, engine: str) -> None:
    place: dict[str, object] = {"directory": str(tmp_path / "stores")}
    if engine == "milvus":
        place["milvus"] = {"uri": str(tmp_path / "lite.db")}
    async with opened(WordsUpstream(), settings(similarity=place)) as site:
        store = await site.store("ann", "red dog", "old tree")
        assert texts(await site.search("ann", store, "red dog"))[0] == "red dog"
        assert (await site.ask("ann", "DELETE", f"/vector_stores/{store}")).status == 200
    assert (tmp_path / "lite.db").exists() == (engine == "milvus")
    assert (tmp_path / "stores" / "indexes").exists() == (engine == "faiss")
