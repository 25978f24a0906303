"""The VAE's hyper-parameters as flags, named as its constructor names them."""

import argparse
from collections.abc import Mapping
from typing import Any

from minivae.datasets import Dataset

__all__ = [
    "add_hyper_parameters", "add_parameter", "flag_of", "hyper_parameters", "seed", "written",
]  # fmt: skip

# What the data set's choice of a likelihood brings with it.
_OF_THE_LIKELIHOOD = ("n_trials", "grey", "sigma", "sigma_floor")

_NAMES: set[str] = set()


def add_hyper_parameters(parser: argparse.ArgumentParser) -> None:
    """Add all flags; what is not written on the command line is absent from the namespace."""
    model = parser.add_argument_group("model")
    training = parser.add_argument_group("training")

    def add(group: Any, flag: str, metavar: str, text: str, kind: Any = str) -> None:
        _NAMES.add(add_parameter(group, flag, metavar, text, kind))

    add(model, "--latent-dim", "K", "latent dimensions (2)", int)
    add(model, "--hidden", "H1,H2", "widths of the encoder's hidden layers; the decoder "
        "mirrors them (200,100)", _widths)  # fmt: skip
    add(model, "--activation", "NAME", "relu, tanh, softplus, sigmoid or identity (tanh)")
    add(model, "--likelihood", "NAME", "bernoulli, binomial, continuous-bernoulli or gaussian "
        "(binomial)")  # fmt: skip
    add(model, "--n-trials", "N", "the largest count, for binomial (16)", int)
    add(model, "--sigma", "S", "for gaussian: network, shared, or a number (network)", _sigma)
    add(model, "--sigma-floor", "S", "the least scale that can be learnt (0.001)", float)
    add(model, "--grey", "HOW", "grey pixels under bernoulli: threshold, sample or cross-entropy")
    add(model, "--prior", "NAME", "standard, or mixture: Gaussians that are learnt (standard)")
    add(model, "--prior-components", "C", "Gaussians in a mixture (10)", int)
    add(model, "--prior-warmup", "N", "epochs until a mixture begins, where EM then finds clusters "
        "of codes (5)", int)  # fmt: skip
    add(training, "--beta", "B", "weight of the KL in the loss (1)", float)
    add(training, "--beta-warmup", "N", "epochs over which the weight rises to beta (0)", float)
    add(training, "--n-samples", "S", "draws of z for each datum and step (1)", int)
    add(training, "--kl", "HOW", "analytic or monte-carlo (analytic)")
    add(training, "--objective", "NAME", "elbo or importance-weighted (elbo)")
    add(training, "--epochs", "N", "passes over the data (150)", int)
    add(training, "--batch-size", "N", "data in a minibatch (128)", int)
    add(training, "--learning-rate", "A", "of Adam (0.001)", float)
    add(training, "--validation", "SHARE", "share held out to judge by, such as 0.1; the best "
        "epoch's parameters are kept (none)", float)  # fmt: skip
    add(training, "--patience", "N", "epochs without a better validation ELBO until training "
        "stops (10)", int)  # fmt: skip
    add(training, "--dtype", "NAME", "float32 or float64 (float32)")
    add(training, "--seed", "N", "of all randomness (0)", seed)


def add_parameter(group: Any, flag: str, metavar: str, text: str, kind: Any) -> str:
    """Add the flag of a hyper-parameter, absent from the namespace unless written; return its name.

    It is the inverse of :func:`flag_of`.
    """
    name = "random_state" if flag == "--seed" else flag[2:].replace("-", "_")
    group.add_argument(
        flag, dest=name, metavar=metavar, type=kind, default=argparse.SUPPRESS, help=text
    )
    return name


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(",") if text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} should be whole numbers with commas between them, such as 200,100"
        ) from None


def seed(text: str) -> int:
    """Return a random state, or refuse what is none."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 0")
    return int(text)


def _sigma(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def written(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the hyper-parameters that the command line says."""
    return {name: value for name, value in vars(arguments).items() if name in _NAMES}


def flag_of(name: str) -> str:
    """Return the flag that sets a hyper-parameter."""
    return "--seed" if name == "random_state" else "--" + name.replace("_", "-")


def hyper_parameters(data: Dataset, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the VAE's arguments: those chosen, else those that suit the data set."""
    defaults = dict(data.defaults)
    likelihood = chosen.get("likelihood", defaults["likelihood"])
    if likelihood != defaults["likelihood"]:
        defaults = {k: v for k, v in defaults.items() if k not in _OF_THE_LIKELIHOOD}
        if likelihood == "binomial" and data.max_value is not None:
            defaults["n_trials"] = data.max_value
    return {"random_state": 0, **defaults, **chosen}
