r"""The book's own part of Sphinx: equations, listings and figures tied to the code.

A page's form is in ``derivations/README.md``; what computes and checks an equation comes from
`minivae.equations`. Here are

- the reading of a chapter: its fences, ``Listing:`` and ``Figure:`` paragraphs become directives;
- the domain that makes ``Eq. LABEL`` a link, in chapters and in docstrings alike;
- the two columns, text and listings;
- a page for each source file that something points to, with a link back at each label;
- links from a chapter's first use of a term to the glossary, which is searched in Chinese, too.
"""

import html
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains import Domain, ObjType
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset
from sphinx.util.nodes import make_refnode

from minivae.equations import (
    LABEL,
    LINK,
    Equation,
    Link,
    Place,
    Registry,
    Term,
    fences,
    find_sources,
    locate,
    prose,
    read_registry,
    read_terms,
)

logger = logging.getLogger(__name__)

SOURCES = find_sources()
ROOT = SOURCES.book.parent
CHAPTER = re.compile(r"[0-9][0-9]_\w+")
SHOWN = 2


@cache
def registry() -> Registry:
    """What the files say, read once a build."""
    return read_registry(SOURCES)


@cache
def by_label() -> dict[str, Equation]:
    """The equations by label."""
    return {equation.label: equation for equation in registry().equations}


@cache
def terms() -> dict[str, Term]:
    """The glossary's terms by their anchors."""
    return {f"term-{re.sub('[^a-z]+', '-', t.name.lower())}": t for t in read_terms(SOURCES)}


# A chapter's Markdown ----------------------------------------------------------------------------


def read_chapter(app: Sphinx, docname: str, content: list[str]) -> None:
    """Turn the forms of a chapter into directives, keeping what they say."""
    if not CHAPTER.fullmatch(docname):
        return
    lines = content[0].splitlines()
    outside = prose(content[0]).splitlines()
    for fence in fences(content[0]):
        tag = re.search(rf"\\tag\{{({LABEL})\}}", fence.body)
        if fence.language == "math" and tag:
            lines[fence.line - 2] = f"```{{equation}} {tag[1]}"
    for i, line in enumerate(outside):
        if line.startswith("<picture>"):  # for who reads the file; the figure shows it here
            lines[i] = ""
        elif line.startswith("Listing:"):
            end = i
            while end < len(outside) and outside[end].strip():
                end += 1
            names = LINK.findall(" ".join(outside[i:end]))
            listed = [f"{name} {target}" for name, target in names]
            lines[i] = "\n".join(["```{listing}", *listed, "```"])
            lines[i + 1 : end] = [""] * (end - i - 1)
        elif match := re.match(rf"Figure: {LINK.pattern}\s*(.*)", line):
            end = i + 1
            while end < len(outside) and outside[end].strip():
                end += 1
            caption = "\n".join([match[3], *outside[i + 1 : end]])
            lines[i] = f"```{{example}} {match[2]}\n{caption}\n```"
            lines[i + 1 : end] = [""] * (end - i - 1)
        elif line:
            linked = LINK.sub(r"{source}`\1 \2`", lines[i])
            lines[i] = re.sub(r"\]\((\.\./[^)\s#]+\.md)\)", r"](path:\1)", linked)
    content[0] = "\n".join(lines) + "\n"


# Links to sources --------------------------------------------------------------------------------


def page_of(path: Path) -> str:
    """The page that shows a source file."""
    folders = [*SOURCES.packages.values(), SOURCES.examples, SOURCES.tests]
    for folder in folders:
        if path.is_relative_to(folder):
            return f"source/{path.relative_to(folder.parent).as_posix()}"
    raise ValueError(f"{path} is in no folder of the book's sources")


class source_link(nodes.Inline, nodes.TextElement):
    """A link to a line of a source page, which exists only in the built book."""


def link_to(place: Place, text: str) -> source_link:
    """A link to where an object is written."""
    link = source_link("", "", place=place)
    link += nodes.literal(text=text)
    return link


def visit_source_link(self: Any, node: source_link) -> None:
    """Open the link, relative to the page that it is on."""
    place: Place = node["place"]
    wanted(place.path)
    uri = self.builder.get_relative_uri(self.builder.current_docname, page_of(place.path))
    where = f"{page_of(place.path).removeprefix('source/')}:{place.line}"
    self.body.append(f'<a class="source" href="{uri}#L{place.line}" title="{where}">')


