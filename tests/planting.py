"""A plugin of pytest that plants mistakes: all tests are collected once, then a child for each one.

`tests/mutants.py` starts it. A child is a fork in which every module is imported already, so that
to try a mistake costs no more than the tests that run. The code of the functions that live in it is
exchanged; a mistake that acts while its module is imported gets a process of its own instead.

Nothing depends on how busy the machine is. Times are those of the processor, a test that takes ten
times as much of it as without the mistake never ends, and the tests' own time limit is switched
off. A mistake counts as noticed only if the same tests pass without it.
"""

import ast
import builtins
import gc
import importlib.machinery
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import pytest

import mutants


def told(variable: str) -> dict[str, Any]:
    """What the file says that a variable of the environment names."""
    found: dict[str, Any] = {}
    if variable in os.environ:
        found = json.loads(Path(os.environ[variable]).read_text())
    return found


JOB, PLANTED = told("MUTANTS_JOB"), told("MUTANTS_PLANTED")
MOST_BYTES = 8 << 30  # a mistake may ask for anything
WALL_SECONDS = 1800.0  # who has said nothing by then waits, or the machine is too busy to tell
FAILED, FAULT = 1, 3  # pytest's own statuses

_limits: dict[str, float] = PLANTED.get("seconds", {})  # without a mistake, each test
_folder: list[Path] = [Path(PLANTED["folder"])] if PLANTED else []  # the child's own


# ---- mistakes in a process ----


