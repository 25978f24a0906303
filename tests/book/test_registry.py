"""The registry reads what the files say, and ``minivae eq`` shows it."""

import tomllib

import pytest

from minivae.cli import main
from minivae.cli.equation import _find, listing
from minivae.cli.tex import render
from minivae.equations import Link, fences, find_sources, locate, read_registry


def test_an_equation_knows_its_place_its_function_its_test_and_its_figure(small_book):
    registry = small_book().registry
    first, second = registry.equations
    assert (first.label, first.definition, first.tex) == ("SUM.1", True, r"s = \sum_{n=1}^{N} x_n")
    assert (second.label, second.definition, second.chapter) == ("SUM.2", False, "Sums")
    assert "tag" not in second.tex
    ((function,), (test,), (figure,)) = (
        table["SUM.2"] for table in (registry.functions, registry.tests, registry.figures)
    )
    assert (function.name, function.line) == ("minivae.sums.mean", 4)
    assert (test.name, test.line) == ("tests.test_sums.test_the_mean_of_three", 4)
    assert figure.name == "examples.bars"


def test_a_listing_keeps_its_numbers_and_the_first_line_of_its_docstring(small_book):
    (function,) = small_book().registry.functions["SUM.2"]
    assert function.source() == [
        (4, "def mean(x):"),
        (5, '    """The mean, Eq. SUM.2."""'),
        (9, "    return sum(x) / len(x)"),
    ]


def test_a_comment_belongs_to_the_function_around_it(small_book):
    inner = "def more():\n        # Eq. SUM.1\n        pass\n    return"
    registry = small_book("minivae/sums.py", "return", inner).registry
    assert [place.name for place in registry.functions["SUM.1"]] == ["minivae.sums.mean.more"]


def test_a_string_is_no_citation(small_book):
    registry = small_book("minivae/sums.py", "return", 'text = "Eq. SUM.9"\n    return').registry
    assert "SUM.9" not in {citation.label for citation in registry.citations}


@pytest.mark.parametrize("name", ["minivae.sums.mean", "mean", "sums.py", "minivae/sums.py"])
def test_an_object_is_found_by_any_of_its_names(small_book, name):
    assert locate(Link(name, "../minivae/sums.py", 1), small_book().sources) is not None


@pytest.mark.parametrize("name", ["minivae.sums.mode", "ean", "ms.py", "other.sums.mean"])
def test_an_object_is_not_found_by_another_name(small_book, name):
    assert locate(Link(name, "../minivae/sums.py", 1), small_book().sources) is None


def test_a_fence_within_a_longer_fence_is_its_text():
    text = "````markdown\n```math\nx\n```\n````\n\n```text\ny\n```\n"
    assert [(f.language, f.line, f.body) for f in fences(text)] == [
        ("markdown", 2, "```math\nx\n```"),
        ("text", 8, "y"),
    ]


# The command -------------------------------------------------------------------------------------


def test_the_list_names_every_equation_within_80_columns():
    registry = read_registry()
    lines = listing(registry).splitlines()
    assert registry.equations
    for equation in registry.equations:
        assert any(line.startswith(f"  {equation.label} ") for line in lines)
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_an_equation_is_printed_with_its_code_and_its_tests_pass(capfd):
    assert main(["eq", "mb.2"]) == 0
    output = capfd.readouterr().out
    assert "MB.2" in output
    assert "def " not in output
    assert main(["eq", "mb.2", "--code", "--test"]) == 0
    output = capfd.readouterr().out
    assert "def minibatch_estimate" in output
    assert "tests/models/test_minibatch.py" in output
    assert " passed" in output


@pytest.mark.slow
def test_a_failing_test_fails_the_command(small_book, monkeypatch, capfd):
    book = small_book("tests/test_sums.py", "    pass", "    assert 1 == 2")
    (book.sources.book.parent / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\nmarkers = ["equation(label): the equation"]\n'
    )
    monkeypatch.setattr("minivae.cli.equation.find_sources", lambda: book.sources)
    monkeypatch.setattr("minivae.cli.equation.read_registry", lambda: book.registry)
    with pytest.raises(SystemExit, match="1"):
        main(["eq", "SUM.2", "--test"])
    assert "assert 1 == 2" in capfd.readouterr().out


def test_without_pytest_the_command_says_what_is_missing(monkeypatch, capfd):
    monkeypatch.setattr("minivae.cli.equation.find_spec", lambda name: None)
    assert main(["eq", "MB.2", "--test"]) == 0
    assert "pip install pytest hypothesis pytest-timeout" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("label", "hint"), [("SUM.9", "there are SUM.1, SUM.2"), ("SUN.2", "did you mean SUM.2?")]
)
def test_an_unknown_label_is_refused_with_its_neighbours(small_book, label, hint):
    with pytest.raises(ValueError, match="there is no equation") as refusal:
        _find(label, small_book().registry)
    assert hint in str(refusal.value)


@pytest.mark.parametrize(
    ("tex", "plain"),
    [
        (r"\frac{1}{2}\sigma^2", "½ σ²"),
        (r"\frac{(x-\mu)^2}{2\sigma^2}", "(x − μ)²/(2σ²)"),
        (r"\mathcal{L}(x) \le \log p(x \mid z)", "ℒ(x) ≤ log p(x | z)"),
        (r"\sum_{n=1}^{N} x_n", "∑ₙ₌₁ᴺ xₙ"),
        (r"\begin{aligned} a &= b \\ &\ge -c \end{aligned}", "a = b\n≥ −c"),
        (r"\hat{x} = \sqrt{y^{Q+1}}", "x̂ = √(y^{Q+1})"),
        (r"\unheardof{x}", None),
        (r"\frac{1}", None),
    ],
)
def test_tex_becomes_text_or_nothing(tex, plain):
    assert render(tex) == plain


def test_every_equation_of_the_book_has_a_plain_form():
    shown_as_tex = [e.label for e in read_registry().equations if render(e.tex) is None]
    assert shown_as_tex == []


def test_an_installed_package_carries_the_book():
    root = find_sources().book.parent
    config = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    carried = config["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    parts = ("derivations", "examples", "tests", "pyproject.toml")
    assert carried == {part: f"minivae/_book/{part}" for part in parts}
