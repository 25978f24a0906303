"""The hyper-parameters of a VAE, which of them go together, and what they ask for."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from minivae import ops
from minivae.checks import is_real, is_whole
from minivae.distributions import (
    LIKELIHOODS,
    Distribution,
    Likelihood,
    Masked,
    MixturePrior,
    StandardNormal,
    VampPrior,
)
from minivae.errors import ShapeError
from minivae.estimator import Estimator, Rule, anything, boolean, choice, number, parameter, whole
from minivae.tensor import Array, no_grad

__all__ = [
    "HyperParameters", "check_decoder", "check_encoder", "check_mixture", "check_together",
    "make_likelihood", "make_prior",
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
        return value in ("network", "shared", "optimal")
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
SIGMA = Rule(_is_sigma, "'network', 'shared', 'optimal' or a positive number", _sigma)
SHARE = Rule(
    lambda v: v is None or (is_real(v) and 0 < v < 1), "None or a share between 0 and 1", float
)
LIKELIHOOD = _name_or(Likelihood, tuple(LIKELIHOODS))
PRIOR = _name_or(Distribution, ("standard", "mixture", "vamp"))
NETWORK = Rule(lambda v: v is None or callable(v), "None or a module that can be called")


class HyperParameters(Estimator):
    """The settings of a VAE, each with its default, its rule and a sentence."""

    latent_dim: int = parameter(
        default=2, rule=whole(1), sentence="K, the number of latent dimensions.", metavar="K"
    )
    hidden: Sequence[int] = parameter(
        default=(400,),
        rule=WIDTHS,
        sentence="The widths of the encoder's hidden layers; the decoder mirrors them.",
        metavar="H1,H2",
    )
    activation: str = parameter(
        default="relu",
        rule=choice(*ops.ACTIVATIONS),
        sentence=(
            'The activation of the hidden layers: "relu", "tanh", "softplus", "sigmoid" or '
            '"identity".'
        ),
        metavar="NAME",
    )
    likelihood: str | Likelihood = parameter(
        default="bernoulli",
        rule=LIKELIHOOD,
        sentence=(
            'For pixels 0 or 1: "bernoulli"; for counts up to ``n_trials``: "binomial"; for grey '
            'values in [0, 1]: "continuous-bernoulli"; for real numbers: "gaussian"; for counts '
            'without a ceiling: "poisson"; for ``n_classes`` classes: "categorical". Or an '
            "instance, which ``fit`` copies."
        ),
        metavar="NAME",
    )
    n_trials: int | None = parameter(
        default=None,
        rule=whole(1).or_none(),
        sentence='The largest count that a feature can take, such as 16; for "binomial".',
        metavar="N",
    )
    n_classes: int | None = parameter(
        default=None,
        rule=whole(2).or_none(),
        sentence='The number of classes that a feature can take, such as 10; for "categorical".',
        metavar="N",
    )
    sigma: str | float = parameter(
        default="network",
        rule=SIGMA,
        sentence=(
            'For "gaussian": "network" (a variance for each value), "shared" (one scale, '
            'learnt), "optimal" (one scale: in training the best for each minibatch, otherwise '
            'the best for the training data, Eq. RATE.3) or a number.'
        ),
        metavar="S",
    )
    sigma_floor: float = parameter(
        default=1e-3,
        rule=number(above=True),
        sentence='For "gaussian": the least scale that can be learnt, in the data\'s units.',
        metavar="S",
    )
    standardise: bool = parameter(
        default=False,
        rule=boolean(),
        sentence=(
            'For "gaussian": whether the networks see each column less its mean, in units of its '
            "standard deviation, which suits data far from zero; densities stay in the data's "
            "units."
        ),
        metavar="YES|NO",
    )
    missing: str = parameter(
        default="refuse",
        rule=choice("refuse", "marginalise"),
        sentence=(
            "What happens to NaN in the data: it is refused, or taken for a missing value, which "
            "the likelihood leaves out."
        ),
    )
    grey: str | None = parameter(
        default=None,
        rule=choice("threshold", "sample", "cross-entropy", none=True),
        sentence=(
            'What grey pixels mean under "bernoulli": "threshold" (on from 1/2), "sample" '
            '(drawn on with that probability, afresh in each epoch) or "cross-entropy" (what '
            "many tutorials do; not a likelihood)."
        ),
        metavar="HOW",
    )
    prior: str | Distribution = parameter(
        default="standard",
        rule=PRIOR,
        sentence=(
            '"standard": N(0, I); "mixture": a learnt mixture of Gaussians (Eq. PRIOR.1); or '
            '"vamp": the mean of q(z | u) over learnt pseudo-inputs u (Eq. PRIOR.3). To '
            "fit a mixture to a trained model instead, see ``with_prior``. Or a distribution, "
            "which ``fit`` copies and, if it is a module, trains."
        ),
        metavar="NAME",
    )
    prior_components: int = parameter(
        default=10,
        rule=whole(1),
        sentence="C, the number of Gaussians in the mixture, or of pseudo-inputs.",
        metavar="C",
    )
    prior_warmup: int = parameter(
        default=5,
        rule=whole(1),
        sentence=(
            "For how many epochs a mixture is held at N(0, I). Then it begins where EM finds "
            "clusters of the encoder's means, and is trained with the rest."
        ),
        metavar="N",
    )
    beta: float = parameter(
        default=1.0,
        rule=number(),
        sentence="The weight of the KL in the loss. Higgins et al. (2017).",
        metavar="B",
    )
    beta_warmup: float = parameter(
        default=0.0,
        rule=number(),
        sentence="Over how many epochs the weight rises from 0 to ``beta``.",
        metavar="N",
    )
    free_bits: float = parameter(
        default=0.0,
        rule=number(),
        sentence=(
            "How many nats of each latent dimension's KL cost nothing, which keeps dimensions "
            "from collapsing early (Eq. RATE.2)."
        ),
        metavar="N",
        kw_only=True,
    )
    n_samples: int = parameter(
        default=1,
        rule=whole(1),
        sentence="S, how many z each training step and ``elbo`` draw for each datum.",
        metavar="S",
    )
    kl: str = parameter(
        default="analytic",
        rule=choice("analytic", "monte-carlo"),
        sentence=(
            'How the KL is computed: "analytic", or "monte-carlo" from the same samples. If the '
            "prior is a mixture, only the entropy is analytic (Eq. PRIOR.2)."
        ),
        metavar="HOW",
    )
    objective: str = parameter(
        default="elbo",
        rule=choice("elbo", "importance-weighted"),
        sentence='"elbo", or "importance-weighted": the tighter bound from ``n_samples`` samples.',
        metavar="NAME",
    )
    gradient: str = parameter(
        default="pathwise",
        rule=choice("pathwise", "sticking-the-landing", "score-function", "doubly-reparameterised"),
        sentence=(
            'How the gradient is estimated: "pathwise"; "sticking-the-landing" (without the '
            'score of q); "score-function" (at least 2 ``n_samples``); for the "importance-'
            'weighted" objective "doubly-reparameterised". All but the first need beta = 1.'
        ),
        metavar="NAME",
    )
    epochs: int = parameter(
        default=20, rule=whole(1), sentence="How many passes over the data.", metavar="N"
    )
    batch_size: int = parameter(
        default=128, rule=whole(1), sentence="How many data in a minibatch.", metavar="N"
    )
    learning_rate: float = parameter(
        default=1e-3, rule=number(above=True), sentence="Adam's step size.", metavar="A"
    )
    validation: float | None = parameter(
        default=None,
        rule=SHARE,
        sentence=(
            "The share of the data held out to judge when to stop, such as 0.1; the best "
            "epoch's parameters are kept."
        ),
        metavar="SHARE",
    )
    patience: int = parameter(
        default=10,
        rule=whole(1),
        sentence="Stop after this many epochs without a better validation ELBO.",
        metavar="N",
    )
    dtype: Any = parameter(
        default="float32",
        rule=FLOAT_TYPE,
        sentence='The precision: "float32" or "float64".',
        metavar="NAME",
    )
    random_state: Any = parameter(
        default=None,
        rule=anything(),
        sentence="An int, a ``RandomState``, a ``Generator`` or None.",
    )
    verbose: bool = parameter(
        default=False, rule=boolean(), sentence="Whether to show a progress bar."
    )
    encoder: Any = parameter(
        default=None,
        rule=NETWORK,
        sentence=(
            "A module of your own in the encoder's place, from data ``(N, D)`` as the "
            "likelihood shows them to a distribution over z; ``fit`` copies it."
        ),
    )
    decoder: Any = parameter(
        default=None,
        rule=NETWORK,
        sentence=(
            "A module of your own in the decoder's place, from z ``(n, K)`` to features ``(n, "
            "H)`` for the likelihood's heads, or to a tuple of the likelihood's parameters; "
            "``fit`` copies it."
        ),
    )


def check_together(vae: HyperParameters) -> None:
    """Refuse what is set for a likelihood or a prior that was not chosen: it was forgotten.

    Raises
    ------
    ValueError
        It names the hyper-parameter, its value and what it goes with.
    """
    chosen = vae.likelihood
    for kind in LIKELIHOODS.values():
        if chosen != kind.name:
            own = _settings_of(LIKELIHOODS[chosen]) if isinstance(chosen, str) else []
            for name in set(_settings_of(kind)) & vae.declared.keys() - set(own):
                _refuse_set(vae, name, f"likelihood={kind.name!r}", _shown(chosen))
    _check_gradient(vae)
    sigma = vae.sigma if isinstance(chosen, str) else getattr(chosen, "sigma", None)
    if sigma == "optimal" and (vae.objective, vae.gradient) != ("elbo", "pathwise"):
        raise ValueError(
            f"{type(vae).__name__}: sigma='optimal' is the best scale for the ELBO; it goes with "
            f"objective='elbo' and gradient='pathwise', not {vae.objective!r} and "
            f"{vae.gradient!r}; use 'shared'"
        )
    prior = vae.prior
    plain = ("standard", "elbo", "analytic", "pathwise")
    if vae.free_bits and (prior, vae.objective, vae.kl, vae.gradient) != plain:
        raise ValueError(
            f"{type(vae).__name__}: free_bits={vae.free_bits!r} needs the KL of each dimension; it "
            "goes with prior='standard', objective='elbo', kl='analytic' and gradient='pathwise'"
        )
    if prior not in ("mixture", "vamp"):
        _refuse_set(vae, "prior_components", "prior='mixture' or 'vamp'", _shown(prior))
    if prior != "mixture":
        _refuse_set(vae, "prior_warmup", "prior='mixture'", _shown(prior))


def _check_gradient(vae: HyperParameters) -> None:
    """Refuse an estimate that is not one of the objective's gradient."""
    if vae.gradient == "pathwise":
        return
    objective = "importance-weighted" if vae.gradient == "doubly-reparameterised" else "elbo"
    if vae.objective != objective:
        raise ValueError(
            f"VAE: gradient={vae.gradient!r} goes with objective={objective!r}, not "
            f"{vae.objective!r}"
        )
    if vae.beta != 1 or vae.beta_warmup != 0:
        raise ValueError(
            f"VAE: gradient={vae.gradient!r} goes with beta=1 and no warm-up, not "
            f"beta={vae.beta!r} and beta_warmup={vae.beta_warmup!r}"
        )
    if vae.gradient == "score-function" and vae.n_samples < 2:
        raise ValueError(
            f"VAE: gradient='score-function' goes with n_samples from 2, not {vae.n_samples!r}: "
            "the other samples are each one's baseline"
        )


