"""The rules of the book, each a function that lists its offenders as ``file:line: what``.

The form that they hold the chapters to is in ``derivations/README.md``.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from minivae.equations import (
    LABEL,
    Registry,
    Sources,
    fences,
    links,
    locate,
    prose,
    read_registry,
    slug,
)

ENDINGS = ["What the code does", "How it is checked", "Questions"]
GLOSSARY = "22_glossary.md"

INLINE_MATH = re.compile(r"(?<![\\$\w])\$(?!\s)((?:[^$\n]|\n(?!\s*\n))+?)(?<!\s)\$(?![\d$])")
INLINE_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)


def plain_text(text: str) -> str:
    """A page without its blocks and without code in its sentences, position for position."""
    return INLINE_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), prose(text))


class Book(NamedTuple):
    """The files, and what they say."""

    sources: Sources
    registry: Registry

    @property
    def chapters(self) -> list[Path]:
        return sorted(self.sources.book.glob("[0-9][0-9]_*.md"))


def open_book(sources: Sources) -> Book:
    return Book(sources, read_registry(sources))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def line_of(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


# Equations ---------------------------------------------------------------------------------------


def without_code(book: Book) -> Iterator[str]:
    """Computed equations that no function computes or no test checks; definitions computed."""
    for equation in book.registry.equations:
        where = f"{equation.path.name}:{equation.line}: {equation.label}"
        functions = book.registry.functions.get(equation.label)
        if equation.definition and functions:
            yield f"{where} is a definition, and {functions[0].name} computes it"
        if not equation.definition and not functions:
            yield f"{where} has no function: no docstring says 'Eq. {equation.label}'"
        if not equation.definition and equation.label not in book.registry.tests:
            yield f"{where} has no test: none is marked equation({equation.label!r})"


def unread(book: Book) -> Iterator[str]:
    """Computed equations that no test evaluates and that do not say why, or that do both."""
    for equation in book.registry.equations:
        where = f"{equation.path.name}:{equation.line}: {equation.label}"
        evaluated = equation.label in book.registry.evaluated
        if equation.definition and (evaluated or equation.unread):
            yield f"{where} is a definition, and is evaluated or says why not"
        elif evaluated and equation.unread:
            yield f"{where} is evaluated, and says why not: {equation.unread}"
        elif not (equation.definition or evaluated or equation.unread):
            yield f"{where} is not evaluated and does not say why: '% unread: ...'"


def dead_citations(book: Book) -> Iterator[str]:
    """Citations of equations that the book does not have."""
    labels = {equation.label for equation in book.registry.equations}
    for label, path, line in book.registry.citations:
        if label not in labels:
            yield f"{path.name}:{line}: there is no equation {label}"


def uncited_labels(book: Book) -> Iterator[str]:
    """Labels in the text of a chapter without ``Eq.``, which no one would follow or check."""
    families = {equation.label.partition(".")[0] for equation in book.registry.equations}
    for path in book.chapters:
        text = plain_text(text_of(path))
        for match in re.finditer(rf"(Eq\.\s+)?\b({LABEL})\b", text):
            if not match[1] and match[2].partition(".")[0] in families:
                yield f"{path.name}:{line_of(text, match.start())}: {match[2]} without 'Eq. '"


def tags(book: Book) -> Iterator[str]:
    """Tags that are not labels, that repeat, or that share a fence."""
    seen: set[str] = set()
    for path in book.chapters:
        for fence in fences(text_of(path)):
            found = (
                re.findall(r"\\tag\*?\{([^}]*)\}", fence.body) if fence.language == "math" else []
            )
            for label in found:
                where = f"{path.name}:{fence.line}: {label}"
                if not re.fullmatch(LABEL, label):
                    yield f"{where} is not a label"
                if label in seen:
                    yield f"{where} is there twice"
                seen.add(label)
            if len(found) > 1:
                yield f"{path.name}:{fence.line}: {' and '.join(found)} in one fence"


# Symbols -----------------------------------------------------------------------------------------

ACCENTS = {"hat", "widehat", "tilde", "widetilde", "bar", "overline", "dot", "ddot", "vec"}
ALPHABETS = {"mathcal", "mathbb", "mathrm", "mathbf", "mathsf", "mathscr", "boldsymbol"}
WORDS = {"text", "textrm", "textit", "textbf", "texttt", "tag", "begin", "end"}
NO_SYMBOLS = """
    le leq ge geq ne neq approx equiv sim simeq propto in notin subset subseteq ll gg to gets mid
    rightarrow leftarrow longrightarrow leftrightarrow mapsto Rightarrow Longrightarrow implies iff
    Leftrightarrow Longleftrightarrow succ succeq prec preceq perp
    sum prod int iint cup cap times cdot pm mp circ odot otimes oplus ast star partial nabla infty
    forall exists log exp ln sin cos tan tanh sinh cosh max min arg det sup inf lim dim sqrt frac
    tfrac dfrac binom prime top setminus Pr
    left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr bigm Bigm
    lbrace rbrace langle rangle lvert rvert lVert rVert vert Vert lfloor rfloor lceil rceil
    dots ldots cdots vdots ddots quad qquad enspace colon underbrace overbrace limits nolimits
    substack displaystyle textstyle scriptstyle nonumber phantom hphantom vphantom smash
