"""Ways through the models that other tests do not take, each to a value that is known otherwise."""

import io
import math
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import logsumexp

from minivae import (
    VAE,
    BayesianGaussianMixture,
    CategoricalVAE,
    ConditionalVAE,
    GaussianMixture,
    GaussianNB,
    NeuralRegressor,
    SemiSupervisedVAE,
    Tensor,
    ops,
)
from minivae.alternate import Trace, race
from minivae.checks import column_names
from minivae.datasets import StoredRows, load
from minivae.datasets.dataset import dataset_from_arrays
from minivae.distributions import (
    Binomial,
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Implicit,
    MixtureOfGaussians,
    StandardNormal,
)
from minivae.distributions.likelihoods.binomial import LARGEST_TABLE
from minivae.distributions.mixture import constrained
from minivae.errors import ConvergenceWarning
from minivae.estimator import boolean, choice, number, whole
from minivae.inference import compare, hmc
from minivae.inference.diagnostics import r_hat
from minivae.inference.laplace import StudentMixture
from minivae.metrics import adjusted_rand_index
from minivae.models.vae.model import order_of
from minivae.models.vae.objective import Objective
from minivae.objectives import sample_terms
from minivae.optim import SGD
from minivae.trees import aligned

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3))
Y = np.arange(40) % 2
BINARY = (X > 0).astype(float)
SMALL = {"hidden": (3,), "epochs": 2, "batch_size": 20, "random_state": 0}


def state(vae):
    return {name: value.tobytes() for name, value in vae.state_dict().items()}


# Distributions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("q", "prior"),
    [
        (Categorical(X), Categorical(X)),
        (DiagonalGaussian(X, X), FullGaussian(np.zeros(3), np.eye(3))),
        (FullGaussian(X[:2], np.stack([np.eye(3)] * 2)), StandardNormal(3)),
    ],
)
def test_no_kl_of_each_dimension_where_dimensions_hang_together(q, prior):
    with pytest.raises(NotImplementedError, match="no closed form a dimension"):
        q.kl_to(prior, per_dimension=True)
    assert q.kl_to(prior).shape == (len(q.moments()[0]),)


def test_a_categorical_has_no_closed_form_to_what_is_not_one():
    q = Categorical(X)
    z = q.support()
    expected = -q.entropy() - StandardNormal(3).log_prob(z).mean(axis=0)
    np.testing.assert_allclose(q.kl_to(StandardNormal(3), z), expected)


@pytest.mark.parametrize("S", [1, 3])
def test_the_network_of_an_implicit_q_meets_each_datum_with_its_noise(S):
    q = Implicit(X, lambda rows: rows[:, :3] + 10 * rows[:, 3:], 3)
    eps = q.noise(np.random.default_rng(0), S)
    np.testing.assert_allclose(q.rsample(eps), X + 10 * eps)


def test_a_student_mixture_gives_one_draw_without_a_number():
    scales = np.broadcast_to(np.eye(2), (1, 5, 2, 2))
    proposal = StudentMixture(np.zeros((1, 5)), np.zeros((1, 5, 2)), scales)
    np.testing.assert_array_equal(proposal.sample(3), proposal.sample(3, S=1)[0])
    assert proposal.sample(3).shape == (5, 2)


def test_columns_are_counted_from_the_end_no_further_than_they_go():
    theta = MixtureOfGaussians.from_covariances([1.0], np.arange(3.0)[None], np.eye(3)[None])
    assert theta.marginal([-3]).means.tolist() == [[0.0]]
    for wrong in ([-4], [3], [], [0.5], [[0]], [0, -3]):
        with pytest.raises(ValueError, match="columns="):
            theta.marginal(wrong)


def test_one_chain_has_an_r_hat_of_its_halves():
    still, drifting = RNG.normal(size=(1, 400, 1)), np.linspace(0, 5, 400)[None, :, None]
    assert r_hat(still)[0] < 1.05 < 1.5 < r_hat(still + drifting)[0]


# What is said -------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [0, 1, 2])
@pytest.mark.parametrize("kind", [GaussianMixture, BayesianGaussianMixture])
def test_progress_is_told_as_far_as_it_is_asked_for(capsys, kind, verbose):
    model = kind(2, verbose=verbose, verbose_interval=2, max_iter=5, tol=0.0, random_state=0)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    lines = capsys.readouterr().out.splitlines()
    if not verbose:
        assert lines == []
        return
    starts = ["Start 1", "  iteration 2", "  iteration 4", "  did not converge after 5 iterations"]
    assert [line.partition(":")[0].partition(",")[0] for line in lines] == starts
    assert all(("bound" in line) == (verbose == 2) for line in lines[1:])
    if verbose == 2:
        bounds = np.array(model.lower_bounds_) * (1 if kind is GaussianMixture else len(X))
        said = f"bound {bounds[2]:.5f}, risen by {bounds[2] - bounds[1]:.5f}"  # of its E-step
        assert said in lines[2]


