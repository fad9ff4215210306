"""Tables on the command line: what stands where, and how wide ones are cut."""

from __future__ import annotations

from rich.console import Console

from autoprox.cli.tables import column_tables, table

ROWS = [("best", ["0.50 (0.60)", "0.40 (0.50)", "-0.10 (0.00)"]), ("none", [])]
COLUMNS = ["cnn/coarse", "cnn/fine", "mlp/coarse"]


def printed(shown: object, width: int = 80) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(shown)
    return [line.strip() for line in capture.get().splitlines() if line.strip()]


def test_columns_that_do_not_fit_go_into_further_tables_with_the_names_again() -> None:
    (whole,) = column_tables("D", COLUMNS, ROWS, 80)
    assert [each.header for each in whole.columns] == [
        "D",
        *(c.replace("/", "\n") for c in COLUMNS),
    ]
    cut = column_tables("D", COLUMNS, ROWS, 34)
    assert [len(each.columns) - 1 for each in cut] == [2, 1]
    for each in cut:
        lines = printed(each, 34)
        assert [line.split()[0] for line in lines[-2:]] == ["best", "none"]
        assert max(map(len, lines)) <= 34
    assert printed(cut[1], 34)[-2].endswith("-0.10 (0.00)")


def test_a_row_without_figures_has_dashes() -> None:
    (whole,) = column_tables("D", COLUMNS, ROWS, 80)
    assert printed(whole)[-1].split() == ["none", "-", "-", "-"]


def test_even_the_narrowest_console_gets_a_column_a_table() -> None:
    assert len(column_tables("D", COLUMNS, ROWS, 1)) == len(COLUMNS)


def test_numbers_are_right_and_never_cut_while_words_are_folded() -> None:
    shown = table(["name"], ["figure"])
    shown.add_row("a name that is long", "0.123")
    shown.add_row("b", "10.123")
    lines = printed(shown, 20)
    assert any(line.endswith(" 0.123") for line in lines)
    assert lines[-1].endswith("10.123")
    assert "…" not in "".join(lines)
