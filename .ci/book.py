"""Look at the built book in headless Chromium, and check that the look finds what is wrong.

Every page is opened at the width of a laptop and of a phone. No formula may be in error, cover its
number or stick out. What is narrower than the text stands within it, what is wider than a phone
says so, tables fit, long listings are folded there, and captions stand with their own picture.
Pictures are dark in the dark. The search finds a Chinese term. No page may scroll sideways or ask
another host for anything. Every link must lead to a page and an anchor that are there, and each
source that an equation leads to must lead back to it. A page with each of these faults is opened
too.
"""

import functools
import http.server
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image
from playwright.sync_api import Browser, Page, Route, TimeoutError, sync_playwright

BOOK = Path(__file__).parents[1] / "build" / "book"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (1280, 390)
DRAGGED = "02_kl_and_elbo.html"  # the page with a picture to drag
GLARE = 96  # of 255: a picture whose mean grey level is above this is not one for the dark

LOOK = """
async () => {
  if (window.MathJax) await MathJax.startup.promise;
  for (let i = 0; i < 100 && !document.documentElement.dataset.fitted; i++)
    await new Promise(done => setTimeout(done, 20));
  const faults = [];
  const wide = innerWidth > 1000;
  document.querySelectorAll('[data-mml-node="merror"], mjx-merror').forEach(error =>
    faults.push('TeX in error: ' + (error.getAttribute('data-mjx-error') || error.textContent)));
  document.querySelectorAll('.math').forEach(formula => {
    if (!formula.querySelector('mjx-container'))
      faults.push('not typeset: ' + formula.textContent.slice(0, 60));
  });
  document.querySelectorAll('.equation').forEach(equation => {
    const formula = equation.querySelector('.formula');
    const box = formula.getBoundingClientRect();
    const number = equation.querySelector('.number').getBoundingClientRect();
    const drawn = equation.querySelector('svg');
    const right = drawn ? Math.min(drawn.getBoundingClientRect().right, box.right) : 0;
    if (number.left < right && number.top < box.bottom && number.bottom > box.top)
      faults.push('number over formula: ' + equation.id);
  });
  if (wide) document.querySelectorAll('div.math').forEach(formula => {
    if (formula.scrollWidth > formula.clientWidth + 1) {
      const label = formula.closest('.equation');
      faults.push('formula ' + (formula.scrollWidth - formula.clientWidth) + ' px too wide: ' +
        (label || formula.closest('[id]') || formula).id);
    }
  });
  if (wide) document.querySelectorAll('pre').forEach(block => {
    if (block.scrollWidth > block.clientWidth + 1)
      faults.push('block sticks out: ' + block.textContent.slice(0, 60));
  });
  const visible = part => part && part.getBoundingClientRect().width > 0 &&
    part.getBoundingClientRect().left < innerWidth;
  if (document.querySelectorAll('article h2').length > 1 &&
      !visible(document.querySelector('.on-page')) && !visible(document.querySelector('.toc-tree')))
    faults.push('no contents of the page');
  document.querySelectorAll('article .math-wrapper, article figure img').forEach(part => {
    const beside = part.closest('.words') || part.closest('section');
    const text = beside && [...beside.children].find(child => child.tagName === 'P');
    if (!text) return;
    const drawn = part.querySelector('svg') || part;
    const box = drawn.getBoundingClientRect(), column = text.getBoundingClientRect();
    const off = (box.left + box.right - column.left - column.right) / 2;
    const out = Math.max(column.left - box.left, box.right - column.right);
    if (wide && (Math.abs(off) > 40 || out > 2))
      faults.push('outside the column by ' + Math.round(Math.max(Math.abs(off), out)) + ' px: ' +
        (part.closest('[id]') || part).id);
  });
  document.querySelectorAll('.table-wrapper').forEach(wrapper => {
    if (wrapper.scrollWidth > wrapper.clientWidth + 1)
      faults.push('table wider than the page: ' + wrapper.textContent.trim().slice(0, 40));
  });
  document.querySelectorAll('div.math, article pre').forEach(part => {
    if (part.scrollWidth > part.clientWidth + 2 && part.clientWidth &&
        !getComputedStyle(part).maskImage.includes('gradient'))
      faults.push('goes on to the right without a cue: ' + part.textContent.slice(0, 40));
  });
  if (!wide) document.querySelectorAll('details.listing[open]').forEach(listing => {
    if (listing.querySelectorAll('.row').length > 15)
      faults.push('a long listing is not folded: ' + listing.textContent.slice(0, 40));
  });
  document.querySelectorAll('article figure').forEach(figure => {
    const caption = figure.querySelector('figcaption'), picture = figure.querySelector('img');
    const next = figure.nextElementSibling;
    if (!caption || !picture || !next) return;
    const [a, b, c] = [picture, caption, next].map(part => part.getBoundingClientRect());
    if (c.top - b.bottom < 2 * (b.top - a.bottom))
      faults.push('a caption is as near to what follows: ' + caption.textContent.slice(0, 40));
  });
  [document.documentElement, document.querySelector('div.content')].forEach(part => {
    const over = part ? part.scrollWidth - part.clientWidth : 0;
    if (over > 0) faults.push('the page scrolls sideways by ' + over + ' px');
  });
  return faults;
}
"""


