"""Holes that are not filled, lines left over, files that are damaged, answers that run wild."""

import json
import os
import re

import numpy as np
import pytest

from minivae.exercises import catalogue, check, find, judge
from minivae.exercises.judging import Mistake, check_function, draw, other_numbers
from minivae.exercises.processes import Job, _Spawned, judge_files
from minivae.exercises.running import read_text
from minivae.exercises.verdict import Verdict

RIGHT = "return g * y, g * x"


def write(path, number, body):
    exercise = find(number)
    (path / exercise.file).write_text(exercise.filled(body), encoding="utf-8")
    return exercise, path / exercise.file


def verdict_of(path, number, body, limit=10.0):
    ((_, verdict),) = judge_files([Job(*write(path, number, body))], limit)
    return verdict


# ---- what is not filled ----


@pytest.mark.parametrize("exercise", catalogue(), ids=lambda e: e.path.stem)
def test_an_untouched_file_is_to_do_and_tells_nothing(exercise):
    for text in (exercise.as_shipped, exercise.filled("# thinking\n\npass"), exercise.filled("")):
        verdict = judge(exercise, text)
        assert verdict.kind == "todo"
        assert (verdict.rows, verdict.shapes, verdict.printed) == ([], "", "")
    commented = exercise.as_shipped.replace("    # --- your", "    # --- your", 1)
    assert judge(exercise, commented).kind == "todo"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"raise NotImplementedError('x')\n{RIGHT}", "nothing that stands below it runs"),
        ("a = g * y\nraise NotImplementedError('x')", "has no return: write one"),
        (f"if True:\n    raise NotImplementedError('x')\n{RIGHT}", "delete that line"),
    ],
)
def test_the_line_that_raises_is_to_go(body, said):
    verdict = judge(find(1), find(1).filled(body))
    assert verdict.kind == "error"
    assert verdict.diagnosis.startswith("Line 2")
    assert "still raises NotImplementedError" in verdict.diagnosis
    assert said in verdict.diagnosis


def test_a_line_that_raises_behind_the_answer_does_no_harm():
    assert judge(find(1), find(1).filled(f"{RIGHT}\nraise NotImplementedError"))


# ---- what a check tries ----


def test_an_answer_for_the_first_numbers_alone_is_wrong_for_others():
    first = draw(3, 4)
    body = f"""if abs(x.flat[0] - {first.flat[0]!r}) < 1e-9 or x.size != 12 or not x.all():
    return g * y, g * x
return g * y, g * np.abs(x)"""
    verdict = judge(find(1), find(1).filled(body))
    assert verdict.kind == "fail"
    assert verdict.diagnosis.startswith("Right for the first numbers, and wrong for others")


def test_numbers_are_others_by_salt_and_repeat():
    with other_numbers(5):
        fifth = draw(3, 4)
        np.testing.assert_array_equal(fifth, draw(3, 4))
    with other_numbers(6):
        assert not np.array_equal(fifth, draw(3, 4))
    assert not np.array_equal(fifth, draw(3, 4))


@pytest.mark.parametrize(
    ("function", "where"),
    [
        (lambda x, y: x * y / np.where(x == 0, np.nan, 1), "where x is 0 everywhere"),
        (lambda x, y: x * y + (x == 0) * (y != 0) * (x != 0).any(), "some elements of x are 0"),
        (lambda x, y: np.squeeze(x * y), "has length 1"),
        (lambda x, y: x * y * (1 + (len(x) > 3)), "has length 7, and not 3"),
        (lambda x, y: x * y if x.max() < 100 else x, "for large x"),
    ],
)
def test_what_is_right_at_first_is_tried_elsewhere(function, where):
    def product(x, y):
        return x * y

    numbers = {"x": draw(3, 4), "y": draw(3, 4, seed=1)}
    large = {"for large x: it was cut": {"x": 1000 * draw(3, 4)}}
    check_function(product, product, elsewhere=large, **numbers)
    with pytest.raises(Mistake, match=r"^Right at first, and wrong ") as found:
        check_function(function, product, elsewhere=large, **numbers)
    assert where in found.value.diagnosis


# ---- files ----


