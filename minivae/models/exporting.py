"""A VAE for PyTorch: a script that does not need minivae, and weights under the same names.

Names are those of ``state_dict``, because the script nests its modules in the same way. PyTorch
keeps a layer's weights as ``(fan_out, fan_in)``, so they are transposed on the way.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minivae.distributions import LIKELIHOODS, MixturePrior, StandardNormal
from minivae.models.vae import VAE
from minivae.tensor import Array

__all__ = ["from_torch", "to_torch"]

CHECKED, SAMPLES = 8, 3  # how many data the script is checked with, and of how many z each

ACTIVATIONS = {
    "identity": "h", "relu": "torch.relu(h)", "tanh": "torch.tanh(h)",
    "sigmoid": "torch.sigmoid(h)", "softplus": "F.softplus(h)",
}  # fmt: skip

SCRIPT = '''\
"""A variational autoencoder that was trained with minivae, for PyTorch.

    python model.py     says whether the ELBO is still what minivae computed

In a program of your own: ``vae = model.load()``, then ``-vae.elbo(x).mean()`` is a loss to go on
with, and ``model.save(vae, path)`` writes what ``minivae export RUN --from path`` reads.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WEIGHTS = Path(__file__).with_name("weights.npz")
DTYPE = torch.{dtype}
D, K, HIDDEN = {D}, {K}, {hidden}  # features, latent dimensions, widths of the hidden layers


class Layers(nn.Module):
    """Dense layers, each with its activation."""

    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(i, o) for i, o in zip(sizes, sizes[1:])])

    def forward(self, h):
        for layer in self.layers:
            h = layer(h)
            h = {activation}
        return h


class Encoder(nn.Module):
    """q(z | x) = N(mu, exp(log_var))."""

    def __init__(self):
        super().__init__()
        sizes = [{seen}, *HIDDEN]
        self.trunk = Layers(sizes)
        self.mu, self.log_var = nn.Linear(sizes[-1], K), nn.Linear(sizes[-1], K)

    def forward(self, seen):
        h = self.trunk(seen)
        return self.mu(h), self.log_var(h)


class Likelihood(nn.Module):
    """log p(x | z) in nats, with every constant: {likelihood}."""

    def __init__(self):
        super().__init__()
        width = [K, *HIDDEN[::-1]][-1]
        self.heads = nn.ModuleList([nn.Linear(width, n) for n in {outputs}])
{own}
    def encoder_input(self, x):
        return {encoder_input}

    def log_prob(self, h, x):
{log_prob}