"""
KNOWN = frozenset(NO_SYMBOLS.split())


def symbols(tex: str) -> list[str]:
    """The symbols of a formula: letters, Greek letters, names, and each under its accent."""
    tex = re.sub(r"(?<!\\)%.*", "", tex)
    tokens = re.findall(r"\\[A-Za-z]+|\\.|[{}]|[^\s{}\\]", tex)
    found: list[str] = []
    i = 0

    def argument() -> list[str]:
        nonlocal i
        if i >= len(tokens):
            return []
        start = i
        depth = 0
        while i < len(tokens):
            depth += {"{": 1, "}": -1}.get(tokens[i], 0)
            i += 1
            if depth == 0:
                break
        inside = tokens[start:i]
        return inside[1:-1] if inside[0] == "{" else inside

    while i < len(tokens):
        token = tokens[i]
        i += 1
        name = token[1:]
        if token[0] != "\\":
            if token.isalpha():
                found.append(token)
        elif name in WORDS:
            argument()
        elif name in ALPHABETS:
            word = "".join(argument())
            if word != "d":  # the differential
                found.append(f"\\{name}{{{word}}}")
        elif name in ACCENTS:
            inside = symbols(" ".join(argument()))
            found += [f"\\{name}{{{inside[0]}}}", *inside[1:]] if inside else []
        elif name.isalpha() and name not in KNOWN:
            found.append(token)
    return found


def table_of_symbols(book: Book) -> set[str]:
    """The first column of the glossary's table."""
    path = book.sources.book / GLOSSARY
    if not path.is_file():
        return set()
    section = re.search(r"(?ms)^## Symbols\n(.*?)(?=^#{1,2} |\Z)", text_of(path))
    rows = [line for line in section[1].splitlines() if line.startswith("|")] if section else []
    cells = [re.split(r"(?<!\\)\|", row)[1] for row in rows[2:]]
    return {
        symbol for cell in cells for tex in INLINE_MATH.findall(cell) for symbol in symbols(tex)
    }


def unknown_symbols(book: Book) -> Iterator[str]:
    """Symbols of equations that are not in the glossary's table."""
    known = table_of_symbols(book)
    for path in book.chapters:
        for fence in fences(text_of(path)):
            if fence.language == "math":
                for symbol in dict.fromkeys(symbols(fence.body)):
                    if symbol not in known:
                        yield f"{path.name}:{fence.line}: {symbol} is not in the table of symbols"


# Links -------------------------------------------------------------------------------------------


def moved_objects(book: Book) -> Iterator[str]:
    """Links to objects that are not in the file."""
    for path in book.chapters:
        for link in links(text_of(path)):
            if locate(link, book.sources) is None:
                yield f"{path.name}:{link.line}: {link.name} is not in {link.target}"


