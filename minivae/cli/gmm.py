"""``minivae gmm``: a Gaussian mixture fitted to data, and a folder of pictures of it."""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import GaussianMixture, datasets
from minivae.cli.describe import describe_data
from minivae.cli.flags import add_declared, seed
from minivae.cli.run import (
    MIXTURE,
    MOST_FRAMES,
    MOST_POINTS,
    RunFolder,
    empty_folder,
    new_run,
    provenance,
)
from minivae.cli.terminal import add_quiet, say, table
from minivae.datasets import Dataset
from minivae.errors import ConvergenceWarning
from minivae.tensor import Array

__all__ = ["register"]

DESCRIPTION = f"""\
Fit a mixture of Gaussians by EM, and write a folder with pictures, numbers and
the model. Without flags it fits the eruptions of Old Faithful, with the number
of components that has the lowest BIC. The animation has at most {MOST_FRAMES} frames.
Defaults are in brackets; where they depend on the data, they are those for
faithful."""

# What suits the embedded sets; the digits' pixels are counts, and some never change.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "optdigits": {"n_components": (10, 10), "reg_covar": 1.0},
}
_FILES = {
    "mixture.png": "density and responsibilities, over the data",
    "em.gif": "the path of EM, iteration by iteration",
    "criteria.png": "BIC and AIC against the number of components",
    "means.png": "the components' means",
    MIXTURE: "the model: GaussianMixture.load reads it",
}


_MOST_FEATURES = 4  # for which means are printed


class _Fit(NamedTuple):
    """A mixture, how good it is on its data, and what its fit warned of."""

    mixture: GaussianMixture
    bic: float
    aic: float
    warnings: list[str]


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "gmm",
        usage="minivae gmm [flags]",
        help="fit a Gaussian mixture by EM to Old Faithful, or to other data",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    files = parser.add_argument_group("data and files")
    files.add_argument(
        "--data",
        metavar="NAME|PATH",
        default="faithful",
        help="faithful, digits, mnist, fashion-mnist, or a file: .csv, .npy, .npz or IDX "
        "(faithful)",
    )
    files.add_argument(
        "--out", metavar="DIR", help="the run's folder, new or empty (runs/<data>-<number>)"
    )
    add_quiet(files)
    model = parser.add_argument_group("model")
    own = {  # what the command line reads in a way of its own: its help and its reader
        "n_components": ("How many; for a range, the number with the lowest BIC (1-6)", _range),
        "random_state": ("The seed of all randomness (0)", seed),
    }
    names = add_declared(model, GaussianMixture, {}, own)
    parser.set_defaults(run=gmm, names=names)


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    last = last if "-" in text else first
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise argparse.ArgumentTypeError(
            f"{text!r} should be a whole number from 1, or a range such as 1-6"
        )
    return int(first), int(last)


def gmm(arguments: argparse.Namespace) -> None:
    """Fit, measure, draw."""
    started = time.monotonic()
    data = datasets.load(arguments.data, hold_out=False)
    names = arguments.names
    given = {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}
    most = min(6, len(data.x_train))
    params = {"random_state": 0, "n_components": (1, most), **_DEFAULTS.get(data.name, {}), **given}
    first, last = params.pop("n_components")
    if arguments.out is not None:
        empty_folder(arguments.out)  # what cannot be used is refused before the fits
    X: Any = data.x_train
    if isinstance(X, np.ndarray):
        X = X.astype(np.result_type(X, np.float32))
    fits = []
    for K in range(first, last + 1):
        fits.append(_fit(GaussianMixture(K, **params), X))
        if len(fits) == 1:  # it is known to make sense
            say(f"data    {describe_data(data)}", quiet=arguments.quiet)
        say(_line(fits[-1]), quiet=arguments.quiet)
    best = min(fits, key=lambda fit: fit.bic)
    for message in best.warnings:
        warnings.warn(message, ConvergenceWarning, stacklevel=1)
    results = _results(best, data)
    run = new_run(arguments.out, f"{Path(data.name).stem}-gmm", MIXTURE)
    with run.begun({**_record(arguments, data, best, fits), "results": results}):
        best.mixture.save(run.checkpoint)
    say("Drawing ...", quiet=arguments.quiet)
    _draw(run, data, X, best, fits)
    print(_as_table(results, best))
    print(f"\n{time.monotonic() - started:.1f} s in all. {run.path} holds")
    print(table([(name, what) for name, what in _FILES.items() if (run.path / name).exists()]))