{prior}
class VAE(nn.Module):
    """Encoder, decoder, likelihood and prior."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Encoder(), Layers([K, *HIDDEN[::-1]])
        self.likelihood = Likelihood()
{with_prior}
    def elbo(self, x, eps=None):
        """The ELBO of each datum, (N,), for data (N, D) and normal noise eps (S, N, K)."""
{taken}        mu, log_var = self.encoder(self.likelihood.encoder_input(x))
        if eps is None:
            eps = torch.randn(1, *mu.shape, dtype=mu.dtype, device=mu.device)
        z = mu + torch.exp(0.5 * log_var) * eps
        kl = {kl}
        return self.likelihood.log_prob(self.decoder(z), x).mean(0) - kl


def load(path=WEIGHTS):
    """The model with its weights."""
    vae = VAE().to(DTYPE)
    with np.load(path) as file:
        state = {{name: torch.from_numpy(file[name]) for name in vae.state_dict()}}
    vae.load_state_dict(state)
    return vae


def save(vae, path):
    """Write the weights for minivae, or for ``load``."""
    np.savez(path, **{{name: t.detach().cpu().numpy() for name, t in vae.state_dict().items()}})


def check(path=WEIGHTS):
    """The largest difference from the ELBO that minivae computed, by its size."""
    with np.load(path) as file:
        x, eps, expected = (file[f"check.{{name}}"] for name in ("x", "eps", "elbo"))
    with torch.no_grad():
        found = load(path).elbo(torch.from_numpy(x), torch.from_numpy(eps)).numpy()
    return float(np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))


if __name__ == "__main__":
    off = check()
    print(f"The ELBO differs from minivae's by {{off:.1e}} of its size.")
    raise SystemExit(off > 1e-5)
'''

# What differs between likelihoods: encoder_input, and the lines of log_prob.
LOG_FACTORIAL = "torch.lgamma(x.double() + 1)"
BODIES = {
    "bernoulli": ("x", ["logits = self.heads[0](h)", "terms = x * logits - F.softplus(logits)"]),
    "binomial": (
        "x / {n_trials}",
        [
            "logits, n = self.heads[0](h), {n_trials}",
            f"orders = {LOG_FACTORIAL} + torch.lgamma(n - x.double() + 1)",
            "constant = (math.lgamma(n + 1) - orders).to(x.dtype)",
            "terms = x * logits - n * F.softplus(logits) + constant",
        ],
    ),
    "continuous-bernoulli": (
        "x",
        [
            "logits = self.heads[0](h)",
            "near = torch.abs(logits) < 0.05  # there log C(l) is a series",
            "safe = torch.where(near, torch.ones_like(logits), logits)",
            "s = torch.where(near, logits, torch.zeros_like(logits)) ** 2",
            "series = math.log(2) + s / 12 - 7 * s**2 / 1440 + 31 * s**3 / 90720",
            "log_c = torch.where(near, series, torch.log(safe / torch.tanh(0.5 * safe)))",
            "terms = x * logits - F.softplus(logits) + log_c",
        ],
    ),
    "poisson": (
        "torch.log1p(x)",
        [
            "log_rate = self.heads[0](h)",
            f"terms = x * log_rate - torch.exp(log_rate) - {LOG_FACTORIAL}.to(x.dtype)",
        ],
    ),
    "categorical": (
        "F.one_hot(x.long(), {n_classes}).to(x.dtype).reshape(len(x), -1)",
        [
            "logits = self.heads[0](h).reshape(*h.shape[:-1], D, {n_classes})",
            "one_hot = F.one_hot(x.long(), {n_classes}).to(x.dtype)",
            "terms = (one_hot * torch.log_softmax(logits, -1)).sum(-1)",
        ],
    ),
}

PRIOR = '''
class Prior(nn.Module):
    """A mixture of {C} Gaussians, the diagonals of its factors as logarithms."""

    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros({C}))
        self.means = nn.Parameter(torch.zeros({C}, K))
        self.factors = nn.Parameter(torch.zeros({C}, K, K))

    def log_prob(self, z):
        eye = torch.eye(K, dtype=z.dtype, device=z.device)
        diagonal = (self.factors * eye).sum(-1)
        L = torch.tril(self.factors, -1) + torch.exp(diagonal)[..., None] * eye
        away = z[..., None, :] - self.means
        e = (torch.linalg.inv(L) @ away[..., None])[..., 0]
        heights = torch.log_softmax(self.logits, -1) - diagonal.sum(-1)
        terms = heights - 0.5 * (e**2).sum(-1) - 0.5 * K * math.log(2 * math.pi)
        return torch.logsumexp(terms, -1)

'''
THRESHOLD = "x = (x >= 0.5).to(x.dtype)  # grey pixels are on from 1/2"
KL = "0.5 * (mu**2 + torch.exp(log_var) - 1 - log_var).sum(-1)"
KL_TO_MIXTURE = (
    "-self.prior.log_prob(z).mean(0) - 0.5 * (log_var + 1 + math.log(2 * math.pi)).sum(-1)"
)


def to_torch(vae: VAE) -> tuple[str, dict[str, Array]]:
    """A script for PyTorch and the arrays it reads, of a fitted VAE.

    Returns
    -------
    script
        Python; it needs PyTorch and NumPy alone, and finds the arrays in ``weights.npz`` beside it.
    arrays
        The parameters by their names in PyTorch, and under ``check.`` a few draws of the model with
        noise and the ELBO that belongs to them.

    Raises
    ------
    TypeError
        If the model has parts that the script cannot rebuild: a module of one's own, a condition.
    """
    vae._require_fitted("to_torch", "model_")
    likelihood = _refuse_own_parts(vae)
    settings, prior = vae._settings_, vae.prior_
    encoder_input, lines, own = _body(likelihood)
    numbers = likelihood.settings()
    D, outputs = vae.n_features_in_, likelihood.outputs()
    mixture = isinstance(prior, MixturePrior)
    components = len(prior.means.data) if isinstance(prior, MixturePrior) else 0
    script = SCRIPT.format(
        dtype=settings.dtype, D=D, K=settings.latent_dim, hidden=tuple(settings.hidden),
        activation=ACTIVATIONS[settings.activation], likelihood=likelihood.describe(),
        seen=f"D * {outputs[0]}" if likelihood.name == "categorical" else "D",
        outputs=f"[{', '.join('D' if k == 1 else f'D * {k}' for k in outputs)}]",
        own="".join(f"        {line}\n" for line in own),
        encoder_input=encoder_input.format(**numbers),
        log_prob="\n".join(
            f"        {line.format(**numbers)}" for line in [*lines, "return terms.sum(-1)"]
        ),
        prior=PRIOR.format(C=components) if mixture else "",
        taken=f"        {THRESHOLD}\n" if settings.grey == "threshold" else "",
        with_prior="        self.prior = Prior()\n" if mixture else "",
        kl=KL_TO_MIXTURE if mixture else KL,
    )  # fmt: skip
    arrays = {name: _turned(name, array) for name, array in vae.state_dict().items()}
    x = vae.sample(CHECKED, random_state=0).astype(settings.dtype)
    rng = np.random.default_rng(0)
    eps = rng.standard_normal((SAMPLES, CHECKED, settings.latent_dim)).astype(settings.dtype)
    return script, {**arrays, "check.x": x, "check.eps": eps, "check.elbo": vae.elbo(x, eps)}


def from_torch(vae: VAE, state: Mapping[str, Any]) -> None:
    """Give a fitted VAE the parameters of its twin in PyTorch, by their names there.

    Parameters
    ----------
    vae
        The model that was exported, or one with its architecture.
    state
        The twin's ``state_dict()``, or the arrays that the script's ``save`` wrote.

    Raises
    ------
    ShapeError
        If names or shapes differ; nothing is changed then.
    """
    arrays = {n: np.asarray(a) for n, a in state.items() if not n.startswith("check.")}
    vae.load_state_dict({name: _turned(name, array) for name, array in arrays.items()})


def _turned(name: str, array: Array) -> Array:
    """A layer's weights with the axes of the other engine; other parameters as they are."""
    return np.ascontiguousarray(array.T) if name.endswith(".weight") else array


