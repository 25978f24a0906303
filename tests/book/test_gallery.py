"""The gallery keeps what the examples draw, and the book ships what its figures show."""

import importlib.util
import re

import numpy as np
import pytest
from PIL import Image

from minivae.equations import find_sources

SCRIPT = find_sources().book / "_ext" / "gallery.py"

DRAWS = "from pathlib import Path\nPath(__file__).with_suffix('.png').write_text('a picture')\n"


@pytest.fixture
def gallery():
    spec = importlib.util.spec_from_file_location("gallery", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_kept_and_old_ones_are_not(gallery, tmp_path, capsys):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "draws.py").write_text(DRAWS)
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "old.png").touch()
    assert gallery.main(tmp_path / "examples", tmp_path / "gallery") == 0
    assert [path.name for path in (tmp_path / "gallery").iterdir()] == ["draws.png"]
    assert sorted(path.name for path in (tmp_path / "examples").iterdir()) == ["draws.py"]
    assert "FAILED" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("example", "complaint"),
    [("x = 1\n", "it left no picture"), (DRAWS + "1 / 0\n", "ZeroDivisionError")],
)
def test_an_example_that_fails_or_draws_nothing_is_named(
    gallery, tmp_path, capsys, example, complaint
):
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "broken.py").write_text(example)
    assert gallery.main(tmp_path / "examples", tmp_path / "gallery") == 1
    output = capsys.readouterr().out
    assert "broken" in output
    assert "FAILED" in output
    assert complaint in output


def test_a_name_draws_that_example_alone(gallery, tmp_path, capsys):
    (tmp_path / "examples").mkdir()
    for name in ("one", "two"):
        (tmp_path / "examples" / f"{name}.py").write_text(DRAWS)
    assert gallery.main(tmp_path / "examples", tmp_path / "gallery", ["two"]) == 0
    assert [path.name for path in (tmp_path / "gallery").iterdir()] == ["two.png"]
    assert gallery.main(tmp_path / "examples", tmp_path / "gallery", ["three"]) == 1
    assert "there is no example three" in capsys.readouterr().out


def test_a_picture_is_shipped_with_its_dark_twin_and_its_script_s_digest(gallery, tmp_path):
    script, shipped = tmp_path / "draws.py", tmp_path / "pictures"
    script.write_text(DRAWS)
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:10] = 255
    pixels[10:, :10] = (200, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "draws.png")
    gallery.keep(tmp_path / "draws.png", script, shipped)
    light, dark = (
        np.asarray(Image.open(shipped / name).convert("RGB")).astype(int)
        for name in ("draws.png", "draws-dark.png")
    )
    np.testing.assert_array_equal(light, pixels)
    assert (abs(dark[0, 0] - 0.08 * 255) <= 2).all()  # what is white is dark
    assert (abs(dark[15, 20] - 0.92 * 255) <= 2).all()
    red, green, blue = dark[15, 5]
    assert red > green + 50  # and what is red stays red
    assert abs(green - blue) <= 2
    assert gallery.read_digests(shipped) == {"draws.png": gallery.digest(script)}


def test_the_digest_sees_what_can_change_the_picture_and_nothing_else(gallery, tmp_path):
    script = tmp_path / "draws.py"
    digests = []
    for text in (
        '"""It draws."""\n\nwidth = 3\n',
        '"""It draws,\n\nEq. KL.1."""\n# in inches\nwidth = 3\n',
        '"""It draws."""\n\ndef f():\n    """2."""\n    return 3\n',
        '"""It draws."""\n\ndef f():\n    """Two,\n\n    or 2.\n    """\n    return 3\n',
        '"""It draws."""\n\nwidth = 4\n',
    ):
        script.write_text(text)
        digests.append(gallery.digest(script))
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 3


def unshown(gallery, book):
    """The figures of a book that do not show the picture that their script draws."""
    shipped = book / "pictures"
    digests = gallery.read_digests(shipped)
    form = re.compile(
        r'<picture><source media="\(prefers-color-scheme: dark\)" srcset="pictures/(\w+)-dark'
        r'\.(png|gif)"><img src="pictures/\1\.\2" alt="[^"]+"></picture>'
    )
    for page in sorted(book.glob("[0-9][0-9]_*.md")):
        paragraphs = page.read_text(encoding="utf-8").split("\n\n")
        for before, figure in zip(["", *paragraphs], paragraphs, strict=False):
            if not (match := re.match(r"Figure: \[`examples/(\w+)\.py`\]", figure)):
                continue
            name = match[1]
            shown = form.fullmatch(before)
            if not shown or shown[1] != name:
                yield f"{page.name}: no <picture> of {name} before its figure"
                continue
            for file in (f"{name}.{shown[2]}", f"{name}-dark.{shown[2]}"):
                if not (shipped / file).is_file():
                    yield f"{page.name}: there is no pictures/{file}"
            script = book.parent / "examples" / f"{name}.py"
            if digests.get(f"{name}.{shown[2]}") != gallery.digest(script):
                yield f"{name}.py has changed: make gallery ARGS='--keep {name}'"


def test_every_figure_shows_the_picture_that_its_script_draws(gallery):
    assert "\n".join(unshown(gallery, find_sources().book)) == ""


def test_a_figure_without_its_picture_is_seen(gallery, small_book):
    book = small_book().sources.book
    page, script = book / "01_sums.md", book.parent / "examples" / "bars.py"
    picture = (
        '<picture><source media="(prefers-color-scheme: dark)" srcset="pictures/bars-dark.png">'
        '<img src="pictures/bars.png" alt="bars"></picture>\n\n'
    )
    assert "no <picture> of bars" in "".join(unshown(gallery, book))
    page.write_text(page.read_text().replace("Figure: ", picture + "Figure: "))
    assert "there is no pictures/bars-dark.png" in "".join(unshown(gallery, book))
    Image.new("RGB", (2, 2)).save(book.parent / "bars.png")
    gallery.keep(book.parent / "bars.png", script, book / "pictures")
    assert list(unshown(gallery, book)) == []
    script.write_text(script.read_text() + "width = 3\n")
    assert "bars.py has changed" in "".join(unshown(gallery, book))
