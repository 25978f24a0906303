"""Tables of text: which lines and columns are data, and which are names, labels or an index."""

import csv
import itertools
import math
import re
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minivae.errors import DatasetError, DatasetWarning, warn
from minivae.reading import refused, shown

__all__ = ["parse_table"]

_SEPARATORS = ";\t,"
_UNNAMED = ("", "unnamed: 0")  # what pandas and R write above an index without a name
_INDEX = ("index", "id", "rownames", "row.names")
_LABELS = ("label", "labels", "class", "target")
_GAPS = ("", "na", "n/a", "nan", "null", "none", "?")
_FEWEST_PIXELS = 64  # 8x8; fewer columns are seldom a picture and its label

# a number as a finger slipped: a point between digits, letters that look like them, or follow
_SLIP = re.compile(r"(?=.*\d)[+-]?[\dOoIl]*\.[\dOoIl]+[\w.]*")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}([,.' \u00a0\u202f])\d{3}(\1\d{3})*([.,]\d+)?")
_PUT_A_MARK = "put # before the line if it names the columns"


class _Line(NamedTuple):
    """A line of the file."""

    number: int
    text: str


class _Table(NamedTuple):
    """The lines that hold data, what stands between their cells, and the names of the columns."""

    lines: Sequence[_Line]
    separator: str | None
    names: list[str]  # none if the columns have none


def parse_table(
    content: bytes, name: str, conditions: Sequence[str] = ()
) -> dict[str, np.ndarray]:
    """Return the numbers in a table of text that has one line per datum.

    Numbers stand between semicolons, tabs, commas or spaces. A first line of words, or with ``#``
    before it, names the columns; so does one that only counts them, if what is below has decimals.
    Empty lines are skipped. A first column without a name, or called ``id`` or ``index``, that
    numbers the rows is left out; a column of whole numbers called ``label``, ``class`` or
    ``target`` holds the labels, -1 where a cell is empty. Whatever is left out is said in a
    `DatasetWarning`.

    Parameters
    ----------
    content, name
        The file's bytes, and what messages call it.
    conditions
        The columns, by name or counted from 1, that are conditions and not data; there are no
        labels then.

    Returns
    -------
    dict
        ``x_train``, float64 ``(N, D)``, and ``y_train``: ``(N,)`` if there are labels, ``(N, C)``
        if there are conditions.

    Raises
    ------
    DatasetError
        If a line has another number of columns, or something that is not a number; it is named.
        If it cannot be told whether the first line, or the first column, is data.
    """
    with refused(DatasetError, name, "not a table of text in UTF-8", "save it as CSV in UTF-8"):
        lines = content.decode("utf-8-sig").splitlines()
    with refused(DatasetError, name, "no table of numbers"):
        table = _without_names([_Line(i, t) for i, t in enumerate(lines, 1) if t.strip()], name)
        return _columns(table, name, conditions)


def _fault(name: str, line: _Line, what: str) -> DatasetError:
    return DatasetError(f"{name}, line {line.number}: {what}")


def _say(message: str) -> None:
    warn(message, DatasetWarning)


# ---- the first lines ----


def _without_names(lines: list[_Line], name: str) -> _Table:
    """Tell comments and names from data."""
    if not lines:
        raise DatasetError(f"{name} has no lines")
    comments = list(itertools.takewhile(lambda line: line.text.startswith("#"), lines))
    for line in comments:
        if all(map(_is_number, _pieces(line.text.lstrip("#")))):
            what = f"{shown(line.text, 40)!r} was passed over: # begins a comment"
            _say(f"{name}, line {line.number}: {what}")
    lines = lines[len(comments) :]
    separator = _separator(lines[min(1, len(lines) - 1)].text if lines else comments[-1].text)
    width = len(_cells(lines[0].text, separator)) if lines else 0
    if comments:
        names = _cells(comments[-1].text.lstrip("#"), separator)
        return _Table(lines, separator, names if len(names) == width or not lines else [])
    first, *others = lines
    if not _has_names(first, others, separator, name):
        return _Table(lines, separator, [])
    names = _cells(first.text, separator)
    if others and len(names) != (width := len(_cells(others[0].text, separator))):
        if not _is_title(first, others, separator):
            raise _fault(name, others[0], f"{width} columns, and {len(names)} in the first")
        names = []
    return _Table(others, separator, names)


def _separator(line: str) -> str | None:
    """What stands between cells; None for spaces."""
    unquoted = re.sub(r'"[^"]*"', "", line)
    return next((c for c in _SEPARATORS if c in unquoted), None)


def _cells(line: str, separator: str | None) -> list[str]:
    """What stands between the separators, or between spaces, without quotes."""
    if separator and '"' in line:
        cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True))
    else:
        cells = line.split(separator)
    return [cell.strip(" \t\"'") for cell in cells]


