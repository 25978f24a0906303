"""The glossary: its tables are those that the engine is tested against, its terms are found."""

import re

import numpy as np
import pytest

from engine.test_conventions import CONVENTIONS, EDGES
from minivae.cli import main
from minivae.equations import find, find_sources, read_registry, read_terms

PAGE = find_sources().book / "22_glossary.md"


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


HAN = re.compile(r"[\u4e00-\u9fff]")


def test_each_term_has_its_chinese_name_and_its_place_in_the_alphabet():
    terms = read_terms()
    page = PAGE.read_text(encoding="utf-8").partition("## Terms\n")[2].partition("\n## ")[0]
    assert len(terms) == page.count("\n- ")  # none is left out for its form
    names = [term.name for term in terms]
    assert names == sorted(names, key=str.casefold)
    assert len({*names}) == len(names)
    assert [t.name for t in terms if not all(HAN.search(form) for form in t.chinese)] == []
    labels = {equation.label for equation in read_registry().equations}
    assert {label for term in terms for label in term.labels} <= labels


@pytest.mark.parametrize(
    ("word", "name", "labels"),
    [
        ("证据下界", "Evidence lower bound", {"ELBO.2", "ELBO.4", "ELBO.3"}),
        ("隐变量", "Latent variable", {"LVM.1"}),
        ("responsib", "Responsibility", {"GMM.2"}),
        ("后验坍缩", "Posterior collapse", {"PPCA.6"}),
        ("MINIBATCH", "Minibatch", {"MB.2", "MB.3"}),  # and those of the chapter of that title
    ],
)
def test_a_word_leads_to_its_entry_and_equations(word, name, labels, capsys):
    terms, equations = find(word, read_registry(), read_terms())
    assert name in [term.name for term in terms]
    assert labels <= {equation.label for equation in equations}
    main(["eq", "--find", word])
    shown = capsys.readouterr().out
    assert f"{name} (" in shown
    assert all(label in shown for label in labels)


def test_a_word_that_is_nowhere_is_refused(capsys):
    assert main(["eq", "--find", "xyzzy"]) != 0
    assert "neither the glossary nor a heading has 'xyzzy'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="the word is empty"):
        find(" ", read_registry(), read_terms())


def test_a_row_that_is_wrong_is_seen():
    relu = CONVENTIONS[0]
    assert convention(relu._replace(gradient=[1.0, 1.0])) != rows("Kinks and edges")[0][:4]