def _fit(mixture: GaussianMixture, X: Array) -> _Fit:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        mixture.fit(X)
    return _Fit(mixture, mixture.bic(X), mixture.aic(X), [str(one.message) for one in caught])


def _line(fit: _Fit) -> str:
    mixture = fit.mixture
    ending = "" if mixture.converged_ else ", not converged"
    return (
        f"K = {mixture.n_components:<3} bound {mixture.lower_bound_:.4f}  BIC {fit.bic:.1f}  AIC "
        f"{fit.aic:.1f}  {mixture.n_iter_} iterations{ending}"
    )


def _record(
    arguments: argparse.Namespace, data: Dataset, best: _Fit, fits: list[_Fit]
) -> dict[str, Any]:
    """Return all that is needed to reproduce a run."""
    params = best.mixture.get_params()
    return {
        **provenance(arguments.arguments, data),
        "hyper_parameters": {name: params[name] for name in arguments.names},
        "criteria": {
            "n_components": [fit.mixture.n_components for fit in fits],
            "bic": [fit.bic for fit in fits],
            "aic": [fit.aic for fit in fits],
        },
    }


def _results(best: _Fit, data: Dataset) -> dict[str, Any]:
    """Return what the mixture is worth, by name, in nats."""
    mixture = best.mixture
    return {
        "log_likelihood": mixture.lower_bound_ * len(data.x_train),
        "lower_bound": mixture.lower_bound_,
        "test_log_likelihood": mixture.score(data.x_test) if len(data.x_test) else None,
        "bic": best.bic,
        "aic": best.aic,
        "n_iter": mixture.n_iter_,
        "converged": mixture.converged_,
        "weights": mixture.weights_.tolist(),
    }


def _as_table(results: dict[str, Any], best: _Fit) -> str:
    """Return the results as lines of at most 80 columns."""
    mixture = best.mixture
    held_out = results["test_log_likelihood"]
    rows = [
        ("components", f"{mixture.n_components}, {mixture.covariance_type_}"),
        ("log p(x), all data", f"{results['log_likelihood']:.2f} nats"),
        ("  a datum", f"{results['lower_bound']:.4f} nats"),
        *([] if held_out is None else [("  a test datum", f"{held_out:.4f} nats")]),
        ("BIC", f"{best.bic:.2f}"),
        ("AIC", f"{best.aic:.2f}"),
        ("iterations", f"{mixture.n_iter_}{'' if mixture.converged_ else ', not converged'}"),
        ("weights", " ".join(f"{weight:.3f}" for weight in mixture.weights_)),
    ]
    if mixture.n_features_in_ <= _MOST_FEATURES:
        for k, mean in enumerate(mixture.means_):
            rows.append((f"mean {k}", " ".join(f"{value:.5g}" for value in mean)))
    return table(rows, indent=0)


# ---- pictures ----


def _draw(run: RunFolder, data: Dataset, X: Array, best: _Fit, fits: list[_Fit]) -> None:
    from minivae import figures

    mixture = best.mixture
    kind = mixture.covariance_type_
    some = X[:: -(-len(X) // MOST_POINTS)]

    def save(figure: Any, name: str) -> None:
        figures.save_figure(figure, run.path / name)

    parameters = (mixture.weights_, mixture.means_, mixture.covariances_)
    save(figures.mixture_map(some, *parameters, kind), "mixture.png")
    if X.shape[1] > 1 and mixture.n_init == 1:
        film = run.path / "em.gif"
        figures.mixture_animation(some, _path(mixture, X), film, covariance_type=kind)
    if len(fits) > 1:
        criteria = {"BIC": [fit.bic for fit in fits], "AIC": [fit.aic for fit in fits]}
        components = [fit.mixture.n_components for fit in fits]
        save(figures.information_criteria(components, criteria), "criteria.png")
    if data.image_shape is not None:
        means = figures.component_images(
            mixture.means_, mixture.weights_, data.image_shape, vmax=data.max_value
        )
        save(means, "means.png")


def _path(mixture: GaussianMixture, X: Array) -> list[tuple[Array, Array, Array, float]]:
    """The parameters at the start and after each iteration, found again step by step."""
    climber = GaussianMixture(**mixture.get_params())
    frames = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # said once, for the mixture
        for n in range(min(mixture.n_iter_, MOST_FRAMES - 1) + 1):
            climber.set_params(max_iter=min(n, 1), warm_start=n > 0).fit(X)
            bound = climber.lower_bound_
            frames.append((climber.weights_, climber.means_, climber.covariances_, bound))
    return frames
