"""Likelihoods that leave missing values out, and a VAE with them: against sums over the rest."""

import numpy as np
import pytest

from minivae import VAE, CategoricalVAE, ConditionalVAE, SemiSupervisedVAE, gradcheck
from minivae.distributions import (
    Bernoulli,
    Binomial,
    CategoricalLikelihood,
    ContinuousBernoulli,
    Gaussian,
    Masked,
    Poisson,
)
from minivae.tensor import Tensor

LIKELIHOODS = [
    Bernoulli(), Binomial(5), ContinuousBernoulli(), Gaussian(), Gaussian("shared"), Gaussian(0.7),
    Poisson(),
]  # fmt: skip


def parameters_of(likelihood, rows, D, rng):
    each = tuple(Tensor(rng.normal(size=(rows, D))) for _ in likelihood.head_names)
    shared = getattr(likelihood, "sigma", None) == "shared"
    return (*each, Tensor(rng.normal(size=(1, 1)))) if shared else each


@pytest.mark.equation("MISS.7")
@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=repr)
def test_the_values_that_are_there_are_summed(likelihood):
    rng, (S, N, D) = np.random.default_rng(0), (2, 3, 3)
    masked = Masked(likelihood)
    x = rng.integers(0, 2, (N, D)).astype(float)
    gaps = rng.random((N, D)) < 0.4
    gaps[0], gaps[1] = True, False
    parameters = parameters_of(likelihood, S * N, D, rng)
    found = masked.log_prob(parameters, np.where(gaps, np.nan, x))
    expected = np.zeros(S * N)
    for row in range(S * N):
        for d in np.flatnonzero(~gaps[row % N]):
            one = tuple(q[row : row + 1, d : d + 1] if q.shape[0] > 1 else q for q in parameters)
            value = likelihood.log_prob(one, x[row % N : row % N + 1, d : d + 1])
            expected[row] += getattr(value, "data", value).item()
    np.testing.assert_allclose(found.data, expected, rtol=1e-11, atol=1e-11)
    report = gradcheck(lambda *p: masked.log_prob(p, np.where(gaps, np.nan, x)),
                       *(p.data for p in parameters))  # fmt: skip
    assert report, str(report)
    whole = masked.log_prob(parameters, x)
    np.testing.assert_array_equal(whole.data, likelihood.log_prob(parameters, x).data)


def test_classes_of_pixels_cannot_be_left_out():
    with pytest.raises(ValueError, match="cannot leave values out"):
        Masked(CategoricalLikelihood(3))


def images(N=60, D=12, seed=0):
    """Two kinds of image, each pixel of one on where the other's is off."""
    rng = np.random.default_rng(seed)
    z = np.arange(N) % 2
    p = np.where((np.arange(D) % 2 == z[:, None]), 0.95, 0.05)
    return (rng.random((N, D)) < p).astype(float), z


@pytest.mark.equation("MISS.8")
def test_a_vae_learns_from_what_is_there_and_imputes(tmp_path):
    X, _ = images(200)
    G = X.copy()
    G[np.random.default_rng(1).random(X.shape) < 0.4] = np.nan
    options = {"latent_dim": 1, "hidden": (16,), "epochs": 40, "batch_size": 40, "random_state": 0}
    options |= {"learning_rate": 2e-2}
    with pytest.raises(ValueError, match="set missing='marginalise'"):
        VAE(**options).fit(G)
    vae = VAE(missing="marginalise", **options).fit(G)
    filled, gaps = vae.impute(G), np.isnan(G)
    np.testing.assert_array_equal(filled[~gaps], G[~gaps].astype(filled.dtype))
    assert ((filled[gaps] > 0.5) == X[gaps]).mean() > 0.85
    assert np.isfinite(vae.elbo(G)).all()
    assert np.isfinite(vae.log_likelihood(G[:2], 50)).all()
    vae.save(tmp_path / "v.npz")
    same = VAE.load(tmp_path / "v.npz")
    np.testing.assert_array_equal(same.impute(G), filled)
    # The weighted average over a grid of z: the exact E[x_m | x_o] in one dimension.
    grid = np.linspace(-6, 6, 801).reshape(-1, 1).astype(np.float32)
    rows = G[:6].astype(np.float32)
    log_p = vae.model_.log_joint(rows, np.repeat(grid[:, None], 6, axis=1)).data
    w = np.exp(log_p - log_p.max(axis=0))
    exact = (w / w.sum(axis=0)).T @ vae.decode(grid)
    many = vae.impute(G[:6], n_samples=4000)
    np.testing.assert_allclose(many[gaps[:6]], exact[gaps[:6]], atol=0.03)


