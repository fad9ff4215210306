"""Tables of architectures in CSV or JSON Lines files."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from autoprox.benches.bench import Architecture
from autoprox.errors import BenchError

_Row = tuple[int, dict[str, Any]]


def read_table(
    path: str | Path, *, targets: Sequence[str] | None = None
) -> tuple[Architecture, ...]:
    r"""The architectures of a table, one a line.

    A ``.csv`` file has a header; a ``.jsonl`` file has one JSON object a line. Columns (or keys):

    * ``name``: unique; the row's number, from 1, if there is no such column;
    * ``space``: the search space; ``"all"`` if there is no such column;
    * ``isomorph``: optional; rows that share it are one network and are never split;
    * the targets: accuracies, higher is better; an empty cell or null where there is no figure;
    * ``config``: optional; an object whose entries go into the architecture's `config`;
    * every other column goes into `config` under its own name. CSV cells are read as JSON (so
      ``[3, 4, 4]`` is a list and ``192`` a number), and as plain text where they are not.

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "mine.csv")
    >>> _ = path.write_text('name,accuracy,width,heads\nwide,71.5,192,"[3, 4]"\nslim,,64,"[1]"\n')
    >>> wide, slim = read_table(path)
    >>> wide.name, wide.space, wide.config, wide.accuracies
    ('wide', 'all', {'width': 192, 'heads': [3, 4]}, {'accuracy': 71.5})
    >>> slim.accuracies
    {'accuracy': None}

    Args:
        path: A file whose name ends with ``.csv`` or ``.jsonl``, in UTF-8.
        targets: The target columns; None stands for the one column ``accuracy``.

    Raises:
        BenchError: the file cannot be read or is empty, a target is missing or no finite number,
            or a name occurs twice; the message names the file and the line.
    """
    path = Path(path)
    wanted = ("accuracy",) if targets is None else tuple(targets)
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BenchError(f"{path}: a table is a .csv or a .jsonl file; got {path.suffix!r}")
    try:
        text = path.read_text(encoding="utf-8-sig")  # "-sig": spreadsheets write a byte-order mark
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"{path}: cannot read this table: {error}") from None
    architectures = tuple(_architectures(path, reader(path, text), wanted))
    if not architectures:
        raise BenchError(f"{path}: the table is empty; at least one architecture is needed")
    return architectures


def _architectures(
    path: Path, rows: Iterable[_Row], targets: tuple[str, ...]
) -> Iterator[Architecture]:
    """Turn rows into architectures, and refuse a name that occurs twice."""
    lines: dict[str, int] = {}
    for number, (line, row) in enumerate(rows, start=1):
        accuracies = {target: _figure(path, line, row, target) for target in targets}
        name = _word(path, line, row, "name", str(number))
        if name in lines:
            _refuse(path, line, f"the name {name!r} is already that of line {lines[name]}")
        lines[name] = line
        isomorph = row.pop("isomorph", None)
        yield Architecture(
            name=name,
            space=_word(path, line, row, "space", "all"),
            isomorph=None if isomorph in (None, "") else str(isomorph),
            accuracies=accuracies,
            config=_config(path, line, row),
        )


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    """The rows of a CSV text with the lines that they end on; config cells are parsed later."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        if len(set(header)) < len(header) or (header and not all(header)):
            _refuse(path, 1, f"every column needs a name of its own; got {', '.join(header)}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                _refuse(
                    path,
                    reader.line_num,
                    f"expected {len(header)} cells ({', '.join(header)}), got {len(cells)}; "
                    "put a cell that contains a comma in double quotes",
                )
            row = zip(header, (cell.strip() for cell in cells), strict=True)
            yield reader.line_num, {column: _cell(column, cell) for column, cell in row}
    except csv.Error as error:
        _refuse(path, reader.line_num, f"this is no CSV: {error}")


def _cell(column: str, cell: str) -> object:
    """The JSON value of a CSV cell, or its text; names, spaces and isomorphs are always text."""
    if column in ("name", "space", "isomorph"):
        return cell
    try:
        return json.loads(cell) if cell else None
    except ValueError:
        return cell


def _jsonl_rows(path: Path, text: str) -> Iterator[_Row]:
    """The objects of a JSON Lines text with their lines; blank lines are skipped."""
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except ValueError as error:
            _refuse(path, line, f"this is no JSON: {error}")
        if not isinstance(row, dict):
            _refuse(path, line, f"expected one JSON object a line, got {type(row).__name__}")
        yield line, row


def _figure(path: Path, line: int, row: dict[str, Any], target: str) -> float | None:
    """Take the accuracy `target` out of `row`."""
    if target not in row:
        _refuse(
            path, line, f"there is no target {target!r}; the columns are {', '.join(row) or 'none'}"
        )
    figure = row.pop(target)
    if figure is None:
        return None
    if isinstance(figure, bool) or not isinstance(figure, int | float) or not math.isfinite(figure):
        _refuse(
            path,
            line,
            f"target {target!r}: expected a finite number, got {figure!r}; where there is no "
            "figure, leave the cell empty (CSV) or write null (JSON Lines)",
        )
    return float(figure)


def _word(path: Path, line: int, row: dict[str, Any], key: str, default: str) -> str:
    """Take the text `key` out of `row`; `default` if there is none."""
    word = row.pop(key, default)
    if not isinstance(word, str) or not word:
        _refuse(path, line, f"{key!r}: expected text, got {word!r}")
    return word


def _config(path: Path, line: int, row: dict[str, Any]) -> dict[str, Any]:
    """The entries of ``config`` and every column that is left."""
    inner = row.pop("config", None) or {}
    if not isinstance(inner, Mapping):
        _refuse(
            path, line, f"'config': expected an object such as {{\"width\": 192}}, got {inner!r}"
        )
    for key in inner:
        if key in row:
            _refuse(path, line, f"{key!r} is a column and an entry of 'config'; keep one of them")
    return {**inner, **row}


def _refuse(path: Path, line: int, reason: str) -> NoReturn:
    """Raise the error of `line`."""
    raise BenchError(f"{path}, line {line}: {reason}")
