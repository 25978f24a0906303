r"""The book's equations, the functions that compute them and the tests that check them.

- `read_registry`: all of it, read from the files themselves;
- `find_sources`: where those files are, in a checkout or in an installed package;
- `read_terms`, `find`: the glossary's terms, in English and Chinese, and what a word leads to;
- `fences`, `prose`, `links`: the parts of a page that are read by rule;
- `locate`: the object of a source file that a page links to.

There is no list to keep: an equation is a fence with a ``\tag`` in ``derivations/``, a function is
one whose docstring or comment cites the label, a test is one with the marker ``equation``; with
``evaluated=True``, one that reads the equation's TeX and evaluates it. The form of a page is in
``derivations/README.md``.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Citation",
    "Equation",
    "Fence",
    "Link",
    "Place",
    "Registry",
    "Sources",
    "Term",
    "fences",
    "find",
    "find_sources",
    "links",
    "locate",
    "prose",
    "read_registry",
    "read_terms",
    "slug",
]

_CARRIED = "_book"  # where an installed package keeps the book, its examples and its tests
LABEL = r"[A-Z]+\.[1-9][0-9]*"
_CITATION = re.compile(rf"\bEq\.\s+({LABEL})\b")
_COMMENT = re.compile(rf"#.*{_CITATION.pattern}")
_TAG = re.compile(r"\\tag\{([^}]*)\}")
LINK = re.compile(r"\[`([\w.]+(?:/[\w.]+)*)`\]\(([^)\s]+\.py)\)")

_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Sources(NamedTuple):
    """The folders that the registry is read from; ``packages`` by import name."""

    book: Path
    packages: Mapping[str, Path]
    examples: Path
    tests: Path


class Fence(NamedTuple):
    """A fenced block of a page: its language, the line after the opening fence, what it holds."""

    language: str
    line: int
    body: str


class Link(NamedTuple):
    """A link to an object of a source file, by its dotted name."""

    name: str
    target: str
    line: int


@dataclass(frozen=True)
class Equation:
    """A numbered equation; nothing computes a ``definition``.

    If no test reads its TeX and evaluates it, ``unread`` says why.
    """

    label: str
    tex: str
    definition: bool
    path: Path
    line: int
    chapter: str
    section: str
    unread: str = ""


@dataclass(frozen=True)
class Place:
    """An object in a source file: a function, a class, or a whole module if ``name`` is one's."""

    name: str
    path: Path
    line: int
    end: int
    docstrings: tuple[tuple[int, int], ...] = ()

    def source(self) -> list[tuple[int, str]]:
        """Its lines with their numbers; of a docstring, the first line only."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = {n: lines[n - 1] for n in range(self.line, min(self.end, len(lines)) + 1)}
        for first, last in self.docstrings:
            if first < last:
                kept[first] = kept[first].rstrip() + lines[last - 1].strip()[-3:]
                for n in range(first + 1, last + 1):
                    del kept[n]
        return list(kept.items())


class Citation(NamedTuple):
    """``Eq. LABEL`` in a docstring, a comment or a page, or a test's marker."""

    label: str
    path: Path
    line: int


class Term(NamedTuple):
    """An entry of the glossary: its name, the same in Chinese, what it means, what it cites."""

    name: str
    chinese: tuple[str, ...]
    text: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Registry:
    """Equations in the order of the book; by label, what computes, checks and draws them.

    ``evaluated`` are those whose TeX a test reads and evaluates on numbers.
    """

    equations: tuple[Equation, ...]
    functions: Mapping[str, tuple[Place, ...]]
    tests: Mapping[str, tuple[Place, ...]]
    figures: Mapping[str, tuple[Place, ...]]
    citations: tuple[Citation, ...]
    evaluated: frozenset[str] = frozenset()

    def kind(self, equation: Equation) -> str:
        """``"definition"``, ``"evaluated"``, or ``"unread"`` with the reason."""
        if equation.definition:
            return "definition"
        return "evaluated" if equation.label in self.evaluated else f"unread: {equation.unread}"


def find_sources() -> Sources:
    """The folders of this checkout, or those that an installed package carries."""
    package = Path(__file__).parent
    kernels = find_spec("minivae_kernels")
    if kernels is None or kernels.origin is None:
        raise ModuleNotFoundError("minivae_kernels is not installed; it comes with minivae")
    installed = package / _CARRIED
    root = installed if installed.is_dir() else package.parent
    return Sources(
        root / "derivations",
        {"minivae": package, "minivae_kernels": Path(kernels.origin).parent},
        root / "examples",
        root / "tests",
    )


