"""A posterior without a density on four points: Eq. AVB.1, against a Gaussian one and the truth.

Four one-hot data and a two-dimensional code: the best four posteriors fill N(0, I) together without
a gap, which ellipses cannot do. log p(x) of each decoder is integrated by the trapezoid rule. The
critic's own ELBO is E_q log p(x | z) - E_q T, Eq. AVB.2; it is not a bound while the critic lags
behind.
"""

# %%
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import logsumexp

from minivae import LatentModel, ops
from minivae.distributions import Bernoulli, DiagonalGaussian, Implicit, StandardNormal
from minivae.information import density_ratio_loss
from minivae.nn import MLP
from minivae.objectives import elbo_terms
from minivae.optim import Adam
from minivae.tensor import no_grad
from minivae.training import Player, Run

X = np.eye(4)
NOISE = 3


def network(*sizes, seed):
    return MLP(sizes, activation="tanh", rng=np.random.default_rng(seed))


def log_p(model, n=161, limit=7.0):
    """log p(x) of the four points by the trapezoid rule, ``(4,)``."""
    axis = np.linspace(-limit, limit, n)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 1, 2)
    with no_grad():
        log_joint = model.log_joint(X, np.repeat(z, 4, axis=1)).data
    return logsumexp(log_joint, axis=0) + 2 * np.log(axis[1] - axis[0])


def train(players, epochs, seed):
    """Train one player, or two in turn; each batch holds every point 64 times."""
    data = np.repeat(X, 64, axis=0)
    run = Run(
        players, [data], epochs=epochs, batch_size=len(data), order=np.random.default_rng(seed),
        noise=np.random.default_rng(seed + 1), optimiser=lambda p: Adam(p, 3e-3),
    )  # fmt: skip
    run.run()
    return run.history


def gaussian(seed, epochs):
    """A VAE whose q is a diagonal Gaussian: its model, draws of q, and the ELBO it claims."""
    model = LatentModel(StandardNormal(2), network(2, 32, 32, 4, seed=seed), Bernoulli())
    encoder = network(4, 32, 4, seed=seed + 1)

    def posterior(x):
        h = encoder(x)
        return DiagonalGaussian(h[:, :2], h[:, 2:])

    def loss(batch, rng, progress):
        q = posterior(batch[0])
        elbo = ops.mean(elbo_terms(model, q, batch[0], q.noise(rng)).elbo)
        return -elbo, {"elbo": elbo.item()}

    history = train([Player([*model.parameters(), *encoder.parameters()], loss)], epochs, seed)
    with no_grad():
        q = posterior(X)
        z = q.rsample(q.noise(np.random.default_rng(0), 1500)).data
    return model, z, history["elbo"]


def adversarial(seed, epochs):
    """The same as `gaussian`, with a posterior without a density and a critic that gives its KL."""
    model = LatentModel(StandardNormal(2), network(2, 32, 32, 4, seed=seed), Bernoulli())
    sampler = network(4 + NOISE, 64, 64, 2, seed=seed + 1)
    critic = network(4 + 2, 64, 64, 1, seed=seed + 2)

    def score(x, z):
        return critic(ops.concatenate([x, z[0]], 1))[:, 0]

    def lower_j(batch, rng, progress):
        (x,) = batch
        q = Implicit(x, sampler, NOISE)
        with no_grad():
            z = q.rsample(q.noise(rng)).data
        loss = density_ratio_loss(score(x, z), score(x, rng.standard_normal(z.shape)))
        return loss, {"critic": loss.item()}

    def raise_elbo(batch, rng, progress):
        (x,) = batch
        q = Implicit(x, sampler, NOISE)
        z = q.rsample(q.noise(rng))
        elbo = ops.mean(model.log_prob_given(x, z)[0] - score(x, z))
        return -elbo, {"elbo": elbo.item()}

    def slower(parameters):
        return Adam(parameters, 1e-3)

    players = [
        Player(critic.parameters(), lower_j),
        Player([*model.parameters(), *sampler.parameters()], raise_elbo, slower),
    ]
    history = train(players, epochs, seed)
    q = Implicit(X, sampler, NOISE)
    with no_grad():
        z = q.rsample(q.noise(np.random.default_rng(0), 1500)).data
    return model, z, history["elbo"]


# %%
def main(folder=Path(__file__).parent, epochs=2000, seed=0):
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for axes, name, fit, color in (
        (left, "Gaussian", gaussian, "#1b45b4"),
        (middle, "adversarial", adversarial, "#7c0300"),
    ):
        model, z, elbo = fit(seed, epochs)
        claimed, truth = np.mean(elbo[-200:]), log_p(model).mean()
        print(f"{name:12s} ELBO it claims {claimed:.3f}, log p(x) {truth:.3f}; "
              f"at most log 1/4 = {-np.log(4):.3f}")  # fmt: skip
        for i in range(4):
            axes.scatter(*z[:, i].T, s=1)
        axes.set(title=f"{name}: log p(x) = {truth:.3f}", aspect="equal")
        axes.set(xlim=(-4, 4), ylim=(-4, 4), xlabel="$z_1$", ylabel="$z_2$")
        smooth = np.convolve(elbo, np.full(25, 1 / 25), "valid")
        right.plot(smooth, color=color, label=f"{name}, claimed ELBO")
        right.axhline(truth, color=color, linestyle="--", label=f"{name}, log p(x)")
    right.set(ylim=(-2.2, -1.2), xlabel="epoch", ylabel="nats", title="four equally likely points")
    right.legend(fontsize=7, loc="lower right")
    figure.savefig(Path(folder) / "avb.png", dpi=150)


# %%
if __name__ == "__main__":
    main()
