"""The density's gradient by recorded calls is that of the tape, bit for bit, or the tape's own."""

import numpy as np
import pytest

from minivae import ops, vjp
from minivae.distributions import StandardNormal
from minivae.inference import annealed_importance_sampling, fit_posterior, hmc
from minivae.inference.slopes import Slopes
from minivae.tensor import Tensor, values

RNG = np.random.default_rng(0)
W, B = (RNG.normal(size=s).astype(np.float32) for s in ((2, 5), (5,)))
X = RNG.integers(0, 2, (3, 5)).astype(np.float32)


def decoded(z):
    """log p(x, z) of a small decoder, float32 as a trained one."""
    logits = ops.linear(ops.reshape(z, (-1, 2)), W, B, activation="tanh")
    log_p = ops.reshape(ops.binomial_log_prob(logits, X), z.shape[:2])
    return log_p + StandardNormal(2).log_prob(z)


def points(n, C=4):
    return RNG.normal(size=(n, C, 3, 2)).astype(np.float32)


def by_tape(density, z):
    height, pull_back = vjp(density, z)
    return height, pull_back(np.ones_like(height))[0]


def assert_same(density, slopes, zs):
    for z in zs:
        height, slope = by_tape(density, z)
        pairs = (slopes(z)[0], height), (slopes(z)[1], slope), (slopes.slope(z), slope)
        for found, wanted in pairs:
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)


def test_it_is_what_the_tape_says_and_the_density_is_asked_a_few_times_only():
    calls = []

    def counted(z):
        calls.append(z.shape)
        return decoded(z)

    slopes = Slopes(counted)
    assert_same(decoded, slopes, points(20))
    assert len(calls) < 14
    assert_same(decoded, slopes, points(3, C=2))  # another shape: recorded again
    assert len(calls) < 24


def test_its_answers_are_the_callers_own():
    slopes = Slopes(decoded)
    for z in points(5):
        slopes(z)
    one, two = points(2)
    height, slope = slopes(one)
    kept = height.copy(), slope.copy()
    slopes(two)
    np.testing.assert_array_equal(height, kept[0])
    np.testing.assert_array_equal(slope, kept[1])


def test_it_follows_a_model_that_moves():
    mu = Tensor(np.array([0.5, -1.0]), requires_grad=True)
    slopes = Slopes(lambda z: -0.5 * ops.sum(ops.square(z - mu), -1))
    z = np.zeros((2, 1, 2))
    for k in range(1, 8):  # other points each time, until the program is believed
        slopes(z + k)
    slopes.log_density, density = None, slopes.log_density
    np.testing.assert_array_equal(slopes.slope(z)[0, 0], [0.5, -1.0])  # without it
    slopes.log_density = density
    mu.data = np.array([3.0, 4.0])
    np.testing.assert_array_equal(slopes.slope(z)[0, 0], [3.0, 4.0])
    np.testing.assert_array_equal(slopes(z)[0][0], [-12.5])
    assert mu.grad is None


def far(z):
    """Decides by a number, which a recording cannot."""
    scale = 1.0 if ops.max(z).item() < 1.5 else 3.0
    return -scale * ops.sum(ops.square(z), -1)


def unseen(z):
    """The same, so that no recording sees it; then its arithmetic is unseen, too."""
    squares = np.square(np.asarray(values(z)))
    return -ops.sum(z * squares, -1)


def in_numpy(z):
    return -ops.sum(z * np.square(values(z)) + np.abs(z), -1)


@pytest.mark.parametrize("density", [far, unseen, in_numpy])
def test_what_cannot_be_recorded_stays_on_the_tape(density):
    assert_same(density, Slopes(density), [*(0.5 * points(8)), *(3.0 * points(8))])


def test_errors_are_the_densitys_own():
    slopes = Slopes(decoded)
    for z in points(5):
        slopes(z)
    with pytest.raises(ValueError, match=r"sum|linear|reshape|shapes"):
        slopes(np.zeros((4, 3, 3), np.float32))
    np.testing.assert_array_equal(slopes.slope(z), by_tape(decoded, z)[1])


def test_with_and_without_programs_every_method_draws_the_same_bits(monkeypatch):
    def all_of_them():
        chain = hmc(decoded, points_at, draws=20, warmup=30, random_state=0)
        fit = fit_posterior(decoded, 3, 2, random_state=0, steps=20)
        found = annealed_importance_sampling(
            StandardNormal(2).log_prob, lambda z: decoded(z) - StandardNormal(2).log_prob(z),
            points_at, 10, random_state=0,
        )  # fmt: skip
        return chain.draws, fit.elbo, fit.q.mu, found.estimate

    points_at = points(1)[0]
    programs = all_of_them()
    monkeypatch.setenv("MINIVAE_REPLAY", "0")
    for one, other in zip(programs, all_of_them(), strict=True):
        np.testing.assert_array_equal(values(one), values(other))


MADE_PLAIN = {
    "array": lambda x: np.array(x),
    "asarray": lambda x: np.asarray(x),
    "contiguous": lambda x: np.ascontiguousarray(x),
}


@pytest.mark.parametrize("plainly", MADE_PLAIN.values(), ids=MADE_PLAIN)
def test_a_branch_by_plain_arrays_is_taken_anew_each_time(plainly):
    def bent(z):
        return ops.sum(ops.where(plainly(values(z)) > 0, -z, 9.0 * z), -1)

    slopes, z = Slopes(bent), np.full((2, 1, 1), 5.0)
    for k in range(6):
        slopes(z + 0.1 * k)
    np.testing.assert_array_equal(slopes(0.0 * z - 1.0)[1], 9.0)
    np.testing.assert_array_equal(slopes.slope(0.0 * z - 2.0), 9.0)


def test_what_no_recording_sees_is_found_out_by_the_tape_soon():
    def bent(z):
        return ops.sum(ops.where(np.asarray(memoryview(values(z))) > 0, -z, 9.0 * z), -1)

    slopes, z = Slopes(bent), np.full((2, 1, 1), 5.0)
    for k in range(6):
        slopes(z + 0.1 * k)
    # six runs so far at most: the eighth is made both ways
    found = [slopes.slope(-z - 0.1 * k)[0, 0, 0] for k in range(8)]
    assert found[-4:] == [9.0] * 4
