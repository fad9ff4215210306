"""Rows of a table of quantised networks that cannot be."""

import pytest

from autoprox.errors import QuantisationError
from autoprox.quantise.table import QuantisedRow, _text, read_rows

SEALED = _text([QuantisedRow("234/0001", "234", (8, 3, 8), 77.25, 1.5, 100, 200)])
GOOD = "".join(f"{line.rpartition(',')[0]}\n" for line in SEALED.splitlines())
"""As an earlier autoprox wrote it: without a checksum."""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("77.25", "1e999"),
        ("77.25", "nan"),
        ("77.25", "-5"),
        ("77.25", "100.1"),
        ("1.5", "nan"),
        ("1.5", "inf"),
        ("8-3-8", "8-99-8"),
        ("8-3-8", "8-0-8"),
        ("8-3-8", ""),
        (",100,", ",-100,"),
        (",200", ",0"),
        (",200", ""),
        (",200", ",200,1"),
        ("0001,234", "0001,2-8"),
    ],
)
def test_a_damaged_row_is_refused_by_its_line(tmp_path, before, after):
    (tmp_path / "t.csv").write_text(GOOD)
    assert len(read_rows(tmp_path / "t.csv")) == 1
    assert before in GOOD
    (tmp_path / "t.csv").write_text(GOOD.replace(before, after))
    with pytest.raises(QuantisationError, match=r"t\.csv is damaged.*line 2: expected"):
        read_rows(tmp_path / "t.csv")


def test_a_name_that_occurs_twice_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD + GOOD.splitlines()[1] + "\n")
    with pytest.raises(QuantisationError, match="line 3: the name '234/0001' occurs twice"):
        read_rows(tmp_path / "t.csv")


@pytest.mark.parametrize("columns", ["name,set", "name,set,bits,accuracy,loss,size,bops"])
@pytest.mark.parametrize("twice", ["", ",bops", ",name"])
def test_other_columns_are_refused(tmp_path, columns, twice):
    (tmp_path / "t.csv").write_text(columns + twice + "\n")
    with pytest.raises(QuantisationError, match=r"line 1: expected the columns name, set, bits"):
        read_rows(tmp_path / "t.csv")


@pytest.mark.parametrize("place", range(len(SEALED.splitlines()[1])))
def test_no_changed_digit_is_believed(tmp_path, place):
    """Also where the other figure could be one, as an accuracy of 78.25."""
    head, row = SEALED.splitlines()
    changed = row[:place] + ("7" if row[place] != "7" else "8") + row[place + 1 :]
    (tmp_path / "t.csv").write_text(f"{head}\n{changed}\n")
    with pytest.raises(QuantisationError, match="line 2: "):
        read_rows(tmp_path / "t.csv")


def test_what_must_have_checksums_is_not_read_without(tmp_path):
    (tmp_path / "t.csv").write_text(GOOD)
    with pytest.raises(QuantisationError, match=r"line 1: expected the columns .*, row_checksum"):
        read_rows(tmp_path / "t.csv", must=True)
