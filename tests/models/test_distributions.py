"""Distributions over z: densities, samples, entropies, KLs, against SciPy, integrals and sums."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import log_softmax, softmax

from exact import log_integral, normal_rule
from minivae import Tensor, grad, ops, vjp
from minivae.distributions import (
    AffineCoupling,
    Categorical,
    DiagonalGaussian,
    Distribution,
    Flow,
    FullGaussian,
    MixturePrior,
    StandardNormal,
)
from minivae.errors import ShapeError
from minivae.gradcheck import assert_gradcheck

S, N = 3, 4


def diagonal(K=2, N=N, seed=0):
    return DiagonalGaussian(*0.7 * np.random.default_rng(seed).standard_normal((2, N, K)))


def factors(*shape, seed=0):
    """Lower triangular matrices with a positive diagonal."""
    rng = np.random.default_rng(seed)
    K = shape[-1]
    L = np.tril(0.6 * rng.standard_normal(shape), -1)
    return L + np.exp(0.4 * rng.standard_normal(shape[:-1]))[..., None] * np.eye(K)


def full(K=2, N=N, seed=0):
    rng = np.random.default_rng(seed + 100)
    return FullGaussian(rng.standard_normal((N, K)), factors(N, K, K, seed=seed))


def categorical(C=3, N=N, seed=0):
    return Categorical(1.5 * np.random.default_rng(seed).standard_normal((N, C)))


def coupling(K, even, seed, n=None):
    """A map whose network says something, unlike one that has not been trained."""
    f = AffineCoupling(K, 5, even=even, n=n, rng=np.random.default_rng(seed))
    rng = np.random.default_rng(seed + 50)
    f.out_weight.data = 0.5 * rng.standard_normal(f.out_weight.shape)
    f.out_bias.data = 0.3 * rng.standard_normal(f.out_bias.shape)
    return f


def flow(K=2, N=N, seed=0, n=None):
    return Flow(diagonal(K, N, seed), [coupling(K, i % 2 == 0, seed + i, n) for i in range(3)])


def mixture(C=3, K=2, seed=0):
    rng = np.random.default_rng(seed)
    weights, means = rng.dirichlet(np.full(C, 3.0)), rng.standard_normal((C, K))
    return MixturePrior(weights, means, factors(C, K, K, seed=seed), np.float64)


POSTERIORS = {"diagonal": diagonal, "full": full, "flow": flow}
posteriors = pytest.mark.parametrize("name", POSTERIORS)


def numbers(x):
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def covariance(q):
    """The covariance of each datum's Gaussian, from its parameters."""
    if isinstance(q, DiagonalGaussian):
        return np.exp(q.log_var)[..., None] * np.eye(q.mu.shape[-1])
    return q.L @ q.L.swapaxes(-1, -2)


def scipys(q, i):
    return stats.multivariate_normal(q.mu[i], covariance(q)[i])


def spread(points, N=N):
    return np.ascontiguousarray(np.broadcast_to(points[:, None], (len(points), N, points.shape[1])))


def by_quadrature(q, f, K=2, n=61):
    """E_q f(z) for each datum; f of z ``(S, N, K)`` to ``(S, N)``."""
    eps, weight = normal_rule(K=K, n=n)
    z = q.rsample(spread(eps, N))
    return weight @ numbers(f(z))


# Densities ----------------------------------------------------------------------------------------


@pytest.mark.equation("GAUSS.1")
@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("K", [1, 2, 4])
def test_gaussian_densities_and_entropies_are_scipys(make, K):
    q, z = make(K), np.random.default_rng(1).standard_normal((S, N, K))
    expected = np.stack([scipys(q, i).logpdf(z[:, i]) for i in range(N)], axis=1)
    np.testing.assert_allclose(q.log_prob(z), expected, rtol=1e-11)
    np.testing.assert_allclose(q.entropy(), [scipys(q, i).entropy() for i in range(N)], rtol=1e-12)


@posteriors
def test_densities_integrate_to_one(name):
    q = POSTERIORS[name](N=2)

    def log_q(z):
        return numbers(q.log_prob(spread(z, 2)))

    np.testing.assert_allclose(log_integral(log_q, K=2, limit=10.0, tolerance=1e-6), 0.0, atol=1e-6)


