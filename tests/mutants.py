"""Plant single mistakes in the library, one at a time, and count those that some test notices.

    python tests/mutants.py                          200 of them, drawn from the whole core
    python tests/mutants.py --seed 7 --count 50      others, and fewer
    python tests/mutants.py --files minivae/ops --tests tests/engine

Each mistake is made in a copy of the tree, where the tests that reach its function run until one
fails, the quick ones first. Which tests reach which function is found out once, by running them
all. Everything is kept in build/mutants: what was stopped goes on where it was, and a mistake is
not tried twice. Mistakes that change nothing are listed in EQUIVALENT, each with its reason.

The score is the share of those noticed among those that could be. `--show ID` prints a mistake as
a change of the file.
"""

import argparse
import ast
import copy
import difflib
import hashlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutants"
NOT_CORE = ("minivae/cli", "minivae/exercises", "minivae/figures", "minivae/equations.py")
COPIED = ("minivae", "kernels", "tests", "derivations", "examples")
FIRST = 40  # tests that are tried before all others
MOST_SECONDS = 90.0  # of tests, as long as they take without a mistake; the rest is not run

# Function, what was there and what replaced it, why that changes nothing.
EQUIVALENT: list[tuple[str, str, str, str]] = [
]  # fmt: skip

_SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


class Mutant(NamedTuple):
    """One mistake: the text from `start` to `end` of a file, replaced."""

    path: str
    function: str  # its qualified name; empty for what runs when the module is imported
    line: int
    start: int
    end: int
    before: str
    after: str

    @property
    def id(self) -> str:
        """Eight digits that say which one it is, as long as the file is the same."""
        text = f"{(ROOT / self.path).read_text(encoding='utf-8')}{self}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def applied(self) -> str:
        """The file with the mistake in it."""
        source = (ROOT / self.path).read_bytes()
        return (source[: self.start] + self.after.encode() + source[self.end :]).decode()

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: {self.before} -> {self.after}"


# ---- mistakes ----


