"""Chapter 13: its tables of conventions are those that the engine is tested against."""

import re

import numpy as np
import pytest

from engine.test_conventions import CONVENTIONS, EDGES
from minivae.equations import find_sources

PAGE = find_sources().book / "13_glossary.md"


def show(value):
    """A number or an array in a few characters."""
    array = np.asarray(value, dtype=float)
    if array.size == 0:
        return f"none, of shape {array.shape}"
    if array.size > 8:
        return f"{array.size:,} ones"
    if array.ndim:
        return f"[{', '.join(map(show, array))}]"
    number = array.item()
    return f"{number:.9g}" if number.is_integer() else f"{number:.5g}"


def convention(row):
    return [row.what, show(row.at), show(row.value), show(row.gradient)]


def edge(row):
    gradient = "" if row.gradient is None else show(row.gradient)
    return [row.what, show(row.at), row.dtype, show(row.value), gradient]


def rows(heading):
    """The cells of the table below a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.replace(r"\|", "|").strip().strip("`") for cell in line] for line in cells]


@pytest.mark.parametrize(
    ("heading", "data", "line"),
    [("Kinks and edges", CONVENTIONS, convention), ("Empty arrays and dtypes", EDGES, edge)],
)
def test_the_page_and_the_tested_table_are_one(heading, data, line):
    expected = [line(row) for row in data]
    assert [row[: len(expected[0])] for row in rows(heading)] == expected


def test_a_row_that_is_wrong_is_seen():
    relu = CONVENTIONS[0]
    assert convention(relu._replace(gradient=[1.0, 1.0])) != rows("Kinks and edges")[0][:4]
