"""Plant single mistakes in the library, one at a time, and count those that some test notices.

    python tests/mutants.py                          200 of them, drawn from the whole core
    python tests/mutants.py --seed 7 --count 50      others, and fewer
    python tests/mutants.py --files minivae/ops --tests tests/engine

Each mistake meets the tests that reach its function, the likely and quick ones first, until one
fails. Which tests reach which function is found out once for each module of tests. A mistake that
makes tests take ten times as long counts as noticed, in seconds of the processor, so a busy machine
changes nothing; so does one that ends the process, or waits for minutes. The tests with
scikit-learn and those with Dask are run where these are installed. All is kept in
build/mutants: what was stopped goes on where it was, and a mistake is tried again only when its
function or the tests that noticed it have changed. Mistakes that change nothing are listed in
EQUIVALENT, each with its reason.

The score is the share of those noticed among those that could be. `--show ID` prints a mistake as
a change of the file. Forks are needed, so Windows has to use WSL.
"""

import argparse
import ast
import copy
import difflib
import functools
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
BUILD = Path(os.environ.get("MUTANTS_BUILD", ROOT / "build" / "mutants"))
FATES = BUILD / "fates.jsonl"
NOT_CORE = ("minivae/cli", "minivae/exercises", "minivae/figures", "minivae/equations.py")
COPIED = ("minivae", "kernels", "tests", "derivations", "examples")
NOT_TRIED = (  # tests that look at no function of the core, or at all of them for minutes
    "tests/exercises/test_class.py", "tests/exercises/test_folder.py",
    "tests/exercises/test_graduation.py", "tests/exercises/test_running.py",
    "tests/exercises/test_second_half.py", "tests/exercises/test_students.py",
    "tests/kernels", "tests/test_house.py", "tests/test_mutants.py",
    "tests/book/test_gallery.py", "tests/book/test_notebooks.py",
    "tests/book/test_code_blocks.py", "tests/book/test_flips.py", "tests/book/test_registry.py",
)  # fmt: skip
NEEDED = {  # by the tests in a folder, which are not tried without it
    "tests/extras": ("sklearn", "pandas", "polars", "pyarrow"),
    "tests/large": ("distributed", "h5py", "zarr"),
}
LOOK_AT_DEFAULTS = "tests/models/test_defaults.py"  # and reach no function by that
PYTEST = [
    "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", "-p", "planting",
    "-m", "not slow",
]  # fmt: skip
QUICK_SECONDS = 0.3  # tests that take no longer come before all others
MOST_SECONDS = 40.0  # of tests, as long as they take without a mistake; the rest is not run

