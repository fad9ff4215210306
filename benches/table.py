"""Tables of architectures in CSV or JSON Lines files."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from autoprox.benches.bench import Architecture
from autoprox.benches.checks import MIXED, mixed_units
from autoprox.errors import AutoproxError, BenchError, CacheError
from autoprox.runtime.arguments import is_finite, is_printable, listed
from autoprox.runtime.files import canonical
from autoprox.runtime.schema import RepeatedKeyError, read_text, row_digest, unique

MOST_BYTES = 2**26
"""The most bytes of a table: a million rows."""

CHECKSUM = "row_checksum"
"""The last column of a table whose rows are checked: see `autoprox.runtime.schema.row_digest`."""

_Row = tuple[int, dict[str, Any]]


def read_table(
    path: str | Path, *, targets: str | Sequence[str] | None = None
) -> tuple[Architecture, ...]:
    r"""The architectures of a table, one a line.

    A ``.csv`` file has a header; a ``.jsonl`` file has one JSON object a line. Columns (or keys):

    * ``name``: unique; the row's number, from 1, if there is no such column;
    * ``space``: the search space; ``"all"`` if there is no such column;
    * ``isomorph``: optional; rows that share it are one network and are never split;
    * the targets: accuracies, higher is better; an empty cell or null where there is no figure;
    * ``config``: optional; an object whose entries go into the architecture's `config`;
    * ``row_checksum``: optional, the last column of a CSV file: the first 16 hexadecimal digits of
      the SHA-256 of the row's other cells with commas between; a row that does not fit is refused;
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
        targets: The target columns, or one; None stands for the column ``accuracy``.

    Raises:
        BenchError: the file cannot be read or is empty, a target is missing, no finite number, or
            a fraction among percentages, or a name occurs twice; the message names the file and the
            line.
    """
    path = Path(path)
    wanted: tuple[str, ...] = listed(targets or "accuracy")
    readers = {".csv": _csv_rows, ".jsonl": _jsonl_rows}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BenchError(f"{path}: a table is a .csv or a .jsonl file; got {path.suffix!r}")
    try:
        text = read_text(path, MOST_BYTES)
    except AutoproxError as error:
        raise BenchError(str(error)) from None
    lines: dict[str, int] = {}
    architectures = tuple(_architectures(path, reader(path, text), wanted, lines))
    if not architectures:
        raise BenchError(f"{path}: the table is empty; at least one architecture is needed")
    for target in wanted:
        figures = [row.accuracies[target] for row in architectures]
        place = mixed_units(figures)
        if place is not None:
            line = lines[architectures[place].name]
            _refuse(path, line, f"target {target!r}: {MIXED.format(figures[place])}")
    return architectures


def shipped_table(bench: str, digest: str, target: str) -> tuple[Architecture, ...]:
    """The architectures of the table of a bench that ships, by ``BENCH/name``, as one space.

    Raises:
        BenchError: see `shipped`.
    """
    rows = read_table(shipped(f"{bench}.csv", digest), targets=target)
    return tuple(replace(row, name=f"{bench}/{row.name}", space=bench) for row in rows)


def shipped(name: str, digest: str) -> Path:
    """The path of a table that ships, if its text has the SHA-256 `digest`.

    Raises:
        BenchError: the file is missing, or another one.
    """
    path = Path(__file__).parent / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BenchError(f"{path}: cannot read this table: {error}") from None
    if path.suffix != ".gz":
        content = content.replace(b"\r\n", b"\n")  # as git on Windows may write lines
    if hashlib.sha256(content).hexdigest() != digest:
        raise BenchError(
            f"{path} is damaged: it is not the table that this autoprox came with; install "
            "autoprox again"
        )
    return path


def shipped_rows(name: str, digest: str) -> Iterator[list[str]]:
    """The cells of a ``.csv`` or ``.csv.gz`` table that ships, a list a line, without the header.

    Cells stay text: on tables of many thousand rows that is three times as fast as `read_table`.

    Raises:
        BenchError: see `shipped`.
    """
    content = shipped(name, digest).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8")
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    next(rows)
    return rows


def _architectures(
    path: Path, rows: Iterable[_Row], targets: tuple[str, ...], lines: dict[str, int]
) -> Iterator[Architecture]:
    """Turn rows into architectures, note their lines, and refuse a name that occurs twice."""
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
        for mark in ";\t|":
            if len(header) == 1 and mark in header[0]:
                _refuse(
                    path, 1, f"separated by {mark!r}? the cells of a table are separated by ','"
                )
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
            cells = [cell.strip() for cell in cells]
            if header[-1] == CHECKSUM and cells.pop() != row_digest(cells):
                _refuse(path, reader.line_num, "its checksum does not fit, so it was altered")
            row = zip(header, cells, strict=False)
            yield reader.line_num, {column: _cell(column, cell) for column, cell in row}
    except csv.Error as error:
        _refuse(path, reader.line_num, f"this is no CSV: {error}")
    except RepeatedKeyError as error:
        _refuse(path, reader.line_num, f"{error} in a cell")


def _cell(column: str, cell: str) -> object:
    """The JSON value of a CSV cell, or its text; names, spaces and isomorphs are always text."""
    if column in ("name", "space", "isomorph"):
        return cell
    try:
        return _value(cell) if cell else None
    except RepeatedKeyError:
        raise
    except (ValueError, RecursionError):
        return cell


def _jsonl_rows(path: Path, text: str) -> Iterator[_Row]:
    """The objects of a JSON Lines text with their lines; blank lines are skipped."""
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            row = _value(content)
        except (ValueError, RecursionError) as error:
            _refuse(path, line, f"this is no JSON: {error}")
        if not isinstance(row, dict):
            _refuse(path, line, f"expected one JSON object a line, got {type(row).__name__}")
        yield line, row


_DECODER = json.JSONDecoder(object_pairs_hook=unique)
_FAST = msgspec.json.Decoder()
_WRITE = msgspec.json.Encoder().encode
"""Made once: that takes longer than to read a line."""


def _value(text: str) -> object:
    """The JSON value of a text.

    msgspec reads ten times as fast, but takes the last of keys that stand twice: there are none if
    a text has as many colons as its value has keys.

    Raises:
        ValueError: it is no JSON.
        RepeatedKeyError: an object has a key twice.
    """
    try:
        value = _FAST.decode(text)
    except (msgspec.MsgspecError, ValueError):
        return _DECODER.decode(text)  # which says more, and knows NaN
    if text.count(":") == (len(value) if isinstance(value, dict) else 0):
        return value
    return _DECODER.decode(text)


def _figure(path: Path, line: int, row: dict[str, Any], target: str) -> float | None:
    """Take the accuracy `target` out of `row`."""
    if target not in row:
        _refuse(
            path, line, f"there is no target {target!r}; the columns are {', '.join(row) or 'none'}"
        )
    figure = row.pop(target)
    if figure is None:
        return None
    if not is_finite(figure):
        _refuse(
            path,
            line,
            f"target {target!r}: expected a finite number, got {reprlib.repr(figure)}; where there "
            "is no figure, leave the cell empty (CSV) or write null (JSON Lines)",
        )
    return float(figure)


def _word(path: Path, line: int, row: dict[str, Any], key: str, default: str) -> str:
    """Take the text `key` out of `row`; `default` if there is none."""
    word = row.pop(key, default)
    if not is_printable(word):
        _refuse(path, line, f"{key!r}: expected text, got {reprlib.repr(word)}")
    return str(word)


def _config(path: Path, line: int, row: dict[str, Any]) -> dict[str, Any]:
    """The entries of ``config`` and every column that is left."""
    inner = row.pop("config", None) or {}
    if not isinstance(inner, Mapping):
        _refuse(
            path,
            line,
            f"'config': expected an object such as {{\"width\": 192}}, got {reprlib.repr(inner)}",
        )
    for key in inner:
        if key in row:
            _refuse(path, line, f"{key!r} is a column and an entry of 'config'; keep one of them")
    config = {**inner, **row}
    try:
        if _FAST.decode(_WRITE(config)) != config:  # is quickly the same, but what is not finite
            canonical(config)
    except (CacheError, RecursionError, ValueError):  # a lone surrogate is a ValueError
        _refuse(path, line, f"expected finite numbers, text and lists; got {reprlib.repr(config)}")
    return config


def _refuse(path: Path, line: int, reason: str) -> NoReturn:
    """Raise the error of `line`."""
    raise BenchError(f"{path}, line {line}: {reason}")
