"""A student's folder and the commands that work in it."""

import errno
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from cli.conftest import environment, minivae, start  # noqa: F401, a fixture
from minivae.exercises import catalogue, find, judge, judge_file
from minivae.exercises.folder import Folder
from minivae.exercises.running import read_text


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory):
    """A folder of exercises; not to be changed."""
    return Folder.start(tmp_path_factory.mktemp("exercises") / "mine").path


@pytest.fixture
def folder(handed_out, tmp_path, monkeypatch):
    """A copy of it, which is the current folder."""
    path = shutil.copytree(handed_out, tmp_path / "mine")
    monkeypatch.chdir(path)
    return Folder(path)


@pytest.fixture
def at_once(monkeypatch):
    """Checks run in this process, which takes a second less each."""

    def judge_here(jobs, limit):
        for job in jobs:
            yield job, judge(job.exercise, read_text(job.path), str(job.path), job.salt)

    monkeypatch.setattr("minivae.exercises.folder.judge_files", judge_here)


def answer(folder, number, body):
    exercise = find(number)
    (folder.path / exercise.file).write_text(exercise.filled(body), encoding="utf-8")


def solve(folder, number):
    answer(folder, number, find(number).solution)


def test_a_student_goes_from_a_hole_to_a_pass(folder, minivae):  # noqa: F811
    status, out, _ = minivae("exercise", "next")
    assert status == 0
    assert "01 The VJP of multiply" in out
    assert "minivae exercise check 01" in out
    assert minivae("exercise", "check", "01")[0] == 1
    answer(folder, 1, "return g * y, -g * x")
    status, out, _ = minivae("exercise", "check", "1")
    assert status == 1
    lines = find(1).as_shipped.splitlines()
    line = next(n for n, text in enumerate(lines, 1) if "NotImplementedError" in text)
    wrong = "The gradient of y has the wrong sign"
    hole, rest = f"01_multiply.py:{line}", ("(3, 4)", "ratio", "Equation AD.2")
    for part in (hole, wrong, *rest, "minivae exercise hint 01"):
        assert part in out
    assert "Traceback" not in out
    assert minivae("exercise", "solution", "01")[0] == 2
    solve(folder, 1)
    assert minivae("exercise", "check", "01_multiply.py")[0] == 0
    assert "g * y, g * x" in minivae("exercise", "solution", "01")[1]
    assert f"1 of {len(catalogue())}" in minivae("exercise", "progress")[1]
    assert "02 The adjoint" in minivae("exercise", "next")[1]
    assert minivae("exercise", "list")[1].startswith("done  01")


def test_verdicts_are_json_too(folder, at_once, minivae):  # noqa: F811
    answer(folder, 1, "return g * z, g * x")
    status, out, _ = minivae("exercise", "check", "01", "02", "--json")
    first, second = json.loads(out)
    assert (status, first["kind"], second["kind"]) == (1, "error", "todo")
    collected = json.loads(minivae("exercise", "progress", "--json")[1])
    assert collected["exercises"]["01"]["checks"] == 1
    assert collected["passed"] == 0
    assert json.loads(minivae("exercise", "list", "--json")[1])[0]["exercise"] == "01"


@pytest.mark.filterwarnings("always:.*progress.json cannot be written")
def test_what_cannot_be_noted_is_said(folder, at_once, minivae, monkeypatch):  # noqa: F811
    def refuse(path, write):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    solve(folder, 1)
    monkeypatch.setattr("minivae.exercises.folder.atomic_write", refuse)
    for arguments, word in ((("check", "01"), "PASS"), (("hint", "02"), "Hint 1 of")):
        status, out, err = minivae("exercise", *arguments)
        assert status == 0
        assert word in out
        assert "progress.json cannot be written, so this is not noted" in err


def test_hints_come_one_at_a_time(folder, minivae):  # noqa: F811
    found = [minivae("exercise", "hint", "05")[1].splitlines()[0] for _ in range(4)]
    assert [line[:11] for line in found] == ["Hint 1 of 3", "Hint 2 of 3", *["Hint 3 of 3"] * 2]


def test_reset_loses_nothing(folder, minivae):  # noqa: F811
    path = folder.path / "01_multiply.py"
    for text in ("mine\n", "mine again\n"):
        path.write_text(text, encoding="utf-8")
        assert "yours is kept" in minivae("exercise", "reset", "01")[1]
        assert path.read_text(encoding="utf-8") == find(1).as_shipped
    kept = sorted(folder.path.glob("01_multiply.mine*"))
    assert [file.read_text(encoding="utf-8") for file in kept] == ["mine\n", "mine again\n"]
    minivae("exercise", "reset", "01")
    assert len(list(folder.path.glob("01_multiply.mine*"))) == 2
    path.unlink()
    assert minivae("exercise", "check", "01")[0] == 2
    assert minivae("exercise", "reset", "01")[0] == 0
    assert path.exists()