# Function, the line with the mistake in it, and why that changes nothing.
EQUIVALENT: dict[tuple[str, str], str] = {
    ("minivae/distributions/mixture_prior.py:_mixture_log_prob_vjp",
     "r = g.reshape(-1) * np.exp(log_joint - out.reshape(-(2)))"):
     "NumPy takes any negative length for the one that is left",
    ("minivae/inference/diagnostics.py:_normal_ranks",
     "ranks = rankdata(draws.reshape(S, -(2)), axis=0).reshape(draws.shape)"):
     "NumPy takes any negative length for the one that is left",
    ("minivae/ops/fused.py:_reparameterise_vjp",
     "wanted: Sequence[bool] = (False, True, True),"):
     "only whether the noise's cotangent is wanted is looked at",
    ("minivae/training.py:_rows",
     "if isinstance(array, np.ndarray) and array.ndim == 2 and (array.dtype.kind != 'f'):"):
     "another way to the same rows",
    ("minivae/gradcheck/check.py:_jacobian",
     "if run.out.size * x.size > (100001):"):
     "a limit of effort, and 100,001 is a product of no two sizes that are tried",
    ("minivae/models/mixture/data.py:",
     "_NUMBERS = (3)**22  # in a piece of an array: what is checked or converted at once"):
     "how much is in memory at once, where data are larger than any test's",
    ("minivae/models/mixture/dask_data.py:DaskData.__init__",
     "self._pieces = [piece for piece, fact in zip(pieces, facts, strict=False) if fact.n]"):
     "there is a fact for each piece",
    ("minivae/nn.py:Module.load_state_dict",
     "for p, array in zip(own.values(), arrays, strict=False):"):
     "there is an array for each parameter",
    ("minivae/replay.py:Step.show",
     "for p, g in zip(self.program.parameters, self.program.gradients, strict=False):"):
     "there is a gradient for each parameter",
    ("minivae/information.py:total_correlation",
     "apart = ops.sum(minibatch_log_prob(log_q, n_total), (1))"):
     "the last of two axes",
    ("minivae/gradcheck/unbiased.py:_Judgement.transposed",
     "square = len(shape) == 2 and shape[(1)] == shape[1] > 1 "
     "and bias.exact.size == shape[0] ** 2"):
     "a matrix that is not square has another size",
    ("minivae/distributions/likelihoods/gaussian.py:Gaussian._share",
     "self.shared.data = np.full((1, 1), self._raw(np.log(max(variance, (2e-300)))))"):
     "the floor of sigma is far above either",
    ("minivae/ops/sums.py:_along",
     "if x.shape[axis] == 1 or axis == (x.ndim + 1):"):
     "the other way adds up as precisely",
    ("minivae/information.py:_aggregate",
     "N = q.moments()[0].shape[(1)]"):
     "only how many densities are computed at once",
    ("minivae/gradcheck/unbiased.py:UnbiasedReport",
     "@dataclass(frozen=False)"):
     "nobody writes to it",
    ("minivae/models/mixture/bernoulli.py:BernoulliMixture._start",
     "drawn = ((rng.random(rows.X.shape) <= shares)).astype(rows.X.dtype)"):
     "the two are equal once in 2^53 draws",
    ("minivae/checkpoint.py:", "_ZIP_EPOCH = (1980, 1, 1, (1), 0, 0)"):
     "a date in the file that nobody reads",
    ("minivae/models/conditional.py:ConditionalVAE.interpolate",
     "self._codes(np.reshape(x, (1, -1)), \"interpolate\", C[:(2)]) for x in (a, b)"):
     "its rows are all alike, and the first is taken for one datum",
    ("minivae/tensor.py:Primitive.pull_back",
     "if differentiable and any(values(x) is not a "
     "for x, a in zip(inputs, arrays, strict=False)):"):
     "there is an array for each input",
    ("minivae/datasets/tables.py:_columns",
     "columns = dict(zip(plain, matrix.T, strict=False))"):
     "there is a column for each",
    ("minivae/metrics.py:adjusted_rand_index",
     "float(((n * (n - 1) / 2)).sum()) for n in (table, table.sum(axis=1), table.sum(axis=0))"):
     "one of two neighbouring whole numbers is even",
    ("minivae/gradcheck/unbiased.py:",
     "RULES = ((65), 40, 24, 16, 12, 8, 6, 4)  # nodes for one number; each rule is held against "
     "the next"):
     "a rule as precise as the other",
    ("minivae/inference/laplace.py:_climb",
     "higher = (height >= heights)"):
     "of two points of one height either may be kept",
    ("minivae/models/exporting.py:to_torch",
     "rng = np.random.default_rng((1))"):
     "any noise will do to hold two models together, and it is kept beside them",
    ("minivae/gradcheck/check.py:_find_wrong",
     "direction *= np.where(x == 0, (2.0), np.abs(x))"):
     "how far elements of 0 are moved, in a direction that is drawn anyway",
    ("minivae/inference/diagnostics.py:_by_columns.<locals>.whole",
     "width = max(1, PORTION // max((C / T), 1))"):
     "only how many columns are looked at together",
    ("minivae/distributions/likelihoods/continuous_bernoulli.py:ContinuousBernoulli.initial_biases",
     "below = (self.mean((middle,)) <= target)"):
     "the bisection closes in on the same number from either side",
    ("minivae/datasets/published.py:",
     "_MOST_BYTES = 1 << (27)  # of a download; the largest file, as it is sent, takes less than "
     "half"):
     "a limit that no test's download comes near",
    ("minivae/stored.py:",
     "_AT_ONCE = 2**(23)  # numbers that are checked at once"):
     "how much is in memory at once, where data are larger than any test's",
    ("minivae/inference/variational.py:fit_posterior",
     "worse = (before.elbo >= fit.elbo)"):
     "of two answers with the same bound either may be kept",
    ("minivae/gradcheck/bias.py:_factors",
     "if bias.asked % 2 == 0 and bias.asked > (1):"):
     "no even number is 1",
    ("minivae/models/mixture/data.py:",
     "_SAMPLED, _FEWEST = 2**(25), 2**12  # numbers, and rows, of data elsewhere for a start"):
     "how many rows of data that are larger than any test's a start looks at",
}  # fmt: skip

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
    place: str  # the outermost statement around it that is not a class, and where in it

    @property
    def id(self) -> str:
        """Eight digits that say which one it is, as long as that function is the same."""
        text = f"{self.path} {self.place} {self.after}"
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def functions(self) -> list[str]:
        """The functions that it stands in, the outermost first."""
        parts = self.function.removesuffix(".<locals>").split(".<locals>.")
        return [".<locals>.".join(parts[: i + 1]) for i in range(len(parts)) if self.function]

    def last_name(self) -> str:
        """What tests may call the place: a function, a class or the file."""
        names = [n for n in self.function.split(".") if n.isidentifier() and n[:1] != "_"]
        return names[-1] if names else Path(self.path).stem

    def applied(self) -> str:
        """The file with the mistake in it."""
        source = (ROOT / self.path).read_bytes()
        return (source[: self.start] + self.after.encode() + source[self.end :]).decode()

    def named(self) -> tuple[str, str]:
        """What EQUIVALENT calls it: its function, and the line with the mistake in it."""
        line = self.applied().splitlines()[self.line - 1].strip()
        return f"{self.path}:{self.function.removesuffix('.<locals>')}", line

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.function}: {self.before} -> {self.after}"


