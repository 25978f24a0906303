"""Gaussian mixtures by EM: coordinate ascent on the same bound that trains a VAE.

For responsibilities q(z | x) the bound sum_n E_q log p(x_n, z) + H(q) falls short of the
log-likelihood by KL(q || p(z | x)). The E-step takes the KL to zero, the M-step raises the bound
with q held; no step lowers it.

- `parameters`: what a mixture is made of, and covariances held above a floor;
- `em`: the E-step, the M-step, and the climb;
- `initialise`: where the climb begins; `data`: rows in memory, on disk or in chunks;
- `model`: the estimator.
"""

from minivae.gmm.model import GaussianMixture

__all__ = ["GaussianMixture"]
