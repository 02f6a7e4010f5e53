"""A text is many keys' where two others sent it of late: not one's own edits, and not what two write together."""

import pytest

from prompts.signals.shared import of_many


@pytest.mark.parametrize(
    ("last", "many"),
    [
        ([], False),
        ([("seed", "me")] * 8, False),
        ([("seed", "you"), ("seed", "you"), ("seed", "me")], False),
        ([("seed", "you"), ("other", "them"), ("other", "us")], False),
        ([("seed", "you"), ("seed", "them")], True),
        ([("seed", "you"), ("other", "me"), ("seed", "me"), ("seed", "them")], True),
    ],
)
def test_a_text_is_many_keys_where_two_others_sent_it(last: list[tuple[str, str]], many: bool) -> None:
    assert of_many("seed", "me", last) is many