def listings(book: Book) -> Iterator[str]:
    """Paragraphs that ask for a listing or a figure and do not have its form."""
    for path in book.chapters:
        paragraphs = re.split(r"\n\s*\n", prose(text_of(path)))
        for paragraph in (p.strip() for p in paragraphs):
            link = r"\[`[\w./]+`\]\(\.\./[^)\s]+\.py\)"
            if paragraph.startswith("Listing:") and not re.fullmatch(
                rf"Listing:(\s*{link},?)+", paragraph
            ):
                yield f"{path.name}: not a listing's form: {paragraph[:60]}"
            if paragraph.startswith("Figure:") and not re.match(
                r"Figure: \[`examples/\w+\.py`\]\(\.\./examples/\w+\.py\)\s+\S", paragraph
            ):
                yield f"{path.name}: not a figure's form: {paragraph[:60]}"


def dead_links(book: Book) -> Iterator[str]:
    """Links to files that are not there, or to headings that the page does not have."""
    for path in [*book.chapters, book.sources.book / "README.md"]:
        if not path.is_file():
            continue
        text = plain_text(text_of(path))
        for match in re.finditer(r"\]\(([^)\s]+)\)", text):
            where = f"{path.name}:{line_of(text, match.start())}"
            target, _, anchor = match[1].partition("#")
            if re.match(r"[a-z]+:", target):
                yield f"{where}: {match[1]} is a link out of the book"
                continue
            page = (path.parent / target).resolve() if target else path
            if not page.exists():
                yield f"{where}: there is no {target}"
            elif anchor and page.suffix == ".md":
                headings = re.findall(r"^#+ +(.*)$", prose(text_of(page)), re.MULTILINE)
                if anchor not in map(slug, headings):
                    yield f"{where}: {page.name} has no heading #{anchor}"


SURNAME = r"(?:v[ao]n )?[A-Z][\w'-]+"
SURNAMES = rf"{SURNAME}(?:(?:, {SURNAME})* and {SURNAME}| et al\.)?"
CITED = re.compile(rf"(?:\(|; )({SURNAMES}) (\d{{4}})(?=[);,])|({SURNAMES}) \((\d{{4}})\)")


def without_reference(book: Book) -> Iterator[str]:
    """Literature named by author and year of which the page gives no reference.

    A reference is an item of a list, or a bracket in the text, that has the first author's surname
    after initials, a title in italics, and the year.
    """
    for path in book.chapters:
        text = plain_text(text_of(path))
        references = [
            re.sub(r"\s+", " ", found)
            for found in re.findall(
                r"(?ms)^- (?:[A-Z]\.[- ]?)+ .*?\d{4}\.$|\((?:[A-Z]\. )+\w.*?\d{4}\.?\)", text
            )
        ]
        joined = re.sub(r"\s+", " ", text)
        for match in CITED.finditer(joined):
            authors, year = match[1] or match[3], match[2] or match[4]
            first = re.split(r",| and | et al", authors)[0]
            if not any(first in r and year in r and r.count("*") == 2 for r in references):
                yield f"{path.name}: {authors} {year} has no reference"


def numbered_chapters(book: Book) -> Iterator[str]:
    """Chapters called by a number, which no page shows and which moves with the order."""
    for path in book.chapters:
        text = plain_text(text_of(path))
        for match in re.finditer(r"(?i)\bchapters?\s+(\d+|one|two|three|four|five|six)\b", text):
            yield f"{path.name}:{line_of(text, match.start())}: {match[0]!r} instead of its title"


# The form of a page ------------------------------------------------------------------------------


def form(book: Book) -> Iterator[str]:
    """Chapters that do not begin or end as chapters do, and blocks of no known kind."""
    for path in book.chapters:
        text = text_of(path)
        if not text.startswith("# "):
            yield f"{path.name}:1: the first line is not a title"
        sections = re.findall(r"^## +(.*)$", prose(text), re.MULTILINE)
        if path.name != GLOSSARY and sections[-3:] != ENDINGS:
            yield f"{path.name}: the last sections are {sections[-3:]}, not {ENDINGS}"
        for fence in fences(text):
            where = f"{path.name}:{fence.line}"
            if fence.language not in ("math", "python", "text", "console"):
                yield f"{where}: a block of language {fence.language!r}"
            if fence.language == "console" and any(
                not line.startswith("$ ") for line in fence.body.splitlines()
            ):
                yield f"{where}: a line of a console block does not begin with '$ '"


