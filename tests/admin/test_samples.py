"""How many samples an operator is shown."""

from pathlib import Path

import pytest

from tests.guarded import Guarded
from tests.serving import ADMIN_TOKEN

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("limit", "status"), [("2", 200), ("1000", 200), ("0", 400), ("1001", 400), ("x", 400)])
async def test_the_limit(tmp_path: Path, limit: str, status: int) -> None:
    guard = Guarded(samples={"directory": str(tmp_path), "share": 1.0})
    for _ in range(3):
        await guard.chat()
    answer = await guard.ask(f"/admin/v1/samples?limit={limit}", key=ADMIN_TOKEN)
    assert answer.status == status
    if status == 200:
        assert len(answer.json["data"]) == min(3, int(limit))
    else:
        assert answer.error["param"] == "limit"


async def test_nothing_is_shown_that_could_not_be_recorded(tmp_path: Path) -> None:
    guard = Guarded(samples={"directory": str(tmp_path), "share": 1.0})
    await guard.chat()
    guard.audit.full = True
    answer = await guard.ask("/admin/v1/samples", key=ADMIN_TOKEN)
    assert (answer.status, answer.error["code"]) == (503, "overloaded")