@posteriors
def test_the_density_of_a_sample_is_that_of_its_noise(name):
    q, eps = POSTERIORS[name](), np.random.default_rng(2).standard_normal((S, N, 2))
    z, log_q = q.rsample_and_log_prob(eps)
    np.testing.assert_array_equal(numbers(z), numbers(q.rsample(eps)))
    np.testing.assert_allclose(numbers(log_q), numbers(q.log_prob(z)), rtol=1e-11, atol=1e-11)


@posteriors
def test_shapes_are_samples_data_dimensions(name):
    q = POSTERIORS[name]()
    eps = q.noise(np.random.default_rng(0), S)
    z, log_q = q.rsample_and_log_prob(eps)
    assert eps.shape == z.shape == q.sample(0, S=S).shape == (S, N, 2)
    assert log_q.shape == q.log_prob(z).shape == (S, N)
    assert q.sample(0).shape == (N, 2)
    assert isinstance(q.sample(0), np.ndarray)
    assert q.kl_to(StandardNormal(2), z).shape == (N,)
    np.testing.assert_array_equal(q.sample(7, S=S), q.sample(7, S=S))
    assert not np.array_equal(q.sample(7, S=S), q.sample(8, S=S))


@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gaussians_keep_their_dtype(make, dtype):
    q = make()
    q = type(q)(*(getattr(q, name).astype(dtype) for name in q.parts))
    eps = q.noise(np.random.default_rng(0), S)
    z, log_q = q.rsample_and_log_prob(eps)
    results = [eps, z, log_q, q.log_prob(z), q.entropy(), q.sample(0), q.kl_to(StandardNormal(2))]
    results.append(q.kl_to(q))
    results.append(q.kl_to(FullGaussian(*(np.array(x, dtype) for x in ([0.3, 0], np.eye(2))))))
    assert {np.asarray(r).dtype for r in results} == {np.dtype(dtype)}


@pytest.mark.parametrize("make", [diagonal, full])
def test_samples_have_the_moments(make):
    q, n = make(N=2), 40_000
    z = q.sample(0, S=n)
    mean, spread = q.moments()
    np.testing.assert_allclose(spread, covariance(q), rtol=1e-12)
    np.testing.assert_array_equal(mean, q.mu)
    np.testing.assert_allclose(q.factor() @ q.factor().swapaxes(-1, -2), covariance(q), rtol=1e-12)
    for i in range(2):
        variance = np.diag(spread[i])
        assert (np.abs(z[:, i].mean(axis=0) - mean[i]) < 4 * np.sqrt(variance / n)).all()
        # Var of a sample covariance: (C_jk^2 + C_jj C_kk) / n
        error = np.sqrt((spread[i] ** 2 + np.outer(variance, variance)) / n)
        assert (np.abs(np.cov(z[:, i].T) - spread[i]) < 4 * error).all()


def test_a_q_that_has_shrunk_to_a_point_has_a_factor_with_an_inverse():
    q = DiagonalGaussian(np.zeros((1, 2), np.float32), np.array([[-5000.0, 0.0]], np.float32))
    assert np.isfinite(np.linalg.inv(q.factor())).all()
    np.testing.assert_allclose(q.factor()[0, 1], [0.0, 1.0])