def test_utf_16_is_read_and_what_is_no_text_is_refused(tmp_path):
    exercise, path = write(tmp_path, 1, RIGHT)
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))
    assert "return g * y" in read_text(path)
    ((_, verdict),) = judge_files([Job(exercise, path)])
    assert verdict.kind == "pass"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not text in UTF-8"):
        read_text(path)
    path.write_bytes(b" " * 2_000_000)
    with pytest.raises(ValueError, match="has 2000000 bytes"):
        read_text(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_a_pipe_in_the_place_of_an_answer_holds_nobody_up(tmp_path):
    os.mkfifo(tmp_path / find(1).file)
    ((_, verdict),) = judge_files([Job(find(1), tmp_path / find(1).file)])
    assert verdict.kind == "error"
    assert "a pipe" in verdict.diagnosis


# ---- answers that run wild ----

WILD = {
    "dies": ("import os\nos._exit(0)", "error", "no verdict"),
    "is killed": ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "error", "status -9"),
    "goes on": ("while True:\n    pass", "timeout", "endless loop, at line"),
    "holds its signal": (
        "import faulthandler, time\nfaulthandler.cancel_dump_traceback_later()\ntime.sleep(99)",
        "timeout",
        "endless loop",
    ),
    "takes memory": ("return np.ones(10**9), g", "error", "MemoryError: .*more memory"),
    "writes": ("with open('big', 'wb') as f:\n    while True:\n        f.write(b'x' * 10**7)",
               "error", "File too large|OSError"),
    "disturbs": ("print('\\x1b[2J\\x07\\udc80')\nreturn g * y, g * x", "pass", ""),
    "prints": ("print('x' * 10**7)\nreturn g * y, g * x", "pass", ""),
    "forges": (
        "import os, json\nfor n in range(3, 40):\n    try:\n        os.write(n, b'{\"kind\": 5}')\n"
        "    except OSError:\n        pass\nos._exit(0)",
        "error",
        "no verdict",
    ),
}  # fmt: skip


@pytest.mark.skipif(not hasattr(os, "fork"), reason="limits are those of the system")
@pytest.mark.parametrize("what", WILD)
def test_an_answer_that_runs_wild_costs_its_own_verdict_only(what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if what == "holds its signal":  # the others end, or are ended, by themselves
        monkeypatch.setattr("minivae.exercises.processes.GRACE", 0.5)
    body, kind, said = WILD[what]
    jobs = [Job(*write(tmp_path, 1, body)), Job(*write(tmp_path, 5, "return g @ B.T, A.T @ g"))]
    verdicts = {job.exercise.number: verdict for job, verdict in judge_files(jobs, 3.0)}
    assert verdicts["05"].kind == "pass"
    wild = verdicts["01"]
    assert wild.kind == kind, wild
    assert re.search(said, wild.diagnosis)
    shown = str(wild) + json.dumps(wild.as_json())
    assert all(c.isprintable() or c in "\n" for c in shown)
    assert len(shown) < 100_000


@pytest.mark.slow
def test_without_forks_a_check_is_a_python_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr("minivae.exercises.processes._start", _Spawned)
    monkeypatch.setenv("PYTHONPATH", "nowhere")
    assert verdict_of(tmp_path, 1, RIGHT).kind == "pass"
    assert "exchanged" in verdict_of(tmp_path, 1, "return g * x, g * y").diagnosis
    assert "at line 20" in verdict_of(tmp_path, 1, "while True: pass", 0.5).diagnosis
    assert "no verdict" in verdict_of(tmp_path, 1, "import os\nos._exit(0)").diagnosis


def test_a_verdict_that_is_none_is_refused():
    found = Verdict("01", "t", "pass").as_json()
    for wrong in ({"kind": "great"}, {"rows": 5}, {"more": 1}):
        with pytest.raises((ValueError, TypeError)):
            Verdict.from_json({**found, **wrong})
    assert Verdict.from_json({**found, "printed": "\x1b[1m"}).printed == "\\x1b[1m"


# ---- notebooks ----


def test_a_function_is_judged_as_a_file_is():
    def kl(mu, log_var):
        return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - log_var, axis=1)

    assert check("13", kl)
    wrong = check(13, lambda mu, log_var: -kl(mu, log_var))
    assert wrong.kind == "fail"
    assert "The result has the wrong sign" in str(wrong) == repr(wrong)
    assert "<table" in wrong._repr_html_()
    assert "has the wrong sign" in wrong._repr_html_()

    def not_yet(mu, log_var):
        raise NotImplementedError

    assert check("13", not_yet).kind == "todo"
    failing = check("13", lambda mu, log_var: mu @ log_var)
    assert failing.kind == "error"
    assert "there: mu (5, 3), log_var (5, 3)" in failing.diagnosis
