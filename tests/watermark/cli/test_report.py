import pytest

from watermark.cli.report import power_of_ten, printable


@pytest.mark.parametrize(
    ("log10_p", "said"),
    [
        (None, ""),
        (0.0, "1"),
        (-1.0, "0.1"),
        (-2.5, "0.00316"),
        (-6.0, "1.0e-6"),
        (-6.5, "3.2e-7"),
        (-400.2, "6.3e-401"),
    ],
)
def test_probabilities_are_written_however_small(log10_p, said):
    assert power_of_ten(log10_p) == said


def test_a_name_is_printed_without_control_characters():
    assert printable("a\x1b[2Jb\u202e\ud800ü") == "a\ufffd[2Jb\ufffd\ufffdü"