def test_without_gaps_it_is_the_plain_vae_and_conditions_come_along():
    X, z = images()
    options = {"latent_dim": 2, "hidden": (8,), "epochs": 2, "batch_size": 20, "random_state": 0}
    plain = VAE(**options).fit(X)
    masked = VAE(missing="marginalise", **options).fit(X)
    assert plain.history_["elbo"] == masked.history_["elbo"]
    G = X.copy()
    G[::3, 4] = np.nan
    conditional = ConditionalVAE(missing="marginalise", **options).fit(G, z)
    assert np.isfinite(conditional.impute(G, z)).all()
    counts = VAE(missing="marginalise", likelihood="binomial", n_trials=3, **options).fit(3 * G)
    assert np.isfinite(counts.impute(3 * G)).all()
    grey = VAE(missing="marginalise", grey="sample", **options).fit(0.9 * G)
    assert np.isfinite(grey.impute(0.9 * G)).all()
    G[0, 0] = 2.0
    with pytest.raises(ValueError, match=r"X\[0, 0\] = 2.0 is outside its support"):
        VAE(missing="marginalise", **options).fit(G)


OF_GAPS = {
    "hidden": (8,), "epochs": 10, "batch_size": 20, "learning_rate": 0.02,
    "missing": "marginalise", "random_state": 0,
}  # fmt: skip


def blocks(N=60, D=6, seed=2):
    """Two kinds of image with gaps, and the kind of some."""
    X, z = images(N, D, seed)
    X[np.random.default_rng(seed).random(X.shape) < 0.3] = np.nan
    return X, np.where(np.arange(N) < 30, z, -1)


@pytest.mark.equation("MISS.8")
def test_where_z_is_a_class_what_is_missing_is_known_exactly():
    G, _ = blocks()
    vae = CategoricalVAE(latent_dim=3, **OF_GAPS).fit(G)
    theta, p = vae.decode(np.eye(3)), np.exp(vae.prior_.log_prob(np.eye(3)).data)
    there = ~np.isnan(G)
    for x, seen, filled in zip(G, there, vae.impute(G), strict=True):
        joint = p * np.where(x == 1, theta, 1 - theta)[:, seen].prod(axis=1)
        np.testing.assert_array_equal(filled[seen], x[seen])
        np.testing.assert_allclose(filled[~seen], (joint @ theta / joint.sum())[~seen], rtol=1e-4)


@pytest.mark.equation("MISS.8")
def test_where_the_class_is_not_known_the_classes_are_averaged_over():
    G, y = blocks()
    y[:12:2] = -1  # so that one class is less frequent
    vae = SemiSupervisedVAE(latent_dim=1, class_prior="labelled", **OF_GAPS).fit(G, y)
    assert vae.class_prior_.tolist() == [0.375, 0.625]
    z = np.linspace(-6, 6, 401).astype(np.float32)[:, None]
    theta = np.stack([vae.decode(z, np.full(401, k)) for k in (0, 1)])
    density = vae.class_prior_[:, None] * np.exp(-0.5 * z[:, 0] ** 2)
    expected = np.empty_like(G)
    for i, x in enumerate(G):
        joint = density * np.where(x == 1, theta, 1 - theta)[:, :, ~np.isnan(x)].prod(axis=2)
        joint = joint if y[i] < 0 else joint * (np.arange(2) == y[i])[:, None]
        expected[i] = np.einsum("ks,ksd->d", joint, theta) / joint.sum()
    gaps = np.isnan(G)
    found = vae.impute(G, y, n_samples=4000)
    np.testing.assert_allclose(found[gaps], expected[gaps], atol=0.02)
    np.testing.assert_array_equal(found[~gaps], G[~gaps])
    np.testing.assert_array_equal(vae.impute(G)[30:], vae.impute(G, y)[30:])


def test_a_column_without_any_value_is_refused_by_every_vae(tmp_path):
    X = np.where(np.arange(4) == 2, np.nan, np.random.default_rng(0).integers(0, 2, (12, 4)))
    stored = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", shape=X.shape)
    stored[:] = X
    y, some = np.arange(12) % 2, {"hidden": (3,), "epochs": 1, "missing": "marginalise"}
    for kind in (VAE, CategoricalVAE, ConditionalVAE, SemiSupervisedVAE):
        model = kind(latent_dim=2, random_state=0, **some)
        for data in (X, stored):
            with pytest.raises(ValueError, match="column 2 of X has no value in any row; drop it"):
                model.fit(data, y)
        X_one = X.copy()
        X_one[7, 2] = 1  # of which there is something to learn
        model.fit(X_one, y)


def test_a_fitted_vae_asks_for_another_fit_where_values_are_missing():
    X = np.random.default_rng(0).integers(0, 2, (12, 4)).astype(float)
    X_bad = np.where(np.eye(12, 4) == 1, np.nan, X)
    vae = VAE(2, hidden=(3,), epochs=1, random_state=0)
    with pytest.raises(ValueError, match=r"set missing='marginalise'$"):
        vae.fit(X_bad)
    vae.fit(X).set_params(missing="marginalise")
    with pytest.raises(ValueError, match=r"set missing='marginalise' and fit again$"):
        vae.elbo(X_bad)
    assert np.isfinite(vae.fit(X_bad).elbo(X_bad)).all()