class _Finder(ast.NodeVisitor):
    """Finds all places of a module where a mistake can be made."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.found = path, list[Mutant]()
        self.names: list[str] = []
        lines = source.encode().splitlines(keepends=True)
        self.offsets = [sum(map(len, lines[:i])) for i in range(len(lines) + 1)]
        self.source = source.encode()

    def add(self, node: Any, changed: ast.AST, parentheses: bool = True) -> None:
        start = self.offsets[node.lineno - 1] + node.col_offset
        end = self.offsets[node.end_lineno - 1] + node.end_col_offset
        after = ast.unparse(changed)
        self.found.append(
            Mutant(
                self.path, ".".join(self.names), node.lineno, start, end,
                " ".join(self.source[start:end].decode().split()),
                f"({after})" if parentheses else after,
            )
        )  # fmt: skip

    def visit_scope(self, node: Any) -> None:
        inner = "<lambda>" if isinstance(node, ast.Lambda) else node.name
        is_class = isinstance(node, ast.ClassDef)
        self.names.append(inner)
        if not is_class:
            self.names.append("<locals>")
        self.generic_visit(node)
        del self.names[-1 if is_class else -2 :]

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_Lambda = visit_scope

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:  # and not the annotation
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        pass

    def visit_Assign(self, node: ast.Assign) -> None:
        if not any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, ast.Pass(), parentheses=False)  # what a message says is not a mistake

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.add(node, ast.Pass(), parentheses=False)
            self.generic_visit(node)

    def visit_If(self, node: Any) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            self.add(node.test, ast.UnaryOp(ast.Not(), node.test))
            self.generic_visit(node)

    visit_IfExp = visit_While = visit_If

    def visit_Compare(self, node: ast.Compare) -> None:
        changed = copy.deepcopy(node)
        changed.ops[0] = _SWAPS[type(node.ops[0])]()
        self.add(node, changed)
        self.generic_visit(node)

    def visit_operator(self, node: Any) -> None:
        if type(node.op) in _SWAPS:
            changed = copy.deepcopy(node)
            changed.op = _SWAPS[type(node.op)]()
            self.add(node, changed, parentheses=not isinstance(node, ast.AugAssign))
        self.generic_visit(node)

    visit_BinOp = visit_BoolOp = visit_AugAssign = visit_operator

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub | ast.Not | ast.Invert):
            self.add(node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.add(node, ast.Constant(not value), parentheses=False)
        elif isinstance(value, int):
            self.add(node, ast.Constant(value + 1))
        elif isinstance(value, float):
            self.add(node, ast.Constant(2 * value if value else 1.0))


def mutants_of(path: str, source: str) -> list[Mutant]:
    """All mistakes that can be made in a module."""
    finder = _Finder(path, source)
    finder.visit(ast.parse(source))
    return finder.found


def is_python(mutant: Mutant) -> bool:
    """Whether the file is still Python with the mistake in it, unlike a pattern of `match`."""
    try:
        ast.parse(mutant.applied())
    except SyntaxError:
        return False
    return True


def drawn(sites: list[Mutant], seed: int, count: int) -> list[Mutant]:
    """Some of the mistakes, the same ones for the same seed and files."""
    order = random.Random(seed).sample(sites, len(sites))
    return list(itertools.islice(filter(is_python, order), count))


def core(under: list[str]) -> Iterator[str]:
    """The modules in which mistakes are made."""
    for path in sorted((ROOT / "minivae").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(NOT_CORE) and any(name.startswith(u) for u in under):
            yield name


# ---- which tests reach what ----

PLUGIN = '''
import json, os, sys, time
import pytest

WHERE = os.environ["MUTANTS_OUT"]
LIST = os.environ.get("MUTANTS_CHOSEN")
CHOSEN = json.load(open(LIST)) if LIST else None
ROOT = os.getcwd() + os.sep
reached, seconds, now, shared, failed = {}, {}, set(), set(), set()


def calls(frame, event, argument):
    code = frame.f_code
    if code.co_filename.startswith(ROOT + "minivae"):
        now.add((code.co_filename[len(ROOT):].replace(os.sep, "/"), code.co_qualname))


def pytest_collection_modifyitems(items, config):
    if CHOSEN is not None:
        order = {name: i for i, name in enumerate(CHOSEN)}
        items[:] = sorted((i for i in items if i.nodeid in order), key=lambda i: order[i.nodeid])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    if CHOSEN is not None:
        yield
        return
    now.clear()
    start = time.perf_counter()
    sys.settrace(calls)
    yield
    sys.settrace(None)
    seconds[item.nodeid] = time.perf_counter() - start
    reached[item.nodeid] = sorted(now)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_setup(item):
    before = set(now)
    yield
    if CHOSEN is None:
        shared.update(now - before)


def pytest_runtest_logreport(report):
    if report.failed:  # without any mistake, so that it would notice every one
        failed.add(report.nodeid)


def pytest_sessionfinish():
    if CHOSEN is None:
        passed = {name: places for name, places in reached.items() if name not in failed}
        with open(WHERE, "w") as file:
            json.dump({"reached": passed, "seconds": seconds, "shared": sorted(shared)}, file)
'''


def environment(**more: str) -> dict[str, str]:
    """What the tests run with: the same examples each time, and no stale bytecode."""
    paths = os.pathsep.join(["build/plugin", *filter(None, [os.environ.get("PYTHONPATH")])])
    fixed = {"CI": "true", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    return {**os.environ, **fixed, "PYTHONPATH": paths, **more}


def pytest_in(tree: Path, arguments: list[str], seconds: float, **more: str) -> int | None:
    """Run tests in a copy of the tree; the exit status, or None if they took too long."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "plug"]
    try:
        return subprocess.run(
            [*command, *arguments], cwd=tree, env=environment(**more), timeout=seconds,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        return None


def copied_tree(number: int) -> Path:
    """A copy of all that the tests need, for one worker."""
    tree = BUILD / f"tree-{number}"
    shutil.rmtree(tree, ignore_errors=True)
    for name in COPIED:
        ignore = None if name == "kernels" else shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tree / name, ignore=ignore)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    (tree / "build" / "plugin").mkdir(parents=True)
    (tree / "build" / "plugin" / "plug.py").write_text(PLUGIN)
    return tree