def tex_for_github(book: Book) -> Iterator[str]:
    """TeX that GitHub does not render, or that Markdown changes before it is seen."""
    for path in book.chapters:
        text = text_of(path)
        for fence in fences(text):
            if fence.language == "math":
                for bad in re.findall(
                    r"\\(?:operatorname|newcommand|def|label|eqref|ref|bm|cr|require)\b", fence.body
                ):
                    yield f"{path.name}:{fence.line}: {bad} in an equation"
        plain = plain_text(text)
        if "$$" in plain:
            yield f"{path.name}:{line_of(plain, plain.index('$$'))}: $$ in the text"
        for match in INLINE_MATH.finditer(plain):
            where = f"{path.name}:{line_of(plain, match.start())}: ${match[1]}$"
            if re.search(r"\\[^A-Za-z\s]", match[1]):
                yield f"{where} has a backslash before punctuation"
            if re.search(r"\\(operatorname|bm|label)\b", match[1]):
                yield f"{where} has a command that GitHub does not render"
        rest = INLINE_MATH.sub("", plain).replace(r"\$", "")
        if "$" in rest:
            around = rest[max(0, rest.index("$") - 30) : rest.index("$") + 30].strip()
            yield f"{path.name}: a dollar that is not part of a formula: {around!r}"


# Numbers -----------------------------------------------------------------------------------------

NUMBER = re.compile(r"(?<![\w.,])(\d+(?:,\d{3})*\.\d+)(?![\w.]*\.\d)(?:e([+-]?\d+))?")
UNIT = re.compile(r"(?:\s|\\,|\{,\})*(?:ns|us|µs|μs|ms|s|min|seconds?|minutes?|GFLOP/s|GB/s)\b")


def printed_numbers(text: str) -> list[float]:
    """The numbers in the output blocks of a page."""
    blocks = list(fences(text))
    outputs = [
        after.body
        for before, after in pairwise(blocks)
        if before.language == "python" and after.language == "text"
    ]
    found = re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e[+-]?\d+)?", "\n".join(outputs))
    return [float(number.replace(",", "")) for number in found]


def unprinted_numbers(book: Book) -> Iterator[str]:
    """Numbers of three digits or more in the text that the page's code does not print."""
    for path in book.chapters:
        text = text_of(path)
        printed = printed_numbers(text)
        plain = plain_text(text)
        for match in NUMBER.finditer(plain):
            digits = match[1].replace(",", "")
            significant = digits.replace(".", "").lstrip("0")
            if len(significant) < 3 or UNIT.match(plain[match.end() :]):
                continue
            decimals = len(digits.partition(".")[2])
            value = float(digits)
            scale = 10 ** int(match[2] or 0)
            half = 0.5000001 * 10.0**-decimals
            if not any(abs(number / scale - value) <= half for number in printed):
                yield f"{path.name}:{line_of(plain, match.start())}: {match[0]} is not printed"


# The API -----------------------------------------------------------------------------------------


def undocumented_modules(book: Book) -> Iterator[str]:
    """Public modules that no page of the API shows, but for what people type."""
    pages = "".join(map(text_of, sorted((book.sources.book / "api").glob("*.md"))))
    shown = set(re.findall(r"automodule:: (\S+)", pages))
    for package, folder in book.sources.packages.items():
        modules = {
            f"{package}.{path.stem}"
            for path in folder.iterdir()
            if path.suffix == ".py" or (path / "__init__.py").is_file()
            if not path.name.startswith("_") and path.stem not in ("cli", "exercises")
        }
        for module in sorted({package} if package == "minivae_kernels" else modules):
            if module not in shown:
                yield f"api: {module} is on no page"


RULES = [
    without_code, unread, dead_citations, uncited_labels, tags, unknown_symbols, moved_objects,
    listings, dead_links, without_reference, numbered_chapters, form, tex_for_github,
    unprinted_numbers, undocumented_modules,
]  # fmt: skip
