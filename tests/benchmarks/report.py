"""What a benchmark found, as rows of figures, and how it is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Report:
    """A table: rows with equal keys, units in their names; `missing` says why a target is not in it."""

    title: str
    rows: Sequence[Row] = ()
    missing: Mapping[str, str] = field(default_factory=dict)
    failures: Sequence[str] = ()


def shown(value: object) -> str:
    """A figure with three significant digits, a dash where there is none."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(report: Report, console: Console) -> None:
    """Prints the table, then what is missing and what went wrong."""
    table = Table(title=report.title, title_justify="left")
    for name in report.rows[0] if report.rows else ():
        table.add_column(name, justify="left" if name == "target" else "right")
    for row in report.rows:
        table.add_row(*map(shown, row.values()))
    if report.rows:
        console.print(table)
    else:
        console.print(f"[bold]{report.title}[/bold]: nothing measured")
    for name, why in report.missing.items():
        console.print(f"absent: {name}: {why}", style="yellow", markup=False)
    for failure in report.failures:
        console.print(f"failed: {failure}", style="red", markup=False)
