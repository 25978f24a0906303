"""Metropolis and HMC against exact answers, and twins with a mistake that must be seen."""

import functools
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from minivae import ops, vjp
from minivae.errors import ConvergenceWarning, ShapeError
from minivae.inference import chains, diagnostics, hmc, metropolis
from minivae.inference.slopes import Slopes

# Two data, each with a Gaussian posterior in two dimensions
MEANS = np.array([[1.0, -2.0], [0.0, 3.0]])
COVARIANCES = np.array([[[1.0, 0.8], [0.8, 2.0]], [[0.5, -0.2], [-0.2, 0.3]]])
PRECISIONS = np.linalg.inv(COVARIANCES)


def log_density(z):
    away = z - MEANS
    return -0.5 * ops.sum(ops.einsum("cni,nij->cnj", away, PRECISIONS) * away, -1)


def starts(C=16, seed=0):
    return np.random.default_rng(seed).normal(size=(C, 2, 2))


@functools.cache
def drawn(name):
    sampler = {"hmc": hmc, "metropolis": metropolis}[name]
    draws = {"hmc": 120, "metropolis": 1500}[name]
    return sampler(log_density, starts(), draws=draws, warmup=120, random_state=0)


def z_scores(chain):
    """Errors of the means and of the second moments, in their standard errors."""
    centred = chain.draws - MEANS
    products = centred[..., :, None] * centred[..., None, :]
    squares = chains.Chain(
        products.reshape(*products.shape[:3], 4), chain.accept, chain.divergences
    )
    expected = COVARIANCES.reshape(2, 4)
    return np.concatenate(
        [((chain.mean - MEANS) / chain.mcse).ravel(),
         ((squares.mean - expected) / squares.mcse).ravel()]
    )  # fmt: skip


@pytest.mark.equation("CHAIN.1")
@pytest.mark.equation("CHAIN.2")
@pytest.mark.parametrize("name", ["hmc", "metropolis"])
def test_means_and_covariances_are_those_of_the_target(name):
    chain = drawn(name)
    assert (np.abs(z_scores(chain)) < 4.5).all()
    assert chain.r_hat.shape == chain.ess_bulk.shape == chain.mcse.shape == (2, 2)
    assert (chain.r_hat < 1.02).all()
    assert (chain.ess_bulk > 300).all()
    assert ((chain.accept > 0.05) & (chain.accept < 0.999)).all()
    assert not chain.divergences.any()


@pytest.mark.equation("CHAIN.2")
def test_hmc_draws_are_normal_and_nearly_independent():
    chain = drawn("hmc")
    white = np.einsum("ctni,nij->ctnj", chain.draws - MEANS, np.linalg.cholesky(PRECISIONS))
    thinned = white[:, ::4].reshape(-1)
    assert stats.kstest(thinned, "norm").pvalue > 1e-4


# Twins with a mistake -----------------------------------------------------------------------------


def twin(monkeypatch, mistake):
    """HMC with one mistake in it."""
    if mistake == "acceptance without the kinetic energy":

        def trajectory(value_and_slope, state, rng):
            p = rng.standard_normal(state.z.shape) / np.sqrt(state.variance)
            there, _ = chains.leapfrog(
                value_and_slope, state, p, state.scale[..., None], int(rng.integers(1, 17))
            )
            log_ratio = there.height - state.height
            return (*chains._accept(state, there, log_ratio, rng), log_ratio < -1e9)

        monkeypatch.setattr(chains, "trajectory", trajectory)
    elif mistake == "the momentum moves the wrong way":
        leapfrog = chains.leapfrog

        def uphill(value_and_slope, state, p, size, steps):
            def against(z):
                height, slope = value_and_slope(z)
                return height, -slope

            against.slope = lambda z: -value_and_slope.slope(z)
            return leapfrog(against, state._replace(slope=-state.slope), p, size, steps)

        monkeypatch.setattr(chains, "leapfrog", uphill)
    elif mistake == "an integrator that does not keep volume":
        leapfrog = chains.leapfrog

        def damped(value_and_slope, state, p, size, steps):
            there, p = leapfrog(value_and_slope, state, p, size, steps)
            height, slope = value_and_slope(0.8 * there.z)
            return there._replace(z=0.8 * there.z, height=height, slope=slope), p

        monkeypatch.setattr(chains, "leapfrog", damped)
    else:  # a step that depends on where it begins is not undone by the step back
        leapfrog = chains.leapfrog

        def elastic(value_and_slope, state, p, size, steps):
            size = size * (0.2 + np.abs(state.z[..., :1]))
            return leapfrog(value_and_slope, state, p, size, steps)

        monkeypatch.setattr(chains, "leapfrog", elastic)


