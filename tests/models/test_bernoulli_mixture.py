"""Mixtures of Bernoulli distributions, against enumeration, closed forms and the decoder's sum."""

import warnings
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import bernoulli_mixture
from minivae import BernoulliMixture, GaussianMixture
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.distributions import Bernoulli, Categorical
from minivae.errors import CheckpointError, ConvergenceWarning, DtypeError, ShapeError
from minivae.latent_model import LatentModel
from minivae.models.mixture import MixtureOfBernoullis
from minivae.models.mixture.bernoulli import BernoulliSums, e_step, m_step
from minivae.models.mixture.data import Data
from minivae.models.vae.networks import trunk
from minivae.objectives import categorical_log_prob


def theta_of(K=3, D=4, seed=0):
    rng = np.random.default_rng(seed)
    return MixtureOfBernoullis(rng.dirichlet(np.ones(K)), rng.uniform(0.02, 0.98, (K, D)))


def cube(D):
    """Every x of {0, 1}^D."""
    return np.array(list(product([0.0, 1.0], repeat=D)))


def binary(N=200, D=6, K=3, seed=0):
    """Draws from a mixture, and their components."""
    rng = np.random.default_rng(seed)
    return theta_of(K, D, seed).sample(N, rng)


def fit(X, K, **options):
    weight = options.pop("sample_weight", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return BernoulliMixture(K, **options).fit(X, sample_weight=weight)


def by_hand(theta, x):
    """pi_k prod_i mu_ki^x_i (1 - mu_ki)^(1 - x_i) of one row, a number a component."""
    return [
        pi * np.prod([m if xi == 1 else 1 - m for m, xi in zip(mu, x, strict=True)])
        for pi, mu in zip(theta.weights, theta.means, strict=True)
    ]


# The density -------------------------------------------------------------------------------------


@pytest.mark.equation("GMM.13")
@pytest.mark.equation("GMM.2")
def test_densities_and_responsibilities_by_enumeration():
    theta, X = theta_of(), cube(4)
    joint = np.array([by_hand(theta, x) for x in X])
    p = joint.sum(axis=1)
    assert p.sum() == pytest.approx(1, rel=1e-14)
    np.testing.assert_allclose(theta.log_prob(X), np.log(p), rtol=1e-12)
    np.testing.assert_allclose(theta.log_joint(X), np.log(joint), rtol=1e-12)
    np.testing.assert_allclose(theta.responsibilities(X), joint / p[:, None], rtol=1e-11)
    np.testing.assert_array_equal(theta.labels(X), joint.argmax(axis=1))
    np.testing.assert_allclose(p @ X, theta.weights @ theta.means, rtol=1e-13)


@pytest.mark.equation("GMM.12")
def test_it_is_a_bernoulli_decoder_with_categories_summed_out():
    theta, X = theta_of(), cube(4)
    style = {"rng": np.random.default_rng(0), "dtype": np.float64}
    likelihood = Bernoulli().built(3, 4, **style)
    logits = np.log(theta.means) - np.log1p(-theta.means)
    (head,) = likelihood.heads
    head.weight.data, head.bias.data = logits - logits[0], logits[0]
    layers = trunk(3, (), activation="identity", **style)
    model = LatentModel(Categorical(np.log(theta.weights)), layers, likelihood)
    np.testing.assert_allclose(categorical_log_prob(model, X).data, theta.log_prob(X), rtol=1e-12)


def test_where_every_density_underflows_the_logarithms_do_not():
    theta = MixtureOfBernoullis(np.array([0.5, 0.5]), np.array([[1e-6], [2e-6]]) * np.ones(1000))
    X = np.ones((1, 1000))  # p(x | z) is 1e-6000
    expected = np.logaddexp(*(np.log(0.5) + 1000 * np.log([1e-6, 2e-6])))
    assert theta.log_prob(X)[0] == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(theta.responsibilities(X), [[2.0**-1000, 1]], rtol=1e-9)
    nowhere = MixtureOfBernoullis(np.array([0.0, 1.0]), theta.means)
    np.testing.assert_array_equal(nowhere.responsibilities(X), [[0, 1]])


def test_draws_have_the_moments():
    theta, n = theta_of(), 100_000
    x, z = theta.sample(n, np.random.default_rng(1))
    assert set(np.unique(x)) == {0.0, 1.0}
    mean = theta.weights @ theta.means
    assert (np.abs(x.mean(axis=0) - mean) < 4 * np.sqrt(mean * (1 - mean) / n)).all()
    pi = theta.weights
    assert (np.abs(np.bincount(z) / n - pi) < 4 * np.sqrt(pi * (1 - pi) / n)).all()
    for k in range(3):
        mu, n_k = theta.means[k], (z == k).sum()
        assert (np.abs(x[z == k].mean(axis=0) - mu) < 4.5 * np.sqrt(mu * (1 - mu) / n_k)).all()


# EM ----------------------------------------------------------------------------------------------


@pytest.mark.equation("GMM.4")
@pytest.mark.equation("GMM.14")
def test_the_m_step_is_the_weighted_mean_within_the_floor():
    X, _ = binary(D=5)
    X[:, 0], X[:, 1] = 0, 1  # never, always
    theta = theta_of(3, 5)
    weight = np.random.default_rng(2).random(len(X))
    sums = e_step(Data("test", X, sample_weight=weight), theta)
    assert sums.log_likelihood == pytest.approx(weight @ theta.log_prob(X), rel=1e-13)
    new = m_step(sums, theta, 0.01)
    for k in range(3):
        r = [w * by_hand(theta, x)[k] / sum(by_hand(theta, x))
             for x, w in zip(X, weight, strict=True)]  # fmt: skip
        assert new.weights[k] == pytest.approx(sum(r) / weight.sum(), rel=1e-12)
        mean = np.array(r) @ X / sum(r)
        np.testing.assert_allclose(new.means[k], [0.01, 0.99, *mean[2:]], rtol=1e-12)
        assert (np.abs(mean[2:] - 0.5) < 0.49).all()  # the floor is not what those rest on


@pytest.mark.equation("GMM.14")
@given(st.integers(0, 2**32), st.floats(1e-6, 0.3))
def test_no_mean_within_the_floor_does_better(seed, floor):
    rng = np.random.default_rng(seed)
    m, N = rng.beta(0.3, 0.3, (1, 6)).clip(1e-12, 1 - 1e-12), 7.0
    sums = BernoulliSums(0.0, np.array([N]), N * m, np.array([[N]]))
    best = m_step(sums, theta_of(1, 6), floor).means

    def part(mu):
        return N * (m * np.log(mu) + (1 - m) * np.log1p(-mu))

    assert ((best >= floor) & (best <= 1 - floor)).all()
    for mu in np.linspace(floor, 1 - floor, 101):
        assert (part(mu) <= part(best) + 1e-9).all()


@given(st.data())
def test_the_bound_never_falls(data):
    N, D = data.draw(st.integers(4, 40)), data.draw(st.integers(1, 6))
    K = data.draw(st.integers(1, min(4, N)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    X = (rng.random((N, D)) < rng.random(D)).astype(float)
    weight = rng.random(N) * (rng.random(N) < 0.9) + 1e-9 if data.draw(st.booleans()) else None
    floor = data.draw(st.sampled_from([1e-9, 1e-3, 0.1]))
    model = fit(X, K, tol=0, max_iter=30, random_state=0, floor=floor, sample_weight=weight)
    bounds = model.lower_bounds_
    # a bound near 0 is a sum of D + 1 logs of numbers near 1: it carries the rounding of each
    rounding = 1e-12 * np.abs(bounds[1:]) + 4 * (D + 1) * np.finfo(float).eps
    assert (np.diff(bounds) >= -rounding).all()
    assert ((model.means_ >= floor) & (model.means_ <= 1 - floor)).all()
    w = np.ones(N) if weight is None else weight
    expected = w @ model.score_samples(X) / w.sum()
    assert model.lower_bound_ == pytest.approx(expected, rel=1e-11)
    assert len(model.lower_bounds_) == model.n_iter_


def test_one_component_is_the_mean():
    X, _ = binary()
    model = fit(X, 1, random_state=0)
    mean = X.mean(axis=0)
    np.testing.assert_allclose(model.means_, [mean], rtol=1e-13)
    assert model.weights_.tolist() == [1.0]
    entropy = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean)).sum()
    assert model.lower_bound_ == pytest.approx(-entropy, rel=1e-12)
    assert model.bic(X) == pytest.approx(2 * entropy * len(X) + 6 * np.log(len(X)), rel=1e-12)
    assert model.aic(X) == pytest.approx(2 * entropy * len(X) + 2 * 6, rel=1e-12)


def test_three_components_have_twenty_numbers():
    X, _ = binary()
    model = fit(X, 3, random_state=0)
    assert model.bic(X) - model.aic(X) == pytest.approx(20 * (np.log(200) - 2))


def test_whole_weights_are_repeated_rows():
    X, _ = binary()
    times = np.random.default_rng(3).integers(0, 4, len(X))
    theta = theta_of(3, 6, 5)
    weighted = e_step(Data("test", X, sample_weight=times), theta)
    repeated = e_step(Data("test", np.repeat(X, times, axis=0)), theta)
    for a, b in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    none = fit(np.vstack([X, 1 - X]), 2, sample_weight=np.repeat([1.0, 0], 200), random_state=0)
    assert none.lower_bound_ == pytest.approx(none.score(X), rel=1e-12)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_renaming_components_and_rearranging_rows_change_nothing(order):
    X, _ = binary()
    theta, order = theta_of(3, 6, 5), list(order)
    renamed = MixtureOfBernoullis(theta.weights[order], theta.means[order])
    rows = np.random.default_rng(0).permutation(len(X))
    a, b = e_step(Data("test", X), theta), e_step(Data("test", X[rows]), renamed)
    assert b.log_likelihood == pytest.approx(a.log_likelihood, rel=1e-13)
    np.testing.assert_allclose(b.first, a.first[order], rtol=1e-11)
    new, other = m_step(a, theta, 1e-3), m_step(b, renamed, 1e-3)
    np.testing.assert_allclose(other.means, new.means[order], rtol=1e-11)


def test_known_components_are_found_again():
    truth = MixtureOfBernoullis(
        np.array([0.2, 0.3, 0.5]), np.where(np.kron(np.eye(3), np.ones(4)) > 0, 0.9, 0.1)
    )
    X, z = truth.sample(6000, np.random.default_rng(0))
    model = fit(X, 3, random_state=0, tol=1e-8, max_iter=500)
    order = [int(np.abs(model.means_ - mu).sum(axis=1).argmin()) for mu in truth.means]
    assert sorted(order) == [0, 1, 2]
    error = np.sqrt(truth.means * (1 - truth.means) / (6000 * truth.weights[:, None]))
    assert (np.abs(model.means_[order] - truth.means) < 5 * error).all()
    assert (np.abs(model.weights_[order] - truth.weights) < 0.03).all()
    best = np.asarray(truth.labels(X))  # no rule finds more than the truth's own
    assert (np.array(order)[z] == model.predict(X)).mean() > (best == z).mean() - 0.01
    assert model.score(X) > truth.log_prob(X).mean()  # maximum likelihood on its own data


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.float32])
def test_memory_disk_and_chunks_agree_whatever_the_dtype(dtype, tmp_path):
    X, _ = binary()
    whole = fit(X, 3, random_state=0)
    np.save(tmp_path / "X.npy", X.astype(dtype))
    forms = [X.astype(dtype), [X[:50].astype(dtype), X[50:].astype(dtype)]]
    if dtype is not bool:
        forms.append(np.load(tmp_path / "X.npy", mmap_mode="r"))
    for form in forms:
        model = fit(form, 3, random_state=0)
        np.testing.assert_allclose(model.means_, whole.means_, rtol=1e-5)
        np.testing.assert_allclose(model.lower_bounds_, whole.lower_bounds_, rtol=1e-6)
        assert model.means_.dtype == np.float64


