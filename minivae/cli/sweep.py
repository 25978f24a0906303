"""``minivae sweep``: held-out ELBO and log p(x) against K, or log p(x) and BIC against C."""

import argparse
import contextlib
import csv
import io
import json
import multiprocessing
import os
import shlex
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import VAE, GaussianMixture, datasets
from minivae.checkpoint import atomic_write
from minivae.cli.describe import describe_data
from minivae.cli.flags import (
    add_declared,
    add_hyper_parameters,
    flag_of,
    hyper_parameters,
    written,
)
from minivae.cli.lock import hold
from minivae.cli.results import measure
from minivae.cli.run import LOCK, empty_folder, provenance
from minivae.cli.terminal import Interrupted, add_quiet, say
from minivae.datasets import Dataset
from minivae.errors import CheckpointError, ConvergenceWarning
from minivae.models.resuming import resume
from minivae.models.vae.files import params_from_json, params_to_json
from minivae.models.vae.hyperparameters import make_likelihood
from minivae.reading import read_text, refused

__all__ = ["register"]

DESCRIPTION = """\
Train a model for each value and each seed, and draw its results on held-out
data against the value: ELBO and log p(x) against --latent-dim; or log p(x),
with the BIC beside it, against --components. Each seed is another start. The
runs are spread over processes. --resume continues a sweep that was stopped,
without training a finished run again."""

Value = dict[str, float]
VAES, MIXTURES = "latent_dim", "n_components"


class _Task(NamedTuple):
    """One run: which, with what, on what, and where its result goes."""

    over: str
    value: int
    seed: int
    params: dict[str, Any]
    source: str
    folder: str

    @property
    def result(self) -> Path:
        """The file that says that the run is finished."""
        return Path(self.folder) / f"{self.over}-{self.value}-seed-{self.seed}.json"


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "sweep",
        usage="minivae sweep (--latent-dim 1,2,4 | --components 1,2,3) [flags]",
        help="train over a range of sizes and seeds, and compare them on held-out data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    files = parser.add_argument_group("what to compare")
    over = files.add_mutually_exclusive_group()
    over.add_argument(
        "--latent-dim",
        dest="K",
        metavar="K,K,...",
        type=_values,
        help="values for VAEs, such as 1,2,4,8",
    )
    over.add_argument(
        "--components",
        dest="C",
        metavar="C,C,...",
        type=_values,
        help="values for Gaussian mixtures, such as 1,2",
    )
    files.add_argument(
        "--seeds", metavar="N", type=_count, default=3, help="how many for each value (3)"
    )
    files.add_argument(
        "--jobs", metavar="N", type=_count, help="processes (one per core, at most one per run)"
    )
    files.add_argument(
        "--data", metavar="NAME|PATH", help="as for train (optdigits; faithful for mixtures)"
    )
    where = files.add_mutually_exclusive_group()
    where.add_argument(
        "--out", metavar="DIR", help="a new or empty folder (sweeps/<data>-<number>)"
    )
    where.add_argument("--resume", metavar="DIR", help="continue the sweep in this folder")
    add_quiet(files)
    own = {"latent_dim", "random_state"}
    add_hyper_parameters(parser, leave_out=own)
    mixture = parser.add_argument_group("of mixtures")
    skip = {*VAE.declared, "n_components", "random_state"}
    names = add_declared(mixture, GaussianMixture, {}, leave_out=skip)
    parser.set_defaults(run=sweep, of_mixtures=names)


def _values(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and 0 < int(part) < 10**6 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} should be whole numbers from 1, such as 1,2,4")
    return tuple(sorted({int(part) for part in parts}))


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**4:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 1")
    return int(text)


def sweep(arguments: argparse.Namespace) -> None:
    """Train what has not been trained yet, and draw what has."""
    started = time.monotonic()
    folder, record, data = _resumed(arguments) if arguments.resume else _begun(arguments)
    tasks = [
        _Task(record["over"], value, seed, record["params"], record["data"]["source"], str(folder))
        for value in record["values"]
        for seed in range(record["seeds"])
    ]
    left = [task for task in tasks if not task.result.exists()]
    say(f"data    {describe_data(data)}", quiet=arguments.quiet)
    jobs = min(arguments.jobs or os.cpu_count() or 1, max(1, len(left)))
    done = f", {len(tasks) - len(left)} of them finished" if len(left) < len(tasks) else ""
    say(f"runs    {len(tasks)}{done}, {jobs} at a time", quiet=arguments.quiet)
    try:
        _run_all(left, jobs, arguments.quiet)
    except KeyboardInterrupt:
        mend = f"go on with: minivae sweep --resume {shlex.quote(str(folder))}"
        finished = sum(task.result.exists() for task in tasks)
        raise Interrupted(f"stopped; {finished} of {len(tasks)} runs are done; {mend}") from None
    found = {(task.value, task.seed): _read(task.result) for task in tasks}
    _write_results(folder, record, found)
    _draw(folder, record, found)
    print(_as_table(record, found))
    print(f"\n{time.monotonic() - started:.1f} s in all; {folder} holds results.csv and sweep.png")


