"""Rows of a table of quantised networks that cannot be."""

import pytest

from autoprox.errors import QuantisationError
from autoprox.quantise.table import QuantisedRow, _text, read_rows

GOOD = _text([QuantisedRow("234/0001", "234", (8, 3, 8), 77.25, 1.5, 100, 200)])


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
        ("size_bytes", "size"),
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