def test_more_starts_are_never_worse_and_a_component_without_data_keeps_its_means():
    X, _ = binary(K=6)
    one, five = (fit(X, 6, n_init=n, random_state=0) for n in (1, 5))
    assert five.lower_bound_ >= one.lower_bound_
    theta = theta_of(2, 6)
    counts = np.array([5.0, 0])
    sums = BernoulliSums(0.0, counts, np.array([np.ones(6), np.zeros(6)]), counts[:, None])
    new = m_step(sums, theta, 1e-3)
    np.testing.assert_array_equal(new.means[1], theta.means[1])
    assert new.weights.tolist() == [1, 0]


def test_fewer_distinct_rows_than_components():
    X = np.repeat([[0.0, 1, 1], [1, 0, 0]], 10, axis=0)
    model = fit(X, 4, random_state=0)
    assert np.isfinite(model.lower_bound_)
    assert model.lower_bound_ == pytest.approx(np.log(0.5 * (0.999**3 + 0.001**3)), rel=1e-12)


# The estimator -----------------------------------------------------------------------------------


def test_what_the_estimator_says_of_rows():
    X, _ = binary()
    model = fit(X, 3, random_state=0)
    theta = model.distribution_
    np.testing.assert_array_equal(model.score_samples(X), theta.log_prob(X))
    assert model.score(X) == theta.log_prob(X).mean()
    np.testing.assert_array_equal(model.predict_proba(X), theta.responsibilities(X))
    np.testing.assert_array_equal(model.predict(X), theta.labels(X))
    np.testing.assert_allclose(model.reconstruct(X), theta.responsibilities(X) @ theta.means)
    draws, z = model.sample(30, random_state=1)
    assert (draws.shape, z.shape) == ((30, 6), (30,))
    np.testing.assert_array_equal(model.sample(30, random_state=1)[0], draws)
    assert repr(BernoulliMixture(3, floor=0.1)) == "BernoulliMixture(n_components=3, floor=0.1)"