def _pieces(line: str) -> list[str]:
    """What stands between whatever may separate cells: the same however a line is meant."""
    return re.split(r"[;,\s\"']+", line.strip())


def _is_title(first: _Line, others: Sequence[_Line], separator: str | None) -> bool:
    """Whether the first line stands above a single column, and is a name as a whole."""
    single = bool(others) and len(_cells(others[0].text, separator)) == 1
    return single and not any(c in first.text for c in _SEPARATORS)


def _has_names(first: _Line, others: Sequence[_Line], separator: str | None, name: str) -> bool:
    """Whether the first line names columns; one that may be names and may be a datum is refused."""
    cells = _cells(first.text, separator)
    if cells[0].lower() in (*_UNNAMED, *_INDEX, *_LABELS):
        start = _counted_from(cells[1:])
        if start == 0 or (start is not None and cells[0]):
            return True  # as pandas writes a table whose columns have no names
    start = _counted_from(cells)
    if start is not None and (start == 0 or len(cells) > 2):
        decimals = _has_decimals(others, separator)
        if decimals and start == 0 and len(cells) > 1:
            what = f"{shown(first.text, 40)!r} was passed over: it counts the columns"
            _say(f"{name}, line {first.number}: {what}")
            return True
        if decimals or (start == 0 and len(cells) > 1):
            what = f"{shown(first.text, 40)!r} counts the columns, or is a datum"
            raise _fault(name, first, f"{what}: name the columns in words, in a line above it")
    if not any(map(_is_word, _pieces(first.text))):
        return False
    for cell in cells:
        if _SLIP.fullmatch(cell) and not _is_number(cell):
            what = f"{shown(cell, 40)!r} is not a number: correct it, or {_PUT_A_MARK}"
            raise _fault(name, first, what)
        if _is_number(cell) and not _is_title(first, others, separator):
            what = f"there are words, and numbers such as {shown(cell, 40)}"
            raise _fault(name, first, f"{what}: correct the datum, or {_PUT_A_MARK}")
    return True


def _counted_from(cells: Sequence[str]) -> int | None:
    """The number from which the cells count up, one by one; None if they do not."""
    if not cells or not all(re.fullmatch("[0-9]{1,9}", cell) for cell in cells):
        return None
    start = int(cells[0])
    return start if all(int(cell) == start + i for i, cell in enumerate(cells)) else None


def _has_decimals(lines: Sequence[_Line], separator: str | None) -> bool:
    """Whether a column has all its numbers with a point: as programs write floats."""
    columns = zip(*(_cells(line.text, separator) for line in lines), strict=False)
    return any(all("." in cell for cell in column) for column in columns)


# ---- the columns ----


def _columns(table: _Table, name: str, conditions: Sequence[str]) -> dict[str, np.ndarray]:
    """Read the numbers; tell features, labels, conditions and an index apart."""
    lines, separator, names = table
    width = len(_cells(lines[0].text, separator)) if lines else len(names)
    # what may not be a feature is kept as it is written until that is known
    written: dict[int, list[str]] = {}
    if width > 1:
        called = [column.lower() for column in names]
        written = {i: [] for i, column in enumerate(called) if column in _LABELS}
        written |= {0: []} if called and called[0] in (*_UNNAMED, *_INDEX) else {}
    plain = [i for i in range(width) if i not in written]
    numbers = array("d")
    for line in lines:
        cells = _cells(line.text, separator)
        if len(cells) != width:
            raise _fault(name, line, f"{len(cells)} columns, and {width} in the first")
        for i, column in written.items():
            column.append(cells[i])
        for i in plain:
            numbers.append(_number(cells[i], i, line, names, name))
    flat = np.frombuffer(numbers) if numbers else np.empty(0)
    matrix = flat.reshape(len(lines), len(plain))
    columns = dict(zip(plain, matrix.T, strict=True))
    arrays = {}
    if 0 in written and _is_index(called[0], written[0], name):
        del written[0]
        _say(f"{name}: the first column, {names[0]!r}, was left out: it is an index of the rows")
    labels = [i for i in written if called[i] in _LABELS]
    if len(labels) == 1 and not conditions and _are_labels(written[labels[0]]):
        cells = written.pop(labels[0])
        arrays["y_train"] = np.array([-1.0 if _is_gap(cell) else float(cell) for cell in cells])
        gaps = sum(map(_is_gap, cells))
        what = "was taken for the labels of the rows"
        what += f", {gaps} of which have none" if gaps else ""
        _say(f"{name}: the column {names[labels[0]]!r} {what}")
    for i, column in written.items():
        read = zip(column, lines, strict=True)
        columns[i] = np.array([_number(cell, i, line, names, name) for cell, line in read])
    if conditions:
        given = [_place(condition, names, width, name) for condition in conditions]
        arrays["y_train"] = np.stack([columns[i] for i in given], axis=1)
        columns = {i: column for i, column in columns.items() if i not in given}
        if not columns:
            raise DatasetError(f"{name}: every column is a condition, and no data are left")
    features = [columns[i] for i in sorted(columns)]
    if not names and len(lines):
        _look_at_unnamed(features, name)
    if names:
        arrays["columns"] = np.array([names[i] for i in sorted(columns)])
    return {"x_train": np.stack(features, axis=1), **arrays}


