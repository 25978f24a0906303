"""The rules of the house: what holds for the repository as a whole.

Each rule is a function that lists its offenders, so that a test can show it a wrong repository too:
a rule that finds nothing wrong anywhere is worth nothing.
"""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import minivae
from budget import (
    ENGINE,
    ENGINE_LINES,
    MODULE_LINES,
    PACKAGES,
    ROOT,
    TOKENS_PER_LINE,
    Size,
    excesses,
    measure,
    sizes,
)

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LIBRARY = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TESTS = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if not {ROOT / "tests" / "benchmarks", ROOT / "tests" / "extras"} & set(path.parents)
]


def offenders(rule, paths):
    """Every place in ``paths`` where ``rule`` finds something, as ``file:line: what``.

    A file without the rule's words is not parsed: to parse them all takes seconds.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in paths}
    return [
        f"{path.relative_to(ROOT)}:{line}: {what}"
        for path, text in texts.items()
        if re.search(WORDS[rule], text)
        for line, what in rule(ast.parse(text))
    ]


# The budget --------------------------------------------------------------------------------------


def test_the_code_is_within_its_budget():
    assert excesses(sizes()) == []


def test_the_budget_counts_code_and_nothing_else():
    source = '''"""A docstring
of two lines."""

# a comment
import math  # a comment beside code

def f(x):
    "A docstring."
    text = """two
lines"""
    return (
        x + 1
    )
'''
    assert measure(source) == Size(lines=7, tokens=17)


@pytest.mark.parametrize(
    ("measured", "complaint"),
    [
        ({ENGINE[0]: Size(ENGINE_LINES - 10, 10), ENGINE[1]: Size(11, 10)}, "and"),
        ({"minivae/a.py": Size(MODULE_LINES + 1, 10)}, "501 lines of code"),
        ({"minivae/a.py": Size(10, 10 * TOKENS_PER_LINE + 1)}, "tokens a line"),
    ],
)
def test_the_budget_bites(measured, complaint):
    (over,) = excesses(measured)
    assert complaint in over


# What the code leaves alone ----------------------------------------------------------------------


def foreign_imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Imports of the engines that minivae is compared with, and must not need.

    scikit-learn asks an estimator to describe itself in scikit-learn's classes: only that method,
    which scikit-learn alone calls, may import it.
    """
    tags = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__sklearn_tags__"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            package = name.split(".")[0]
            if package in {"torch", "jax"} or (package == "sklearn" and id(node) not in tags):
                yield node.lineno, f"imports {name}"


def asserts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Bare asserts: they vanish under ``python -O``, and say nothing to the user."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "asserts; raise one of minivae.errors"


def prints(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls of ``print``: a library does not talk on its caller's terminal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print":
            yield node.lineno, "prints; only the command line does"


WORDS = {foreign_imports: "torch|jax|sklearn", asserts: "assert", prints: "print"}


def test_nothing_needs_another_engine():
    assert offenders(foreign_imports, LIBRARY + TESTS) == []


def test_the_library_has_no_bare_assert():
    assert offenders(asserts, LIBRARY) == []


def test_only_the_command_line_prints():
    library = [path for path in LIBRARY if ROOT / "minivae" / "cli" not in path.parents]
    assert offenders(prints, library) == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (foreign_imports, "import torch.nn"),
        (foreign_imports, "def f():\n    from jax import numpy"),
        (foreign_imports, "def tags():\n    import sklearn.utils"),
        (asserts, "def f(x):\n    assert x"),
        (prints, "for x in y:\n    print(x)"),
    ],
)
def test_the_rules_bite(rule, source):
    assert len(list(rule(ast.parse(source)))) == 1
    assert re.search(WORDS[rule], source)


def test_scikit_learn_may_be_imported_where_it_alone_calls():
    source = "class A:\n    def __sklearn_tags__(self):\n        from sklearn.utils import Tags"
    assert list(foreign_imports(ast.parse(source))) == []


# What is installed -------------------------------------------------------------------------------


def test_the_version_is_written_twice_and_is_the_same():
    assert PYPROJECT["project"]["version"] == minivae.__version__


def test_the_changelog_has_an_entry_for_this_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{minivae.__version__}]" in changelog


def test_both_packages_are_installed_and_typed():
    assert PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").is_file()


def without_notice(root: Path) -> list[str]:
    """Files of data that have no notice beside them that a wheel of ``root`` would carry."""
    patterns = PYPROJECT["project"]["license-files"]
    noticed = {path.parent for pattern in patterns for path in root.glob(pattern)}
    return [
        path.relative_to(root).as_posix()
        for package in PACKAGES
        for path in (root / package).rglob("*")
        if path.suffix in {".npz", ".csv", ".gz"} and path.parent not in noticed
    ]


def test_every_file_of_data_has_its_notice():
    assert without_notice(ROOT) == []


def test_data_without_a_notice_is_seen(tmp_path):
    for name in ("known", "unknown"):
        folder = tmp_path / "minivae" / "datasets" / name
        folder.mkdir(parents=True)
        (folder / "data.npz").touch()
    (tmp_path / "minivae" / "datasets" / "known" / "NOTICE.md").touch()
    assert without_notice(tmp_path) == ["minivae/datasets/unknown/data.npz"]


# What `import minivae` costs ---------------------------------------------------------------------


def loaded_by(statement: str, *packages: str) -> set[str]:
    """Which of ``packages`` a fresh interpreter has loaded after ``statement``."""
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels"))
    script = f"{statement}\nimport sys\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(packages) & set(result.stdout.split())


def test_importing_minivae_leaves_the_slow_packages_for_when_they_are_used():
    slow = ("matplotlib", "tqdm", "numba", "numpy")
    assert loaded_by("import minivae; dir(minivae)", *slow) == set()
    models = "from minivae import VAE, GaussianMixture"
    parts = (f"scipy.{part}" for part in ("linalg", "optimize", "special", "stats"))
    assert loaded_by(models, "matplotlib", "tqdm", *parts) == set()  # scipy loads them late


def test_the_program_lists_its_commands_before_it_loads_numpy():
    statement = "from minivae.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass"
    assert loaded_by(statement, "numpy", "numba", "scipy", "minivae.models") == set()


@pytest.mark.slow
def test_what_minivae_exports_is_there_in_whatever_order_rooms_are_loaded():
    script = """
import minivae.gradcheck.report, minivae.figures, minivae
assert minivae.gradcheck.__name__ == "gradcheck" and callable(minivae.gradcheck)
assert all(hasattr(minivae, name) for name in minivae.__all__)
assert set(minivae.__all__) <= set(dir(minivae))
assert minivae.VAE is minivae.models.vae.VAE and minivae.ops.__name__ == "minivae.ops"
try:
    minivae.no_such_thing
except AttributeError as error:
    print("refused", error)
"""
    path = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels"))
    result = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "refused module 'minivae' has no attribute 'no_such_thing'" in result.stdout


def test_a_package_that_is_loaded_is_seen():
    assert loaded_by("import tqdm", "matplotlib", "tqdm") == {"tqdm"}


# The tests themselves ----------------------------------------------------------------------------


def test_no_test_sees_the_home_of_the_user(home):
    assert Path.home() == home
    assert Path(os.environ["XDG_CACHE_HOME"]).is_relative_to(home)


def test_every_command_of_the_makefile_is_listed_by_its_help():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    assert commands == re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