def test_a_run_that_tells_how_it_goes_on_draws_a_bar_and_learns_the_same(monkeypatch):
    quiet, told = VAE(**SMALL).fit(BINARY), io.StringIO()
    monkeypatch.setattr(sys, "stderr", told)
    loud = VAE(**SMALL, verbose=True).fit(BINARY)
    assert state(loud) == state(quiet)
    assert "epoch 2/2" in told.getvalue()
    assert "100%" in told.getvalue()
    last = told.getvalue().rpartition("ELBO ")[2].split()
    elbo, reconstruction, kl = float(last[0]), float(last[2]), float(last[4].partition("|")[0])
    assert elbo == pytest.approx(reconstruction - kl, abs=0.02)
    assert elbo < 0 <= kl


@pytest.mark.parametrize(("n", "more"), [(5, ""), (6, ", ...")])
def test_a_tree_says_five_of_its_keys(n, more):
    with pytest.raises(ValueError, match=re.escape(f"form dict of 0, 1, 2, 3, 4{more} was given")):
        aligned("f", dict.fromkeys(range(n), 0), 0)


def test_a_card_says_what_data_have_and_what_not():
    plain = dataset_from_arrays("plain", {"x_train": X})._repr_html_()
    assert "none" in plain
    assert "pictures" not in plain
    arrays = {"x_train": X.reshape(20, 2, 3), "y_train": Y[:20]}
    pictures = dataset_from_arrays("p", arrays)._repr_html_()
    assert "2 classes" in pictures
    assert "pictures of 2 x 3" in pictures


# Data ---------------------------------------------------------------------------------------------


def test_long_floats_become_doubles():
    data = dataset_from_arrays("long", {"x_train": X.astype(np.longdouble)})
    assert data.x_train.dtype == np.float64


def test_only_a_table_has_names():
    assert column_names(SimpleNamespace(columns=lambda: ["a"]), "f") is None
    assert column_names(type("T", (), {"columns": ["a"]}), "f") is None
    assert column_names(SimpleNamespace(columns=["a"]), "f") == ("a",)
    assert column_names(SimpleNamespace(column_names=["b"], columns=["a"]), "f") == ("b",)


@pytest.mark.parametrize(
    ("condition", "column"), [("1", 0), ("3", 2), ("0", None), ("4", None), ("x", None)]
)
def test_columns_without_names_are_conditions_by_their_numbers(tmp_path, condition, column):
    np.savetxt(tmp_path / "t.csv", X, delimiter=",")
    if column is None:
        with pytest.raises(ValueError, match="have no names: say 1 to 3"):
            load(tmp_path / "t.csv", conditions=(condition,))
        return
    data = load(tmp_path / "t.csv", conditions=(condition,), hold_out=False)
    np.testing.assert_allclose(data.y_train, X[:, [column]])
    np.testing.assert_allclose(data.x_train, np.delete(X, column, axis=1))


def test_labels_may_be_a_condition_and_no_name_is_taken_for_a_number(tmp_path):
    (tmp_path / "t.csv").write_text("label,a\n" + "".join(f"{k},{k}.5\n" for k in Y))
    data = load(tmp_path / "t.csv", conditions=("LABEL",), hold_out=False)
    np.testing.assert_array_equal(data.y_train, Y[:, None])
    np.testing.assert_array_equal(data.x_train, Y[:, None] + 0.5)
    with pytest.raises(ValueError, match="they are label, a"):
        load(tmp_path / "t.csv", conditions=("1",))


def test_no_rows_and_rows_that_a_pool_does_not_hold(tmp_path):
    rows = StoredRows(X)
    some = rows.select(np.array([3, 7, 8]))
    assert some.read(1, 1).shape == (0, 3)
    np.testing.assert_array_equal(some[::2], X[[3, 8]])
    np.testing.assert_array_equal(some[2:1], X[:0])
    assert order_of(rows, 20) is None
    assert order_of(X, 20) is None