def _begun(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any], Dataset]:
    """Check the settings, and make the folder of a new sweep."""
    if arguments.K is None and arguments.C is None:
        raise ValueError("sweep: say what to compare: --latent-dim 1,2,4,8, or --components 1,2,3")
    mixtures = arguments.K is None
    data = datasets.load(arguments.data or ("faithful" if mixtures else "optdigits"))
    chosen = {n: getattr(arguments, n) for n in arguments.of_mixtures if hasattr(arguments, n)}
    of_vaes = written(arguments)
    if mixtures and (foreign := [n for n in of_vaes if n not in GaussianMixture.declared]):
        raise ValueError(f"{flag_of(foreign[0])} is a setting of VAEs; --components are mixtures")
    if not mixtures and chosen:
        raise ValueError(f"{flag_of(next(iter(chosen)))} is a setting of mixtures")
    if mixtures:
        shared = {n: v for n, v in of_vaes.items() if n in GaussianMixture.declared}
        params = {**({"reg_covar": 1.0} if data.name == "optdigits" else {}), **shared, **chosen}
        GaussianMixture(arguments.C[0], **params).check_params()
    else:
        vae = VAE(**{**hyper_parameters(data, of_vaes), "latent_dim": arguments.K[0]})
        vae.check_params()
        params = params_to_json(vae.get_params())
        for name in ("latent_dim", "random_state", "verbose"):
            del params[name]
    record = {
        **provenance(arguments.arguments, data),
        "over": MIXTURES if mixtures else VAES,
        "values": list(arguments.C if mixtures else arguments.K),
        "seeds": arguments.seeds,
        "params": params,
    }
    folder = _new_folder(arguments.out, Path(data.name).stem)
    hold(folder / LOCK)
    text = json.dumps(record, indent=2) + "\n"
    atomic_write(folder / "sweep.json", lambda file: file.write(text.encode()))
    return folder, record, data


def _new_folder(out: str | None, name: str) -> Path:
    if out is not None:
        folder = empty_folder(out)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    number = 1
    while True:
        folder = Path("sweeps") / f"{name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _resumed(arguments: argparse.Namespace) -> tuple[Path, dict[str, Any], Dataset]:
    """Read the settings of a sweep that was begun; what else is written must agree."""
    folder = Path(arguments.resume)
    path = folder / "sweep.json"
    if not path.exists():
        raise CheckpointError(f"--resume {folder}: no sweep was begun there: it has no sweep.json")
    hold(folder / LOCK)
    with refused(CheckpointError, str(path), "damaged", "begin another sweep"):
        record: dict[str, Any] = json.loads(read_text(path))
        over, values, seeds = record["over"], record["values"], record["seeds"]
        whole = all(type(n) is int and n > 0 for n in [*values, seeds])
        if over not in (VAES, MIXTURES) or not values or not whole:
            raise ValueError("its values are not those of a sweep")
        dict(record["params"]), str(record["data"]["source"])
    if arguments.K or arguments.C or written(arguments) or arguments.data:
        raise ValueError("a resumed sweep goes on as it began: leave the other flags out")
    return folder, record, datasets.load(record["data"]["source"])


# ---- the runs ----


def _run_all(tasks: Sequence[_Task], jobs: int, quiet: bool) -> None:
    """Run all, several at a time, and say how far they are."""
    from tqdm import tqdm

    bar = sys.stderr.isatty() and not quiet
    finished = map(_train, tasks) if jobs == 1 else _spread(tasks, jobs)
    for task in tqdm(finished, total=len(tasks), disable=not bar, unit="run", leave=False):
        if not bar:
            kind = "elbo" if task.over == VAES else "log_likelihood"
            what = f"held-out {kind} {_read(task.result)[kind]:.3f}"
            say(f"{task.over} {task.value}, seed {task.seed}: {what}", quiet=quiet)


def _spread(tasks: Sequence[_Task], jobs: int) -> Iterator[_Task]:
    """Run all in separate processes; yield each when it is finished."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    context = multiprocessing.get_context("spawn")
    with (
        _environment("MINIVAE_NUM_THREADS", threads),
        ProcessPoolExecutor(jobs, context, _live_and_die_with_the_parent) as pool,
    ):
        futures = [pool.submit(_train, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list((pool._processes or {}).values()):
                process.terminate()
            raise


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for the processes that begin meanwhile, unless the user has set it."""
    before = os.environ.get(name)
    os.environ.setdefault(name, value)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


