"""All methods on one datum: against closed forms, on two peaks, and what is refused."""

import sys

import numpy as np
import pytest

from minivae import LatentModel, figures, inference, ops
from minivae.distributions import (
    Categorical,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    StandardNormal,
)
from minivae.errors import ConvergenceWarning, ShapeError
from minivae.inference.compare import Draws, Grid, _cell
from minivae.inference.variational import Fit

W, SIGMA = np.array([[1.5, -0.7, 0.4], [0.3, 1.1, -0.8]]), 0.4
LINEAR = LatentModel(StandardNormal(2), lambda z: (ops.matmul(z, W),), Gaussian(SIGMA))
X = np.array([0.5, -1.0, 0.3])
C = W.T @ W + SIGMA**2 * np.eye(3)
LOG_P = -0.5 * (X @ np.linalg.inv(C) @ X + np.linalg.slogdet(2 * np.pi * C)[1])
COVARIANCE = np.linalg.inv(W @ W.T / SIGMA**2 + np.eye(2))
MEAN = X @ W.T @ COVARIANCE / SIGMA**2

SQUARED = LatentModel(StandardNormal(1), lambda z: (ops.square(z),), Gaussian(0.3))


@pytest.fixture(scope="module")
def linear():
    encoder = DiagonalGaussian(np.array([[0.2, -0.5]]), np.full((1, 2), -2.0))
    return encoder, inference.compare(LINEAR, X, encoder)


@pytest.fixture(scope="module")
def hills():
    encoder = DiagonalGaussian(np.array([[0.9]]), np.array([[-2.0]]))
    return inference.compare(SQUARED, np.array([1.2]), encoder, random_state=1)


@pytest.mark.equation("VI.1")
def test_the_linear_model_is_answered_as_its_closed_form_says(linear):
    encoder, found = linear
    assert found.log_p == pytest.approx(LOG_P, abs=1e-8)
    q = FullGaussian(MEAN[None], np.linalg.cholesky(COVARIANCE)[None])
    grid = np.stack(np.meshgrid(*found.axes, indexing="ij"), -1)
    exact = np.exp(q.log_prob(grid.reshape(-1, 1, 2)))[:, 0].reshape(found.posterior.shape)
    np.testing.assert_allclose(found.posterior, exact, atol=1e-8 * exact.max())
    # KL(q || p) is log p(x) less the ELBO
    for answer in found.answers:
        if answer.density is not None:
            error = 5 * answer.standard_error + 1e-3
            assert abs(LOG_P - answer.estimate - answer.kl) < error, answer.name
        elif np.isfinite(answer.estimate):
            assert abs(answer.estimate - LOG_P) < 5 * answer.standard_error, answer.name
        if answer.draws is not None:
            assert answer.total_variation < 2.5 * answer.floor, answer.name
    assert found["encoder"].kl == pytest.approx(float(encoder.kl_to(q)[0]), rel=1e-3)
    assert found["full"].kl < 1e-3
    approximation, amortisation = found.gaps
    precision = np.linalg.inv(COVARIANCE)
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert approximation == pytest.approx(gap, abs=5 * found["diagonal"].standard_error)
    assert approximation + amortisation == pytest.approx(LOG_P - found["encoder"].estimate)


def test_of_two_hills_a_gaussian_finds_one_and_draws_find_both(hills):
    assert hills["diagonal"].kl == pytest.approx(np.log(2), abs=0.05)
    assert hills["diagonal"].total_variation == pytest.approx(0.5, abs=0.05)
    for name in ("importance", "hmc", "metropolis"):
        below = (hills[name].draws < 0).mean()
        assert 0.2 < below < 0.8, name
        assert hills[name].total_variation < 0.25, name
    assert [a.name for a in hills.answers] == [
        "encoder", "diagonal", "importance", "metropolis", "hmc", "annealing",
    ]  # fmt: skip


def test_draws_from_elsewhere_are_far_beyond_the_floor(hills):
    # the wrong twin: the same draws held against the posterior of another datum
    grid = Grid(lambda z: SQUARED.log_joint(np.array([[0.3]]), z), 1, [])
    draws = Draws("hmc", hills["hmc"].draws, None, 8000.0, np.nan, np.nan)
    judged = grid.judge_draws(draws, 1.0)
    assert judged.total_variation > 10 * judged.floor


def test_the_table_fits_on_a_screen(linear, hills):
    for found in (linear[1], hills):
        lines = str(found).splitlines()
        assert max(map(len, lines)) <= 80
        assert all(any(line.startswith(a.name) for line in lines) for a in found.answers)
    assert "gaps: approximation" in str(linear[1])
    without = hills._replace(answers=hills.answers[1:])
    assert without.gaps is None
    assert "gaps" not in str(without)


def test_the_picture_has_a_pane_for_each_answer_and_the_gaps(linear, hills):
    for found, more in ((linear[1], 1), (hills._replace(answers=hills.answers[1:]), 0)):
        shown = [(a.name, a.draws if a.density is None else a.density) for a in found.answers]
        shown = [(name, array) for name, array in shown if array is not None]
        figure = figures.comparison(found.axes, found.posterior, shown, found.gaps, found.log_p)
        panes = [pane for pane in figure.axes if pane.get_visible()]
        assert [pane.get_title() for pane in panes[: len(shown)]] == [name for name, _ in shown]
        assert len(panes) == len(shown) + more
    heights = [bar.get_height() for bar in figures.comparison(
        linear[1].axes, linear[1].posterior, [("q", linear[1].posterior)], (0.25, 1.5)
    ).axes[1].patches]  # fmt: skip
    assert heights == [0.25, 1.5]
    with pytest.raises(ShapeError, match=r"posterior of shape \(3,\) for axes of lengths \(4,\)"):
        figures.comparison([np.arange(4)], np.ones(3), [("q", np.ones(3))])