def depart_source_link(self: Any, node: source_link) -> None:
    """Close it."""
    self.body.append("</a>")


_wanted: set[Path] = set()


def wanted(path: Path) -> None:
    """Note that a page for this file is needed."""
    _wanted.add(path)


def source_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: Any, *rest: Any
) -> tuple[list[nodes.Node], list[Any]]:
    """A link in a sentence to an object of a source file."""
    shown, target = text.split()
    place = locate(Link(shown, target, lineno), SOURCES)
    if place is None:
        return [], [inliner.reporter.warning(f"there is no {shown} in {target}", line=lineno)]
    return [link_to(place, shown)], []


# Equations ---------------------------------------------------------------------------------------


class equation(nodes.General, nodes.Element):
    """A numbered formula: its number beside it, its links below."""


class EquationDirective(SphinxDirective):
    """A fence with a tag."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the formula and the links to its code and tests."""
        known = by_label()[self.arguments[0]]
        node = equation(label=known.label, tex=known.tex, ids=[known.label])
        node += leads(known)
        return [node]


def leads(known: Equation) -> nodes.container:
    """What computes an equation, what checks it and what draws it."""
    found = nodes.container(classes=["leads"])
    if known.definition:
        found += nodes.inline(text="not computed", classes=["definition"])
    elif known.unread:
        found += nodes.inline(text=f"not evaluated: {known.unread}", classes=["definition"])
    for what, table in (
        ("computed by", registry().functions),
        ("checked by", registry().tests),
        ("shown by", registry().figures),
    ):
        if places := table.get(known.label, ()):
            found += links(what, places)
    return found


class AllEquations(SphinxDirective):
    """Every equation of the book by its label, with its links."""

    def run(self) -> list[nodes.Node]:
        """Return a term for each, chapter by chapter."""
        found: list[nodes.Node] = []
        chapter = ""
        for known in registry().equations:
            if known.chapter != chapter:
                chapter = known.chapter
                found.append(nodes.rubric(text=chapter))
            term = nodes.paragraph("", f"Eq. {known.label}", nodes.Text(f", {known.section}"))
            found += [term, leads(known)]
        return found


def links(what: str, places: tuple[Place, ...]) -> nodes.container:
    """A line of links; beyond the first few they are folded. A test goes by its own name."""

    def name(place: Place) -> str:
        return place.name.rpartition(".")[2] if place.name.startswith("tests.") else place.name

    line = nodes.container(classes=["lead"])
    line += nodes.inline(text=what, classes=["what"])
    line += (items := nodes.container(classes=["items"]))
    shown = SHOWN if len(places) > SHOWN + 1 else len(places)
    items += [link_to(place, name(place)) for place in places[:shown]]
    if rest := places[shown:]:
        items += nodes.raw("", f"<details><summary>{len(rest)} more</summary>", format="html")
        items += [link_to(place, name(place)) for place in rest]
        items += nodes.raw("", "</details>", format="html")
    return line


def visit_equation(self: Any, node: equation) -> None:
    """The formula between MathJax's marks, and its number, which is a link to itself."""
    label = node["label"]
    self.body.append(
        f'<div class="equation" id="{label}"><div class="formula math notranslate nohighlight">'
        f"\\[{self.encode(node['tex'])}\\]</div>"
        f'<a class="number" href="#{label}" title="Link to this equation">{label}</a></div>\n'
    )


def depart_equation(self: Any, node: equation) -> None:
    """The links are the node's children, and stand below it."""


