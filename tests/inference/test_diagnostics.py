"""R-hat, effective sample sizes, standard errors: by hand, by known processes, and blind spots."""

import numpy as np
import pytest

from minivae.inference import diagnostics


def autoregressive(phi, C=4, T=4000, n=3, seed=0):
    """x_t = phi x_(t-1) + noise, whose effective sample size is T (1 - phi) / (1 + phi)."""
    rng = np.random.default_rng(seed)
    x = np.empty((C, T, n))
    x[:, 0] = rng.normal(size=(C, n))
    for t in range(1, T):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * rng.normal(size=(C, n))
    return x


@pytest.mark.equation("CHAIN.5")
@pytest.mark.equation("CHAIN.6")
@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, -0.4])
def test_the_effective_sample_size_of_an_autoregressive_process(phi):
    x = autoregressive(phi)
    expected = 4 * 4000 * (1 - phi) / (1 + phi)
    np.testing.assert_allclose(diagnostics.ess(x), expected, rtol=0.2)
    np.testing.assert_allclose(diagnostics.ess_bulk(x), expected, rtol=0.2)
    error = diagnostics.mcse(x)
    np.testing.assert_allclose(error, np.sqrt(1.0 / expected), rtol=0.12)
    assert (np.abs(x.mean(axis=(0, 1))) < 4.5 * error).all()


@pytest.mark.equation("CHAIN.4")
def test_r_hat_is_one_where_chains_agree_and_not_where_they_do_not():
    x = autoregressive(0.3, T=1000)
    assert (np.abs(diagnostics.r_hat(x) - 1) < 0.01).all()
    apart = x + np.array([0.0, 0.0, 0.0, 2.0])[:, None, None]
    assert (diagnostics.r_hat(apart) > 1.1).all()
    # one mean and different spreads: only the folded draws show it
    spread = x * np.array([1.0, 1.0, 1.0, 3.0])[:, None, None]
    assert (diagnostics.r_hat(spread) > 1.05).all()
    # a drift within each chain: only the halves show it
    drifting = x + np.linspace(-2, 2, 1000)[None, :, None]
    assert (diagnostics.r_hat(drifting) > 1.1).all()


@pytest.mark.equation("CHAIN.4")
def test_ties_get_average_ranks():
    # with ranks in the order of appearance, independent coins have an R-hat of 1.76
    coins = np.random.default_rng(0).integers(0, 2, (4, 500, 1)).astype(float)
    assert diagnostics.r_hat(coins).item() == pytest.approx(1.0, abs=0.01)


@pytest.mark.equation("CHAIN.4")
def test_r_hat_by_hand():
    # two chains of four draws, in halves: within W, between B, of the normal scores of the ranks
    from scipy.special import ndtri

    draws = np.array([[1.0, 2.0, 4.0, 8.0], [3.0, 7.0, 5.0, 6.0]])[..., None]
    halves = np.array([[1.0, 2.0], [3.0, 7.0], [4.0, 8.0], [5.0, 6.0]])

    def plain(values):
        order = np.argsort(np.argsort(values.ravel())).reshape(values.shape) + 1.0
        z = ndtri((order - 0.375) / 8.25)
        W = z.var(axis=1, ddof=1).mean()
        return np.sqrt((0.5 * W + z.mean(axis=1).var(ddof=1)) / W)

    folded = np.abs(halves - np.median(halves))
    ranks = {v: np.mean(1 + np.flatnonzero(np.sort(folded.ravel()) == v)) for v in folded.ravel()}
    z = ndtri((np.vectorize(ranks.get)(folded) - 0.375) / 8.25)
    W = z.var(axis=1, ddof=1).mean()
    of_folded = np.sqrt((0.5 * W + z.mean(axis=1).var(ddof=1)) / W)
    expected = max(plain(halves), of_folded)
    assert diagnostics.r_hat(draws).item() == pytest.approx(expected, rel=1e-12)


def test_tails_are_worth_less_than_the_bulk_where_they_are_seldom_visited():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 2000, 1))
    x[0, :300] = 4.0 + 0.1 * rng.normal(size=(300, 1))  # one long excursion
    assert diagnostics.ess_tail(x).item() < 0.2 * diagnostics.ess_bulk(x).item() + 200


def test_what_never_changes_is_worth_nothing_and_too_few_draws_are_refused():
    assert np.isnan(diagnostics.ess(np.ones((2, 10, 1)))).all()
    with pytest.raises(ValueError, match=r"\(2, 3, 1\) are too few"):
        diagnostics.r_hat(np.zeros((2, 3, 1)))


def test_draws_of_one_chain_without_its_axis_are_refused():
    with pytest.raises(ValueError, match=r"\(9,\) are too few; they must be \(C, T, ...\)"):
        diagnostics.ess(np.arange(9.0))
    with pytest.raises(ValueError, match="T at least 2"):
        diagnostics.ess(np.ones((3, 1)))