@pytest.mark.parametrize(
    "mistake",
    [
        "acceptance without the kinetic energy",
        "the momentum moves the wrong way",
        "a step that is not reversible",
        "an integrator that does not keep volume",
    ],
)
@pytest.mark.filterwarnings("ignore::minivae.errors.ConvergenceWarning")
def test_a_twin_with_a_mistake_is_seen(monkeypatch, mistake):
    twin(monkeypatch, mistake)
    chain = hmc(log_density, starts(), draws=150, warmup=60, random_state=0)
    scores = np.abs(z_scores(chain))
    assert np.nanmax(scores) > 8 or np.nanmax(chain.r_hat) > 1.1


def accept_the_lower(here, there, log_ratio, rng):
    return ACCEPT(here, there, -log_ratio, rng)


def accept_always(here, there, log_ratio, rng):
    return ACCEPT(here, there, np.zeros_like(log_ratio), rng)


def accept_twice_as_readily(here, there, log_ratio, rng):
    return ACCEPT(here, there, 0.5 * log_ratio, rng)


ACCEPT = chains._accept


def stretched(state, z, value):
    """A proposal by a factor, z' = z exp(s e), which is not symmetric."""
    factor = np.exp(np.clip(z - state.z, -2.0, 2.0))
    height, slope = value(state.z * factor)
    return state._replace(z=state.z * factor, height=height, slope=slope)


def seen(chain):
    return np.nanmax(np.abs(z_scores(chain))) > 8 or np.nanmax(chain.r_hat) > 1.1


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("_accept", accept_the_lower),
        ("_accept", accept_always),
        ("_accept", accept_twice_as_readily),
        ("_moved", stretched),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_twin_of_metropolis_with_a_mistake_is_seen(monkeypatch, place, wrong):
    monkeypatch.setattr(chains, place, wrong)
    assert seen(metropolis(log_density, starts(), draws=600, warmup=120, random_state=0))


def test_the_accepted_moves_alone_are_not_draws(monkeypatch):
    monkeypatch.setitem(chains.TARGET, "metropolis", 0.15)  # by long steps
    chain = metropolis(log_density, starts(), draws=2000, warmup=120, random_state=0)
    assert not seen(chain)
    moved = (np.diff(chain.draws[:, :, 0], axis=1) != 0).any(axis=-1)
    alone = np.concatenate([row[1:][m] for row, m in zip(chain.draws[:, :, 0], moved, strict=True)])
    variance = alone.var(axis=0)
    assert (variance > 1.15 * np.diag(COVARIANCES[0])).all()  # they are too wide


def test_a_factor_for_a_step_needs_its_jacobian():
    # on a gamma density the same proposal with the Jacobian draws rightly, without it wrongly
    def gamma(z):  # shape 3, mean 3
        return ops.sum(2.0 * ops.log(ops.abs(z)) - ops.abs(z), -1)

    def mean(moved):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chains, "_moved", moved)
            z = np.full((16, 1, 1), 3.0)
            chain = metropolis(gamma, z, draws=600, warmup=120, random_state=0)
        return (chain.mean - 3.0).item() / chain.mcse.item()

    assert mean(stretched) < -8


# Memory -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::minivae.errors.ConvergenceWarning")
@pytest.mark.parametrize("sampler", [hmc, metropolis])
def test_memory_grows_by_the_draws_kept_alone(sampler):
    def peak(draws, warmup):
        tracemalloc.start()
        sampler(lambda z: -0.5 * ops.sum(z * z, -1), np.zeros((8, 50, 2)), draws, warmup, 0)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(4, 10)
    one = 8 * 50 * 2 * 8  # a draw of all chains, in bytes
    few = peak(4, 10)
    assert peak(204, 10) - few < 1.15 * 200 * one
    assert peak(4, 90) - few < 10 * one  # the warm-up is not kept


def test_diagnostics_take_some_columns_at_a_time(monkeypatch):
    draws = np.random.default_rng(0).normal(size=(4, 50, 3, 5)).cumsum(axis=1)
    names = ("r_hat", "ess_bulk", "ess_tail", "mcse")
    whole = [getattr(diagnostics, name)(draws) for name in names]
    monkeypatch.setattr(diagnostics, "PORTION", 4 * 50 * 2)
    for name, value in zip(names, whole, strict=True):
        np.testing.assert_allclose(getattr(diagnostics, name)(draws), value, rtol=1e-12)


# The leapfrog -------------------------------------------------------------------------------------


def state_at(z, size):
    height, slope = Slopes(quartic)(z)
    return chains.State(z, height, slope, np.full(height.shape, size), np.full(z.shape[1:], 0.7))