class EquationDomain(Domain):
    """``Eq. ELBO.4`` as a link, and the labels in the search."""

    name = "eq"
    label = "Equation"
    object_types = {  # noqa: RUF012
        "equation": ObjType("equation", "eq"),
        "term": ObjType("term", "term"),
    }

    def resolve_xref(
        self,
        env: Any,
        fromdocname: str,
        builder: Any,
        typ: str,
        target: str,
        node: pending_xref,
        contnode: nodes.Element,
    ) -> nodes.reference | None:
        """Link to the equation or term, or None, which -n makes an error."""
        if typ == "term":
            title = ", ".join(terms()[target].chinese)
            return make_refnode(builder, fromdocname, glossary(), target, contnode, title)
        known = by_label().get(target)
        if known is None:
            return None
        return make_refnode(builder, fromdocname, known.path.stem, target, contnode, known.section)

    def get_objects(self) -> Iterator[tuple[str, str, str, str, str, int]]:
        """What the search offers."""
        for known in registry().equations:
            yield known.label, known.label, "equation", known.path.stem, known.label, 1
        for anchor, term in terms().items():
            for name in (term.name, *term.chinese):
                shown = f"{term.name} ({', '.join(term.chinese)})"
                yield name, shown, "term", glossary(), anchor, 1

    def resolve_any_xref(self, *where: Any) -> list[Any]:
        """Nothing: a label is cited as ``Eq. LABEL`` and in no other way."""
        return []

    def merge_domaindata(self, docnames: Any, otherdata: Any) -> None:
        """Nothing: the data are the registry's."""


def link_citations(app: Sphinx, doctree: nodes.document) -> None:
    """Make each ``Eq. LABEL`` of a page's text a link."""
    citation = re.compile(rf"\b(Eq\.\s+)({LABEL})\b")
    closed = (nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.reference)
    for text in list(doctree.findall(nodes.Text)):
        parts = citation.split(text.astext())
        parent = text.parent
        if len(parts) == 1 or any(isinstance(a, closed) for a in ancestors(text)):
            continue
        new: list[nodes.Node] = []
        for i in range(0, len(parts) - 1, 3):
            new.append(nodes.Text(parts[i]))
            reference = pending_xref(
                "", refdomain="eq", reftype="eq", reftarget=parts[i + 2], refwarn=True,
                refdoc=app.env.docname,
            )  # fmt: skip
            reference += nodes.inline(text=f"Eq. {parts[i + 2]}", classes=["eq"])
            new.append(reference)
        new.append(nodes.Text(parts[-1]))
        parent.replace(text, new)


def glossary() -> str:
    """The name of the glossary's page."""
    return next(path.stem for path in SOURCES.book.glob("[0-9][0-9]_glossary.md"))


def link_terms(app: Sphinx, doctree: nodes.document) -> None:
    """Give the glossary's entries anchors, and make a chapter's first use of each a link."""
    if app.env.docname == glossary():
        for item in doctree.findall(nodes.list_item):
            name = item.next_node(nodes.strong)
            for anchor, term in terms().items():
                if name is not None and name.astext() == term.name:
                    item["ids"].append(anchor)
    elif CHAPTER.fullmatch(app.env.docname):
        waiting = {}
        for anchor, term in sorted(terms().items(), key=lambda each: -len(each[1].name)):
            words = r"\s+".join(map(re.escape, term.name.split()))
            waiting[anchor] = re.compile(rf"\b{words}s?\b", re.IGNORECASE)
        closed = (nodes.title, nodes.literal, nodes.literal_block, nodes.math, nodes.reference)
        closed += (nodes.math_block, nodes.caption, nodes.table, pending_xref)
        for text in list(doctree.findall(nodes.Text)):
            if not any(isinstance(a, closed) for a in ancestors(text)):
                text.parent.replace(text, [*with_terms(str(text), waiting, app.env.docname)])


def with_terms(
    text: str, waiting: dict[str, re.Pattern[str]], docname: str
) -> Iterator[nodes.Node]:
    """A text in pieces; the first use of each term that waits is a link, and waits no more."""
    found = ((anchor, pattern.search(text)) for anchor, pattern in waiting.items())
    anchor, match = next((each for each in found if each[1]), ("", None))
    if match is None:
        yield nodes.Text(text)
        return
    del waiting[anchor]
    yield from with_terms(text[: match.start()], waiting, docname)
    reference = pending_xref(
        "", refdomain="eq", reftype="term", reftarget=anchor, refwarn=True, refdoc=docname
    )
    reference += nodes.inline(text=match[0], classes=["term"])
    yield reference
    yield from with_terms(text[match.end() :], waiting, docname)