def _refuse_own_parts(vae: VAE) -> Any:
    """The likelihood, if the script can rebuild all parts of the model."""
    settings, likelihood = vae._settings_, vae.likelihood_
    own = [name for name in ("encoder", "decoder") if getattr(settings, name) is not None]
    if type(likelihood) not in LIKELIHOODS.values():
        own.append("likelihood")
    if not isinstance(vae.prior_, StandardNormal | MixturePrior):
        own.append("prior")
    if type(vae) is not VAE or own:
        what = f"a {' and a '.join(own)} of its own" if own else "conditions or labels"
        raise TypeError(
            f"to_torch: this {type(vae).__name__} has {what}; only the parts that VAE takes by "
            "name can be written for PyTorch"
        )
    return likelihood


def _body(likelihood: Any) -> tuple[str, list[str], list[str]]:
    """What the script's likelihood shows the encoder, computes, and owns besides its heads."""
    if likelihood.name != "gaussian":
        return *BODIES[likelihood.name], []
    return _gaussian(likelihood)


def _gaussian(likelihood: Any) -> tuple[str, list[str], list[str]]:
    """The same of real values, whose scale and units are settings."""
    lines, own = ["mu = self.heads[0](h)"], []
    if likelihood.sigma == "network":
        lines.append("raw = self.heads[1](h)")
    if likelihood.standardise:
        own += [f'self.register_buffer("{n}", torch.ones(D))' for n in ("shift", "scale")]
        lines.append("mu = self.shift + self.scale * mu")
        if likelihood.sigma == "network":
            lines.append("raw = raw + 2 * torch.log(self.scale)")
    if likelihood.sigma in ("shared", "optimal"):
        own.append("self.shared = nn.Parameter(torch.zeros(1, 1))")
        lines.append("raw = self.shared")
    if isinstance(likelihood.sigma, str):
        lines.append(f"floor = {2 * math.log(likelihood.sigma_floor)!r}")
        lines.append("log_var = floor + F.softplus(raw - floor)")
    else:
        lines.append(f"log_var = torch.full_like(mu, {2 * math.log(likelihood.sigma)!r})")
    lines.append("squares = (x - mu) ** 2 * torch.exp(-log_var)")
    lines.append("terms = -0.5 * (math.log(2 * math.pi) + log_var + squares)")
    seen = "(x - self.shift) / self.scale" if likelihood.standardise else "x"
    return seen, lines, own