class Anchors(HTMLParser):
    """The links of a page, the anchors that others can lead to, and where its equations lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.leads: list[tuple[str, str]] = []  # an equation, and a source that it leads to
        self.equation = ""
        self.inside = 0  # divisions open since that with the leads of an equation
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag offers and asks for."""
        found = {name: value or "" for name, value in attrs}
        classes = found.get("class", "").split()
        if found.get("id"):
            self.ids.add(found["id"])
        if tag == "div":
            if "equation" in classes:
                self.equation = found.get("id", "")
            self.inside += bool(self.inside or "leads" in classes)
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
            if self.inside and "source" in classes and self.equation:
                self.leads.append((self.equation, found["href"]))

    def handle_endtag(self, tag: str) -> None:
        """Count the divisions that are left."""
        if tag == "div" and self.inside:
            self.inside -= 1
            if not self.inside:
                self.equation = ""


def lost_backlinks(book: Path) -> Iterator[str]:
    """Sources that an equation leads to and that do not lead back to it."""
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in book.rglob("*.html")}
    back = {
        (path.resolve(), (path.parent / urlsplit(link).path).resolve(), urlsplit(link).fragment)
        for path, page in pages.items()
        for link in page.links
    }
    for path, page in pages.items():
        for equation, link in page.leads:
            source = (path.parent / urlsplit(link).path).resolve()
            if (source, path.resolve(), equation) not in back:
                yield f"{path.name}: {equation} leads to {link}, which does not lead back"