def keep_together(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the punctuation that follows a formula on the formula's line."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(siblings=True, descend=False)
        if isinstance(after, nodes.Text) and (marks := re.match(r"[.,;:!?)]+|-\w+", after)):
            whole = nodes.inline(classes=["together"])
            after.parent.replace(after, nodes.Text(after[marks.end() :]))
            formula.replace_self(whole)
            whole += [formula, nodes.Text(marks[0])]


def ancestors(node: nodes.Node) -> Iterator[nodes.Node]:
    """What a node is in, from the inside outwards."""
    while (node := node.parent) is not None:
        yield node


# Listings and figures ----------------------------------------------------------------------------


class listing(nodes.General, nodes.Element):
    """The source of an object, with the lines' own numbers."""


class ListingDirective(SphinxDirective):
    """A paragraph that begins with ``Listing:``."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return a listing for each line ``name path``."""
        found: list[nodes.Node] = []
        for line in self.content:
            name, target = line.split()
            place = locate(Link(name, target, self.lineno), SOURCES)
            if place is None:
                message = f"the listing's {name} is not in {target}"
                found.append(self.state.document.reporter.warning(message, line=self.lineno))
            else:
                found.append(listing(place=place))
        return found


def visit_listing(self: Any, node: listing) -> None:
    """The name, which leads to the file, and the lines."""
    place: Place = node["place"]
    wanted(place.path)
    lines = highlighted(self.builder, place.path)
    uri = self.builder.get_relative_uri(self.builder.current_docname, page_of(place.path))
    written = place.path.read_text(encoding="utf-8").splitlines()
    rows = []
    indent = len(written[place.line - 1]) - len(written[place.line - 1].lstrip())
    for number, plain in place.source():
        line = lines[number - 1]
        if closing := plain.removeprefix(written[number - 1].rstrip()).strip():
            line += f'<span class="sd">{html.escape(closing)}</span>'
        line = re.sub(rf"^((?:<span[^>]*>)?) {{{indent}}}", r"\1", line) if indent else line
        rows.append(numbered(number, line, f"{uri}#L{number}"))
    self.body.append(
        f'<details class="listing" open><summary class="title"><a class="source" '
        f'href="{uri}#L{place.line}"><code>{html.escape(place.name)}</code></a></summary>'
        f'<div class="highlight"><pre>{"".join(rows)}</pre></div></details>\n'
    )


def numbered(number: int, line: str, uri: str, anchor: str = "") -> str:
    """A line of a listing behind its number."""
    plain = re.sub(r"<[^>]+>", "", line)
    hang = min(len(plain) - len(plain.lstrip()), 12) + 4
    return (
        f'<span class="row"{anchor} style="--hang:{hang}ch"><a class="at" href="{uri}">{number}</a>'
        f'<span class="code">{line}\n</span></span>'
    )


def depart_listing(self: Any, node: listing) -> None:
    """It has no children."""


class ExampleDirective(SphinxDirective):
    """A paragraph that begins with ``Figure:``: an example's picture, and its caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the figure: the shipped picture and the caption."""
        script = (SOURCES.book / self.arguments[0]).resolve()
        if not script.is_file():
            return [self.state.document.reporter.warning(f"there is no {self.arguments[0]}")]
        place = Place(f"examples/{script.name}", script, 1, 1)
        shipped = SOURCES.book / "pictures" / script.stem
        found = (shipped.with_suffix(suffix) for suffix in (".png", ".gif"))
        picture = next((path for path in found if path.is_file()), None)
        if picture is None:
            missing = f"no picture of {script.name}: make gallery ARGS='--keep {script.stem}'"
            return [self.state.document.reporter.warning(missing)]
        caption = nodes.caption()
        text, _ = self.parse_inline("\n".join(self.content), lineno=self.lineno)
        caption += [*text, nodes.Text(" "), link_to(place, place.name)]
        figure = nodes.figure()
        figure += nodes.image(uri=f"/pictures/{picture.name}", alt=caption.astext())
        figure += caption
        return [figure]


# The page's contents and its two columns ----------------------------------------------------------


def on_page(app: Sphinx, doctree: nodes.document) -> None:
    """List the sections below a page's title."""
    page = doctree.next_node(nodes.section)
    sections = [part for part in page.children if isinstance(part, nodes.section)] if page else []
    if len(sections) < 2:
        return
    contents = nodes.paragraph(classes=["on-page"])
    for section in sections:
        link = nodes.reference(refid=section["ids"][0], internal=True)
        link += [child.deepcopy() for child in section.next_node(nodes.title).children]
        contents += [link, nodes.Text(" ")]
    page.insert(1, contents)


def two_columns(app: Sphinx, doctree: nodes.document) -> None:
    """Put each section's listings beside its text."""
    if not CHAPTER.fullmatch(app.env.docname):
        return
    for section in list(doctree.findall(nodes.section)):
        listings = [child for child in section.children if isinstance(child, listing)]
        if not listings:
            continue
        inner = [c for c in section.children if isinstance(c, nodes.section)]
        text = [c for c in section.children if c not in inner and c not in listings]
        row = nodes.container(classes=["beside"])
        row += nodes.container("", *text[1:], classes=["words"])
        row += nodes.container("", *listings, classes=["listings"])
        section.children = []
        section += [text[0], row, *inner]


# Source pages ------------------------------------------------------------------------------------


@cache
def highlighted(builder: Any, path: Path) -> list[str]:
    """A file's lines as HTML."""
    block = builder.highlighter.highlight_block(path.read_text(encoding="utf-8"), "python")
    inside = block[block.index("<pre>") + len("<pre>") : block.rindex("</pre>")]
    return inside.removeprefix("<span></span>").split("\n")


def linked(line: str, label: str, uri: str) -> str:
    """A line of HTML with ``label`` a link, whatever marks stand around it.

    Which lines cite what is the registry's to say. The marks are not read: how a highlighter cuts
    a line into pieces changes from one of its versions to the next.
    """
    found = rf"(?<![\w.&#]){re.escape(label)}(?![\w.]*\w)(?![^<]*>)"
    return re.sub(found, f'<a href="{uri}">{label}</a>', line)


def source_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file that something points to, numbered, its labels leading back."""
    for path in sorted(_wanted):
        page = page_of(path)
        lines = [*highlighted(app.builder, path)]
        for citation in registry().citations:
            known = by_label().get(citation.label)
            if citation.path != path or known is None:
                continue
            uri = f"{app.builder.get_relative_uri(page, known.path.stem)}#{known.label}"
            for i in range(citation.line - 1, min(citation.line + 1, len(lines))):
                if f'href="{uri}"' not in lines[i]:
                    lines[i] = linked(lines[i], known.label, uri)
                if f'href="{uri}"' in lines[i]:
                    break  # else 'Eq.' ends the line, and the label begins the next
        rows = [
            numbered(n, line, f"#L{n}", f' id="L{n}"') for n, line in enumerate(lines, start=1)
        ]
        title = page.removeprefix("source/")
        body = (
            f'<h1>{title}</h1><div class="listing whole"><div class="highlight">'
            f"<pre>{''.join(rows)}</pre></div></div>"
        )
        yield page, {"title": title, "body": body}, "page.html"


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    """Copy the one file of MathJax that is used."""
    spec = find_spec("sphinx-mathjax-offline")
    if exception is None and app.builder.format == "html" and spec and spec.origin:
        file = Path(spec.origin).parent / "static" / "mathjax" / app.config.mathjax_path
        copy_asset(file, app.outdir / "_static", force=True)


def check_labels(app: Sphinx) -> None:
    """Complain of what two fences claim."""
    seen: set[str] = set()
    for known in registry().equations:
        if known.label in seen:
            logger.warning("two equations have the tag %s", known.label, location=str(known.path))
        seen.add(known.label)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect it all."""
    app.add_node(equation, html=(visit_equation, depart_equation))
    app.add_node(listing, html=(visit_listing, depart_listing))
    app.add_node(source_link, html=(visit_source_link, depart_source_link))
    app.add_directive("equation", EquationDirective)
    app.add_directive("all-equations", AllEquations)
    app.add_directive("listing", ListingDirective)
    app.add_directive("example", ExampleDirective)
    app.add_role("source", source_role)
    app.add_domain(EquationDomain)
    app.connect("builder-inited", check_labels)
    app.connect("source-read", read_chapter)
    app.connect("doctree-read", link_citations)
    app.connect("doctree-read", link_terms)
    app.connect("doctree-read", keep_together)
    app.connect("doctree-read", on_page)
    app.connect("doctree-read", two_columns)
    app.connect("html-collect-pages", source_pages)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