def test_a_solution_is_shown_to_those_who_give_up(folder, minivae):  # noqa: F811
    status, _, err = minivae("exercise", "solution", "07")
    assert status == 2
    assert "--give-up" in err
    assert minivae("exercise", "solution", "07", "--give-up")[0] == 0
    assert folder.progress()["exercises"]["07"]["gave_up"]


def test_an_endless_loop_ends(folder):
    answer(folder, 1, "while True:\n    pass")
    begun = time.monotonic()
    verdict = judge_file(find(1), folder.path / "01_multiply.py", 0.5)
    assert verdict.kind == "timeout"
    assert "did not end within 0.5 seconds: an endless loop, at line " in verdict.diagnosis
    assert time.monotonic() - begun < 8


def test_a_process_that_dies_gets_a_sentence(folder):
    answer(folder, 1, "import os\nos._exit(3)")
    verdict = judge_file(find(1), folder.path / "01_multiply.py")
    assert verdict.kind == "error"
    assert "ended with status 3" in verdict.diagnosis


def test_a_thread_that_an_answer_leaves_behind_holds_nobody_up(folder):
    thread = """import threading, time
if threading.active_count() == 1:  # once: the check calls this many times
    threading.Thread(target=time.sleep, args=(60,)).start()"""
    answer(folder, 1, f"{thread}\nreturn g * y, g * x")
    begun = time.monotonic()
    assert judge_file(find(1), folder.path / "01_multiply.py").kind == "pass"
    assert time.monotonic() - begun < 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_process_that_an_answer_leaves_behind_is_ended(folder, tmp_path):
    beats = tmp_path / "beats"
    fork = f"""import os, time
if not os.path.exists({str(beats)!r}):  # once: the check calls this many times
    open({str(beats)!r}, "w").close()
    if os.fork() == 0:
        while True:
            open({str(beats)!r}, "a").write(".")
            time.sleep(0.01)"""
    answer(folder, 1, f"{fork}\nreturn g * y, g * x")
    begun = time.monotonic()
    assert judge_file(find(1), folder.path / "01_multiply.py").kind == "pass"
    assert time.monotonic() - begun < 8
    time.sleep(0.1)
    before = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == before


def test_a_byte_order_mark_is_no_mistake(folder):
    solve(folder, 1)
    path = folder.path / "01_multiply.py"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert judge_file(find(1), path).kind == "pass"


def test_an_edit_of_the_wrong_place_is_noticed(folder, minivae):  # noqa: F811
    path = folder.path / "01_multiply.py"
    text = find(1).filled("return g * x, g * y").replace("np.multiply(x, y)", "x + y")
    path.write_text(text, encoding="utf-8")
    out = minivae("exercise", "check", "01")[1]
    assert "exchanged" in out
    assert "Lines outside the hole were changed" in out
    path.write_text(find(5).solved, encoding="utf-8")
    out = minivae("exercise", "check", "01")[1]
    assert "The file has no multiply_vjp" in out
    path.write_bytes(b"\xff\xfe\x00")
    out = minivae("exercise", "check", "01")[1]
    assert "not text in UTF-8" in out
    assert "mark the hole" not in out


def test_the_screen_is_one_screen_even_when_much_goes_wrong(folder, at_once, minivae):  # noqa: F811
    answer(folder, 9, "print('a' * 300 + '\\n' * 50)\nraise ValueError('b ' * 4000)")
    out = minivae("exercise", "check", "09")[1]
    assert len(out.splitlines()) < 24
    assert max(map(len, out.splitlines())) <= 80
    assert "Traceback" in minivae("exercise", "check", "09", "-v")[1]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("check 99", "there is no exercise 99; they run from 01 to "),
        ("check x", "there is no exercise x"),
        ("chekc", "invalid choice: 'chekc'"),
        ("start .", "it was started already"),
        ("class .", "has no folders with exercises"),
    ],
)
def test_refusals_are_one_line(folder, minivae, arguments, complaint):  # noqa: F811
    if "class" in arguments:
        (folder.path / "bad.json").write_text("[]", encoding="utf-8")
    status, _, err = minivae("exercise", *arguments.split())
    assert status == 2
    assert any(part in err for part in complaint.split("|"))
    assert err.count("\n") == 1


