"""The book keeps its rules, and each rule sees a book that breaks it."""

import pytest

from book import rules
from book.rules import RULES, open_book, symbols
from minivae.equations import find_sources


@pytest.fixture(scope="module")
def book():
    return open_book(find_sources())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_book_keeps_the_rule(book, rule):
    assert book.registry.equations
    assert "\n".join(rule(book)) == ""


CHAPTER = "derivations/01_sums.md"
GLOSSARY = "derivations/22_glossary.md"
CODE = "minivae/sums.py"
TEST = "tests/test_sums.py"
DEFINED = "% definition\n"

BROKEN = [
    (rules.without_code, CODE, "Eq. SUM.2", "the mean", "SUM.2 has no function"),
    (rules.without_code, CODE, "return", "# Eq. SUM.1\n    return", "SUM.1 is a definition"),
    (rules.without_code, CHAPTER, DEFINED, "", "SUM.1 has no function"),
    (rules.without_code, TEST, "SUM.2", "SUM.1", "SUM.2 has no test"),
    (rules.unread, TEST, ", evaluated=True", "", "SUM.2 is not evaluated and does not say why"),
    (rules.unread, TEST, '"SUM.2"', '"SUM.1"', "SUM.1 is a definition, and is evaluated"),
    (rules.unread, CHAPTER, "\\bar{x} = ", "% unread: why\n\\bar{x} = ", "says why not: why"),
    (rules.dead_citations, CHAPTER, "\n\\tag{SUM.2}", "", "there is no equation SUM.2"),
    (rules.dead_citations, CHAPTER, "Eq. SUM.2", "Eq. SUM.3", "there is no equation SUM.3"),
    (rules.dead_citations, CODE, "Eq. SUM.2", "Eq.\n    SUM.3", "there is no equation SUM.3"),
    (rules.dead_citations, CODE, "return", "# Eq. SUM.3\n    return", "no equation SUM.3"),
    (rules.dead_citations, TEST, "SUM.2", "SUMS.2", "there is no equation SUMS.2"),
    (rules.dead_citations, "examples/bars.py", "SUM.2", "SUM.4", "there is no equation SUM.4"),
    (rules.uncited_labels, CHAPTER, "Eq. SUM.2", "(SUM.2)", "SUM.2 without"),
    (rules.tags, CHAPTER, "SUM.1", "SUM.2", "SUM.2 is there twice"),
    (rules.tags, CHAPTER, r"\tag{SUM.2}", r"\tag{sum:2}", "sum:2 is not a label"),
    (rules.tags, CHAPTER, r"\tag{SUM.2}", r"\tag{SUM.2}\tag{SUM.3}", "in one fence"),
    (rules.unknown_symbols, CHAPTER, r"\frac{s}{N}", r"\frac{s}{M}", "M is not in the table"),
    (rules.unknown_symbols, CHAPTER, r"\bar{x}", r"\hat{x}", r"\hat{x} is not in the table"),
    (rules.unknown_symbols, GLOSSARY, "| $s$ | the sum | `sum(x)` |\n", "", "s is not in the"),
    (rules.unknown_symbols, GLOSSARY, "## Symbols", "## Words", "s is not in the"),
    (rules.moved_objects, CODE, "def mean", "def average", "minivae.sums.mean is not in"),
    (rules.moved_objects, CHAPTER, "(../minivae/sums.py)", "(../minivae/s.py)", "is not in"),
    (rules.listings, CHAPTER, "Listing: ", "Listing: see ", "not a listing's form"),
    (rules.listings, CHAPTER, "`](../examples/bars.py)", "`](bars.py)", "not a figure's form"),
    (rules.dead_links, CHAPTER, "(#sums)", "(#means)", "no heading #means"),
    (rules.dead_links, CHAPTER, "(#sums)", "(02_means.md#sums)", "there is no 02_means.md"),
    (rules.dead_links, CHAPTER, "(#sums)", "(https://a.org)", "out of the book"),
    (rules.without_reference, CHAPTER, "(Gauss 1809;", "(Legendre 1805;", "Legendre 1805 has no"),
    (rules.without_reference, CHAPTER, "(Gauss 1809;", "(Gauss and van Zach 1810;", "Zach"),
    (rules.without_reference, CHAPTER, "- C. F. Gauss", "- Gauss", "Gauss 1809 has no reference"),
    (rules.without_reference, CHAPTER, "*Theoria", "Theoria", "Gauss 1809 has no reference"),
    (rules.numbered_chapters, CHAPTER, "[above](#sums)", "chapter 3", "'chapter 3' instead"),
    (rules.form, CHAPTER, "# Sums", "Sums", "not a title"),
    (rules.form, CHAPTER, "## Questions", "## More", "the last sections are"),
    (rules.form, CHAPTER, "```python", "```py", "of language 'py'"),
    (rules.form, CHAPTER, "```python", "```console", "does not begin with '$ '"),
    (rules.tex_for_github, CHAPTER, r"\quad", r"\operatorname{a}", r"\operatorname"),
    (rules.tex_for_github, CHAPTER, "$x_n$", r"$\{x_n\}$", "backslash before punctuation"),
    (rules.tex_for_github, CHAPTER, "$x_n$", "$$x_n$$", "$$ in the text"),
    (rules.tex_for_github, CHAPTER, "$x_n$", "$x_n $", "a dollar that is not part of a formula"),
    (rules.unprinted_numbers, CHAPTER, "is 2.333", "is 2.334", "2.334 is not printed"),
    (rules.unprinted_numbers, CHAPTER, "1.25 s", "1.25 m", "1.25 is not printed"),
    (rules.undocumented_modules, "derivations/api/all.md", "minivae.sums", "minivae.x", "no page"),
]


@pytest.mark.parametrize(("rule", "file", "old", "new", "complaint"), BROKEN)
def test_the_rule_sees_a_broken_book(small_book, rule, file, old, new, complaint):
    assert complaint in "\n".join(rule(small_book(file, old, new)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_leaves_a_right_book_alone_and_has_been_seen_to_bite(small_book, rule):
    assert list(rule(small_book())) == []
    assert rule in [broken[0] for broken in BROKEN]


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\hat{x}_n + \bar y", {r"\hat{x}", "n", r"\bar{y}"}),
        (r"\mathrm{KL}(q \,\Vert\, p)", {r"\mathrm{KL}", "q", "p"}),
        (r"\int f(x)\,\mathrm{d}x", {"f", "x"}),
        (r"\begin{aligned} a &= b \\ &\text{if } c \end{aligned} % d", {"a", "b", "c"}),
        (r"\mathcal{L}^\top \le \tfrac12 \log \sigma^2", {r"\mathcal{L}", r"\sigma"}),
        (r"\tilde{\mu_k}", {r"\tilde{\mu}", "k"}),
        (r"\wrongcommand", {r"\wrongcommand"}),
    ],
)
def test_symbols_are_read(tex, expected):
    assert set(symbols(tex)) == expected