def read_registry(sources: Sources | None = None) -> Registry:
    """Read all equations and whatever cites them.

    Parameters
    ----------
    sources
        Where to read; what `find_sources` finds if None.

    Returns
    -------
    Registry
        A label that two fences claim is there twice; a citation of a label that no fence claims is
        there too.
    """
    sources = find_sources() if sources is None else sources
    equations: list[Equation] = []
    citations: list[Citation] = []
    for path in sorted(sources.book.glob("[0-9][0-9]_*.md")):
        text = path.read_text(encoding="utf-8")
        equations += _equations(path, text)
        citations += [Citation(label, path, line) for label, line in _cited(prose(text))]
    functions: dict[str, list[Place]] = {}
    figures: dict[str, list[Place]] = {}
    evaluated: set[str] = set()
    tests: dict[str, list[Place]] = {}
    for name, folder in [*sources.packages.items(), ("examples", sources.examples)]:
        for module in _modules(name, folder):
            for label, line, place in module.citations():
                citations.append(Citation(label, module.path, line))
                if place.name != module.name:
                    _add(functions, label, place)
                elif name == "examples":
                    _add(figures, label, place)
    for module in _modules("tests", sources.tests):
        citations += [Citation(label, module.path, line) for label, line, _ in module.citations()]
        for label, line, place, reads in module.marks():
            citations.append(Citation(label, module.path, line))
            _add(tests, label, place)
            if reads:
                evaluated.add(label)
    return Registry(
        tuple(equations), _frozen(functions), _frozen(tests), _frozen(figures), tuple(citations),
        frozenset(evaluated),
    )  # fmt: skip


def _add(table: dict[str, list[Place]], label: str, place: Place) -> None:
    if place not in table.setdefault(label, []):
        table[label].append(place)


def _frozen(table: dict[str, list[Place]]) -> dict[str, tuple[Place, ...]]:
    return {label: tuple(places) for label, places in table.items()}


def _cited(text: str) -> Iterator[tuple[str, int]]:
    for match in _CITATION.finditer(text):
        yield match[1], text.count("\n", 0, match.start()) + 1


# Pages -------------------------------------------------------------------------------------------


def fences(text: str) -> Iterator[Fence]:
    """The fenced blocks of a page, from top to bottom."""
    opened: tuple[str, str, int] | None = None
    body: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        mark = re.match(r"(`{3,})\s*(\S*)\s*$", line)
        if opened is None:
            if mark:
                opened, body = (mark[1], mark[2], number + 1), []
        elif mark and len(mark[1]) >= len(opened[0]) and not mark[2]:
            yield Fence(opened[1], opened[2], "\n".join(body))
            opened = None
        else:
            body.append(line)
    if opened is not None:
        yield Fence(opened[1], opened[2], "\n".join(body))