def _refuse_set(vae: HyperParameters, name: str, partner: str, instead: str) -> None:
    value = getattr(vae, name)
    if value != vae.declared[name].default:
        model = type(vae).__name__
        raise ValueError(f"{model}: {name}={value!r} goes with {partner}, not {instead}")


def _shown(choice: Any) -> str:
    return repr(choice) if isinstance(choice, str) else f"an instance of {type(choice).__name__}"


def check_mixture(settings: Any, n: int) -> None:
    """Refuse a prior of components that would never begin, or on fewer data than components.

    Raises
    ------
    ValueError, ShapeError
        It names the numbers that do not fit.
    """
    if settings.prior not in ("mixture", "vamp"):
        return
    if settings.prior == "mixture" and settings.prior_warmup >= settings.epochs:
        raise ValueError(
            f"VAE: with prior_warmup={settings.prior_warmup} and epochs={settings.epochs} the "
            "mixture would never be fitted; prior_warmup must be less than epochs"
        )
    if n < settings.prior_components:
        raise ShapeError(
            f"fit: {n} data to train on are fewer than prior_components={settings.prior_components}"
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
    own = _likelihood_asked_for(vae)
    return Masked(own) if vae.missing == "marginalise" else own


def _likelihood_asked_for(vae: Any) -> Likelihood:
    if isinstance(vae.likelihood, Likelihood):
        return vae.likelihood
    kind = LIKELIHOODS[vae.likelihood]
    own = {name: getattr(vae, name) for name in _settings_of(kind) if name in vae.declared}
    for name, setting in inspect.signature(kind).parameters.items():
        if setting.default is not inspect.Parameter.empty or own.get(name) is not None:
            continue
        if name not in vae.declared:
            raise ValueError(
                f"VAE: likelihood={kind.name!r} needs {name}, which is not a hyper-parameter; hand "
                f"over an instance, likelihood={kind.__name__}({name}=...)"
            )
        sentence = vae.declared[name].sentence
        raise ValueError(
            f"VAE: {name}=None makes no sense with likelihood={kind.name!r}; it must be "
            f"{sentence[0].lower()}{sentence[1:]}"
        )
    return kind(**own)


def make_prior(vae: Any, encoder: Any, seen: int) -> Distribution:
    """The prior that they ask for, over ``latent_dim`` dimensions.

    Pseudo-inputs have the ``seen`` columns of what the encoder sees.
    """
    if vae.prior == "standard":
        return StandardNormal(vae.latent_dim, vae.dtype)
    if vae.prior == "mixture":
        return MixturePrior.standard(vae.prior_components, vae.latent_dim, vae.dtype)
    if vae.prior == "vamp":
        return VampPrior(encoder, np.zeros((vae.prior_components, seen)), vae.dtype)
    prior: Distribution = copy.deepcopy(vae.prior)
    rng = np.random.default_rng(0)
    with no_grad():
        z = prior.draw(prior.noise(rng, 1), rng)
    if z.shape != (1, vae.latent_dim):
        raise ShapeError(
            f"fit: the prior draws z of shape {z.shape[1:]}; it must be ({vae.latent_dim},), "
            f"with latent_dim={vae.latent_dim}"
        )
    return prior


def check_encoder(encoder: Any, seen: tuple[Array, ...], K: int) -> None:
    """Refuse an encoder that does not turn data, as it sees them, into q(z | x).

    Raises
    ------
    ShapeError, TypeError
        It names what came and what must.
    """
    n = len(seen[0])
    with no_grad():
        q = encoder(*seen)
        if not isinstance(q, Distribution):
            raise TypeError(
                f"fit: the encoder returned a {type(q).__name__}; it must return a distribution "
                "over z, such as DiagonalGaussian(mu, log_var)"
            )
        rng = np.random.default_rng(0)
        z = q.draw(q.noise(rng, 1), rng)
    if z.shape != (1, n, K):
        raise ShapeError(
            f"fit: from {n} data the encoder's distribution draws z of shape {z.shape}; it "
            f"must be (1, {n}, {K}), with latent_dim={K}"
        )


def check_decoder(
    decoder: Any, given: tuple[Array, ...], likelihood: Likelihood, D: int
) -> int | None:
    """The number of features that a decoder gives the heads, or None if it gives all parameters.

    Raises
    ------
    ShapeError
        If it gives something else for z ``(n, K)``.
    """
    with no_grad():
        out = decoder(*given)
    z, names = given[0], likelihood.head_names
    n = len(z)
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
