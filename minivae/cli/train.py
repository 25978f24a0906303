"""``minivae train``: from data to a run's folder, and on from where a run was stopped."""

import argparse
import os
import shlex
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minivae
from minivae import VAE, datasets
from minivae.cli.describe import (
    architecture,
    describe_data,
    describe_given,
    describe_likelihood,
    describe_prior,
)
from minivae.cli.doctor import kernels_are_compiled
from minivae.cli.flags import add_hyper_parameters, flag_of, hyper_parameters, written
from minivae.cli.models import MODELS, asked, model_name, require_y
from minivae.cli.results import measure
from minivae.cli.run import (
    MOST_FRAMES,
    MOST_POINTS,
    RunFolder,
    frame_epochs,
    new_run,
    provenance,
    read_model,
    reopened,
)
from minivae.cli.terminal import Interrupted, add_quiet, one_line, say, table
from minivae.datasets import Dataset
from minivae.distributions import StandardNormal
from minivae.errors import CheckpointError, LikelihoodWarning
from minivae.models.vae.files import params_from_json, params_to_json
from minivae.models.vae.hyperparameters import make_likelihood
from minivae.reading import refused
from minivae.tensor import Array

__all__ = ["register"]

DESCRIPTION = f"""\
Train a variational autoencoder, or a relative of it (--model), and write a
folder with pictures, numbers and a checkpoint. Without flags it learns 8x8
handwritten digits with a 2-D latent space, in half a minute. Ctrl-C stops
between two steps, and --resume continues from there bit for bit. Defaults are
in brackets; where they depend on the data, they are those for optdigits. The
animation shows at most {MOST_POINTS} test data in at most {MOST_FRAMES} frames."""


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train",
        usage="minivae train [flags]",
        help="train a VAE on handwritten digits, or on other data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    files = parser.add_argument_group("data and files")
    files.add_argument(
        "--data",
        metavar="NAME|PATH",
        help="optdigits, mnist, fashion-mnist, faithful, or a file: .npz, .npy, .csv or IDX "
        "(optdigits)",
    )
    files.add_argument(
        "--model",
        choices=tuple(MODELS),
        help="vae; conditional: p(x|y), where y is the label or --conditions; semi-supervised: "
        "labels may be missing, shown by -1 or an empty cell; categorical: z is one of "
        "--latent-dim classes (vae)",
    )
    files.add_argument(
        "--conditions",
        metavar="NAMES",
        type=_names,
        default=(),
        help="columns of a table to use as real-valued conditions y, separated by commas; for an "
        ".npz file, y",
    )
    where = files.add_mutually_exclusive_group()
    where.add_argument(
        "--out", metavar="DIR", help="the run's folder, new or empty (runs/<data>-<number>)"
    )
    where.add_argument("--resume", metavar="DIR", help="continue the run in this folder")
    files.add_argument(
        "--grid",
        metavar="HOW",
        choices=("quantile", "equal"),
        default="quantile",
        help="spacing of the prior's grid if the prior is standard: quantile (each image stands "
        "for an equal share of the prior) or equal (steps of one length) (quantile)",
    )
    add_quiet(files)
    add_hyper_parameters(parser)
    parser.set_defaults(run=train)


