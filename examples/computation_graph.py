"""The computation graph of an ELBO, Eq. ELBO.4, drawn from the tape of a Tensor.

All randomness is in the leaf eps: Eq. REP.1 computes z from it by a function that has a derivative.
The script draws ``examples/computation_graph.png``; in a notebook the figure shows itself.
"""

# %%
from pathlib import Path

import numpy as np

from minivae import LatentModel, Tensor, nn, ops
from minivae.distributions import Bernoulli, StandardNormal
from minivae.figures import draw_graph, save_figure
from minivae.models.vae import Encoder
from minivae.objectives import elbo_terms


def elbo(seed=0):
    """The mean ELBO of a small VAE on eight data, and the names of its leaves."""
    rng = np.random.default_rng(seed)
    encoder = Encoder(20, [16], 2, activation="tanh", rng=rng, dtype=np.float64)
    decoder = nn.MLP([2, 16, 20], activation="tanh", rng=rng, dtype=np.float64)
    model = LatentModel(StandardNormal(2), decoder, Bernoulli())
    x = Tensor(rng.integers(0, 2, (8, 20)), dtype=np.float64)
    terms = elbo_terms(model, encoder(x), x, rng.standard_normal((1, 8, 2)))
    names = {"x": x, **dict(encoder.named_parameters("phi."))}
    return ops.mean(terms.elbo), {**names, **dict(decoder.named_parameters("theta."))}


# %%
def main(path):
    save_figure(draw_graph(*elbo()), path)


if __name__ == "__main__":
    main(Path(__file__).with_suffix(".png"))