def test_a_condition_is_given_to_prior_and_decoder(monkeypatch):
    for name, few in (("DRAWS", 40), ("PATHS", 10), ("WEIGHED", 200)):
        monkeypatch.setattr(sys.modules["minivae.inference.compare"], name, few)
    c = np.array([[0.5, -1.0, 0.25]])

    def prior(c):
        return DiagonalGaussian(c[:, :1], np.zeros((1, 1)))

    def decoder(z, c):
        return (z * c[:, 1:2] + 0.0 * z,)

    model = LatentModel(prior, decoder, Gaussian(0.7))
    found = inference.compare(model, np.array([1.0]), c=c)
    # x = -z + noise with z ~ N(0.5, 1)
    variance = 1.0 + 0.7**2
    exact = -0.5 * (np.log(2 * np.pi * variance) + (1.0 + 0.5) ** 2 / variance)
    assert found.log_p == pytest.approx(exact, abs=1e-8)
    assert found["diagonal"].kl < 1e-3


def test_traces_and_ranks_of_chains():
    draws = np.random.default_rng(0).normal(size=(3, 40, 2))
    draws[2, :, 1] += 10.0  # one chain elsewhere has all the high ranks
    figure = figures.trace_and_ranks(draws, ["a", "b"])
    assert len(figure.axes) == 4
    assert [len(pane.lines) for pane in figure.axes[::2]] == [3, 3]
    shares = [patch.get_data().values for patch in figure.axes[3].patches[1:]]
    np.testing.assert_allclose([share.mean() for share in shares], 1.0)
    assert shares[2][: 13].sum() == 0
    for wrong in (draws[0], draws[:, :5], draws * np.nan):
        with pytest.raises(ShapeError, match="trace_and_ranks: got draws of shape"):
            figures.trace_and_ranks(wrong)
    with pytest.raises(ShapeError, match="got 1 names; there are 2"):
        figures.trace_and_ranks(draws, ["a"])


def test_what_has_no_grid_is_refused():
    three = LatentModel(StandardNormal(3), lambda z: (z,), Gaussian(1.0))
    with pytest.raises(ShapeError, match="z has 3 dimensions; the exact posterior needs a grid"):
        inference.compare(three, np.zeros(3))
    with pytest.raises(ShapeError, match=r"x has shape \(2, 3\); it must be one datum"):
        inference.compare(LINEAR, np.zeros((2, 3)))


def test_a_narrow_posterior_and_an_encoder_far_off_are_on_one_grid():
    sharp = LatentModel(StandardNormal(2), lambda z: (ops.matmul(z, W),), Gaussian(0.004))
    off = DiagonalGaussian(np.array([[2.0, -2.0]]), np.full((1, 2), -1.0))
    normal = W.T @ W + 0.004**2 * np.eye(3)
    x = np.array([0.4, 0.3]) @ W  # on the plane, where the posterior is
    log_p = -0.5 * (x @ np.linalg.solve(normal, x) + np.linalg.slogdet(2 * np.pi * normal)[1])
    grid = Grid(lambda z: sharp.log_joint(x[None], z), 2, [off])
    assert grid.log_p == pytest.approx(log_p, abs=1e-6)
    fit = Fit(off, np.array([log_p - 50.0]), np.array([0.1]))
    answer = grid.judge_density("encoder", fit, 0.0)
    assert answer.total_variation == pytest.approx(1.0, abs=1e-3)
    assert answer.kl == pytest.approx(50.0, abs=1e-3)


def test_peaks_too_narrow_for_the_grid_are_said():
    def two_needles(z):
        places = -10.0 + 20.0 / 127.0 * np.array([[64, 64], [80, 80]])  # where it looks first
        heights = [-0.5 * ops.sum(ops.square((z - p) / 0.01), -1) for p in places]
        return ops.logsumexp(ops.stack(heights), 0)

    with pytest.warns(ConvergenceWarning, match="too narrow for the grid"):
        Grid(two_needles, 2, [])


def test_a_class_is_refused():
    classes = LatentModel(
        Categorical(np.zeros(3)), lambda z: (ops.matmul(z, np.eye(3)),), Gaussian(1.0)
    )
    with pytest.raises(TypeError, match="z is a class in this model"):
        inference.compare(classes, X)


@pytest.mark.parametrize(
    ("number", "shown"),
    [(1.25, "   1.250"), (9493.885, "    9494"), (-2e9, "  -2e+09"), (np.nan, "       -")],
)
def test_a_large_number_leaves_a_space_before_it(number, shown):
    assert _cell(number, 8, 3) == shown


def moved_by(c):
    return DiagonalGaussian(ops.matmul(c, np.ones((2, 1))), np.zeros((1, 1)))


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "said"),
    [
        ((3, X), {}, TypeError, "model is of type int; it must be a LatentModel"),
        ((LINEAR, X[:2]), {}, ValueError, r"cannot take x of shape \(1, 2\)"),
        ((LINEAR, X * np.nan), {}, ValueError, r"x of shape \(1, 3\); do they hold NaN"),
        ((LINEAR, X), {"q": 3}, TypeError, "q is of type int; it must be a distribution"),
        ((LINEAR, X), {"c": np.ones((1, 2))}, ValueError,
         r"cannot take x .* with c of shape \(1, 2\)"),
        ((LatentModel(moved_by, lambda z, c: (z,), Gaussian(1.0)), X[:1]),
         {"c": np.ones((1, 4))}, ValueError, "cannot take this c"),
    ],
)  # fmt: skip
def test_what_the_model_cannot_take_is_said_at_the_door(arguments, settings, error, said):
    with pytest.raises(error, match=f"compare: .*{said}"):
        inference.compare(*arguments, **settings)