def test_parameters_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"mu has shape \(3, 2\) and log_var \(3, 1\)"):
        DiagonalGaussian(np.zeros((3, 2)), np.zeros((3, 1)))
    with pytest.raises(ShapeError, match=r"mu has shape \(3, 2\) and L \(3, 2\)"):
        FullGaussian(np.zeros((3, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize("make", [diagonal, full, categorical])
def test_portions_join_into_one(make):
    q = make()
    rows = [slice(0, 1), slice(1, 4)]
    parts = [type(q)(*(Tensor(getattr(q, name)[some]) for name in q.parts)) for some in rows]
    joined = type(q).joined(parts)
    for name in q.parts:
        assert isinstance(getattr(joined, name), np.ndarray)
        np.testing.assert_array_equal(getattr(joined, name), getattr(q, name))


# The KL -------------------------------------------------------------------------------------------


def gaussian_kl(m, C, n, B):
    """KL(N(m, C) || N(n, B)) by the textbook's formula."""
    inverse = np.linalg.inv(B)
    log_ratio = np.linalg.slogdet(B)[1] - np.linalg.slogdet(C)[1]
    return 0.5 * (np.trace(inverse @ C) + (n - m) @ inverse @ (n - m) - len(m) + log_ratio)


def priors(K):
    """Gaussian priors by name, with their means and covariances."""
    rng = np.random.default_rng(9)
    m, log_var, L = rng.standard_normal(K), 0.5 * rng.standard_normal(K), factors(K, K, seed=9)
    return {
        "standard": (StandardNormal(K), np.zeros(K), np.eye(K)),
        "diagonal": (DiagonalGaussian(m, log_var), m, np.diag(np.exp(log_var))),
        "full": (FullGaussian(m, L), m, L @ L.T),
    }


@pytest.mark.equation("KL.5")
@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("to", ["standard", "diagonal", "full"])
@pytest.mark.parametrize("K", [1, 2, 5])
def test_closed_forms_are_the_textbooks_and_the_integral(make, to, K):
    q, (prior, n, B) = make(K), priors(K)[to]
    kl = q.kl_to(prior)
    expected = [gaussian_kl(m, C, n, B) for m, C in zip(q.mu, covariance(q), strict=True)]
    np.testing.assert_allclose(kl, expected, rtol=1e-11)
    if K <= 2:
        integral = by_quadrature(q, lambda z: q.log_prob(z) - prior.log_prob(z), K)
        np.testing.assert_allclose(kl, integral, rtol=1e-10)


@pytest.mark.parametrize("make", [diagonal, full])
def test_each_datum_may_have_a_prior_of_its_own(make):
    q, prior = make(seed=0), make(seed=5)
    expected = [
        gaussian_kl(*both)
        for both in zip(q.mu, covariance(q), prior.mu, covariance(prior), strict=True)
    ]
    np.testing.assert_allclose(q.kl_to(prior), expected, rtol=1e-11)
    np.testing.assert_allclose(q.kl_to(q), 0.0, atol=1e-14)


@pytest.mark.parametrize("to", ["standard", "diagonal"])
def test_dimensions_add_up_to_the_whole(to):
    q, (prior, n, B) = diagonal(3), priors(3)[to]
    each = q.kl_to(prior, per_dimension=True)
    assert each.shape == (N, 3)
    np.testing.assert_allclose(each.sum(axis=1), q.kl_to(prior), rtol=1e-12)
    eps, weight = normal_rule()
    for i in range(N):
        for k in range(3):
            scale = np.exp(0.5 * q.log_var[i, k])
            z = q.mu[i, k] + scale * eps[:, 0]
            ratio = stats.norm.logpdf(z, q.mu[i, k], scale)
            ratio -= stats.norm.logpdf(z, n[k], np.sqrt(B[k, k]))
            assert each[i, k] == pytest.approx(weight @ ratio, rel=1e-10)


@pytest.mark.parametrize("to", ["standard", "diagonal", "full"])
def test_the_standard_normal_is_a_gaussian_among_others(to):
    K = 2
    prior, n, B = priors(K)[to]
    p = StandardNormal(K)
    expected = gaussian_kl(np.zeros(K), np.eye(K), n, B)
    assert float(p.kl_to(prior)) == pytest.approx(expected, rel=1e-12, abs=1e-14)
    assert p.entropy() == pytest.approx(stats.multivariate_normal(np.zeros(K)).entropy())
    z = np.random.default_rng(0).standard_normal((S, N, K))
    np.testing.assert_allclose(p.log_prob(z), stats.norm.logpdf(z).sum(axis=-1), rtol=1e-12)
    assert p.rsample(z) is z
    assert p.detach() is p
    assert p(z) is p


@posteriors
def test_without_a_closed_form_the_kl_is_a_mean_over_samples(name):
    q, prior = POSTERIORS[name](), mixture()
    eps, weight = normal_rule(K=2, n=41)
    z = q.rsample(spread(eps))
    expected = weight @ numbers(q.log_prob(z) - prior.log_prob(z))
    # draws in proportion to their weights: the mean over them is the integral, but for their number
    n = 4000
    draws = q.rsample(spread(eps[np.random.default_rng(0).choice(len(eps), n, p=weight)]))
    kl = numbers(q.kl_to(prior, draws))
    ratio = numbers(q.log_prob(draws) - prior.log_prob(draws))
    error = numbers(prior.log_prob(draws)).std(axis=0) + ratio.std(axis=0)
    assert (np.abs(kl - expected) < 4 * error / np.sqrt(n)).all()
    if name == "flow":  # nothing of it in closed form
        np.testing.assert_allclose(kl, ratio.mean(axis=0), rtol=1e-12)
    else:  # the entropy is
        cross = numbers(prior.log_prob(draws)).mean(axis=0)
        np.testing.assert_allclose(kl, -q.entropy() - cross, rtol=1e-12)


def test_a_kl_that_cannot_be_had_says_what_it_wants():
    with pytest.raises(
        NotImplementedError, match=r"DiagonalGaussian to MixturePrior .* without samples z"
    ):
        diagonal().kl_to(mixture())
    z = np.zeros((S, N, 2))
    for q, prior in ((full(), StandardNormal(2)), (diagonal(), mixture()), (flow(), mixture())):
        words = f"{type(q).__name__} to {type(prior).__name__} has no closed form a dimension"
        with pytest.raises(NotImplementedError, match=words):
            q.kl_to(prior, z, per_dimension=True)


# Gradients ----------------------------------------------------------------------------------------


def test_gradients_of_densities_and_divergences_are_those_of_differences():
    z, eps = np.random.default_rng(3).standard_normal((2, S, 2, 2))
    _, (m, L) = full(N=2), (full(N=2, seed=1).mu, full(N=2, seed=1).L)
    mu, log_var = diagonal(N=2).mu, diagonal(N=2).log_var
    prior = FullGaussian(m, L)
    assert_gradcheck(lambda z, m, v: DiagonalGaussian(m, v).log_prob(z), z, mu, log_var)
    assert_gradcheck(lambda m, v: DiagonalGaussian(m, v).kl_to(prior), mu, log_var)
    assert_gradcheck(lambda m, v: DiagonalGaussian(m, v).rsample_and_log_prob(eps)[1], mu, log_var)
    triangle = np.tril(np.ones((2, 2)))  # what lies above the diagonal is not looked at
    assert_gradcheck(lambda z, m, L: FullGaussian(m, L * triangle).log_prob(z), z, m, L)
    assert_gradcheck(lambda m, L: FullGaussian(m, L * triangle).kl_to(StandardNormal(2)), m, L)
    assert_gradcheck(lambda m, L: FullGaussian(m, L * triangle).kl_to(full(N=2)), m, L)
    assert_gradcheck(lambda m, L: FullGaussian(m, L * triangle).rsample(eps), m, L)
    logits = categorical(N=2).logits
    assert_gradcheck(lambda a: Categorical(a).kl_to(categorical(N=2, seed=1)), logits)
    assert_gradcheck(lambda a: Categorical(a).entropy(), logits)


def with_tensors(q):
    """The same with parameters that take gradients, and all of these."""
    if isinstance(q, Flow):
        base, parameters = with_tensors(q.base)
        return Flow(base, q.maps), [*parameters, *(p for f in q.maps for p in f.parameters())]
    parameters = [Tensor(getattr(q, name), requires_grad=True) for name in q.parts]
    return type(q)(*parameters), parameters


@pytest.mark.parametrize("make", [diagonal, full, flow, categorical])
def test_a_detached_q_is_the_same_and_no_gradient_passes(make):
    q, parameters = with_tensors(make())
    z = make().sample(0, S=S)
    x = Tensor(z, requires_grad=True)
    held = q.detach()
    assert type(held) is type(q)
    np.testing.assert_array_equal(held.log_prob(z).data if isinstance(held.log_prob(z), Tensor)
                                  else held.log_prob(z), q.log_prob(z).data)  # fmt: skip
    ops.sum(held.log_prob(x)).backward()
    assert all(p.grad is None for p in parameters)
    assert np.abs(x.grad).max() > 1e-3  # but through z
    ops.sum(q.log_prob(z)).backward()
    assert any(p.grad is not None and np.abs(p.grad).max() > 1e-3 for p in parameters)


@pytest.mark.parametrize("make", [diagonal, full, categorical])
def test_a_datum_alone_and_one_without_an_axis_are_what_it_is_among_others(make):
    def said(q, eps):
        z = q.draw(eps, np.random.default_rng(0))
        scale = np.array(0.0) if make is categorical else q.factor()
        divergences = [q.kl_to(other) for other in (q, prior)]
        if make is diagonal:
            divergences += [q.kl_to(other, per_dimension=True) for other in (q, prior)]
        return [z, q.log_prob(z)], [q.entropy(), *q.moments(), scale, *divergences]

    many = make()
    prior = type(many)(*(getattr(many, part)[1] for part in many.parts))
    eps = many.noise(np.random.default_rng(3), S)
    of_samples, of_data = said(many, eps)
    for i in range(N):
        alone, one = (
            type(many)(*(getattr(many, part)[at] for part in many.parts))
            for at in (slice(i, i + 1), i)
        )
        for q, noise in [(alone, eps[:, i : i + 1]), (one, eps[:, i])]:
            ours, other = said(q, noise)
            for each, whole in zip(ours, of_samples, strict=True):
                np.testing.assert_allclose(each.reshape(whole[:, i].shape), whole[:, i], rtol=1e-12)
            for each, whole in zip(other, of_data, strict=True):
                expected = whole[i] if whole.ndim else whole
                np.testing.assert_allclose(
                    each.reshape(expected.shape), expected, rtol=1e-12, atol=1e-13
                )


# Classes ------------------------------------------------------------------------------------------


def test_classes_have_their_probabilities():
    q = categorical()
    support = q.support()
    assert support.shape == (3, N, 3)
    log_p = q.log_prob(support)
    np.testing.assert_allclose(log_p.T, log_softmax(q.logits, axis=1), rtol=1e-12)
    np.testing.assert_allclose(np.exp(log_p).sum(axis=0), 1.0, rtol=1e-12)
    entropies = [stats.entropy(p) for p in softmax(q.logits, axis=1)]
    np.testing.assert_allclose(q.entropy(), entropies, rtol=1e-12)
    as_prior = Categorical(q.logits[0])
    assert as_prior.support(5).shape == (3, 5, 3)
    np.testing.assert_allclose(as_prior.log_prob(as_prior.support(5))[:, 4], log_p[:, 0])


def test_the_divergence_of_classes_is_the_sum():
    q, prior = categorical(), categorical(seed=1)
    p, r = (softmax(d.logits, axis=1) for d in (q, prior))
    np.testing.assert_allclose(q.kl_to(prior), stats.entropy(p, r, axis=1), rtol=1e-11)
    to_one = q.kl_to(Categorical(prior.logits[0]))
    np.testing.assert_allclose(to_one, stats.entropy(p, r[:1], axis=1), rtol=1e-11)


def test_classes_are_drawn_as_often_as_they_should():
    q, n = categorical(), 40_000
    z = q.sample(0, S=n)
    assert z.shape == (n, N, 3)
    assert set(np.unique(z)) == {0.0, 1.0}
    np.testing.assert_array_equal(z.sum(axis=-1), 1.0)
    p = softmax(q.logits, axis=1)
    assert (np.abs(z.mean(axis=0) - p) < 4 * np.sqrt(p * (1 - p) / n)).all()
    mean, spread = q.moments()
    np.testing.assert_allclose(mean, p, rtol=1e-12)
    for i in range(N):
        np.testing.assert_allclose(spread[i], stats.multinomial(1, p[i]).cov(), atol=1e-15)
    with pytest.raises(
        NotImplementedError, match="rsample: the distribution Categorical does not have it"
    ):
        q.rsample(q.noise(np.random.default_rng(0)))


# Flows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("K", [2, 3])
@pytest.mark.parametrize("n", [None, N])
def test_a_map_is_undone_by_its_inverse_and_its_volume_is_the_jacobians(K, n):
    u = np.random.default_rng(4).standard_normal((S, N, K))
    for f in flow(K, n=n).maps:
        z, log_det = (t.data for t in f.forward(u))
        back, again = (t.data for t in f.inverse(z))
        np.testing.assert_allclose(back, u, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(again, log_det, rtol=1e-12)
        assert np.abs(z - u).max() > 0.1
        # rows of the Jacobian, one a pull-back: samples do not touch each other
        _, pull_back = vjp(lambda u: f.forward(u)[0], u)  # noqa: B023
        rows = [pull_back(np.broadcast_to(axis, u.shape))[0] for axis in np.eye(K)]
        _, expected = np.linalg.slogdet(np.stack([numbers(r) for r in rows], axis=-2))
        np.testing.assert_allclose(log_det, expected, rtol=1e-11, atol=1e-12)
        assert np.abs(log_det).max() > 0.1


def test_a_new_map_is_the_identity_and_moves_one_half():
    u = np.random.default_rng(0).standard_normal((S, N, 3))
    for even in (True, False):
        f = AffineCoupling(3, even=even, rng=np.random.default_rng(0))
        z, log_det = f.forward(u)
        np.testing.assert_array_equal(z.data, u)
        np.testing.assert_array_equal(log_det.data, 0.0)
        moved = np.abs(coupling(3, even, 0).forward(u)[0].data - u).max(axis=(0, 1)) > 0
        assert moved.tolist() == [even != (k % 2 == 0) for k in range(3)]
    with pytest.raises(ValueError, match="latent_dim=1 must be at least 2"):
        AffineCoupling(1, rng=np.random.default_rng(0))


def test_samples_of_a_flow_have_the_moments_of_its_density():
    # the noise integrated, and the density on a grid: two ways that share no map's direction
    q = flow(N=1)
    eps, weight = normal_rule(K=2, n=121)
    z = q.rsample(eps[:, None]).data[:, 0]
    axis = np.linspace(-12.0, 12.0, 241)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    mass = np.exp(q.log_prob(grid[:, None]).data[:, 0]) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(weight @ z, mass @ grid, rtol=1e-8)
    np.testing.assert_allclose(weight @ z**2, mass @ grid**2, rtol=1e-8)


def test_each_datum_may_have_a_map_of_its_own():
    q = flow(n=N)
    eps = np.random.default_rng(1).standard_normal((S, N, 2))
    z, log_q = (t.data for t in q.rsample_and_log_prob(eps))
    for i in range(N):
        maps = [coupling(2, j % 2 == 0, j) for j in range(3)]
        for own, f in zip(maps, q.maps, strict=True):
            for name, p in own.named_parameters():
                p.data = getattr(f, name).data[i]
        alone = Flow(DiagonalGaussian(q.base.mu[i : i + 1], q.base.log_var[i : i + 1]), maps)
        ours = alone.rsample_and_log_prob(eps[:, i : i + 1])
        np.testing.assert_allclose(ours[0].data[:, 0], z[:, i], rtol=1e-12)
        np.testing.assert_allclose(ours[1].data[:, 0], log_q[:, i], rtol=1e-12)


def test_a_flows_parameters_have_the_gradient_of_its_density():
    f = coupling(2, True, 0)
    z = np.random.default_rng(1).standard_normal((S, 1, 2))
    names = [name for name, _ in f.named_parameters()]

    def log_q(*values):
        moved = coupling(2, True, 0)
        vars(moved).update(zip(names, values, strict=True))
        return Flow(diagonal(N=1), [moved]).log_prob(z)

    assert_gradcheck(log_q, *(p.data for p in f.parameters()))


# What a family cannot do --------------------------------------------------------------------------


class Implicit(Distribution):
    """Samples without a density."""

    def __init__(self, mu):
        self.mu = mu

    def noise(self, rng, S=1):
        return rng.standard_normal((S, *self.mu.shape))

    def rsample(self, eps):
        return self.mu + ops.tanh(eps) ** 3


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda q, z: q.log_prob(z), "log_prob"),
        (lambda q, z: q.rsample_and_log_prob(z), "log_prob"),
        (lambda q, z: q.kl_to(StandardNormal(2), z), "log_prob"),
        (lambda q, z: q.entropy(), "entropy"),
        (lambda q, z: q.detach(), "detach"),
        (lambda q, z: q.moments(), "moments"),
        (lambda q, z: q.factor(), "moments"),
    ],
)
def test_what_an_implicit_q_lacks_it_names(ask, what):
    q = Implicit(np.zeros((N, 2)))
    assert q.sample(0, S=S).shape == (S, N, 2)
    with pytest.raises(
        NotImplementedError, match=f"^{what}: the distribution Implicit does not have it$"
    ):
        ask(q, np.zeros((S, N, 2)))


def test_the_gradient_goes_through_the_samples_of_an_implicit_q():
    eps = np.random.default_rng(0).standard_normal((S, N, 2))
    slope = grad(lambda mu: ops.sum(ops.square(Implicit(mu).rsample(eps))))(np.ones((N, 2)))
    np.testing.assert_allclose(slope, 2 * (1 + np.tanh(eps) ** 3).sum(axis=0), rtol=1e-12)