# ---- mistakes ----


class _Finder(ast.NodeVisitor):
    """Finds all places of a module where a mistake can be made."""

    def __init__(self, path: str, source: str) -> None:
        self.path, self.found = path, list[Mutant]()
        self.names: list[str] = []
        self.outermost: Any = None
        lines = source.encode().splitlines(keepends=True)
        self.offsets = [sum(map(len, lines[:i])) for i in range(len(lines) + 1)]
        self.source = source.encode()

    def add(self, node: Any, changed: ast.AST, parentheses: bool = True) -> None:
        start = self.offsets[node.lineno - 1] + node.col_offset
        end = self.offsets[node.end_lineno - 1] + node.end_col_offset
        after = ast.unparse(changed)
        around = self.outermost or node  # the head of a class
        first, last = self.offsets[around.lineno - 1], self.offsets[around.end_lineno]
        place = f"{self.names} {self.source[first:last].decode()} {start - first}"
        self.found.append(
            Mutant(
                self.path, ".".join(self.names), node.lineno, start, end,
                " ".join(self.source[start:end].decode().split()),
                f"({after})" if parentheses else after, place,
            )
        )  # fmt: skip

    def visit(self, node: ast.AST) -> None:
        begins = self.outermost is None and isinstance(node, ast.stmt)
        if begins and not isinstance(node, ast.ClassDef):
            self.outermost = node
            super().visit(node)
            self.outermost = None
        else:
            super().visit(node)

    def visit_scope(self, node: Any) -> None:
        self.names.append("<lambda>" if isinstance(node, ast.Lambda) else node.name)
        if isinstance(node, ast.ClassDef):
            self.generic_visit(node)
        else:  # defaults are evaluated where it is defined, and what it returns is an annotation
            for outer in [*getattr(node, "decorator_list", []), node.args]:
                self.visit(outer)
            self.names.append("<locals>")
            for inner in [node.body] if isinstance(node, ast.Lambda) else node.body:
                self.visit(inner)
            del self.names[-1]
        del self.names[-1]

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
    """Some of the mistakes, for the same seed the same ones, but for those in changed functions."""
    order = sorted(sites, key=lambda m: hashlib.sha256(f"{seed} {m.id}".encode()).digest())
    return list(itertools.islice(filter(is_python, order), count))


