"""Mixtures on a cluster of processes, one of which is killed: the same bits, or a clear error.

`make test-dask` installs what this needs and runs it.
"""

import os
import pickle
import signal
import threading
import time
import warnings
from functools import partial

import dask
import dask.array as da
import distributed
import numpy as np
import pytest

from minivae import (
    VAE,
    BayesianGaussianMixture,
    BernoulliMixture,
    BernoulliNB,
    CategoricalVAE,
    ConditionalVAE,
    GaussianMixture,
    GaussianNB,
    NeuralClassifier,
    SemiSupervisedVAE,
)
from minivae.errors import DtypeError, NotFittedError, ShapeError
from minivae.models.mixture.dask_data import DaskData

pytestmark = pytest.mark.filterwarnings("default")  # a cluster warns of what is not ours

N, D, BLOCK = 6000, 4, 500
SETTINGS = {"n_components": 3, "random_state": 0, "max_iter": 6, "tol": 0.0}


@pytest.fixture(scope="module")
def client():
    settings = {"distributed.comm.timeouts.connect": "60s", "distributed.comm.timeouts.tcp": "60s"}
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster, timeout="60s") as client,
    ):
        yield client


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EM is stopped before it converges
        yield


def clusters():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(N // 2, D)), rng.normal(4, 1, size=(N // 2, D))])


def chunks_of(X, block=BLOCK):
    return [X[i : i + block] for i in range(0, len(X), block)]


def assert_same(a, b):
    names = [name for name in vars(a) if name.endswith("_")]
    assert {"weights_", "means_", "lower_bounds_"} < set(names)
    for name in names:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def holed(X, seed=2):
    """With a fifth of the values missing, in some blocks more and in one none."""
    share = np.repeat(np.linspace(0, 0.4, N // BLOCK), BLOCK)[:, None]
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def kinds():
    """A model and its rows, for each form that EM has."""
    X, some = clusters(), {**SETTINGS, "missing": "marginalise"}
    process = {"weight_concentration_prior_type": "dirichlet_process"}
    return {
        "gaussian": (GaussianMixture(**SETTINGS), X),
        "gaussian with gaps": (GaussianMixture(**some), holed(X)),
        "diagonal with gaps": (GaussianMixture(covariance_type="diag", **some), holed(X)),
        "bayesian": (BayesianGaussianMixture(**SETTINGS), X),
        "bayesian with gaps": (BayesianGaussianMixture(**process, **some), holed(X)),
        "bernoulli": (BernoulliMixture(**SETTINGS), (X > 2).astype(np.uint8)),
        "bernoulli with gaps": (BernoulliMixture(**some), holed((X > 2).astype(float))),
    }


def local_and_new(kind):
    """The model fitted to the chunks, one that is not fitted, and the rows."""
    model, X = kinds()[kind]
    return model.fit(chunks_of(X)), kinds()[kind][0], X


def beside():
    rng = np.random.default_rng(1)
    weight, labels = rng.random(N), np.full(N, -1)
    weight[600:1700] = 0  # two whole blocks among them
    labels[:7], labels[-7:] = 2, 1
    return weight, labels


# ---- with Dask's own scheduler ----


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_without_a_cluster_the_bits_are_those_of_the_chunks(scheduler):
    X = clusters()
    weight, labels = beside()
    for more in ({}, {"sample_weight": weight}, {"labels": labels, "sample_weight": weight}):
        local = GaussianMixture(**SETTINGS).fit(chunks_of(X), **more)
        rows = da.from_array(X, chunks=(BLOCK, 3))  # two blocks of columns
        also = {name: da.from_array(a, chunks=700) for name, a in more.items()}
        with dask.config.set(scheduler=scheduler):
            assert_same(local, GaussianMixture(**SETTINGS).fit(rows, **also))
            assert_same(local, GaussianMixture(**SETTINGS).fit(rows, **more))  # of NumPy


@pytest.mark.parametrize("limit", [1000, 10**6])
@pytest.mark.parametrize("kind", kinds())
def test_every_form_of_em_has_the_bits_of_the_chunks(monkeypatch, kind, limit):
    monkeypatch.setattr("minivae.models.mixture.initialise.LIMIT", limit)
    monkeypatch.setattr("minivae.models.mixture.bernoulli.LIMIT", limit)
    local, model, X = local_and_new(kind)
    rows = da.from_array(X, (BLOCK, D))
    assert_same(local, model.fit(rows))
    for method in ("predict", "score_samples", "predict_proba"):
        lazy, now = getattr(model, method)(rows), getattr(model, method)(X)
        np.testing.assert_allclose(lazy.compute(), now, rtol=1e-10, atol=1e-14)
    weight, _ = beside()
    assert_same(
        local.fit(chunks_of(X), sample_weight=weight), model.fit(rows, sample_weight=weight)
    )


@pytest.mark.parametrize("limit", [1000, 10**6])
def test_a_start_is_found_on_the_rows_that_chunks_would_give(monkeypatch, limit):
    monkeypatch.setattr("minivae.models.mixture.initialise.LIMIT", limit)
    monkeypatch.setattr("minivae.models.mixture.bernoulli.LIMIT", limit)
    X, (weight, _) = clusters(), beside()
    for init in ("kmeans", "k-means++", "random", "random_from_data"):
        settings = {**SETTINGS, "init_params": init, "max_iter": 2}
        assert_same(
            GaussianMixture(**settings).fit(chunks_of(X), sample_weight=weight),
            GaussianMixture(**settings).fit(da.from_array(X, (BLOCK, D)), sample_weight=weight),
        )
    ones = (X > 0).astype(np.uint8)
    assert_same(
        BernoulliMixture(**SETTINGS).fit(chunks_of(ones), sample_weight=weight),
        BernoulliMixture(**SETTINGS).fit(da.from_array(ones, (BLOCK, D)), sample_weight=weight),
    )


def test_no_more_rows_than_a_stated_sample_come_to_the_client(monkeypatch):
    monkeypatch.setattr("minivae.models.mixture.initialise.LIMIT", 300)
    sizes, compute = [], dask.compute

    def watched(*tasks, **how):
        results = compute(*tasks, **how)
        sizes.append(len(pickle.dumps(results)))
        return results

    monkeypatch.setattr(dask, "compute", watched)
    GaussianMixture(**SETTINGS).fit(da.from_array(clusters(), (BLOCK, D)))
    assert max(sizes) < 0.35 * clusters().nbytes  # 300 rows, or the sums of 12 blocks


def test_blocks_of_unknown_length_and_without_rows():
    X = clusters()
    rows = da.from_array(X, (BLOCK, D))
    right = rows[rows[:, 0] > 3.5]  # of which most blocks of the first half have none
    keep = X[:, 0] > 3.5
    assert not all(k.any() for k in chunks_of(keep))
    chunks = [c[k] for c, k in zip(chunks_of(X), chunks_of(keep), strict=True) if k.any()]
    model = GaussianMixture(**SETTINGS).fit(right)
    assert_same(GaussianMixture(**SETTINGS).fit(chunks), model)
    np.testing.assert_array_equal(model.predict(right).compute(), model.predict(X[keep]))
    with pytest.raises(ShapeError, match="compute_chunk_sizes"):
        GaussianMixture(**SETTINGS).fit(right, sample_weight=np.ones(keep.sum()))


def test_what_is_computed_for_each_row_is_lazy():
    X = clusters()
    rows = da.from_array(X, (BLOCK, D))
    model = GaussianMixture(**SETTINGS).fit(X)
    for method in ("predict", "predict_proba", "score_samples", "reconstruct"):
        lazy, now = getattr(model, method)(rows), getattr(model, method)(X)
        assert isinstance(lazy, da.Array)
        assert lazy.chunks[0] == rows.chunks[0]
        assert (lazy.shape, lazy.dtype) == (now.shape, now.dtype)
        np.testing.assert_allclose(lazy.compute(), now, rtol=1e-12)
    for method in ("score", "bic", "aic"):
        assert getattr(model, method)(rows) == pytest.approx(getattr(model, method)(X), rel=1e-12)
    lazy, before = model.predict(rows), model.predict(X)
    model.fit(X[:50])  # the lazy one is of the model as it was
    np.testing.assert_array_equal(lazy.compute(), before)
    np.testing.assert_array_equal(
        GaussianMixture(**SETTINGS).fit_predict(rows).compute(),
        GaussianMixture(**SETTINGS).fit(rows).predict(X),
    )


@pytest.mark.parametrize("grey", ["threshold", "sample"])
def test_a_vae_gives_each_row_the_noise_that_it_has_in_memory(monkeypatch, grey):
    X = np.random.default_rng(1).random((900, D)).astype(np.float32)
    rows = da.from_array(X, ((350, 350, 200), D))
    kept = da.concatenate([rows, rows[:0]])[da.from_array(np.ones(900, bool), (900,))]
    vae = VAE(hidden=(8,), epochs=1, grey=grey, random_state=0).fit(X)
    wide = {"n_samples": 5, "proposal": "encoder"}
    some = (("elbo", {}), ("transform", {}), ("log_likelihood", wide))
    for method, more in (*some, ("log_likelihood", {"n_samples": 5})):
        expected = getattr(vae, method)(X, **more)
        for blocks in (rows, kept):
            lazy = getattr(vae, method)(blocks, **more)
            assert (lazy.ndim, lazy.dtype) == (expected.ndim, expected.dtype)
            # Gaussian sums in other portions differ by rounding, other noise by nats
            np.testing.assert_allclose(lazy.compute(), expected, rtol=1e-4, atol=1e-5)
    monkeypatch.setattr("minivae.models.vae.evaluation.NUMBERS_AT_ONCE", 8 * 110)
    np.testing.assert_allclose(vae.elbo(rows).compute(), vae.elbo(X), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="return_ess does not go with a Dask array"):
        vae.log_likelihood(rows, return_ess=True)


def test_every_question_of_rows_alone_is_lazy_and_the_rest_is_refused():
    X = (clusters() > 1).astype(np.float32)[:600]
    y, gaps = np.arange(600) % 2, np.where(np.arange(D) == np.arange(600)[:, None] % 7, np.nan, X)
    rows, holes = (da.from_array(a.astype(np.float32), (250, D)) for a in (X, gaps))
    names, some = np.array(["no", "yes"])[y], {"missing": "marginalise"}
    brief = {"hidden": (4,), "epochs": 1, "random_state": 0, **some}
    vaes = [kind(2, **brief) for kind in (VAE, CategoricalVAE)]
    lazy = {GaussianMixture(2, **some): ("impute",), BernoulliMixture(2, **some): ("impute",)}
    lazy |= dict.fromkeys(vaes, ("impute", "reconstruct", "log_likelihood"))
    semi, conditional = SemiSupervisedVAE(2, **brief), ConditionalVAE(2, **brief)
    probabilities = ("predict", "predict_proba", "predict_log_proba")
    lazy |= {semi: probabilities[:2], NeuralClassifier(epochs=1): probabilities}
    nb = (*probabilities, "predict_joint_log_proba")
    lazy |= {GaussianNB(**some): nb, BernoulliNB(**some): nb}
    for model, methods in lazy.items():
        whole = hasattr(model, "missing")
        data, blocks = (gaps.astype(np.float32), holes) if whole else (X, rows)
        model.fit(data, names if methods is nb else y)
        for method in methods:
            found, now = getattr(model, method)(blocks), getattr(model, method)(data)
            assert isinstance(found, da.Array), (model, method)
            assert (found.shape, found.dtype) == (now.shape, now.dtype), (model, method)
            found = found.compute()
            if now.dtype.kind == "f":
                np.testing.assert_allclose(found, now, rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(found, now)
    conditional.fit(X, y)
    for ask in (
        VAE(2).fit, GaussianNB().fit, NeuralClassifier().fit, vaes[0].score, vaes[0].posterior,
        *(partial(conditional.fit, y=y), semi.elbo, semi.transform, semi.log_likelihood),
        *(partial(getattr(conditional, name), y=y) for name in
          ("elbo", "transform", "log_likelihood", "impute", "reconstruct")),
    ):  # fmt: skip
        for blocks in (rows, rows[rows[:, 0] >= 0]):
            arguments = {"y": y} if getattr(ask, "__name__", "") == "fit" else {}
            with pytest.raises(DtypeError, match=r"X is a Dask Array.* hand over X\.compute\(\)"):
                ask(blocks, **arguments)


def test_what_is_wrong_is_said_in_the_words_for_memory():
    X, weight = clusters(), np.ones(N)
    model = GaussianMixture(**SETTINGS).fit(X)
    before = vars(model).copy()

    def refused(message, kind=ValueError, data=X, method=model.fit, **more):
        def computed():
            out = method(da.from_array(data, (BLOCK, *data.shape[1:])), **more)
            return out.compute()

        with pytest.raises(kind, match=message):
            computed()
        assert vars(model).keys() == before.keys()
        assert all(vars(model)[name] is value for name, value in before.items())

    X_bad, weight_bad = X.copy(), weight.copy()
    X_bad[4321, 2], weight_bad[4321] = np.nan, -1
    refused(r"fit: X\[4321, 2\] = nan", data=X_bad)
    refused(r"predict: X\[4321, 2\] = nan", data=X_bad, method=model.predict)
    refused(r"sample_weight\[4321\] = -1", sample_weight=weight_bad)
    refused(r"sample_weight adds up to 0", sample_weight=0 * weight)
    refused(r"labels\[10\] = 3 is out of range", labels=np.repeat([0, 3], [10, N - 10]))
    refused("sample_weight has shape", ShapeError, sample_weight=weight[:9])
    refused("one datum per row", ShapeError, data=X[:, 0])
    refused("is expecting 4 features", ShapeError, data=X[:, :3], method=model.predict)
    refused("not fitted yet", NotFittedError, method=GaussianMixture(2).predict)
    refused(r"X\[0, 0\] = 0.12.*data of 0 and 1", method=BernoulliMixture(2).fit)
    with pytest.raises(ValueError, match="client= is for a Dask array"):
        model.fit(X, client=object())


def test_what_lies_beside_the_rows_is_refused_by_its_own_shape():
    rows, ones = da.from_array(clusters(), (BLOCK, D)), da.ones(N, chunks=BLOCK)
    for name, beside, kind, said in (
        ("labels", ones[ones > 0], ShapeError, r"labels\.compute_chunk_sizes\(\) first"),
        ("sample_weight", da.ones((N, 2), chunks=500), ShapeError, r"shape \(6000, 2\), and"),
        ("sample_weight", np.ones((N, 2)), ShapeError, r"shape \(6000, 2\), and"),
        ("client", 3, TypeError, "client is a int; it must be a distributed.Client"),
    ):
        with pytest.raises(kind, match=said):
            GaussianMixture(**SETTINGS).fit(rows, **{name: beside})


# ---- on a cluster ----


def on_call(monkeypatch, number, act):
    """Let `act` happen shortly after a pass over the blocks has begun."""
    calls, pass_over = [], DaskData.map

    def watched(data, *arguments):
        calls.append(0)
        if len(calls) == number:
            timer = threading.Timer(0.02, act)
            timer.start()
        return pass_over(data, *arguments)

    monkeypatch.setattr(DaskData, "map", watched)
    return calls


@pytest.mark.slow
def test_the_bits_do_not_depend_on_the_workers(client):
    X, (weight, labels) = clusters(), beside()
    rows = da.from_array(X, (BLOCK, D))
    local = GaussianMixture(**SETTINGS).fit(chunks_of(X), sample_weight=weight, labels=labels)
    model = GaussianMixture(**SETTINGS)
    assert_same(local, model.fit(rows, sample_weight=weight, labels=labels, client=client))
    one = list(client.scheduler_info()["workers"])[:1]
    with dask.annotate(workers=one):
        assert_same(local, model.fit(rows, sample_weight=weight, labels=labels))
    np.testing.assert_array_equal(model.predict(rows).compute(), model.predict(X))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "bayesian with gaps", "bernoulli with gaps"])
def test_stragglers_change_nothing(client, kind):
    local, model, X = local_and_new(kind)

    def late(part):
        time.sleep(0.5 * np.array_equal(part, X[:BLOCK]))
        return part

    rows = da.from_array(X, (BLOCK, D)).map_blocks(late, dtype=X.dtype)
    assert_same(local, model.fit(rows))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "bayesian with gaps", "bernoulli with gaps"])