def dead_links(book: Path) -> Iterator[str]:
    """Links of the built pages to a page or an anchor that is not there."""
    pages = {path: Anchors(path.read_text(encoding="utf-8")) for path in book.rglob("*.html")}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            where = urlsplit(link)
            name = path.relative_to(book)
            if where.scheme in ("http", "https"):
                continue  # a link to follow, not a request
            target = (path.parent / unquote(where.path)).resolve() if where.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(where.fragment)
            if not target.is_file():
                yield f"{name}: {link} leads nowhere"
            elif anchor and target in pages and anchor not in pages[target].ids:
                yield f"{name}: {link} has no such anchor"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not say what it serves."""

    def log_message(self, *message: object) -> None:
        """Say nothing."""


class Watched:
    """A page of a browser that notes what it asks other hosts for, and what its scripts raise."""

    def __init__(self, browser: Browser, width: int, home: str) -> None:
        self.home = home
        self.noted: list[str] = []
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.page.route("**/*", self.hold)
        self.page.on("pageerror", lambda error: self.noted.append(f"script: {error}"))

    def hold(self, route: Route) -> None:
        """Let a request through to this host only."""
        if route.request.url.startswith((self.home, "data:")):
            route.continue_()
        else:
            self.noted.append(f"asks for {route.request.url}")
            route.abort()

    def look(self, name: str) -> list[str]:
        """Open a page and say what is wrong with it."""
        self.noted.clear()
        self.page.goto(self.home + name)
        return list(dict.fromkeys([*self.page.evaluate(LOOK), *self.noted]))


def dark_faults(home: str, pages: list[str], browser: Browser) -> Iterator[str]:
    """Pictures that glare from a dark page."""
    context = browser.new_context(
        viewport={"width": WIDTHS[0], "height": 900}, color_scheme="dark", reduced_motion="reduce"
    )
    page = context.new_page()
    for name in pages:
        page.goto(home + name)
        for picture in page.query_selector_all("article figure img"):
            picture.scroll_into_view_if_needed()
            with Image.open(BytesIO(picture.screenshot())) as shot:
                grey = shot.convert("L").resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
            if grey > GLARE:
                yield f"{name} in the dark: a picture glares ({grey} of 255)"
    context.close()


def search_faults(home: str, browser: Browser) -> Iterator[str]:
    """Words of the glossary that the page's search does not find."""
    page = browser.new_page()
    for word in ("证据下界", "后验坍缩", "responsibility"):
        page.goto(f"{home}search.html?q={word}")
        try:
            page.wait_for_selector("ul.search a[href*=glossary]", timeout=10_000)
        except TimeoutError:
            yield f"the search does not find {word}"
    page.close()


def drag_faults(home: str, page: Page) -> Iterator[str]:
    """What is wrong with the picture whose q can be dragged, against what is known of it."""
    page.goto(f"{home}{DRAGGED}")
    picture = page.query_selector(".drag-q svg")
    if picture is None:
        yield "there is no q to drag"
        return

    def shown() -> dict[str, float]:
        spans = page.query_selector_all(".drag-q output span")
        return {str(s.get_attribute("data-name")): float(s.inner_text().split()[-1]) for s in spans}

    def is_near(expected: dict[str, float]) -> Iterator[str]:
        found = shown()
        for name, value in expected.items():
            if abs(found[name] - value) > 0.03:
                yield f"dragged q: {name} is {found[name]}, not {value}"
        if abs(found["ELBO"] + found["gap KL(q‖p)"] - found["log p(x)"]) > 0.011:
            yield "dragged q: the ELBO and its gap do not make up log p(x)"

    # on a hill, half of the mass is missed: log 2
    yield from is_near({"mean": 2.0, "gap KL(q‖p)": 0.69, "ELBO": -3.69})
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.7 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=5)
    page.mouse.up()
    page.fill(".drag-q input", "2.05")  # between both, as wide as p: its moments
    yield from is_near({"mean": 0.0, "scale": 2.05, "KL(p‖q)": 0.72})
    picture.focus()
    page.keyboard.press("ArrowLeft")
    yield from is_near({"mean": -0.1})


def faults(book: Path, pages: list[str], browser: Browser) -> Iterator[str]:
    """What is wrong with the pages as a browser shows them."""
    handler = functools.partial(Quiet, directory=str(book))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}/"
    for width in WIDTHS:
        watched = Watched(browser, width, home)
        for name in pages:
            yield from (f"{name} at {width} px: {fault}" for fault in watched.look(name))
        watched.page.close()
    chapters = [page for page in pages if not page.startswith("source/")]
    yield from dark_faults(home, chapters, browser)
    if (book / "search.html").is_file():
        yield from search_faults(home, browser)
    if (book / DRAGGED).is_file():
        for width in WIDTHS:
            page = browser.new_page(viewport={"width": width, "height": 900})
            yield from drag_faults(home, page)
            page.close()
    server.shutdown()


