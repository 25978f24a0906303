"""The Python of every chapter runs, and prints what the chapter says."""

import contextlib
import difflib
import doctest
import io
import itertools

import pytest

from minivae.equations import fences, find_sources

CHAPTERS = sorted(find_sources().book.glob("[0-9][0-9]_*.md"))


def differences(path):
    """Run a page's blocks in turn; what they print against what the page shows."""
    names = {"__name__": "__main__"}
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    blocks = list(fences(text))
    for block, after in itertools.zip_longest(blocks, blocks[1:]):
        if block.language != "python":
            continue
        end = block.line + block.body.count("\n") + 1
        directly = after is not None and not "".join(lines[end : after.line - 2]).strip()
        expected = after.body if directly and after.language == "text" else ""
        code = compile("\n" * (block.line - 1) + block.body, path.name, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(code, names)
        want, got = (
            "".join(f"{line.rstrip()}\n" for line in part.strip("\n").splitlines())
            for part in (expected, output.getvalue())
        )
        if not doctest.OutputChecker().check_output(want, got, doctest.ELLIPSIS):
            yield f"{path.name}:{block.line}: the page, then the code\n" + "\n".join(
                difflib.ndiff(want.splitlines(), got.splitlines())
            )


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_the_code_of_a_chapter_prints_what_it_says(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "\n".join(differences(path)) == ""


def page(tmp_path, *blocks):
    path = tmp_path / "page.md"
    path.write_text("\n\n".join(f"```{lang}\n{body}\n```" for lang, body in blocks))
    return path


def test_what_differs_is_seen(tmp_path):
    (difference,) = differences(page(tmp_path, ("python", "print(2)"), ("text", "3")))
    assert "- 3\n+ 2" in difference


def test_what_is_printed_and_not_shown_is_seen(tmp_path):
    assert len(list(differences(page(tmp_path, ("python", "print(2)"), ("math", "2"))))) == 1


def test_names_are_kept_and_an_ellipsis_stands_for_what_may_differ(tmp_path):
    blocks = [("python", "x = 2"), ("python", "print(x, id(x))"), ("text", "2 ...")]
    assert list(differences(page(tmp_path, *blocks))) == []


def test_an_error_is_not_caught_and_names_the_page_and_line(tmp_path):
    path = page(tmp_path, ("text", "no code"), ("python", "x = 1\n1 / 0"))
    with pytest.raises(ZeroDivisionError) as caught:
        list(differences(path))
    assert (str(caught.traceback[-1].path), caught.traceback[-1].lineno + 1) == ("page.md", 7)
