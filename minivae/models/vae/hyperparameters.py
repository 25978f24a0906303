"""Which hyper-parameters of a VAE go together, and the likelihood and the prior they ask for."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae.checks import is_real, is_whole
from minivae.distributions import (
    LIKELIHOODS,
    Distribution,
    Likelihood,
    MixturePrior,
    StandardNormal,
)
from minivae.errors import ShapeError
from minivae.estimator import Estimator, Rule
from minivae.tensor import Array, no_grad

__all__ = [
    "FLOAT_TYPE", "LIKELIHOOD", "NETWORK", "PRIOR", "SHARE", "SIGMA", "WIDTHS", "check_decoder",
    "check_encoder", "check_mixture", "check_together", "make_likelihood", "make_prior",
]  # fmt: skip


def _are_widths(hidden: Any) -> bool:
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        return False
    return all(is_whole(width) and width >= 1 for width in hidden)


def _widths(text: str) -> tuple[int, ...]:
    return tuple(int(width) for width in text.split(","))


def _is_float_type(dtype: Any) -> bool:
    try:
        return dtype is not None and np.dtype(dtype) in (np.float32, np.float64)
    except TypeError:
        return False


def _is_sigma(value: Any) -> bool:
    if isinstance(value, str):
        return value in ("network", "shared")
    return is_real(value) and 0 < value < np.inf


def _sigma(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


def _name_or(kind: type, names: Sequence[str]) -> Rule:
    return Rule(
        lambda v: isinstance(v, kind) or (isinstance(v, str) and v in names),
        f"one of {', '.join(map(repr, names))}, or a {kind.__name__}",
    )


WIDTHS = Rule(_are_widths, "a tuple of whole numbers from 1, such as (400,)", _widths)
FLOAT_TYPE = Rule(_is_float_type, "'float32' or 'float64'")
SIGMA = Rule(_is_sigma, "'network', 'shared' or a positive number", _sigma)
SHARE = Rule(
    lambda v: v is None or (is_real(v) and 0 < v < 1), "None or a share between 0 and 1", float
)
LIKELIHOOD = _name_or(Likelihood, tuple(LIKELIHOODS))
PRIOR = _name_or(Distribution, ("standard", "mixture"))
NETWORK = Rule(lambda v: v is None or callable(v), "None or a module that can be called")


def check_together(vae: Estimator) -> None:
    """Refuse what is set for a likelihood or a prior that was not chosen: it was forgotten.

    Raises
    ------
    ValueError
        It names the hyper-parameter, its value and what it goes with.
    """
    chosen = getattr(vae, "likelihood")  # noqa: B009
    for kind in LIKELIHOODS.values():
        if chosen != kind.name:
            for name in _settings_of(kind):
                if isinstance(chosen, str) and name in _settings_of(LIKELIHOODS[chosen]):
                    continue
                _refuse_set(vae, name, f"likelihood={kind.name!r}", _shown(chosen))
    prior = getattr(vae, "prior")  # noqa: B009
    if prior != "mixture":
        for name in ("prior_components", "prior_warmup"):
            _refuse_set(vae, name, "prior='mixture'", _shown(prior))


def _refuse_set(vae: Estimator, name: str, partner: str, instead: str) -> None:
    value = getattr(vae, name)
    if value != vae.declared[name].default:
        model = type(vae).__name__
        raise ValueError(f"{model}: {name}={value!r} goes with {partner}, not {instead}")


def _shown(choice: Any) -> str:
    return repr(choice) if isinstance(choice, str) else f"an instance of {type(choice).__name__}"


def check_mixture(settings: Any, n: int) -> None:
    """Refuse a mixture prior that would never begin, or on fewer data than components.

    Raises
    ------
    ValueError, ShapeError
        It names the numbers that do not fit.
    """
    if settings.prior != "mixture":
        return
    if settings.prior_warmup >= settings.epochs:
        raise ValueError(
            f"VAE: with prior_warmup={settings.prior_warmup} and epochs={settings.epochs} the "
            "mixture would never be fitted; prior_warmup must be less than epochs"
        )
    if n < settings.prior_components:
        raise ShapeError(
            f"fit: {n} data to train on are fewer than prior_components="
            f"{settings.prior_components}"
        )


def _settings_of(kind: type[Likelihood]) -> list[str]:
    return list(inspect.signature(kind).parameters)


def make_likelihood(vae: Any) -> Likelihood:
    """The likelihood, without heads, that checked hyper-parameters ask for.

    Raises
    ------
    ValueError
        If one that it needs is missing.
    """
    if isinstance(vae.likelihood, Likelihood):
        return vae.likelihood
    kind = LIKELIHOODS[vae.likelihood]
    own = {name: getattr(vae, name) for name in _settings_of(kind)}
    for name, value in own.items():
        if value is None and _needed(kind, name):
            sentence = vae.declared[name].sentence
            raise ValueError(
                f"VAE: {name}=None makes no sense with likelihood={kind.name!r}; it must be "
                f"{sentence[0].lower()}{sentence[1:]}"
            )
    return kind(**own)


def _needed(kind: type[Likelihood], name: str) -> bool:
    parameter = inspect.signature(kind).parameters[name]
    return parameter.default is inspect.Parameter.empty


def make_prior(vae: Any) -> Distribution:
    """The prior that they ask for, over ``latent_dim`` dimensions."""
    if vae.prior == "standard":
        return StandardNormal(vae.latent_dim, vae.dtype)
    if vae.prior == "mixture":
        return MixturePrior.standard(vae.prior_components, vae.latent_dim, vae.dtype)
    prior: Distribution = copy.deepcopy(vae.prior)
    return prior


def check_encoder(encoder: Any, seen: Array, K: int) -> None:
    """Refuse an encoder that does not turn data, as it sees them, into q(z | x).

    Raises
    ------
    ShapeError, TypeError
        It names what came and what must.
    """
    with no_grad():
        q = encoder(seen)
        if not isinstance(q, Distribution):
            raise TypeError(
                f"fit: the encoder returned a {type(q).__name__}; it must return a distribution "
                "over z, such as DiagonalGaussian(mu, log_var)"
            )
        rng = np.random.default_rng(0)
        z = q.draw(q.noise(rng, 1), rng)
    if z.shape != (1, len(seen), K):
        raise ShapeError(
            f"fit: from {len(seen)} data the encoder's distribution draws z of shape {z.shape}; it "
            f"must be (1, {len(seen)}, {K}), with latent_dim={K}"
        )


def check_decoder(decoder: Any, z: Array, likelihood: Likelihood, D: int) -> int | None:
    """The number of features that a decoder gives the heads, or None if it gives all parameters.

    Raises
    ------
    ShapeError
        If it gives something else for z ``(n, K)``.
    """
    with no_grad():
        out = decoder(z)
    n, names = len(z), likelihood.head_names
    if not isinstance(out, tuple):
        if len(np.shape(out)) != 2 or len(out) != n:
            raise ShapeError(
                f"fit: from z of shape {z.shape} the decoder returned shape {np.shape(out)}; it "
                f"must be ({n}, H), features for the likelihood's heads, or a tuple of its "
                "parameters"
            )
        return int(np.shape(out)[1])
    wanted = [(n, D * k) for k in likelihood.outputs()]
    found = [np.shape(p) for p in out]
    if found != wanted:
        raise ShapeError(
            f"fit: from z of shape {z.shape} the decoder returned parameters of shapes {found}; "
            f"likelihood {likelihood.name!r} takes {', '.join(names)} of shapes {wanted}"
        )
    return None