def test_whole_floats_are_classes():
    a, b = (GaussianNB().fit(X, y) for y in (Y, Y.astype(float)))
    np.testing.assert_array_equal(a.predict_proba(X), b.predict_proba(X))
    a, b = (SemiSupervisedVAE(**SMALL).fit(BINARY, y) for y in (Y, Y.astype(float)))
    assert state(a) == state(b)


def test_one_pair_of_nothing():
    assert adjusted_rand_index([1], [1]) == 1.0


# Fits ---------------------------------------------------------------------------------------------


def test_a_start_that_fails_or_has_all_its_iterations_is_not_climbed_again():
    asked = []

    def climb(i, so_far, more):
        asked.append((i, more))
        bounds = [float(i)] * more
        error = ValueError("it fails") if i == 2 else None
        return Trace(so_far.theta, bounds, float(i), i - [0.1, 1.0, 1.0][i], False, more, error)

    # The first has no prospect, the second may rise by 1 in each iteration, the third fails at 2.
    best, trace = race([0, 1, 2], climb, 6, first=2)
    assert asked == [(0, 2), (1, 2), (2, 2), (1, 2), (1, 2)]
    assert (best, trace.n_iter, len(trace.bounds), str(trace.error)) == (2, 2, 2, "it fails")
    asked.clear()
    best, trace = race([0, 1], climb, 2, first=2)
    assert asked == [(0, 2), (1, 2)]
    assert (best, trace.error) == (1, None)
    asked.clear()
    assert race([0, 1], climb, 0)[1].n_iter == 0  # the bounds of the starts are asked for
    assert asked == [(0, 0), (1, 0)]


@pytest.mark.parametrize("kind", [CategoricalVAE, SemiSupervisedVAE])
def test_beta_rises_in_the_first_epochs(kind):
    given = (BINARY, Y) if kind is SemiSupervisedVAE else (BINARY,)
    warm = kind(**SMALL, beta=4.0, beta_warmup=1e9).fit(*given)  # as good as no KL
    none = kind(**SMALL, beta=0.0).fit(*given)
    whole = kind(**SMALL, beta=4.0).fit(*given)
    for name, value in none.state_dict().items():
        np.testing.assert_allclose(warm.state_dict()[name], value, atol=1e-5)
    assert max(np.abs(whole.state_dict()[n] - v).max() for n, v in none.state_dict().items()) > 1e-4


@pytest.mark.parametrize("kind", [VAE, CategoricalVAE, SemiSupervisedVAE])
def test_grey_pixels_are_drawn_afresh_in_training(kind):
    given = (Y,) if kind is SemiSupervisedVAE else ()
    grey = np.full((40, 3), 0.5)
    model = kind(**SMALL, grey="sample").fit(grey, *given)
    assert np.isfinite(model.history_["loss"]).all()
    half = kind(**SMALL, grey="cross-entropy").fit(grey, *given)
    assert state(model) != state(half)


def test_a_mixture_that_has_no_iterations_is_its_start():
    model = BayesianGaussianMixture(2, max_iter=0, random_state=0).fit(X)  # without a warning
    assert model.n_iter_ == 0
    assert not model.converged_


def test_a_feature_that_a_class_lost_later_is_no_error():
    gap = X.copy()
    gap[Y == 1, 0] = np.nan
    with pytest.raises(ValueError, match="feature 0 has no value in any datum of class 1"):
        GaussianNB(missing="marginalise").fit(gap, Y)
    model = GaussianNB(missing="marginalise").fit(X, Y).partial_fit(gap, Y)
    np.testing.assert_allclose(model.theta_[1, 0], X[Y == 1, 0].mean())
    flat = np.where(np.arange(3) == 0, 0.0, X)
    with pytest.raises(ValueError, match="feature 0 does not vary within class 0"):
        GaussianNB(var_smoothing=0.0).fit(flat, Y)


def test_a_regressor_of_two_numbers_predicts_two_and_is_saved_without_a_generator(tmp_path):
    settings = {"epochs": 3, "random_state": np.random.default_rng(0)}
    two, one = (NeuralRegressor(**settings).fit(X, y) for y in (X[:, :2], X[:, 0]))
    assert two.predict(X).shape == (40, 2)
    assert one.predict(X).shape == (40,)
    two.save(tmp_path / "m.npz")
    again = NeuralRegressor.load(tmp_path / "m.npz")
    assert again.random_state is None
    np.testing.assert_array_equal(again.predict(X), two.predict(X))


def test_gaps_of_rows_on_disk_are_filled_as_those_in_memory():
    gaps = np.where(RNG.random(X.shape) < 0.2, np.nan, BINARY)
    vae = VAE(**SMALL, missing="marginalise").fit(gaps)
    np.testing.assert_array_equal(vae.impute(StoredRows(gaps), 5), vae.impute(gaps, 5))


