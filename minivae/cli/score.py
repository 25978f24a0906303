"""``minivae score``: how strange each row of a file is to a trained model."""

import argparse
import csv
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from minivae import CategoricalVAE, GaussianMixture, SemiSupervisedVAE, datasets
from minivae.checkpoint import atomic_write
from minivae.cli.models import asked, require_y
from minivae.cli.run import MIXTURE, RunFolder, SavedRun, in_units, load_like, open_run
from minivae.cli.terminal import add_quiet, complain, say, table
from minivae.datasets import Dataset
from minivae.errors import DatasetError, EffectiveSampleSizeWarning, LikelihoodWarning
from minivae.tensor import Array

__all__ = ["register"]

DESCRIPTION = """\
Write a line for each row of FILE: its score, which is -log p(x) in nats and is
high if the model finds the row strange; its p_value, the share of the run's own
held-out data that are at least as strange; and log p(x), the ELBO and the
reconstruction term. A low p_value is a reason to look at a row. A high one does
not prove that a row is sound: simple data may be likely under a model that has
never seen their kind."""
N_SAMPLES = 500
MOST_COMPARED = 500  # of the run's own data
STRANGE = 0.01


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "score",
        help="how strange a trained model finds each row of a file",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("path", metavar="RUN", help="a run's folder, of a VAE or a mixture")
    parser.add_argument(
        "file", metavar="FILE", help="data, as for train; its test data, if it has any"
    )
    parser.add_argument(
        "--out", metavar="FILE", type=_csv, help="a .csv (scores.csv in the run's folder)"
    )
    add_quiet(parser)
    parser.set_defaults(run=score)


def _csv(text: str) -> Path:
    if Path(text).suffix.lower() != ".csv":
        raise argparse.ArgumentTypeError(f"{text!r} should end in .csv")
    return Path(text)


def score(arguments: argparse.Namespace) -> None:
    """Score the rows, write them, and print the strangest."""
    folder = RunFolder(arguments.path)
    out = arguments.out or folder.path / "scores.csv"
    if (folder.path / MIXTURE).exists():
        record = folder.read_record()
        mixture = GaussianMixture.load(folder.path / MIXTURE)
        X = _part(load_like(record, arguments.file, hold_out=False))[0].astype(np.float64)
        columns = {"log_likelihood": mixture.score_samples(X)}
        source = record.get("data", {}).get("source")

        def of_the_run(data: Dataset) -> Array:
            found: Array = mixture.score_samples(_part(data)[0][:MOST_COMPARED].astype(np.float64))
            return found

        compared = _compared(source, (), False, of_the_run)
    else:
        saved = open_run(arguments.path)
        if not arguments.out and Path(arguments.path).is_file():
            out = Path(arguments.path).parent / "scores.csv"
        some = {"hold_out": False, "conditions": saved.conditions}
        data = load_like(saved.record, arguments.file, **some)
        columns = _columns(saved, data, *_part(data))

        def of_the_run(data: Dataset) -> Array:
            some = [None if a is None else a[:MOST_COMPARED] for a in (data.x_test, data.y_test)]
            return next(iter(_columns(saved, data, *some).values()))  # type: ignore[arg-type]

        compared = _compared(saved.source, saved.conditions, True, of_the_run)
    strangeness = -next(iter(columns.values())).astype(np.float64)
    p_value = np.full(len(strangeness), np.nan)
    if compared is not None:
        least = np.sort(-compared.astype(np.float64))
        above = len(least) - np.searchsorted(least, strangeness, side="left")
        p_value = (above + 1) / (len(least) + 1)
    _write(out, {"score": strangeness, "p_value": p_value, **columns})
    print(_summary(strangeness, p_value, None if compared is None else len(compared)))
    say(f"wrote {out}", quiet=arguments.quiet)


def _part(data: Dataset) -> tuple[Any, Array | None]:
    """The test part of data that have one, else all."""
    return (data.x_test, data.y_test) if len(data.x_test) else (data.x_train, data.y_train)


def _columns(saved: SavedRun, data: Dataset, x: Array, y: Array | None) -> dict[str, Array]:
    """What a VAE says of each row, the best measure of strangeness first."""
    vae = saved.vae
    X = in_units(saved, data, x)
    if not isinstance(vae, SemiSupervisedVAE):
        require_y(vae, data, y, "scored")
    given = asked(vae, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)  # of the strange, low is right
        warnings.simplefilter("ignore", LikelihoodWarning)  # the summary says what the score is
        terms = vae.elbo_terms(X, *given)
        found = {"elbo": terms.elbo, "reconstruction": terms.reconstruction}
        if vae.likelihood_.is_density:
            if isinstance(vae, CategoricalVAE):
                return {"log_likelihood": vae.log_likelihood(X), **found}
            n = N_SAMPLES // 5 if isinstance(vae, SemiSupervisedVAE) else N_SAMPLES
            log_p: Any = vae.log_likelihood(X, *given, n_samples=n)  # type: ignore[misc]
            return {"log_likelihood": log_p, **found}
    complain("warning: grey='cross-entropy' is not a likelihood; the score is minus its bound")
    return found


def _compared(source: str | None, conditions: Any, hold_out: bool, measure: Any) -> Array | None:
    """log p(x) of the run's own data, or None if they are not available."""
    if source is None:
        complain("warning: the model does not say what it was trained on: no p_value")
        return None
    try:
        found: Array = measure(datasets.load(source, hold_out=hold_out, conditions=conditions))
    except DatasetError as error:
        complain(f"warning: no p_value, because the run's own data are missing: {error}")
        return None
    return found


def _write(out: Path, columns: dict[str, Array]) -> None:
    if out.is_symlink():
        raise FileExistsError(f"{out} is a symbolic link: say by --out where to write")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["row", *columns])
    for i, row in enumerate(zip(*columns.values(), strict=True)):
        rows.writerow([i, *("" if np.isnan(v) else f"{v:.6g}" for v in row)])
    atomic_write(out, lambda file: file.write(text.getvalue().encode()))


def _summary(strangeness: Array, p_value: Array, compared: int | None) -> str:
    """Return what is to be said, in lines of at most 80 columns."""
    worst = np.argsort(-strangeness, kind="stable")[:5]
    rows = [
        ("rows scored", str(len(strangeness))),
        ("score, median", f"{np.median(strangeness):.2f} nats"),
    ]
    if compared is not None:
        strange = int((p_value <= max(STRANGE, 1 / (compared + 1))).sum())
        rows.append(
            (f"strange, p <= {max(STRANGE, 1 / (compared + 1)):.2g}",
             f"{strange}, against {compared} of the run's own data")
        )  # fmt: skip
    for i in worst:
        p = "" if np.isnan(p_value[i]) else f", p = {p_value[i]:.3f}"
        rows.append((f"row {i}", f"score {strangeness[i]:.2f}{p}"))
    return table(rows, indent=0)
