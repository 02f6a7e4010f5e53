"""The memory of uploads is bounded, in all and for each tenant."""

from llmguard.uploads import Uploads


def test_a_tenant_has_half_of_the_room_and_gets_it_back() -> None:
    uploads = Uploads(100)
    assert all(uploads.enter(f"a{at}", "a", 100) for at in range(4))
    assert not uploads.enter("a4", "a", 1)
    assert all(uploads.enter(f"b{at}", "b", 100) for at in range(4))
    assert not uploads.enter("c0", "c", 1)
    uploads.leave("a0")
    assert uploads.enter("c0", "c", 100)
    assert not uploads.enter("a4", "a", 1)


def test_an_id_that_holds_nothing_may_leave() -> None:
    uploads = Uploads(1)
    uploads.leave("none")
    assert uploads.enter("a", "a", 4)
    assert not uploads.enter("b", "a", 1)