@pytest.mark.parametrize("number", [int(np.random.default_rng().integers(2, 8))])
def test_a_worker_that_is_killed_changes_nothing(client, monkeypatch, number, kind):
    client.wait_for_workers(2, timeout=60)
    local, model, X = local_and_new(kind)
    victim = next(iter(client.run(os.getpid).values()))
    calls = on_call(monkeypatch, number, lambda: os.kill(victim, signal.SIGKILL))
    model.fit(da.from_array(X, (BLOCK, D)))
    assert len(calls) > number
    assert_same(local, model)
    with pytest.raises(ProcessLookupError):
        os.kill(victim, 0)


@pytest.mark.slow
def test_blocks_that_are_lost_for_good_are_an_error(client, monkeypatch):
    client.wait_for_workers(2, timeout=60)
    X = clusters()
    model = GaussianMixture(**SETTINGS).fit(X)
    before = vars(model).copy()
    held = client.scatter(chunks_of(X))
    parts = [da.from_delayed(dask.delayed(part), (BLOCK, D), float) for part in held]
    victims = list(client.run(os.getpid).values())
    on_call(monkeypatch, 6, lambda: [os.kill(victim, signal.SIGKILL) for victim in victims])
    with pytest.raises(RuntimeError, match="the model is as it was"):
        model.fit(da.concatenate(parts))
    assert all(vars(model)[name] is value for name, value in before.items())
    client.wait_for_workers(2, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaussian", "bayesian with gaps"])
def test_a_client_that_is_closed_is_an_error(client, monkeypatch, kind):
    model, _, X = local_and_new(kind)
    before = vars(model).copy()
    other = distributed.Client(client.cluster, set_as_default=False)
    on_call(monkeypatch, 6, other.close)

    def late(part):
        time.sleep(0.05)
        return part

    with pytest.raises(RuntimeError, match="the model is as it was"):
        model.fit(da.from_array(X, (BLOCK, D)).map_blocks(late, dtype=X.dtype), client=other)
    assert all(vars(model)[name] is value for name, value in before.items())