@pytest.mark.parametrize(
    ("X", "options", "error", "message"),
    [
        ([[0.0, 1], [np.nan, 0]], {}, ValueError, r"fit: X\[1, 0\] = nan"),
        ([[0.0, 1], [1, np.inf]], {}, ValueError, r"fit: X\[1, 1\] = inf"),
        ([[0.0, 1], [1, 0.5]], {}, ValueError, r"fit: X\[1, 1\] = 0.5; .* choose a threshold"),
        ([[0, 1], [1, -1]], {}, ValueError, r"fit: X\[1, 1\] = -1"),
        ([np.eye(2), np.array([[0, 1], [2, 0]])], {}, ValueError, r"fit: X\[3, 0\] = 2"),
        ([0.0, 1], {}, ShapeError, r"\(2,\)"),
        ([["a", "b"]], {}, DtypeError, "real numbers"),
        (np.eye(2), {"n_components": 3}, ValueError, "Expected n_samples >= n_components"),
        (np.eye(2), {"floor": 0.0}, ValueError, "floor=0.0 makes no sense; .* above 0 and below"),
        (np.eye(2), {"floor": 0.5}, ValueError, "floor=0.5 makes no sense"),
        (np.eye(2), {"n_components": 0}, ValueError, "n_components=0 makes no sense"),
        (np.eye(2), {"tol": np.nan}, ValueError, "tol=nan makes no sense"),
        (np.eye(2), {"random_state": -1}, ValueError, "random_state=-1"),
        (np.eye(2), {"sample_weight": [1, -1]}, ValueError, r"sample_weight\[1\] = -1"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_model_stays_as_it_was(X, options, error, message):
    model = fit(binary()[0], 2, random_state=0)
    before = {name: np.copy(value) for name, value in vars(model).items() if name.endswith("_")}
    weight = options.pop("sample_weight", None)
    with pytest.raises(error, match=message):
        model.set_params(**options).fit(X, sample_weight=weight)
    for name, value in before.items():
        np.testing.assert_array_equal(getattr(model, name), value)


def test_grey_rows_have_no_probability():
    model = fit(binary()[0], 2, random_state=0)
    for name in ("predict", "predict_proba", "score", "score_samples", "reconstruct"):
        with pytest.raises(ValueError, match=rf"{name}: X\[0, 2\] = 0.25; a BernoulliMixture"):
            getattr(model, name)([[0, 1, 0.25, 1, 0, 0]])
        with pytest.raises(ValueError, match="instance is not fitted yet"):
            getattr(BernoulliMixture(), name)([[0, 1]])


def test_a_fit_that_did_not_converge_says_so():
    X, _ = binary()
    with pytest.warns(ConvergenceWarning, match="fit: Best performing initialization did not conv"):
        model = BernoulliMixture(3, max_iter=1, tol=0, random_state=0).fit(X)
    assert (model.converged_, model.n_iter_) == (False, 1)
    begin = BernoulliMixture(3, max_iter=0, random_state=0).fit(X)
    assert (begin.n_iter_, begin.lower_bounds_) == (0, [])
    assert begin.lower_bound_ < model.lower_bound_


def test_files_and_states(tmp_path):
    X, _ = binary()
    model, path = fit(X, 3, random_state=np.random.default_rng(0)), tmp_path / "model.npz"
    model.save(path)
    again = BernoulliMixture.load(path)
    for name, value in vars(model).items():
        if name.endswith("_"):
            np.testing.assert_array_equal(getattr(again, name), value)
    taken = BernoulliMixture(3)
    taken.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(taken.score_samples(X), model.score_samples(X))
    with pytest.raises(CheckpointError, match="it is of kind 'bernoulli-mixture'"):
        GaussianMixture.load(path)
    right = model.state_dict()
    arrays, metadata = load_checkpoint(path)
    for wrong in (
        {"weights": [0.5, 0.6, 0.1]}, {"weights": [5.0, -4, 0]}, {"weights": [np.nan, 1, 0]},
        {"means": right["means"][:2]}, {"means": right["means"][0]}, {"means": right["means"] * 0},
        {"means": right["means"] / right["means"].max()},
        {"means": np.where(right["means"] == right["means"].max(), np.nan, right["means"])},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="load_state_dict: "):
            taken.load_state_dict({**right, **wrong})
        spoilt = {f"{name}_": np.array(value) for name, value in wrong.items()}
        save_checkpoint(path, {**arrays, **spoilt}, metadata)
        with pytest.raises(CheckpointError, match="not a checkpoint of this version's Bernoulli"):
            BernoulliMixture.load(path)
    with pytest.raises(ShapeError, match="it takes"):
        taken.load_state_dict({"weights": right["weights"]})
    with pytest.raises(ShapeError, match="there are 3 weights; n_components=2"):
        BernoulliMixture(2).load_state_dict(right)
    np.testing.assert_array_equal(taken.means_, right["means"])
    for values in ({"n_iter_": -1}, {"n_features_in_": 5}, {"other": 1}):
        fitted = metadata["fitted"] | values
        save_checkpoint(path, arrays, {**metadata, "fitted": fitted})
        with pytest.raises(CheckpointError, match="not a checkpoint of this version's Bernoulli"):
            BernoulliMixture.load(path)


def test_the_example_draws_its_means(tmp_path, capsys):
    bernoulli_mixture.main(tmp_path, components=(1, 6))
    assert (tmp_path / "bernoulli_mixture.png").exists()
    first, last = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert last > first + 3  # nats a digit


@pytest.mark.equation("MISS.4")
def test_gaps_are_filled_with_the_mean_given_the_rest_by_enumeration():
    theta, X = theta_of(K=3, D=4), cube(4)
    model = BernoulliMixture(3)
    model.load_state_dict({"weights": theta.weights, "means": theta.means})
    p = np.exp(theta.log_prob(X.astype(float)))
    gaps = np.array([[0, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]], bool)
    for row in X:
        for gap in gaps:
            alike = p * (X[:, ~gap] == row[~gap]).all(axis=1)
            expected = np.where(gap, alike @ X / alike.sum(), row)
            found = model.impute(np.where(gap, np.nan, row)[None])[0]
            np.testing.assert_allclose(found, expected, rtol=1e-12)
    with pytest.raises(ValueError, match=r"impute: X\[0, 1\] = 0.5; .* data of 0 and 1"):
        model.impute([[np.nan, 0.5, 0, 1]])