def test_outside_a_folder_of_exercises(tmp_path, monkeypatch, minivae):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    for command in ("check", "next", "list", "progress"):
        status, _, err = minivae("exercise", command)
        assert status == 2
        assert "minivae exercise start DIR" in err
    (tmp_path / "progress.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in minivae("exercise", "list")[2]


@pytest.mark.slow
def test_pytest_gives_the_same_verdicts(folder):
    solve(folder, 1)
    answer(folder, 13, "return -0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "01 or 13"]
    found = subprocess.run(
        command, cwd=folder.path, env=environment(), capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert "1 failed, 1 passed" in found.stdout
    assert "The result has the wrong sign" in found.stdout
    assert folder.passed(find(1))


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process elsewhere")
def test_watch_checks_what_is_saved(folder):
    import signal

    process = start("exercise", "watch", cwd=folder.path)
    try:
        while "minivae exercise check 01" not in process.stdout.readline():
            pass
        time.sleep(0.5)
        answer(folder, 3, "return []")
        while not (line := process.stdout.readline()).startswith("WRONG"):
            pass
        assert "03" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_class_is_drawn(folder, at_once, minivae):  # noqa: F811
    collected = folder.path / "collected"
    collected.mkdir()
    solve(folder, 1)
    folder.check(find(1))
    folder.give_up(find(2))
    solve(folder, 2)
    folder.check(find(2))
    for name in ("ada", "emmy", r"$\frac$"):
        (collected / f"{name}.json").write_text(json.dumps(folder.progress()), encoding="utf-8")
    status, out, err = minivae("exercise", "class", "collected", "--out", "class.png")
    assert (status, err) == (0, "")
    assert f" 1 of {len(catalogue())}" in out
    assert (folder.path / "class.png").read_bytes().startswith(b"\x89PNG")
    (collected / "again").mkdir()
    (collected / "again" / "ada.json").write_text(json.dumps(folder.progress()), encoding="utf-8")
    status, out, err = minivae("exercise", "class", "collected", "--out", "class.png")
    assert (status, err) == (0, "")
    assert "there is another ada" in " ".join(out.split())


def test_the_files_are_handed_out_as_they_are_cut(folder):
    for exercise in catalogue():
        text = (folder.path / exercise.file).read_text(encoding="utf-8")
        assert "the author's half" not in text
        assert exercise.solution not in text


def test_an_equations_code_is_kept_from_those_who_have_not_passed(folder, at_once, minivae):  # noqa: F811
    status, out, _ = minivae("eq", "KL.5")
    assert status == 0
    assert "KL(N(" in out
    assert "def kl_divergence" not in out
    given_away = minivae("eq", "KL.5", "--code")[1]
    answers = [each.number for each in catalogue() if "KL.5" in each.equations]
    assert f"would give away exercise {' and '.join(answers)}" in " ".join(given_away.split())
    assert {"13", "27", "30"} <= {*answers}
    assert "def " not in given_away
    for number in map(int, answers):
        solve(folder, number)
        folder.check(find(number))
    assert "def kl_divergence" in minivae("eq", "KL.5", "--code")[1]


def test_all_are_checked_at_once_and_untouched_ones_cost_nothing(folder, minivae):  # noqa: F811
    solve(folder, 1)
    answer(folder, 13, "return mu")
    begun = time.monotonic()
    status, out, err = minivae("exercise", "check")
    assert time.monotonic() - begun < 8
    assert status == 1
    assert f"Checking {len(catalogue())} exercises" in err
    words = [line.split()[0] for line in out.splitlines() if line[8:10].isdigit()]
    assert (words[0], words[12], words[1]) == ("pass", "WRONG", "-")
    assert f"1 of {len(catalogue())} pass" in out
    (folder.path / find(2).file).unlink()
    out = minivae("exercise", "check")[1]
    assert "The file is not there" in out


@pytest.mark.skipif(os.name != "posix", reason="there are no terminals to play with")
def test_watch_has_keys_and_sees_what_goes(folder):
    import pty
    import select

    lead, follow = pty.openpty()
    command = [sys.executable, "-m", "minivae", "exercise", "watch"]
    process = subprocess.Popen(
        command, cwd=folder.path, env=environment(), stdin=follow, stdout=follow, stderr=follow
    )
    os.close(follow)
    seen = ""

    def until(text):
        nonlocal seen
        limit = time.monotonic() + 60
        while text not in seen and time.monotonic() < limit:
            if select.select([lead], [], [], 0.2)[0]:
                seen += os.read(lead, 65536).decode()
        assert text in seen
        seen = seen.partition(text)[2]

    try:
        until("Watching mine")
        until("n next   h hint   l list   q quit")
        solve(folder, 1)
        until("Checking 01_multiply.py ...")
        until("PASS  01")
        until(f"1 of {len(catalogue())} have passed")
        os.write(lead, b"n")
        until("02 The adjoint of broadcasting")
        os.write(lead, b"h")
        until("Hint 1 of 3, exercise 02")
        os.write(lead, b"l")
        until("done  01")
        (folder.path / find(5).file).unlink()
        until("05_matmul.py is gone")
        os.write(lead, b"q")
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(lead)