def codes_of(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """All functions of a module by name, and a number where several have one name."""
    found: dict[tuple[str, int], CodeType] = {}

    def walk(code: CodeType) -> None:
        for inner in code.co_consts:
            if isinstance(inner, CodeType):
                number = sum(name == inner.co_qualname for name, _ in found)
                found[inner.co_qualname, number] = inner
                walk(inner)

    walk(code)
    return found


def plant(mutant: mutants.Mutant) -> bool:
    """Exchange the code of the functions that exist; False if that is not enough."""
    path = str(mutants.ROOT / mutant.path)
    names = set(mutant.functions())
    old = codes_of(compile(Path(path).read_text(encoding="utf-8"), path, "exec"))
    new = codes_of(compile(mutant.applied(), path, "exec"))
    if not mutant.function.endswith("<locals>") or old.keys() != new.keys():
        return False
    places = {(c.co_qualname, c.co_firstlineno): place for place, c in old.items()}
    living = [
        function
        for function in gc.get_objects()
        if type(function) is FunctionType
        and function.__code__.co_filename == path
        and function.__code__.co_qualname in names
    ]
    try:
        for function in living:
            code = function.__code__
            function.__code__ = new[places[code.co_qualname, code.co_firstlineno]]
    except ValueError:  # its closure is another one
        return False
    return bool(living)


class _Marking(ast.NodeTransformer):
    """Lets each function of a module say that it is reached."""

    def __init__(self, path: str) -> None:
        self.path, self.names = path, list[str]()

    def mark(self) -> ast.expr:
        places.append((self.path, ".".join(self.names)))
        call = f"__reached__({len(places) - 1})"
        return ast.parse(call, mode="eval").body

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.names.append(node.name)
        self.generic_visit(node)
        del self.names[-1]
        return node

    def visit_FunctionDef(self, node: Any) -> ast.AST:
        self.names.append(node.name)
        mark = ast.Expr(self.mark())
        self.names.append("<locals>")
        self.generic_visit(node)
        node.body.insert(int(ast.get_docstring(node) is not None), mark)
        del self.names[-2:]
        return node

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self.names.append("<lambda>")
        mark = self.mark()
        self.names.append("<locals>")
        self.generic_visit(node)
        node.body = ast.BoolOp(ast.Or(), [mark, node.body])  # it returns None
        del self.names[-2:]
        return node


places: list[tuple[str, str]] = []
reached_now: set[int] = set()
builtins.__reached__ = reached_now.add  # type: ignore[attr-defined]
_get_code = importlib.machinery.SourceFileLoader.get_code


def _changed(self: Any, name: str) -> CodeType | None:
    """The code of a module: with the mistake in it, or with marks in its functions."""
    path = Path(self.path)
    if PLANTED and path == mutants.ROOT / PLANTED["mutant"][0]:
        return compile(mutants.Mutant(*PLANTED["mutant"]).applied(), path, "exec")
    if JOB and path.is_relative_to(mutants.ROOT / "minivae"):
        tree = ast.parse(path.read_bytes())
        tree = _Marking(path.relative_to(mutants.ROOT).as_posix()).visit(tree)
        return compile(ast.fix_missing_locations(tree), path, "exec")
    return _get_code(self, name)


importlib.machinery.SourceFileLoader.get_code = _changed  # type: ignore[method-assign]


# ---- what a child does ----


def cpu() -> float:
    """Seconds of the processor that this process and the processes it has started took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if item.nodeid in _limits:
        most = int(time.process_time() + 20 + 10 * _limits[item.nodeid])
        resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and _folder:
        with (_folder[0] / "failed").open("a") as file:
            file.write(report.nodeid + "\n")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if PLANTED:
        order = {name: i for i, name in enumerate(PLANTED["tests"])}
        items[:] = sorted((i for i in items if i.nodeid in order), key=lambda i: order[i.nodeid])


def run_tests(session: pytest.Session, items: list[pytest.Item], first_only: bool = True) -> int:
    """Run tests in this order."""
    for item, following in zip(items, [*items[1:], None], strict=True):
        if first_only and session.testsfailed:
            return FAILED
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    return FAILED if session.testsfailed else 0


def traced(session: pytest.Session, items: list[pytest.Item], record: Path) -> int:
    """Run tests and write down which functions each reaches, and its seconds."""
    shared: set[int] = set()  # what fixtures reach, which may serve later tests, too
    reached, seconds = {}, {}

    class Setup:
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_setup(self) -> Iterator[None]:
            try:
                return (yield)
            finally:
                shared.update(reached_now)

    session.config.pluginmanager.register(Setup())
    for item, following in zip(items, [*items[1:], None], strict=True):
        reached_now.clear()
        start, before = cpu(), session.testsfailed
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed == before:  # a test that fails would notice everything
            reached[item.nodeid] = sorted(reached_now)
            seconds[item.nodeid] = cpu() - start
    found = sorted(shared.union(*reached.values()))
    numbers = {place: i for i, place in enumerate(found)}
    told = {
        "places": [places[i] for i in found],
        "reached": {test: [numbers[p] for p in at] for test, at in reached.items()},
        "shared": [numbers[p] for p in sorted(shared)],
        "seconds": seconds,
    }
    record.with_suffix(".part").write_text(json.dumps(told))
    record.with_suffix(".part").rename(record)
    return 0


# ---- children ----


class Child(NamedTuple):
    """Something to do in a fork, and what to do with its end there: a status and a folder."""

    work: Callable[[Path], int]
    ended: Callable[[int | None, Path], None]


def said(what: str, status: int | None, folder: Path) -> None:
    """Say that something came to its end, and how if that is not as it should be."""
    fault = folder / "fault"
    why = "" if status == 0 else fault.read_text() if fault.exists() else f": status {status}"
    print(f"  {what} {why}".rstrip(), flush=True)


class Children:
    """Runs them, so many at a time."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.waiting = deque[Child]()
        self.folder, self.workers = folder, workers
        self.running: dict[int, tuple[Child, Path, float]] = {}
        self.count = 0

    def start(self, child: Child) -> None:
        self.count += 1
        folder = self.folder / f"child-{os.getpid()}-{self.count}"
        folder.mkdir(parents=True)
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            self.running[pid] = child, folder, time.monotonic()
            return
        status = FAULT
        try:
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in (1, 2):
                os.dup2(nowhere, stream)
            os.environ["PYTEST_DEBUG_TEMPROOT"] = str(folder)
            _folder[:] = [folder]
            status = child.work(folder)
        except BaseException:
            (folder / "fault").write_text(traceback.format_exc())
        finally:
            os._exit(status)

    def run(self) -> None:
        """Until none is left."""
        while self.waiting or self.running:
            while self.waiting and len(self.running) < self.workers:
                self.start(self.waiting.popleft())
            time.sleep(0.02)
            for pid, (child, folder, since) in list(self.running.items()):
                late = time.monotonic() - since > WALL_SECONDS
                if late:
                    os.killpg(pid, signal.SIGKILL)
                ended, status = os.waitpid(pid, 0 if late else os.WNOHANG)
                if ended:
                    del self.running[pid]
                    child.ended(None if late else os.waitstatus_to_exitcode(status), folder)
                    shutil.rmtree(folder, ignore_errors=True)


class Planting:
    """Tries the mistakes of a job, each on the tests that reach it."""

    def __init__(self, session: pytest.Session) -> None:
        self.session, self.items = session, {item.nodeid: item for item in session.items}
        self.children = Children(mutants.BUILD / "children", JOB["workers"])
        self.without = set[tuple[str, ...]]()  # lists of tests that pass without a mistake
        self.left = {number: mutants.Mutant(*fields) for number, fields in JOB["mutants"].items()}

    def run(self) -> None:
        """Find out what the tests reach, then try the mistakes on those that reach them."""
        by_module: dict[str, list[pytest.Item]] = {}
        for item in self.session.items:
            by_module.setdefault(item.nodeid.partition("::")[0], []).append(item)
        records = {module: mutants.record_of(module) for module in by_module}
        for module, record in records.items():
            if not record.exists():
                self.children.waiting.append(self.tracing(module, by_module[module], record))
        self.children.run()
        reach = mutants.Reach([json.loads(r.read_text()) for r in records.values() if r.exists()])
        _limits.update(reach.seconds)
        for number, mutant in self.left.items():
            tests = [test for test in reach.of(mutant) if test in self.items]
            if tests:
                self.plant(number, tests)
            else:
                mutants.tell(f"{number} {JOB['state']}", "no test reaches it")
        self.children.run()

    def tracing(self, module: str, items: list[pytest.Item], record: Path) -> Child:
        def ended(status: int | None, folder: Path) -> None:
            said(module, status, folder)

        return Child(lambda folder: traced(self.session, items, record), ended)

    def plant(self, number: str, tests: list[str]) -> None:
        """Have a mistake tried, and what becomes of it told."""
        mutant = self.left[number]

        def work(folder: Path) -> int:
            if plant(mutant):
                return run_tests(self.session, [self.items[test] for test in tests])
            seconds = {test: _limits[test] for test in tests}
            what = {"mutant": mutant, "tests": tests, "seconds": seconds, "folder": str(folder)}
            (folder / "planted.json").write_text(json.dumps(what))
            os.environ.pop("MUTANTS_JOB")
            os.environ["MUTANTS_PLANTED"] = str(folder / "planted.json")
            modules = sorted({test.partition("::")[0] for test in tests})
            os.execv(sys.executable, [sys.executable, *mutants.PYTEST, "-x", *modules])

        def ended(status: int | None, folder: Path) -> None:
            log = folder / "failed"
            failed = log.read_text().split("\n") if log.exists() else []
            if status == 0:
                self.tell(number, "survived")
            elif status is None:
                said(f"it waits: {mutant}", 0, folder)
            elif status < 0:
                self.tell(number, f"noticed by {signal.Signals(-status).name} in ", tests[0])
            elif status in (FAILED, 2, 4) and not failed:
                self.tell(number, "noticed by an import in ", tests[0])
            elif status == FAILED and failed[0] in tests:
                self.confirm(number, tests, failed[0])
            else:
                said(str(mutant), status, folder)

        self.children.waiting.append(Child(work, ended))

    def confirm(self, number: str, tests: list[str], failed: str) -> None:
        """Run the same tests without the mistake: the one that failed has to pass."""
        same = tests[: tests.index(failed) + 1]

        def ended(status: int | None, folder: Path) -> None:
            if status == 0:
                self.without.add(tuple(same))
                self.tell(number, "noticed by ", failed)
            else:
                print(f"  {failed} fails without a mistake", flush=True)
                self.plant(number, [test for test in tests if test != failed])

        if tuple(same) in self.without:
            self.tell(number, "noticed by ", failed)
            return
        self.children.waiting.appendleft(
            Child(lambda folder: run_tests(self.session, [self.items[t] for t in same]), ended)
        )

    def tell(self, number: str, fate: str, test: str = "") -> None:
        """Keep it, and count."""
        del self.left[number]
        mutants.tell(number if test else f"{number} {JOB['state']}", fate, test)
        if len(self.left) % 10 == 0:
            print(f"  {len(self.left)} mistakes left", flush=True)


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    if not JOB:
        return None
    for path in mutants.core(["minivae"]):  # what is imported only now and then, too
        name = path.removesuffix(".py").removesuffix("/__init__")
        importlib.import_module(name.replace("/", "."))
    Planting(session).run()
    return True