def quartic(z):
    return -ops.sum(ops.square(ops.square(z)) + 0.3 * z, -1) - z[..., 0] * z[..., 1]


def trajectory(z, p, size, steps=7):
    state, p = chains.leapfrog(
        Slopes(quartic), state_at(z, size), p, np.full((1, 1, 1), size), steps
    )
    return state, p


@pytest.mark.equation("CHAIN.3")
def test_the_leapfrog_retraces_its_path():
    z, p = np.random.default_rng(0).normal(size=(2, 1, 1, 2))
    there, q = trajectory(z, p, 0.1)
    back, r = trajectory(there.z, -q, 0.1)
    np.testing.assert_allclose(back.z, z, atol=1e-13)
    np.testing.assert_allclose(-r, p, atol=1e-13)
    assert np.abs(there.z - z).max() > 0.1


@pytest.mark.equation("CHAIN.3")
def test_the_leapfrog_keeps_volume():
    size, steps, mass = 0.1, 5, 0.7

    def flow(point):  # the same steps, written so that they can be differentiated
        z, p = point[:2], point[2:]
        slope = vjp_of_quartic
        p = p + 0.5 * size * slope(z)
        for k in range(steps):
            z = z + size * mass * p
            p = p + (size if k < steps - 1 else 0.5 * size) * slope(z)
        return ops.concatenate([z, p])

    def vjp_of_quartic(z):
        return -(4.0 * z * z * z + 0.3) - ops.stack([z[1], z[0]])

    point = np.random.default_rng(1).normal(size=4)
    there, q = trajectory(point[None, None, :2], point[None, None, 2:], size, steps)
    value, pull_back = vjp(flow, point)
    np.testing.assert_allclose(value, np.concatenate([there.z.ravel(), q.ravel()]), rtol=1e-12)
    jacobian = np.stack([pull_back(e)[0] for e in np.eye(4)])
    assert np.linalg.det(jacobian) == pytest.approx(1.0, rel=1e-12)


@pytest.mark.equation("CHAIN.3")
def test_its_energy_error_shrinks_with_the_square_of_the_step():
    z, p = np.random.default_rng(0).normal(size=(2, 1, 1, 2))

    def error(size, steps):
        there, q = trajectory(z, p, size, steps)
        kinetic = 0.5 * (0.7 * (q**2 - p**2)).sum()
        return abs(kinetic - (there.height - state_at(z, size).height).item())

    ratios = [error(0.04, 10) / error(0.02, 20), error(0.02, 20) / error(0.01, 40)]
    np.testing.assert_allclose(ratios, 4.0, rtol=0.1)


# What they refuse and say -------------------------------------------------------------------------


def test_draws_repeat_and_many_data_are_as_one():
    again = metropolis(log_density, starts(), draws=200, warmup=100, random_state=3)
    other = metropolis(log_density, starts(), draws=200, warmup=100, random_state=3)
    np.testing.assert_array_equal(again.draws, other.draws)
    in_float32 = metropolis(log_density, starts().astype(np.float32), draws=200, warmup=100)
    assert in_float32.draws.dtype == np.float32


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ShapeError, match=r"z has shape \(2, 2\) .* numbers of shape \(C, n, K\)"):
        hmc(log_density, np.zeros((2, 2)))
    with pytest.raises(ShapeError, match=r"z has shape \(0, 3, 2\)"):
        hmc(log_density, np.zeros((0, 3, 2)))
    with pytest.raises(ShapeError, match=r"shape \(16,\); it must be \(16, 2\)"):
        metropolis(lambda z: z[:, 0, 0], starts())
    z = starts()
    z[1, 0] = np.nan
    with pytest.raises(ValueError, match="where chain 1 of datum 0 begins is nan"):
        hmc(log_density, z)
    with pytest.raises(ValueError, match="draws=0 must be a whole number from 4"):
        hmc(log_density, starts(), draws=0)


def test_chains_that_never_move_and_trajectories_that_diverge_are_told():
    with pytest.warns(ConvergenceWarning, match="4 of 4 chains never moved"):
        metropolis(lambda z: -1e12 * ops.sum(ops.square(z), -1), np.full((4, 1, 1), 1e-9),
                   draws=5, warmup=0)  # fmt: skip
    steep = np.array([1e8, 1e-8])  # the first dimension throws every long trajectory out
    with (
        pytest.warns(ConvergenceWarning, match="trajectories diverged"),
        pytest.warns(ConvergenceWarning, match="never moved"),
    ):
        hmc(lambda z: -ops.sum(steep * ops.square(z), -1), np.full((2, 1, 2), 1e-9), draws=5,
            warmup=0)  # fmt: skip
