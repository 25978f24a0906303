"""A warning points at the line that called the library, however deep in it the cause lies."""

import warnings

import numpy as np
import pytest

from minivae import VAE, BayesianGaussianMixture, BernoulliMixture, GaussianMixture, inference
from minivae.distributions import DiagonalGaussian
from minivae.errors import ConvergenceWarning, EffectiveSampleSizeWarning, LikelihoodWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2))
ON_OFF = (RNG.random((60, 4)) < 0.4).astype(float)


def standard_normal(z):
    return -0.5 * (z**2).sum(axis=-1)


def chain_that_goes_nowhere():
    def narrow(z):
        return -0.5e12 * (z**2).sum(axis=-1)

    inference.metropolis(narrow, np.zeros((2, 1, 1)), draws=20, warmup=0, random_state=0)


def narrow_proposal():
    q = DiagonalGaussian(np.zeros((1, 1)), np.full((1, 1), -8.0))
    inference.importance_sampling(standard_normal, q, 200, random_state=0)


WARNERS = {
    "EM": lambda: GaussianMixture(3, max_iter=1, tol=0, random_state=0).fit(X),
    "variational EM": lambda: BayesianGaussianMixture(3, max_iter=1, tol=0, random_state=0).fit(X),
    "EM of on and off": lambda: BernoulliMixture(3, max_iter=1, tol=0, random_state=0).fit(ON_OFF),
    "importance sampling": narrow_proposal,
    "a chain": chain_that_goes_nowhere,
}  # fmt: skip


@pytest.mark.parametrize("name", WARNERS)
def test_the_callers_line_is_named(name):
    with pytest.warns((ConvergenceWarning, EffectiveSampleSizeWarning)) as caught:
        WARNERS[name]()
    assert {each.filename for each in caught} == {__file__}


@pytest.mark.parametrize("proposal", ["laplace", "encoder"])
@pytest.mark.parametrize("scale", [1e20, 1e30, 1e37])
def test_a_datum_out_of_reach_has_no_density_and_one_warning(proposal, scale):
    vae = VAE(likelihood="gaussian", sigma=0.5, hidden=(4,), epochs=1, random_state=0).fit(X)
    far = X[:3].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EffectiveSampleSizeWarning)
        near = vae.log_likelihood(far, n_samples=200, proposal=proposal)
    far[1] = scale
    why = r"1 of 3 data is not finite .that of X\[1\] is -inf"
    with pytest.warns(LikelihoodWarning, match=why) as caught:
        found = vae.log_likelihood(far, n_samples=200, proposal=proposal)
    assert [each.filename for each in caught] == [__file__]
    np.testing.assert_allclose(found, [near[0], -np.inf, near[2]], rtol=1e-6)
