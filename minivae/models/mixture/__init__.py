"""Mixtures fitted by EM: coordinate ascent on the same bound that trains a VAE.

For responsibilities q(z | x) the bound sum_n E_q log p(x_n, z) + H(q) falls short of the
log-likelihood by KL(q || p(z | x)). The E-step takes the KL to zero, the M-step raises the bound
with q held, and no step lowers it.

- `data`: rows in memory, on disk or in chunks;
- `em`: the E-step and the M-step of Gaussians;
- `initialise`: where EM begins;
- `gaussian`: the estimator `GaussianMixture`.
"""

from minivae.models.mixture.gaussian import GaussianMixture

__all__ = ["GaussianMixture"]