def digest(paths: list[Path]) -> str:
    """What tells whether any of these files has changed."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return total.hexdigest()[:16]


class Reach:
    """Which tests reach which function, and how long each takes."""

    def __init__(self) -> None:
        self.tests: dict[tuple[str, str], set[str]] = {}
        self.seconds: dict[str, float] = {}

    def add(self, record: dict[str, Any]) -> None:
        """Take what one module's tests have reached."""
        self.seconds.update(record["seconds"])
        for test, places in record["reached"].items():
            for path, function in [*places, *record["shared"]]:
                self.tests.setdefault((path, function), set()).add(test)
                self.tests.setdefault((path, ""), set()).add(test)

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mistake, the quick ones first, as many as there is time for."""
        names = mutant.function.removesuffix(".<locals>").split(".<locals>.")
        found: set[str] = set()
        if not mutant.function.endswith("<locals>"):
            names = [""]  # it runs when the module is imported
        while not found and names:  # what is defined inside a function runs when that is called
            found = self.tests.get((mutant.path, ".<locals>.".join(names)), set())
            names.pop()
        chosen, total = [], 0.0
        for test in sorted(found, key=lambda t: (self.seconds[t], t)):
            total += self.seconds[test]
            if total > MOST_SECONDS:
                break
            chosen.append(test)
        return chosen


def reach_of(modules: list[Path], trees: "Queue[Path]", workers: int) -> Reach:
    """Run each module of tests once, unless nothing has changed since it was run last."""
    state = digest(sorted([*(ROOT / "minivae").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]))
    folder = BUILD / f"reach-{state}"
    folder.mkdir(parents=True, exist_ok=True)
    reach = Reach()

    def run(module: Path) -> Path:
        name = module.relative_to(ROOT).as_posix()
        record = folder / f"{name.replace('/', '.')}.json"
        if not record.exists():
            tree = trees.get()
            pytest_in(tree, [name], 3600, MUTANTS_OUT=str(record))
            trees.put(tree)
            print(f"  {name}", flush=True)
        return record

    with ThreadPoolExecutor(workers) as pool:
        for record in pool.map(run, modules):
            if record.exists():
                reach.add(json.loads(record.read_text()))
    return reach


# ---- one mistake after the other ----


def fate(mutant: Mutant, reach: Reach, tree: Path) -> str:
    """Make a mistake and say what becomes of it."""
    tests = reach.of(mutant)
    if not tests:
        return "no test reaches it"
    target = tree / mutant.path
    original = target.read_text(encoding="utf-8")
    try:
        target.write_text(mutant.applied(), encoding="utf-8")
        for part in (tests[:FIRST], tests[FIRST:]):  # few tests need few modules: quickly begun
            status = run_chosen(part, reach, tree) if part else 0
            if status in (3, 4, 5):  # pytest's own faults, and no test that it found
                return f"pytest ended with {status}"
            if status != 0:
                return "noticed" if status else "noticed: it never ends"
    finally:
        target.write_text(original, encoding="utf-8")
    return "survived"


def run_chosen(tests: list[str], reach: Reach, tree: Path) -> int | None:
    """Run tests by their names, in this order, until one fails."""
    chosen = tree / "build" / "chosen.json"
    chosen.write_text(json.dumps(tests))
    modules = sorted({test.partition("::")[0] for test in tests})
    seconds = 60 + 5 * sum(reach.seconds[test] for test in tests)
    out = {"MUTANTS_OUT": os.devnull, "MUTANTS_CHOSEN": str(chosen)}
    return pytest_in(tree, ["-x", *modules], seconds, **out)


def reason(mutant: Mutant) -> str | None:
    """Why a mistake changes nothing, if it is known to."""
    function = f"{mutant.path}:{mutant.function.removesuffix('.<locals>')}"
    for where, before, after, why in EQUIVALENT:
        if (where, before, after) == (function, mutant.before, mutant.after):
            return why
    return None


def main() -> int:
    """Draw, plant, count."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--files", nargs="+", default=["minivae"], metavar="PATH")
    parser.add_argument("--tests", nargs="+", default=["tests"], metavar="PATH")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--show", metavar="ID", help="print a mistake as a change, and do no more")
    arguments = parser.parse_args()
    started = time.monotonic()
    sites = [
        mutant
        for path in core(arguments.files)
        for mutant in mutants_of(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    if arguments.show:
        return show(arguments.show, sites)
    chosen = drawn(sites, arguments.seed, arguments.count)
    print(f"{len(chosen)} of {len(sites)} possible mistakes, seed {arguments.seed}")
    trees: Queue[Path] = Queue()
    for number in range(arguments.workers):
        trees.put(copied_tree(number))
    modules = sorted(
        path
        for where in arguments.tests
        for path in [ROOT / where, *(ROOT / where).rglob("*")]
        if path.match("test_*.py") and not {"exercises", "cli", "book"} & set(path.parts)
    )
    print("Which tests reach what ...", flush=True)
    reach = reach_of(modules, trees, arguments.workers)
    kept = BUILD / "fates.jsonl"
    lines = kept.read_text(encoding="utf-8").splitlines() if kept.exists() else []
    fates = {key: value for line in lines for key, value in [json.loads(line)]}
    state = digest([Path(__file__), *modules])

    def run(mutant: Mutant) -> tuple[Mutant, str]:
        key = f"{mutant.id} {state}"
        if why := reason(mutant):
            return mutant, f"changes nothing: {why}"
        if key not in fates:
            tree = trees.get()
            fates[key] = fate(mutant, reach, tree)
            trees.put(tree)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps([key, fates[key]]) + "\n")
        return mutant, fates[key]

    with ThreadPoolExecutor(arguments.workers) as pool:
        results = []
        for mutant, what in pool.map(run, chosen):
            results.append(what)
            if not what.startswith("noticed"):
                print(f"{mutant.id}  {what:20}  {mutant}", flush=True)
    noticed = sum(what.startswith("noticed") for what in results)
    nothing = sum(what.startswith("changes nothing") for what in results)
    rest = len(results) - nothing
    minutes = (time.monotonic() - started) / 60
    share = 100 * noticed / max(rest, 1)
    print(f"{noticed} of {rest} noticed, {share:.1f}%; {nothing} more change nothing")
    print(f"{minutes:.1f} minutes")
    return 0


def show(number: str, sites: list[Mutant]) -> int:
    """Print a mistake as a change of its file."""
    for mutant in sites:
        if mutant.id == number:
            old = (ROOT / mutant.path).read_text(encoding="utf-8").splitlines(keepends=True)
            new = mutant.applied().splitlines(keepends=True)
            sys.stdout.writelines(difflib.unified_diff(old, new, mutant.path, "with a mistake"))
            return 0
    print(f"There is no mistake {number} in the files as they are now.", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
