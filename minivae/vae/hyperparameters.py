"""Which hyper-parameters of a VAE make sense, and the likelihood that they ask for."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minivae import ops
from minivae.checks import is_real, is_whole
from minivae.distributions import Bernoulli, Binomial, ContinuousBernoulli, Gaussian, Likelihood
from minivae.errors import ShapeError

if TYPE_CHECKING:
    from minivae.vae.model import VAE

CHOICES: dict[str, tuple[str, ...]] = {
    "activation": tuple(ops.ACTIVATIONS),
    "likelihood": ("bernoulli", "binomial", "continuous-bernoulli", "gaussian"),
    "grey": ("threshold", "sample", "cross-entropy"),
    "prior": ("standard", "mixture"),
    "kl": ("analytic", "monte-carlo"),
    "objective": ("elbo", "importance-weighted"),
}


def check_hyper_parameters(vae: VAE) -> None:
    """Refuse what makes no sense, each by itself and together.

    Raises
    ------
    ValueError
        It names the hyper-parameter, its value and what is allowed.
    """
    check_evaluation(vae)
    whole = ("latent_dim", "prior_components", "prior_warmup", "epochs", "batch_size", "patience")
    for name in whole:
        _require_count(vae, name)
    for name in ("beta", "beta_warmup"):
        value = getattr(vae, name)
        _require(vae, name, is_real(value) and 0 <= value < math.inf, "a number from 0")
    for name in ("learning_rate", "sigma_floor"):
        value = getattr(vae, name)
        _require(vae, name, is_real(value) and 0 < value < math.inf, "a positive number")
    for name in CHOICES:
        if not (name == "grey" and vae.grey is None):
            _require_choice(vae, name)
    _require(vae, "dtype", _is_float_dtype(vae.dtype), "'float32' or 'float64'")
    widths = "a tuple of whole numbers from 1, such as (400,)"
    _require(vae, "hidden", _are_widths(vae.hidden), widths)
    share = vae.validation
    _require(
        vae,
        "validation",
        share is None or (is_real(share) and 0 < share < 1),
        "None or a share between 0 and 1",
    )
    _check_likelihood(vae)
    _check_prior(vae)


def check_evaluation(vae: VAE) -> None:
    """Refuse what makes no sense of the two that count for evaluations, without a new ``fit``.

    Raises
    ------
    ValueError
        As for :func:`check_hyper_parameters`.
    """
    _require_count(vae, "n_samples")
    _require_choice(vae, "kl")


def _require(vae: VAE, name: str, holds: bool, rule: str) -> None:
    if not holds:
        value = getattr(vae, name)
        raise ValueError(f"VAE: {name}={value!r} makes no sense; it must be {rule}")


def _require_count(vae: VAE, name: str) -> None:
    value = getattr(vae, name)
    _require(vae, name, is_whole(value) and value >= 1, "a whole number from 1")


def _require_choice(vae: VAE, name: str) -> None:
    value, known = getattr(vae, name), CHOICES[name]
    rule = "one of " + ", ".join(map(repr, known))
    _require(vae, name, isinstance(value, str) and value in known, rule)


def _check_likelihood(vae: VAE) -> None:
    """Refuse what does not go with the likelihood: a student who forgot one of the two is told."""
    sigma = vae.sigma
    _require(
        vae,
        "sigma",
        sigma in ("network", "shared") if isinstance(sigma, str) else _is_positive(sigma),
        "'network', 'shared' or a positive number",
    )
    for name, unset, likelihood in (
        ("grey", None, "bernoulli"),
        ("sigma", "network", "gaussian"),
        ("n_trials", None, "binomial"),
    ):
        value = getattr(vae, name)
        if value != unset and vae.likelihood != likelihood:
            raise ValueError(
                f"VAE: {name}={value!r} goes with likelihood={likelihood!r}, not {vae.likelihood!r}"
            )
    if vae.likelihood == "binomial":
        counts = is_whole(vae.n_trials) and vae.n_trials >= 1  # type: ignore[operator]
        _require(vae, "n_trials", counts, "the largest count that a feature can take, such as 16")


def _check_prior(vae: VAE) -> None:
    """Refuse what only a mixture has: a student who forgot ``prior`` is told."""
    parameters = inspect.signature(type(vae)).parameters
    defaults = {name: p.default for name, p in parameters.items()}
    for name in ("prior_components", "prior_warmup"):
        value = getattr(vae, name)
        if value != defaults[name] and vae.prior != "mixture":
            raise ValueError(f"VAE: {name}={value!r} goes with prior='mixture', not {vae.prior!r}")


def check_mixture(vae: VAE, n: int) -> None:
    """Refuse a mixture prior that would never begin, or on fewer data than components.

    Raises
    ------
    ValueError, ShapeError
        It names the numbers that do not fit.
    """
    if vae.prior != "mixture":
        return
    if vae.prior_warmup >= vae.epochs:
        raise ValueError(
            f"VAE: with prior_warmup={vae.prior_warmup} and epochs={vae.epochs} the mixture would "
            "never be fitted; prior_warmup must be less than epochs"
        )
    if n < vae.prior_components:
        raise ShapeError(
            f"fit: {n} data to train on are fewer than prior_components={vae.prior_components}"
        )


def make_likelihood(vae: VAE) -> Likelihood:
    """The likelihood that checked hyper-parameters ask for."""
    if vae.likelihood == "binomial":
        return Binomial(int(vae.n_trials or 0))
    if vae.likelihood == "gaussian":
        return Gaussian(vae.sigma, vae.sigma_floor)
    if vae.likelihood == "continuous-bernoulli":
        return ContinuousBernoulli()
    return Bernoulli(grey=vae.grey == "cross-entropy")


def _is_positive(value: Any) -> bool:
    return is_real(value) and 0 < value < math.inf


def _are_widths(hidden: Any) -> bool:
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        return False
    return all(is_whole(width) and width >= 1 for width in hidden)


def _is_float_dtype(dtype: Any) -> bool:
    try:
        return dtype is not None and np.dtype(dtype) in (np.float32, np.float64)
    except TypeError:
        return False