def train(arguments: argparse.Namespace) -> None:
    """Train, measure, draw."""
    started = time.monotonic()
    if arguments.resume is not None:
        run, data, vae = _resumed(arguments)
        X, X_test = _arrays(data, vae)
        conditions = run.conditions()
    else:
        model, conditions = MODELS[arguments.model or "vae"], arguments.conditions
        chosen = written(arguments, model)
        if conditions and arguments.model != "conditional":
            raise ValueError("--conditions goes with --model conditional")
        data = datasets.load(arguments.data or "optdigits", conditions=conditions)
        vae = model(**hyper_parameters(data, chosen))
        X, X_test = _arrays(data, vae)
        run = new_run(arguments.out, Path(data.name).stem)
    recorder = _Recorder(run, data, X_test, arguments.quiet)
    before = len(recorder.test_elbo)
    with _resumable(run):
        if run.checkpoint.exists():
            recorder.announce(vae)
            vae = minivae.resume(
                run.checkpoint, X, data.y_train, on_epoch=recorder, verbose=recorder.bar
            )
        else:
            vae.verbose = recorder.bar
            with run.begun(_record(arguments, data, vae, conditions)):
                vae.fit(
                    X, data.y_train, checkpoint=run.checkpoint, source=data.source,
                    on_epoch=recorder,
                )  # fmt: skip
        trained, training_time = len(recorder.test_elbo) - before, time.monotonic() - started
        if not trained:
            say("This run was finished; its pictures are drawn again.", quiet=arguments.quiet)
        say("Measuring on the test data, and drawing ...", quiet=arguments.quiet)
        results = measure(vae, X_test, data.y_test)
        run.write_record({**run.read_record(), "results": results.as_dict()})
        _draw(run, data, vae, X_test, arguments.grid)
    print(results.as_table())
    spent = f"{trained} epochs in {training_time:.1f} s, " if trained else ""
    print(f"\n{spent}{time.monotonic() - started:.1f} s in all. {run.path} holds")
    print(
        table(
            [
                ("latent.png", "the codes of the test data"),
                ("latent.gif", "the same, epoch by epoch"),
                ("prior.png", "what the decoder makes of the latent space"),
                ("reconstructions.png", "test data, and what comes back from their codes"),
                ("learning_curve.png", "the ELBO and its two terms"),
                ("checkpoint.npz", "the model, for minivae sample, reconstruct and info"),
            ]
        )
    )


# ---- what to train on what ----


def _arrays(data: Dataset, vae: VAE) -> tuple[Array, Array]:
    """Return training and test data in the units of the model's likelihood."""
    vae.check_params()
    require_y(vae, data, data.y_train, "training")
    require_y(vae, data, data.y_test, "test")
    return data.model_arrays(counts=make_likelihood(vae).takes_counts)


def _resumed(arguments: argparse.Namespace) -> tuple[RunFolder, Dataset, VAE]:
    """Return the folder of a run that was begun, its data, and its model, not fitted yet."""
    path = Path(arguments.resume)
    run = reopened(path)
    if run.checkpoint.exists():
        vae, metadata = read_model(run.checkpoint)
        if "training" not in metadata:
            raise CheckpointError(f"{run.checkpoint} is a saved model, not a training run")
        source, history = metadata["training"].get("source"), vae.history_
    else:  # stopped before its first checkpoint
        record = run.read_record()
        if "hyper_parameters" not in record or "data" not in record:
            raise CheckpointError(
                f"--resume {path}: no run was begun there: it has neither checkpoint.npz nor "
                "run.json"
            )
        with refused(CheckpointError, str(run.record), "damaged", "delete it"):
            kind = MODELS[record.get("model", "vae")]
            vae = kind(**params_from_json(record["hyper_parameters"], {}, "VAE"))
        source, history = record["data"]["source"], {}
    if arguments.model not in (None, model_name(vae)):
        _refuse_conflict("--model", arguments.model, model_name(vae))
    if arguments.conditions and arguments.conditions != run.conditions():
        _refuse_conflict("--conditions", arguments.conditions, run.conditions())
    for name, value in written(arguments, type(vae)).items():
        if value != getattr(vae, name):
            _refuse_conflict(flag_of(name), value, getattr(vae, name))
    if source is None and arguments.data is None:
        raise CheckpointError(f"{path} does not say what it was trained on: give --data")
    where = source if arguments.data is None else arguments.data
    data = datasets.load(where, conditions=run.conditions())
    moved = source is not None and os.path.isabs(source) and not os.path.exists(source)
    if source is not None and data.source != source and not moved:
        _refuse_conflict("--data", data.source, source)
    run.cut_back(history)
    return run, data, vae


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"{text!r} should be names of columns, such as dose,age")
    return names


def _refuse_conflict(flag: str, value: Any, recorded: Any) -> None:
    shown = [",".join(map(str, v)) if isinstance(v, tuple) else str(v) for v in (value, recorded)]
    raise ValueError(
        f"{flag} {shown[0]} is not what the run was started with, {shown[1]}: a resumed run goes "
        f"on as it began; leave {flag} out, or start another run"
    )