WHITE = (
    '<img alt="" width="300" height="200" src="data:image/svg+xml,%3Csvg '
    "xmlns='http://www.w3.org/2000/svg' width='300' height='200'%3E%3Crect width='300' "
    "height='200' fill='white'/%3E%3C/svg%3E\">"
)
GLARING = '<img style="filter:none"'
ROWS = '<span class="row">line</span>' * 20
BROKEN = {
    "TeX in error: Undefined": r'<div class="math">\[\undefined\]</div>',
    "TeX in error: Extra": r'<div class="math">\[\left( x\]</div>',
    "number over formula": '<div class="equation" id="X" style="display:block">'
    r'<div class="formula math">\[a + b + c + d + e\]</div><a class="number" '
    'style="position:absolute;left:50%;margin-top:-2rem">X</a></div>',
    "px too wide": r'<div class="math" style="width:3rem">\[a + b + c + d + e + f\]</div>',
    "block sticks out": f'<div class="highlight-text"><pre>{"long " * 300}</pre></div>',
    "the page scrolls sideways": '<div style="width:3000px">wide</div>',
    "asks for": '<img src="http://example.org/picture.png" alt="">',
    "not typeset": '<div class="math">no formula</div>',
    "leads nowhere": '<a href="nowhere.html">nowhere</a>',
    "has no such anchor": '<a href="#nowhere">nowhere</a>',
    "no contents of the page": "<section><h2>One</h2></section><section><h2>Two</h2></section>",
    "outside the column": '<section><p>A line of text.</p><figure style="margin:0 0 0 400px">'
    f"{WHITE}</figure></section>",
    "table wider than the page": '<div class="table-wrapper" style="overflow-x:auto">'
    '<table style="width:2000px"><tbody><tr><td>wide</td></tr></tbody></table></div>',
    "without a cue": r'<div class="math" style="width:3rem;overflow-x:auto;mask-image:none">'
    r"\[a + b + c + d + e + f\]</div>",
    "not folded": f'<details class="listing" open><summary>f</summary>{ROWS}</details><script>'
    "Object.defineProperty(document.querySelector('details.listing'), 'open', {value: true});"
    "</script>",
    "as near to what follows": f'<figure style="margin:0">{WHITE}<figcaption>A caption.'
    "</figcaption></figure><p>Text.</p>",
    "a picture glares": f'<figure style="filter:none">{WHITE.replace("<img", GLARING)}</figure>',
    "does not lead back": r'<div class="equation" id="X"><div class="formula math">\[a\]</div>'
    '<a class="number" href="#X">X</a></div><div class="leads container">'
    '<a class="source" href="index.html#L1">f</a></div>',
    "script:": "<script>throw new Error('broken')</script>",
}


def blind_to(browser: Browser) -> Iterator[str]:
    """The faults that are not found on a page that has them."""
    chapter = next(iter(sorted(BOOK.glob("[0-9][0-9]_*.html")))).read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        book = Path(folder)
        shutil.copytree(BOOK / "_static", book / "_static")
        chapter = re.sub(r"<article.*</article>", "<article>BROKEN</article>", chapter, flags=re.S)
        for fault, body in BROKEN.items():
            (book / "index.html").write_text(chapter.replace("BROKEN", body), encoding="utf-8")
            found = [*faults(book, ["index.html"], browser)]
            found += [dead for dead in dead_links(book) if "nowhere" in dead]
            found += lost_backlinks(book)
            if not any(fault in line for line in found):
                yield fault


def main() -> int:
    """Say what is wrong; the exit status is 1 if anything is."""
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        print("The book's check needs Chromium: apt install chromium fonts-liberation")
        return 1
    everything = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
    pages = [page for page in everything if not page.startswith(("source/", "_", "genindex"))]
    pages += [page for page in everything if page.startswith("source/")][:5]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        wrong = [*dead_links(BOOK), *lost_backlinks(BOOK), *faults(BOOK, pages, browser)]
        wrong += [f"the check is blind to: {fault}" for fault in blind_to(browser)]
        browser.close()
    print("\n".join(wrong))
    print(f"{len(pages)} pages in a browser, {len(everything)} by their links: {len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