def _place(condition: str, names: Sequence[str], width: int, name: str) -> int:
    """Which column a condition is."""
    called = [column.lower() for column in names]
    if called.count(condition.lower()) == 1:
        return called.index(condition.lower())
    if not names and condition.isdecimal() and 1 <= int(condition) <= width:
        return int(condition) - 1
    known = f"they are {', '.join(names)}" if names else f"they have no names: say 1 to {width}"
    raise DatasetError(
        f"{name}: the condition {shown(condition, 40)!r} is not one of the columns; "
        f"{shown(known, 400)}"
    )


def _are_labels(cells: Sequence[str]) -> bool:
    """Whether a column holds whole numbers, some of which may be missing."""
    known = [cell for cell in cells if not _is_gap(cell)]
    return bool(known) and all(map(_is_whole, known))


def _is_gap(cell: str) -> bool:
    return cell.lower() in _GAPS


def _is_index(called: str, cells: Sequence[str], name: str) -> bool:
    """Whether a first column of this name holds names or numbers of the rows."""
    numbers = all(map(_is_whole, cells)) and len(set(cells)) == len(cells)
    if called in _INDEX:
        return numbers
    if called in _UNNAMED and not numbers and any(map(_is_number, cells)):
        raise DatasetError(
            f"{name}: the first column has no name and does not number the rows: name it if it "
            "holds data, or drop it"
        )
    return called in _UNNAMED


def _look_at_unnamed(columns: Sequence[np.ndarray], name: str) -> None:
    """Say that an index was taken for data, if it looks like one; refuse pictures with a label."""
    first, n_pixels = columns[0], len(columns) - 1
    if n_pixels and len(first) > 2 and (first - first[0] == np.arange(len(first))).all():
        what = "numbers the rows, and was taken for data: drop it if it is an index"
        _say(f"{name}: the first column {what}")
    side = math.isqrt(n_pixels)
    if side * side == n_pixels >= _FEWEST_PIXELS and all((np.floor(x) == x).all() for x in columns):
        raise DatasetError(
            f"{name}: {n_pixels + 1} columns are pictures of {side}x{side} pixels and one column "
            "more: name the columns in a first line, that of the labels 'label'"
        )


def _number(cell: str, i: int, line: _Line, names: Sequence[str], name: str) -> float:
    """The number in a cell of column `i`."""
    try:
        if "_" not in cell:  # which Python allows between digits
            return float(cell)
    except ValueError:
        pass
    mend = "drop the column if it holds words"
    if _is_gap(cell):
        mend = "drop the line, or fit it from Python with missing='marginalise', which takes gaps"
    if _is_number(cell.replace(",", ".")):
        mend = "write decimals with a point"
    if _THOUSANDS.fullmatch(cell):
        mend = "write thousands without a separator, and decimals with a point"
    column = f"column {shown(names[i], 40)!r}" if names else f"column {i + 1}"
    what = f"{shown(cell, 40)!r} is not a number"
    raise DatasetError(f"{name}, line {line.number}, {column}: {what}: {mend}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _is_whole(cell: str) -> bool:
    return re.fullmatch(r"[+-]?[0-9]{1,15}(\.0*)?", cell) is not None


def _is_word(cell: str) -> bool:
    """Whether it names something: no number, and no mark of a gap."""
    return any(map(str.isalpha, cell)) and not _is_gap(cell) and not _is_number(cell)
