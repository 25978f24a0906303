"""The mistakes that `make mutants` plants are mistakes, and all kinds of them are found."""

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mutants

SOURCE = '''"""A module."""

__all__ = ["f"]
LIMIT: int = 3


def f(x, scale=2.0):
    """1 + 1 in words."""
    if not x or x < LIMIT:
        raise ValueError(f"{x} is below {LIMIT - 1}")
    x += 1
    print(-x)
    return [y * scale for y in x if y is not None]


class C:
    flag = True

    def g(self):
        return lambda z: z @ z
'''


def found(source=SOURCE):
    return {(m.function, m.before, m.after) for m in mutants.mutants_of("x.py", source)}


def test_every_place_is_found_and_no_message():
    assert found() == {
        ("", "3", "(4)"),
        ("f", "2.0", "(4.0)"),
        ("f.<locals>", "not x or x < LIMIT", "(not (not x or x < LIMIT))"),
        ("f.<locals>", "not x or x < LIMIT", "(not x and x < LIMIT)"),
        ("f.<locals>", "not x", "(x)"),
        ("f.<locals>", "x < LIMIT", "(x <= LIMIT)"),
        ("f.<locals>", 'raise ValueError(f"{x} is below {LIMIT - 1}")', "pass"),
        ("f.<locals>", "x += 1", "x -= 1"),
        ("f.<locals>", "1", "(2)"),
        ("f.<locals>", "print(-x)", "pass"),
        ("f.<locals>", "-x", "(x)"),
        ("f.<locals>", "y * scale", "(y / scale)"),
        ("f.<locals>", "y is not None", "(y is None)"),
        ("C", "True", "False"),
        ("C.g.<locals>.<lambda>.<locals>", "z @ z", "(z * z)"),
    }


@pytest.mark.parametrize("path", ["minivae/tensor.py", "minivae/datasets/tables.py"])
def test_each_mistake_changes_the_module_and_no_more_than_one_place(path):
    source = (mutants.ROOT / path).read_text(encoding="utf-8")
    some = mutants.drawn(mutants.mutants_of(path, source), 0, 20)
    assert len(some) == 20
    for mutant in some:
        assert ast.dump(ast.parse(mutant.applied())) != ast.dump(ast.parse(source))
        before, after = source.encode(), mutant.applied().encode()
        assert after.startswith(before[: mutant.start])
        assert after.endswith(before[mutant.end :])


def test_a_seed_draws_the_same_again():
    path = "minivae/tensor.py"
    sites = mutants.mutants_of(path, (mutants.ROOT / path).read_text(encoding="utf-8"))
    assert mutants.drawn(sites, 5, 9) == mutants.drawn(sites, 5, 9) != mutants.drawn(sites, 6, 9)


def test_the_tests_that_reach_a_mistake_come_in_order():
    def record(*tests):
        return {
            "places": [["x.py", "f"], ["x.py", "C.g"]],
            "seconds": {name: seconds for name, seconds, _ in tests},
            "reached": {name: reached for name, _, reached in tests},
            "shared": [],
        }

    here, there = Path(__file__).relative_to(mutants.ROOT), "pyproject.toml"
    slow, endless, broad = f"{here}::slow", f"{here}::endless", f"{there}::broad"
    quick, narrow = f"{there}::quick", f"{there}::narrow"
    reach = mutants.Reach(
        [
            record((slow, 5.0, [0]), (endless, 1e3, [0])),
            record((broad, 1.0, [0, 1]), (quick, 0.1, [0, 1]), (narrow, 1.0, [1])),
        ]
    )
    by_function = {m.function: m for m in mutants.mutants_of("x.py", SOURCE)}
    named = by_function["f"]._replace(function="endless_sum")  # stands in this text
    assert reach.of(by_function["C.g.<locals>.<lambda>.<locals>"]) == [quick, narrow, broad]
    reach.tests["x.py", "endless_sum"] = reach.tests["x.py", "f"]
    assert reach.of(named) == [quick, slow, broad]
    assert named.last_name() == "endless_sum"


PROJECT = {
    "minivae/__init__.py": "",
    "minivae/sums.py": """LIMIT = 3


def double(x, factor=2):
    if x > LIMIT:
        raise ValueError("too large")
    return x * factor


def never(x):
    return x + 1


twice = lambda f: lambda x: f(f(x))
""",
    "tests/test_sums.py": """import pytest

from minivae.sums import double, twice


def test_double():
    assert double(3) == 6
    assert twice(double)(1) == 4


def test_a_refusal():
    with pytest.raises(ValueError):
        double(4)
""",
}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each mistake is made in a fork")
def test_mistakes_meet_their_fates(tmp_path):
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in "kernels", "derivations", "examples":
        (tmp_path / name).mkdir()
    for name in "mutants.py", "planting.py":
        shutil.copy(mutants.ROOT / "tests" / name, tmp_path / "tests")
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\npythonpath = ["."]\nmarkers = ["slow: x"]\n'
    )
    script = subprocess.run(
        [sys.executable, "tests/mutants.py"], cwd=tmp_path, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    left = {line.split("minivae/")[1] for line in script.stdout.splitlines() if "minivae/" in line}
    where = "sums.py:11 never.<locals>"
    assert left == {f"{where}: x + 1 -> (x - 1)", f"{where}: 1 -> (2)"}
    assert "6 of 8 noticed, 75.0%" in script.stdout
    lines = (tmp_path / "build" / "mutants" / "fates.jsonl").read_text().splitlines()
    fates = [json.loads(line)[1] for line in lines]
    assert sum("test_double" in fate for fate in fates) >= 3
    assert sum("test_a_refusal" in fate for fate in fates) >= 1


def test_a_mistake_that_is_listed_as_changing_nothing_is_one_that_can_be_made():
    paths = {where.partition(":")[0] for where, _ in mutants.EQUIVALENT}
    made = {
        m.named()
        for path in paths
        for m in mutants.mutants_of(path, (mutants.ROOT / path).read_text(encoding="utf-8"))
    }
    assert [place for place in mutants.EQUIVALENT if place not in made] == []
    assert all(mutants.EQUIVALENT.values())