def _live_and_die_with_the_parent() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it, however it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent: Any = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _train(task: _Task) -> _Task:
    """Train one model, and write what it is worth."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the numbers say it
        data = datasets.load(task.source)
        found = _mixture(task, data) if task.over == MIXTURES else _vae(task, data)
    text = json.dumps({k: v if np.isfinite(v) else None for k, v in found.items()})
    atomic_write(task.result, lambda file: file.write(text.encode()))
    return task


def _vae(task: _Task, data: Dataset) -> Value:
    params = params_from_json(task.params, {}, "VAE")
    vae = VAE(**{**params, "latent_dim": task.value, "random_state": task.seed})
    X, X_test = data.model_arrays(counts=make_likelihood(vae).takes_counts)
    checkpoint = task.result.with_suffix(".npz")
    if checkpoint.exists():
        vae = resume(checkpoint, X)
    else:
        vae.fit(X, checkpoint=checkpoint)
    found = measure(vae, X_test)
    log_p = found.log_likelihood
    return {
        "elbo": found.elbo, "log_likelihood": np.nan if log_p is None else log_p,
        "kl": found.kl, "active_units": found.active_units,
    }  # fmt: skip


def _mixture(task: _Task, data: Dataset) -> Value:
    X: Any = data.x_train
    X = X.astype(np.float64) if isinstance(X, np.ndarray) else X
    X_test = data.x_test.astype(np.float64)
    mixture = GaussianMixture(task.value, **{**task.params, "random_state": task.seed})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(X)
    return {
        "log_likelihood": mixture.score(X_test), "bic": mixture.bic(X),
        "train_log_likelihood": mixture.score(X),
    }  # fmt: skip


# ---- what comes of them ----


def _read(path: Path) -> Value:
    with refused(CheckpointError, str(path), "damaged", "delete it, and resume the sweep"):
        found = json.loads(read_text(path))
        return {name: np.nan if v is None else float(v) for name, v in found.items()}


def _write_results(folder: Path, record: dict[str, Any], found: dict[Any, Value]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    columns = list(next(iter(found.values())))
    rows.writerow([record["over"], "seed", *columns])
    for (value, seed), row in found.items():
        rows.writerow([value, seed, *(row[name] for name in columns)])
    atomic_write(folder / "results.csv", lambda file: file.write(text.getvalue().encode()))


def _columns(record: dict[str, Any], found: dict[Any, Value]) -> dict[str, np.ndarray]:
    """Each number over values and seeds, ``(values, seeds)``."""
    names = next(iter(found.values()))
    grid = [[found[v, s] for s in range(record["seeds"])] for v in record["values"]]
    return {n: np.array([[cell[n] for cell in row] for row in grid]) for n in names}


def _as_table(record: dict[str, Any], found: dict[Any, Value]) -> str:
    """Return means over the seeds, with their standard errors; of mixtures the best start."""
    columns, seeds = _columns(record, found), record["seeds"]
    lines = []
    if record["over"] == MIXTURES:
        best = columns["train_log_likelihood"].argmax(axis=1)
        head = f"{'C':>5}  {'held-out log p(x)':>18}  {'BIC':>12}"
        lines.append(f"{head}  of the best of {seeds} starts")
        least = int(np.argmin([columns["bic"][i, b] for i, b in enumerate(best)]))
        for i, (value, b) in enumerate(zip(record["values"], best, strict=True)):
            log_p, bic = columns["log_likelihood"][i, b], columns["bic"][i, b]
            mark = "  the least" if i == least else ""
            lines.append(f"{value:>5}  {log_p:>18.4f}  {bic:>12.1f}{mark}")
        return "\n".join(lines)
    head = f"{'K':>5}  {'held-out ELBO':>18}  {'log p(x)':>18}  {'active':>6}"
    lines.append(f"{head}  nats per datum")
    for i, value in enumerate(record["values"]):
        cells = [_mean(columns[name][i]) for name in ("elbo", "log_likelihood")]
        active = columns["active_units"][i].mean()
        lines.append(f"{value:>5}  {cells[0]:>18}  {cells[1]:>18}  {active:>6.1f}")
    lines.append(f"means over {seeds} seeds +- their standard errors")
    return "\n".join(lines)


def _mean(values: np.ndarray) -> str:
    if not np.isfinite(values).all():
        return "not a number"
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.2f} +- {error:.2f}"


def _draw(folder: Path, record: dict[str, Any], found: dict[Any, Value]) -> None:
    from minivae import figures

    columns = _columns(record, found)
    if record["over"] == MIXTURES:
        shown = {"held-out log p(x), nats per datum": {"": columns["log_likelihood"]},
                 "BIC": {"": columns["bic"]}}  # fmt: skip
        figure = figures.sweep(record["values"], shown, "components C")
    else:
        curves = {"ELBO": columns["elbo"], "log p(x)": columns["log_likelihood"]}
        known = {n: c for n, c in curves.items() if np.isfinite(c).all()}
        title = "held-out nats per datum"
        figure = figures.sweep(record["values"], {title: known}, "latent dimensions K")
    figures.save_figure(figure, folder / "sweep.png")