def test_semi_supervised_draws_are_one_without_a_number_and_its_own_with_a_seed():
    model = SemiSupervisedVAE(**SMALL).fit(BINARY, Y)
    assert model.sample().shape == (1, 3)
    np.testing.assert_array_equal(model.sample(4, 7), model.sample(4, 7))
    assert not np.array_equal(model.sample(20), model.sample(20))


def test_methods_are_compared_given_a_class_and_with_a_q_of_ones_own(monkeypatch):
    asked = []

    def caught(log_joint, n, K, family, start, rng):
        asked.append((log_joint(np.linspace(-1, 1, 5)[:, None, None]).numpy(), start.mu))
        raise StopIteration

    monkeypatch.setattr(sys.modules["minivae.inference.compare"], "fit_posterior", caught)
    vae = ConditionalVAE(**SMALL, latent_dim=1).fit(BINARY, Y)
    q = vae.posterior(BINARY[:1], [1])
    c = np.array([[0.0, 1.0]], vae.dtype)
    own = DiagonalGaussian(q.mu + 1, q.log_var)
    for model, *given in [(vae, None, 1), (vae.model_, q, c), (vae, own, 1)]:
        with pytest.raises(StopIteration):
            compare(model, BINARY[0], given[0], c=given[1])
    (by_vae, mu), (by_hand, same), (_, moved) = asked
    np.testing.assert_array_equal(by_vae, by_hand)
    np.testing.assert_array_equal([same, moved], [mu, mu + 1])


@pytest.mark.parametrize("shape", [(2, 40, 3), (80, 3)])
def test_noise_of_several_samples_may_lie_in_rows(shape):
    eps = RNG.normal(size=(2, 40, 3))
    found = ops.reparameterise(X, X, eps.reshape(shape))
    np.testing.assert_allclose(found, (X + np.exp(X / 2) * eps).reshape(shape))


def test_chains_may_begin_at_whole_numbers():
    def log_density(z):
        return -0.5 * ops.sum(ops.square(z), -1)

    a, b = (
        hmc(log_density, np.ones((2, 1, 1), kind), 5, 5, random_state=0) for kind in (int, float)
    )
    np.testing.assert_array_equal(a.draws, b.draws)


def test_products_of_whole_numbers_are_products():
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(ops.matmul(a, b), a @ b)
    assert ops.einsum("ij,jk->ik", a, b).tolist() == (a @ b).tolist()


def test_a_large_count_has_the_coefficients_of_small_ones():
    n = LARGEST_TABLE
    k = np.array([[0.0, 1.0, 2.0, n]])
    small, large = Binomial(n), Binomial(n + 1)
    kept, computed = (of.log_coefficients(k)[0] for of in (small, large))
    assert ["_table" in vars(of) for of in (small, large)] == [True, False]
    np.testing.assert_allclose(kept, [0, math.log(n), math.log(n * (n - 1) / 2), 0], atol=1e-9)
    expected = [0, math.log(n + 1), math.log((n + 1) * n / 2), math.log(n + 1)]
    np.testing.assert_allclose(computed, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("rule", "text", "right", "wrong"),
    [
        (number(), "a number from 0", [0, 0.5], [-1e-9, math.inf, "0"]),
        (number(above=True), "a positive number", [1e-9], [0, -1]),
        (number(1.5), "a number from 1.5", [1.5], [1.4]),
        (number(1.5, above=True), "a number above 1.5", [1.6], [1.5]),
        (whole(3), "a whole number from 3", [3, 4], [2, 3.0, True]),
        (choice("a", "b"), "one of 'a', 'b'", ["b"], ["c", None]),
        (choice("a", none=True), "None or one of 'a'", ["a", None], ["b"]),
        (whole(3).or_none(), "None or a whole number from 3", [None, 3], [2]),
    ],
)
def test_rules_say_what_they_hold(rule, text, right, wrong):
    assert rule.text == text
    assert all(map(rule.holds, right))
    assert not any(map(rule.holds, wrong))


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("TRUE", True), ("No", False)])
def test_words_are_truths(word, value):
    assert boolean().parse(word) is value


def test_one_feature_is_saved_and_read_back(tmp_path):
    vae = VAE(**SMALL).fit(BINARY[:, :1])
    vae.save(tmp_path / "m.npz")
    assert state(VAE.load(tmp_path / "m.npz")) == state(vae)