def prose(text: str) -> str:
    """The page with its fenced blocks blank, line for line."""
    lines = text.splitlines()
    for fence in fences(text):
        for i in range(fence.line - 2, min(fence.line + fence.body.count("\n") + 1, len(lines))):
            lines[i] = ""
    return "\n".join(lines)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*$]|\]\([^)]*\)|\[", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def links(text: str) -> Iterator[Link]:
    """The links of a page to objects of source files."""
    readable = prose(text)
    for match in LINK.finditer(readable):
        yield Link(match[1], match[2], readable.count("\n", 0, match.start()) + 1)


def read_terms(sources: Sources | None = None) -> list[Term]:
    """The terms of the glossary: the items ``- **Name** (名): what it means``."""
    sources = find_sources() if sources is None else sources
    item = re.compile(r"(?m)^- \*\*([^*]+)\*\*\s+\(([^)]+)\):(.*(?:\n  \S.*)*)")
    found = []
    for path in sorted(sources.book.glob("[0-9][0-9]_glossary.md")):
        for name, chinese, text in item.findall(prose(path.read_text(encoding="utf-8"))):
            text = " ".join(text.split())
            labels = tuple(label for label, _ in _cited(text))
            forms = tuple(form.strip() for form in chinese.split(","))
            found.append(Term(" ".join(name.split()), forms, text, labels))
    return found


def find(word: str, registry: Registry, terms: list[Term]) -> tuple[list[Term], list[Equation]]:
    """What a word leads to.

    Parameters
    ----------
    word
        In English or Chinese; capitals do not matter.
    registry, terms
        What is searched.

    Returns
    -------
    list of Term
        Those whose name has the word; if there are none, those whose text has it.
    list of Equation
        Those that the terms cite, and those of sections whose heading has the word.
    """
    wanted = word.strip().casefold()
    if not wanted:
        raise ValueError("find: the word is empty; such as 'bound' or '证据下界'")
    named = [t for t in terms if any(wanted in each.casefold() for each in (t.name, *t.chinese))]
    found = named or [term for term in terms if wanted in term.text.casefold()]
    labels = {label for term in found for label in term.labels}
    return found, [
        equation
        for equation in registry.equations
        if equation.label in labels
        or any(wanted in title.casefold() for title in (equation.chapter, equation.section))
    ]


def _equations(path: Path, text: str) -> Iterator[Equation]:
    """The tagged fences; a fence with two tags is two equations."""
    headings = [
        (number, match[1], match[2])
        for number, line in enumerate(prose(text).splitlines(), start=1)
        if (match := re.match(r"(#+) +(.*?)\s*$", line))
    ]
    chapter = next((title for _, marks, title in headings if marks == "#"), path.stem)
    for fence in fences(text):
        if fence.language != "math":
            continue
        lines = fence.body.splitlines()
        first = lines[0].strip() if lines else ""
        definition, unread = first == "% definition", first.startswith("% unread: ")
        section = next((title for n, _, title in reversed(headings) if n < fence.line), chapter)
        tex = _TAG.sub("", "\n".join(lines[definition or unread :])).strip()
        reason = first.removeprefix("% unread: ") if unread else ""
        for label in _TAG.findall(fence.body):
            yield Equation(label, tex, definition, path, fence.line, chapter, section, reason)


# Sources -----------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _read(name: str, path: Path, text: str) -> "_Module":
    return _Module(name, path, text)


class _Module:
    """A source file whose definitions can be found by name and by line."""

    def __init__(self, name: str, path: Path, text: str) -> None:
        self.name, self.path, self.text = name, path, text
        self.tree = ast.parse(text)
        whole = Place(name, path, 1, max(1, text.count("\n")))
        self.places = [(whole, self.tree), *self._inside(self.tree, name)]

    def _inside(
        self, node: ast.AST, prefix: str
    ) -> Iterator[tuple[Place, ast.Module | _Definition]]:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, _Definition):
                if not isinstance(child, ast.expr):
                    yield from self._inside(child, prefix)
                continue
            name = f"{prefix}.{child.name}"
            first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
            docstrings = tuple(
                (node.body[0].lineno, node.body[0].end_lineno or 0)
                for node in ast.walk(child)
                if isinstance(node, _Definition) and ast.get_docstring(node) is not None
            )
            end = child.end_lineno or child.lineno
            yield Place(name, self.path, first, end, docstrings), child
            yield from self._inside(child, name)

    def citations(self) -> Iterator[tuple[str, int, Place]]:
        """Each ``Eq. LABEL`` of a docstring or a comment, its line, and what it is written in."""
        for place, node in self.places:
            if (docstring := ast.get_docstring(node, clean=False)) is not None:
                start = node.body[0].lineno
                for label, line in _cited(docstring):
                    yield label, start + line - 1, place
        if not _COMMENT.search(self.text):
            return  # to find comments takes as long as everything else
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT:
                for label, _ in _cited(token.string):
                    line = token.start[0]
                    around = [place for place, _ in self.places if place.line <= line <= place.end]
                    yield label, line, max(around, key=lambda place: (place.line, -place.end))

    def marks(self) -> Iterator[tuple[str, int, Place, bool]]:
        """Each ``@pytest.mark.equation("LABEL")``, its line, the test, and if it is evaluated."""
        for place, node in self.places[1:]:
            for mark in getattr(node, "decorator_list", []):
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.equation":
                    reads = any(keyword.arg == "evaluated" for keyword in mark.keywords)
                    for argument in mark.args:
                        yield ast.literal_eval(argument), mark.lineno, place, reads


def _modules(name: str, folder: Path) -> Iterator[_Module]:
    """The source files under a folder that cite or mark an equation."""
    for path in sorted(folder.rglob("*.py")):
        if _CARRIED in path.relative_to(folder).parts:
            continue  # the book in an installed package is not part of its code
        text = path.read_text(encoding="utf-8")
        if "Eq." in text or "mark.equation" in text:
            yield _read(_module_name(name, path.relative_to(folder)), path, text)


def _module_name(package: str, path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def locate(link: Link, sources: Sources) -> Place | None:
    """What a page links to, or None if it is not there.

    Parameters
    ----------
    link
        Its name is the dotted name of a function, a class, a method or a module, whole or from the
        module on, or the file's own name; its target is the file, from the book's folder.
    sources
        Where the files are.

    Returns
    -------
    Place or None
        The last definition of that name, or the whole file.
    """
    path = (sources.book / link.target).resolve()
    module = next(
        (
            _module_name(name, path.relative_to(folder.resolve()))
            for name, folder in _folders(sources)
            if path.is_relative_to(folder.resolve())
        ),
        None,
    )
    if module is None or not path.is_file():
        return None
    places = [place for place, _ in _read(module, path, path.read_text(encoding="utf-8")).places]
    if path.as_posix().endswith(f"/{link.name}"):
        return places[0]
    names = (link.name, f"{module}.{link.name}")
    return next((place for place in reversed(places) if place.name in names), None)


def _folders(sources: Sources) -> list[tuple[str, Path]]:
    return [
        *sources.packages.items(),
        ("examples", sources.examples),
        ("tests", sources.tests),
    ]
