"""scikit-learn's own tests of its BayesianGaussianMixture, with minivae's in its place.

``make test-extras`` installs scikit-learn and runs this file; ``make test`` does not collect it.
Two of the tests are of private functions and stay scikit-learn's own; one looks at the start by
private methods, which are stood in for here.
"""

import numpy as np
import pytest
from sklearn.mixture import BayesianGaussianMixture as Theirs
from sklearn.mixture.tests import test_bayesian_mixture as theirs

import minivae
from minivae.errors import NotFittedError


class Ours(minivae.BayesianGaussianMixture):
    """With the two private methods by which one test looks at the start."""

    def _check_parameters(self, X):
        self.check_params()

    def _initialize_parameters(self, X, random_state):
        self.set_params(max_iter=0, random_state=random_state).fit(X)


Ours.__name__ = "BayesianGaussianMixture"  # messages begin with it
theirs.BayesianGaussianMixture, theirs.NotFittedError = Ours, NotFittedError

for name, test in vars(theirs).items():
    if name.startswith("test_"):
        globals()[name] = pytest.mark.filterwarnings("ignore")(test)


@pytest.mark.parametrize("prior", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.filterwarnings("ignore")
def test_numbers_are_theirs(prior):
    """From one start, fifty iterations on full covariances, the only ones with one E[log det]."""
    rng = np.random.default_rng(0)
    X = np.concatenate([
        rng.normal(size=(200, 3)) @ rng.normal(size=(3, 3)) + 3 * rng.normal(size=3)
        for _ in range(3)
    ])  # fmt: skip
    options = {"n_components": 4, "reg_covar": 0, "weight_concentration_prior_type": prior}
    start, ours = (
        minivae.BayesianGaussianMixture(max_iter=n, tol=0, random_state=0, **options).fit(X)
        for n in (0, 50)
    )
    peer = Theirs(max_iter=50, tol=1e-300, random_state=0, warm_start=True, **options).fit(X)
    for name in (
        "weights_", "means_", "covariances_", "precisions_cholesky_", "weight_concentration_",
        "mean_precision_", "degrees_of_freedom_",
    ):  # fmt: skip
        setattr(peer, name, getattr(start, name))
    peer.fit(X)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(ours.score_samples(X), peer.score_samples(X), rtol=1e-10)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-10)
