"""The gallery keeps what the examples draw, and says which of them failed."""

import importlib.util

import pytest

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