def _record(
    arguments: argparse.Namespace, data: Dataset, vae: VAE, conditions: tuple[str, ...]
) -> dict[str, Any]:
    """Return all that is needed to reproduce a run."""
    params = params_to_json(vae.get_params())
    del params["verbose"]
    record = {**provenance(arguments.arguments, data), "model": model_name(vae)}
    record["data"]["conditions"] = list(conditions)
    return {**record, "hyper_parameters": params}


@contextmanager
def _resumable(run: RunFolder) -> Iterator[None]:
    """Say how to go on after Ctrl-C, or after a disk that could not be written."""
    mend = f"go on with: minivae train --resume {shlex.quote(str(run.path))}"
    try:
        yield
    except KeyboardInterrupt:
        if not run.record.exists():
            raise
        done = len(run.read_history().get("epoch", ()))
        raise Interrupted(f"stopped; {done} epochs are done; {mend}") from None
    except (OSError, CheckpointError) as error:
        of_the_disk = isinstance(error if isinstance(error, OSError) else error.__cause__, OSError)
        if not of_the_disk or not run.checkpoint.exists():
            raise
        raise CheckpointError(f"{one_line(error)}; when that is mended, {mend}") from error


# ---- while it trains ----


class _Recorder:
    """Writes what the checkpoint does not hold after each epoch, and says how far training is."""

    def __init__(self, run: RunFolder, data: Dataset, X_test: Array, quiet: bool) -> None:
        self.run, self.data, self.X_test, self.quiet = run, data, X_test[:MOST_POINTS], quiet
        self.y_test = None if data.y_test is None else data.y_test[:MOST_POINTS]
        self.test_elbo = run.read_history().get("test_elbo", [])
        self.bar = sys.stderr.isatty() and not quiet
        self.lines = not self.bar and not quiet
        self.compiles = not kernels_are_compiled()  # asked before `fit` compiles the first
        self.announced = False

    def announce(self, vae: VAE) -> None:
        """Say what is trained on what, once it is known to make sense."""
        if self.announced:
            return
        self.announced = True
        layers = architecture(vae, self.X_test.shape[1])
        say(f"data    {describe_data(self.data)}", quiet=self.quiet)
        name = "" if model_name(vae) == "vae" else f"{model_name(vae)}: "
        say(f"model   {name}{layers}, {vae.activation}", quiet=self.quiet)
        if given := describe_given(vae):
            say(f"y       {given}", quiet=self.quiet)
        say(f"p(x|z)  {describe_likelihood(vae)}", quiet=self.quiet)
        if not isinstance(vae.prior_, StandardNormal):
            say(f"p(z)    {describe_prior(vae)}", quiet=self.quiet)
        if self.compiles:
            say("Compiling the kernels, this once ...", quiet=self.quiet)

    def __call__(self, vae: VAE, epoch: int) -> None:
        if epoch == 0:
            self.announce(vae)
        if epoch in frame_epochs(vae.epochs):
            self.run.keep_frame(epoch, vae.transform(self.X_test, *asked(vae, self.y_test)))
        if epoch == 0:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LikelihoodWarning)  # said once, with the results
            self.test_elbo.append(vae.score(self.X_test, *asked(vae, self.y_test)))
        self.run.write_history({**vae.history_, "test_elbo": self.test_elbo})
        if self.lines and (epoch % max(1, vae.epochs // 10) == 0 or epoch == vae.epochs):
            last = {name: values[-1] for name, values in vae.history_.items()}
            say(
                f"epoch {epoch:{len(str(vae.epochs))}}/{vae.epochs}  ELBO {last['elbo']:.2f} "
                f"= {last['reconstruction']:.2f} - {last['kl']:.2f}"
            )


# ---- when it has trained ----


def _draw(run: RunFolder, data: Dataset, vae: VAE, X_test: Array, spacing: Any) -> None:
    from minivae.cli import pictures

    pictures.learning_curve(run, vae)
    pictures.reconstructions(run.path / "reconstructions.png", vae, data, X_test)
    pictures.latent(run, vae, data, X_test)
    pictures.prior(run.path / "prior.png", vae, data, spacing)
