"""``minivae infer``: every way of answering "what is z, given x?" for one datum of a run."""

import argparse
from pathlib import Path
from typing import Any

from minivae.cli.flags import seed
from minivae.cli.models import decoded, model_name, require_y
from minivae.cli.run import load_like, open_run
from minivae.cli.terminal import add_quiet, say
from minivae.errors import DatasetError, ShapeError

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the command to the parser."""
    about = (
        "Ask each method of inference for the posterior of one test datum, and compare the answers "
        "with the exact posterior. The latent space must have one or two dimensions. A "
        "conditional model is given the datum's y; a semi-supervised model, the class it predicts."
    )
    parser = commands.add_parser(
        "infer", help="compare methods of inference on one datum", description=about
    )
    parser.add_argument("path", metavar="RUN", help="a run's folder, or a checkpoint file")
    parser.add_argument(
        "--datum", type=_row, default=0, metavar="N", help="which row of the test data (0)"
    )
    parser.add_argument(
        "--data", metavar="NAME|PATH", help="other data, as for train; their test data are used"
    )
    parser.add_argument(
        "--seed", type=seed, default=0, metavar="N", help="the seed of the methods (0)"
    )
    parser.add_argument(
        "--out",
        type=_png,
        metavar="FILE",
        help="a .png (default: inference.png in the run's folder)",
    )
    add_quiet(parser)
    parser.set_defaults(run=infer)


def _row(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 0")
    return int(text)


def _png(text: str) -> Path:
    if Path(text).suffix.lower() != ".png":
        raise argparse.ArgumentTypeError(f"{text!r} should end in .png")
    return Path(text)


def infer(arguments: argparse.Namespace) -> None:
    """Print the table of all methods, and draw their answers."""
    from minivae import figures, inference

    saved = open_run(arguments.path)
    vae, source = saved.vae, arguments.data or saved.source
    if model_name(vae) == "categorical":
        raise ValueError(
            f"infer: {arguments.path} holds a categorical model, whose posterior is a sum over "
            "classes; the methods are compared where z is real-valued"
        )
    if vae.latent_dim > 2:
        raise ShapeError(
            f"infer: {arguments.path} has a latent space of {vae.latent_dim} dimensions; the exact "
            "posterior needs a grid of 1 or 2: minivae train --latent-dim 2"
        )
    if source is None:
        raise DatasetError(f"{arguments.path} does not say what it was trained on: give --data")
    data = load_like(saved.record, source, conditions=saved.conditions)
    require_y(vae, data, data.y_test, "test")
    X = data.model_arrays(counts=vae.likelihood_.takes_counts)[1]
    if arguments.datum >= len(X):
        raise ShapeError(
            f"infer: there is no datum {arguments.datum}; the {len(X)} test data of {source} are "
            f"numbered from 0 to {len(X) - 1}"
        )
    row = slice(arguments.datum, arguments.datum + 1)
    given = decoded(vae, X[row], None if data.y_test is None else data.y_test[row])
    found = inference.compare(vae, X[row], None, arguments.seed, *given)
    print(found)
    shown = [(a.name, a.draws if a.density is None else a.density) for a in found.answers]
    some = [(name, array) for name, array in shown if array is not None]
    figure = figures.comparison(found.axes, found.posterior, some, found.gaps, found.log_p)
    path = arguments.out or saved.folder.path / "inference.png"
    figures.save_figure(figure, path)
    say(f"wrote {path}", quiet=arguments.quiet)
