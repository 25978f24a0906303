"""A class: folders that are marked, files that are believed, damage that is listed."""

import csv
import json
import os
import shutil
from pathlib import Path

import pytest

from cli.conftest import minivae  # noqa: F401, a fixture
from minivae.exercises import catalogue, find
from minivae.exercises.classroom import PASSED, SHOWN, TRIED, collect, mark
from minivae.exercises.folder import Folder

SOME = tuple(find(number) for number in (1, 5, 13))


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """A class of four, one of them damaged, and a folder with nothing in it."""
    root = tmp_path_factory.mktemp("class")
    base = Folder.start(tmp_path_factory.mktemp("base") / "exercises").path
    for name in ("ada", "emmy", "mallory", "=cmd()"):
        inside = "nested" if name == "emmy" else ""
        shutil.copytree(base, root / name / inside, dirs_exist_ok=True)
    for name in ("ada", "mallory"):
        for exercise in SOME:
            (root / name / exercise.file).write_text(exercise.solved, encoding="utf-8")
    for name in ("emmy/nested", "=cmd()"):
        (root / name / find(1).file).write_text(find(1).filled("return g * x, g * y"))
    Folder(root / "emmy" / "nested").give_up(find(5))
    (root / "mallory" / find(5).file).write_bytes(b"\xff\xfe\x00")
    (root / "mallory" / "progress.json").write_bytes(b"\x00" * 40)
    (root / "nobody").mkdir()
    return root


def test_folders_are_marked_and_damage_is_listed(handed_in):
    found = mark(handed_in, SOME)
    states = {student.name: student.states for student in found.students}
    assert states["ada"] == {"01": PASSED, "05": PASSED, "13": PASSED}
    assert states["emmy"] == {"01": TRIED, "05": SHOWN}
    assert states["mallory"] == {"01": PASSED, "05": TRIED, "13": PASSED}
    damaged = dict(found.damaged)
    assert set(damaged) == {"nobody", "mallory/progress.json", "mallory/05_matmul.py"}
    assert "not text in UTF-8" in damaged["mallory/05_matmul.py"]
    count, diagnosis = found.commonest(find(1))
    assert count == 2
    assert "exchanged" in diagnosis
    assert found.share(find(1)) == 2


def test_a_marked_class_is_printed_drawn_and_written(handed_in, tmp_path, minivae, monkeypatch):  # noqa: F811
    monkeypatch.setattr("minivae.cli.exercise.catalogue", lambda *path: SOME)
    monkeypatch.chdir(tmp_path)
    out = Path("class.png")  # a line that names a file is as long as its path
    status, said, _ = minivae("exercise", "class", str(handed_in), "--out", str(out))
    assert status == 0
    assert "2 times:  The gradient of x is exchanged" in " ".join(said.split(" "))
    assert "nobody: it holds no exercises" in said
    assert max(map(len, said.splitlines()[:-1])) <= 80
    assert out.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.reader(out.with_suffix(".csv").read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["student", "passed", "01", "05", "13"]
    assert rows[1] == ["ada", "3", "passed", "passed", "passed"]
    assert "'=cmd()" in [row[0] for row in rows]
    page = out.with_suffix(".html").read_text(encoding="utf-8")
    assert "http" not in page
    assert "nobody: it holds no exercises" in page
    assert page.count('<td class="s') == 4 * len(SOME)


def test_progress_of_any_encoding_is_believed_and_the_rest_is_listed(tmp_path):
    progress = {"exercises": {"01": {"passed": "now", "checks": 2}, "05": {"checks": 1,
                "last": "The \x1b[2Jsign"}}}  # fmt: skip
    text = json.dumps(progress)
    (tmp_path / "ada.json").write_bytes(text.encode("utf-16"))
    (tmp_path / "emmy.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "ada.json").write_text(text)
    for name, content in {"list": b"[]", "empty": b"", "deep": b"[" * 100_000,
                          "odd": b'{"exercises": {"01": 5}}'}.items():  # fmt: skip
        (tmp_path / f"{name}.json").write_bytes(content)
    found = collect(tmp_path, SOME)
    assert [student.name for student in found.students] == ["ada", "emmy"]
    assert found.students[0].states == {"01": PASSED, "05": TRIED}
    assert found.students[0].wrong == {"05": "The \\x1b[2Jsign"}
    damaged = {os.path.basename(where) for where, _ in found.damaged}
    assert damaged == {"ada.json", "list.json", "empty.json", "deep.json", "odd.json"}


def test_exercises_of_ones_own(tmp_path, minivae, monkeypatch):  # noqa: F811
    problems = tmp_path / "problems"
    problems.mkdir()
    source = find(1).text.replace("01 The VJP", "07 My VJP")
    (problems / "07_mine.py").write_text(source, encoding="utf-8")
    mine = tmp_path / "mine"
    assert minivae("exercise", "start", str(mine), "--from", str(problems))[0] == 0
    monkeypatch.chdir(mine)
    assert minivae("exercise", "check", "07")[0] == 1
    assert minivae("exercise", "check", "01")[0] == 2
    exercise = Folder(mine).exercises()[0]
    (mine / "07_mine.py").write_text(exercise.solved, encoding="utf-8")
    status, out, _ = minivae("exercise", "check", "07_mine.py")
    assert status == 0
    assert out.startswith("PASS  07  My VJP of multiply")
    assert len(catalogue()) >= 30