@pytest.mark.parametrize("momentum", [-1e-9, 0.0, 0.999, 1.0, math.nan])
def test_momentum_is_from_0_and_below_1(momentum):
    parameters = [Tensor([1.0], requires_grad=True)]
    if 0 <= momentum < 1:
        assert SGD(parameters, momentum=momentum).momentum == momentum
    else:
        with pytest.raises(ValueError, match=f"momentum={momentum} must be in"):
            SGD(parameters, momentum=momentum)


@pytest.mark.parametrize("nu", [2.0, 2.001])
def test_degrees_of_freedom_are_above_the_dimensions_less_one(nu):
    model = BayesianGaussianMixture(degrees_of_freedom_prior=nu, random_state=0)
    if nu > 2:
        assert model.fit(X).degrees_of_freedom_.shape == (1,)
    else:
        with pytest.raises(ValueError, match=r"greater than 2, but got 2\.000"):
            model.fit(X)


def test_step_sizes_are_tuned_by_what_was_accepted(monkeypatch):
    accepted = iter(np.array([[[1, 0], [1, 1]], [[0, 0], [1, 0]], [[1, 1], [1, 1]]], float))
    module = sys.modules["minivae.inference.annealed"]
    monkeypatch.setattr(module, "_move", lambda parts, at, b, rng: (at, next(accepted)))
    path = [(0.0, 0.1), (0.1, 0.5), (0.5, 1.0)]
    steps = module._pilot(None, np.zeros((2, 2, 1)), path, None)
    assert [s.shape for s in steps] == [(2, 2)] * 3
    rises = 0.3 * (np.array([[1.0, 0.5], [0.5, 0.0]]) - module.TARGET)
    expected = 0.3 * np.exp(np.concatenate([np.zeros((1, 2)), np.cumsum(rises, axis=0)]))
    for step, row in zip(steps, expected, strict=True):
        np.testing.assert_allclose(step, [row, row])


@pytest.mark.parametrize(("progress", "beta"), [(0.0, 0.0), (0.5, 0.175), (2.0, 0.7), (9.0, 0.7)])
@pytest.mark.parametrize("ask", ["analytic", "monte-carlo", "importance-weighted"])
def test_the_loss_is_the_bound_with_its_weight_of_the_kl(ask, progress, beta):
    vae = VAE(**SMALL, dtype="float64").fit(BINARY)
    weighted = ask == "importance-weighted"
    settings = SimpleNamespace(
        n_samples=3, beta=0.7, beta_warmup=2.0, free_bits=0.0, gradient="pathwise",
        kl="analytic" if weighted else ask, objective=ask if weighted else "elbo",
    )  # fmt: skip
    objective = Objective(settings, vae.model_, vae._encode)
    loss, measured = objective((BINARY,), np.random.default_rng(5), progress)
    q = vae._encode(BINARY, None)
    eps = q.noise(np.random.default_rng(5), 3)
    samples = sample_terms(vae.model_, q, BINARY, eps)
    log_w = samples.log_likelihood.numpy() - beta * samples.log_ratio.numpy()
    kl = q.kl_to(vae.prior_).numpy() if ask != "monte-carlo" else samples.log_ratio.numpy()
    kl_of_history = samples.log_ratio.numpy() if weighted else kl
    reconstruction = samples.log_likelihood.numpy().mean()
    expected = reconstruction - beta * kl.mean()
    if weighted:
        expected = (logsumexp(log_w, axis=0) - math.log(3)).mean()
    assert loss.item() == pytest.approx(-expected, rel=1e-10)
    assert measured["loss"] == loss.item()
    assert measured["reconstruction"] == pytest.approx(reconstruction, rel=1e-10)
    assert measured["kl"] == pytest.approx(kl_of_history.mean(), rel=1e-9)
    assert measured["elbo"] == pytest.approx(reconstruction - kl_of_history.mean(), rel=1e-10)


@pytest.mark.parametrize("floor", [1e-6, 0.5, 4.0])
def test_variances_below_the_floor_are_raised_and_counted(floor):
    below, above = np.array([0.1, 0.9]) * floor, np.array([1.1, 3.0]) * floor
    scatter = np.stack([np.append(below, above), np.append(above, above)])
    covariances, factors, raised = constrained(scatter, "diag", floor)
    np.testing.assert_array_equal(covariances, np.maximum(scatter, floor))
    np.testing.assert_allclose(factors**-2.0, covariances)
    assert raised.tolist() == [2, 0]
    assert constrained(scatter[0], "spherical", floor)[2].tolist() == [1, 1, 0, 0]
