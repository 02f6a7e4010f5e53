import io

import numpy as np
import pytest

from watermark.cli import report
from watermark.cli.report import TableReport, power_of_ten, printable
from watermark.examination import Examination
from watermark.verdict import Verdict


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


def test_of_very_many_documents_the_marked_ones_are_shown_and_the_others_counted(monkeypatch):
    monkeypatch.setattr(report, "MOST_ROWS", 3)
    out = io.StringIO()
    answers = ["not_marked"] * 5 + ["marked"] * 2 + ["cannot_tell"] * 4
    with TableReport(out) as table:
        for number, answer in enumerate(answers):
            nothing = np.empty(0, np.int64)
            table.add(Examination(f"text-{number}", "", nothing, nothing, Verdict(answer, "so"), ()))
    shown = [number for number in range(len(answers)) if f"text-{number} " in out.getvalue()]
    assert shown == [0, 1, 2, 5, 6]
    assert "5 not marked, 2 marked, 4 cannot tell" in out.getvalue()