def core(under: list[str]) -> Iterator[str]:
    """The modules in which mistakes are made."""
    for path in sorted((ROOT / "minivae").rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith(NOT_CORE) and any(name.startswith(u) for u in under):
            yield name


# ---- which tests reach what ----


class Reach:
    """Which tests reach which function, and how long each takes."""

    def __init__(self, records: list[dict[str, Any]]) -> None:
        self.tests: dict[tuple[str, str], set[str]] = {}
        self.seconds: dict[str, float] = {}
        self.breadth: dict[str, int] = {}  # how many functions a test reaches by itself
        for record in records:
            places = record["places"]
            self.seconds |= record["seconds"]
            for test, reached in record["reached"].items():
                self.breadth[test] = len(reached)
                for number in {*reached, *record["shared"]}:
                    path, function = places[number]
                    self.tests.setdefault((path, function), set()).add(test)
                    self.tests.setdefault((path, ""), set()).add(test)

    def of(self, mutant: Mutant) -> list[str]:
        """The tests that reach a mistake, as many as there is time for.

        Those of the module that is named after its file come first, then those of modules that name
        its function, then the quick ones; among equals, those that reach little else. The quick
        tests of a module stay together, as they share its fixtures, and so do its slow ones.
        """
        places = [*reversed(mutant.functions()), ""]
        found = next(filter(None, (self.tests.get((mutant.path, name)) for name in places)), set())

        def rank(test: str) -> tuple[bool, bool, float, int, str]:
            module = test.partition("::")[0]
            other = Path(mutant.path).stem not in Path(module).stem
            strange = mutant.last_name() not in _text_of(module)
            return other, strange, round(self.seconds[test], 1), self.breadth[test], test

        chosen, total = [], 0.0
        if not mutant.function.endswith("<locals>"):  # it is evaluated on import
            chosen = [test for test in self.seconds if test.startswith(LOOK_AT_DEFAULTS)]
        for test in sorted(found.difference(chosen), key=rank):
            if total + self.seconds[test] <= MOST_SECONDS:
                total += self.seconds[test]
                chosen.append(test)
        modules = list(dict.fromkeys(test.partition("::")[0] for test in chosen))
        slow = {test: self.seconds[test] > QUICK_SECONDS for test in chosen}
        return sorted(chosen, key=lambda t: (slow[t], modules.index(t.partition("::")[0])))


@functools.cache
def _text_of(module: str) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


# ---- what becomes of them ----


def record_of(module: str) -> Path:
    """Where it stands what a module of tests reaches; elsewhere when they have changed.

    The library may have changed since: then tests may be missed that reach a mistake, so that the
    score is lower than it might be, and never higher.
    """
    name = module.removeprefix("tests/").replace("/", ".")
    text, beside = _text_of(module), sorted((ROOT / module).parent.glob("*.py"))
    used = [path for path in beside if path.name[:5] != "test_" and path.stem in text]
    return BUILD / "reach" / f"{name}-{digest([ROOT / module, *used])}.json"


def tell(key: str, fate: str, test: str = "") -> None:
    """Keep what became of a mistake, and in which state the tests were that found it out."""
    module = test.partition("::")[0]
    with FATES.open("a", encoding="utf-8") as file:
        what = fate + test if fate.endswith(" ") else fate
        file.write(json.dumps([key, what, module, module and digest([ROOT / module])]) + "\n")


def fates(state: str) -> dict[str, str]:
    """What became of each mistake, as far as the tests that told it are what they were."""
    found = {}
    lines = FATES.read_text(encoding="utf-8").splitlines() if FATES.exists() else []
    for key, fate, module, then in map(json.loads, lines):
        path = ROOT / module
        if path.exists() and digest([path]) == then if module else key.endswith(state):
            found[key[:8]] = fate
    return found


def digest(paths: list[Path]) -> str:
    """What tells whether any of these files has changed."""
    total = hashlib.sha256()
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        total.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return total.hexdigest()[:16]


def copied_tree() -> Path:
    """A copy of all that the tests need, so that the files may be edited meanwhile."""
    tree = BUILD / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, tree)
    return tree


def try_all(job: dict[str, Any], modules: list[Path]) -> None:
    """Have mistakes tried in a copy of the tree (tests/planting.py)."""
    tree = copied_tree()
    (BUILD / "job.json").write_text(json.dumps(job))  # too long for the environment
    fixed = {
        "CI": "true", "PYTHONHASHSEED": "0", "PYTHONPATH": str(tree / "tests"),
        "MUTANTS_JOB": str(BUILD / "job.json"), "MUTANTS_BUILD": str(BUILD),
    }  # fmt: skip
    names = [path.relative_to(ROOT).as_posix() for path in modules]
    subprocess.run(
        [sys.executable, *PYTEST, *names], cwd=tree, env={**os.environ, **fixed}, check=False
    )


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
    if arguments.workers < 1:
        parser.error("--workers must be at least 1")
    started = time.monotonic()
    sites = [
        mutant
        for path in core(arguments.files)
        for mutant in mutants_of(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    if arguments.show:
        return show(arguments.show, sites)
    chosen = drawn(sites, arguments.seed, arguments.count)
    print(f"{len(chosen)} of {len(sites)} possible mistakes, seed {arguments.seed}", flush=True)
    lacking = [where for where, names in NEEDED.items() if not all(map(find_spec, names))]
    modules = [
        path
        for where in arguments.tests
        for path in [ROOT / where, *sorted((ROOT / where).rglob("*"))]
        if path.match("test_*.py") or path.match("tests/large/*.py")
        if not path.relative_to(ROOT).as_posix().startswith((*NOT_TRIED, *lacking))
    ]
    (BUILD / "reach").mkdir(parents=True, exist_ok=True)
    (BUILD / ".gitignore").write_text("*")
    state = digest(modules)
    numbers = {mutant.id: mutant for mutant in chosen if mutant.named() not in EQUIVALENT}
    known = fates(state)
    waiting = {number: mutant for number, mutant in numbers.items() if number not in known}
    if waiting:
        try_all({"mutants": waiting, "workers": arguments.workers, "state": state}, modules)
    known = fates(state)
    results = [known.get(number, "not tried") for number in numbers]
    for (number, mutant), what in zip(numbers.items(), results, strict=True):
        if not what.startswith("noticed"):
            print(f"{number}  {what:20}  {mutant}", flush=True)
    noticed = sum(what.startswith("noticed") for what in results)
    minutes = (time.monotonic() - started) / 60
    share = 100 * noticed / max(len(results), 1)
    nothing = len(chosen) - len(results)
    print(f"{noticed} of {len(results)} noticed, {share:.1f}%; {nothing} more change nothing")
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
