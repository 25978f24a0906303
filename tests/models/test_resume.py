"""Runs that stop anywhere and go on as if they had not: to the last bit."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager

import numpy as np
import pytest

import minivae.models.vae.model
from budget import ROOT
from minivae import VAE, datasets, resume
from minivae.checkpoint import load_checkpoint, save_checkpoint
from minivae.errors import CheckpointError, DatasetError, ShapeError
from minivae.training import Run

COUNTS = datasets.load("optdigits").model_arrays(counts=True)[0][:150]
GREYS = COUNTS / np.float32(16)

# What there is to forget: each of these keeps something of its own between two steps.
RUNS = {
    "plain": ({"likelihood": "binomial", "n_trials": 16}, COUNTS),
    "sample": ({"grey": "sample", "kl": "monte-carlo", "n_samples": 2}, GREYS),
    "warm-up": ({"grey": "threshold", "beta": 3.0, "beta_warmup": 2.5}, GREYS),
    "early-stopping": (
        {"grey": "sample", "validation": 0.3, "patience": 2, "learning_rate": 0.1, "epochs": 9},
        GREYS,
    ),
    "mixture": (
        {"grey": "sample", "prior": "mixture", "prior_components": 3, "prior_warmup": 1}, GREYS
    ),
    "optimal": ({"likelihood": "gaussian", "sigma": "optimal"}, GREYS),
    "importance-weighted": (
        {"likelihood": "gaussian", "sigma": "shared", "dtype": "float64",
         "objective": "importance-weighted", "n_samples": 3},
        GREYS,
    ),
}  # fmt: skip


def make(params, **others):
    defaults = {"hidden": (12,), "epochs": 3, "batch_size": 64, "random_state": 0}
    return VAE(**{**defaults, **params, **others})


def everything(path, vae):
    """All that a run leaves behind, in the model and in its checkpoint."""
    arrays, metadata = load_checkpoint(path)
    return {**vae.state_dict(), **arrays}, vae.history_, metadata


def assert_same_run(one, other):
    arrays, history, metadata = one
    assert arrays.keys() == other[0].keys()
    for name, array in arrays.items():
        assert array.dtype == other[0][name].dtype
        np.testing.assert_array_equal(array, other[0][name], err_msg=name)
    assert history == other[1]
    assert metadata == other[2]


@pytest.fixture(scope="module", params=list(RUNS))
def undisturbed(request, tmp_path_factory):
    """A run that nobody stopped: its hyper-parameters, its data and all that it left."""
    params, X = RUNS[request.param]
    path = tmp_path_factory.mktemp("undisturbed") / "run.npz"
    vae = make(params).fit(X, checkpoint=path)
    return params, X, everything(path, vae)


@contextmanager
def stopping_after(steps, how):
    """Let ``how`` happen at the end of a certain step."""
    taken = []
    step = Run.step

    def counted(self, *args):
        metrics = step(self, *args)
        taken.append(None)
        if len(taken) == steps:
            how()
        return metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "step", counted)
        yield


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def crash():
    raise RuntimeError("power cut")


@pytest.mark.parametrize("how", [ctrl_c, crash])
def test_stopped_after_any_step_it_goes_on_bit_for_bit(undisturbed, tmp_path, how):
    params, X, expected = undisturbed
    batches = 2 if "validation" in params else 3
    total = batches * len(expected[1]["epoch"])
    for steps in range(1, total + 1):
        path = tmp_path / f"{steps}.npz"
        with stopping_after(steps, how), pytest.raises((KeyboardInterrupt, RuntimeError)):
            make(params).fit(X, checkpoint=path)
        assert_same_run(everything(path, resume(path, X)), expected)


def test_stopped_again_and_again_it_still_arrives(undisturbed, tmp_path):
    params, X, expected = undisturbed
    path, stops = tmp_path / "run.npz", 0
    vae = make(params)
    run = lambda: vae.fit(X, checkpoint=path)  # noqa: E731
    while True:
        with stopping_after(2, ctrl_c):
            try:
                vae = run()
                break
            except KeyboardInterrupt:
                stops += 1
                run = lambda: resume(path, X)  # noqa: E731
    assert stops >= 2
    assert_same_run(everything(path, vae), expected)


def test_stopped_between_two_epochs(undisturbed, tmp_path):
    params, X, expected = undisturbed
    path = tmp_path / "run.npz"

    def stop(vae, epoch):
        if epoch == 2:
            ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        make(params).fit(X, checkpoint=path, on_epoch=stop)
    position = load_checkpoint(path)[1]["training"]["position"]
    assert (position["epoch"], position["batch"]) == (2, 0)
    epochs = []
    vae = resume(path, X, on_epoch=lambda vae, epoch: epochs.append(epoch))
    assert epochs == list(range(3, len(expected[1]["epoch"]) + 1))
    assert_same_run(everything(path, vae), expected)


def test_samples_on_the_way_go_on_where_they_were(tmp_path):
    path, X = tmp_path / "run.npz", GREYS
    seen = {}

    def look(vae, epoch):
        seen.setdefault(epoch, []).append(vae.sample(3))

    make({"grey": "sample"}).fit(X, on_epoch=look)
    with stopping_after(5, ctrl_c), pytest.raises(KeyboardInterrupt):
        make({"grey": "sample"}).fit(X, checkpoint=path, on_epoch=look)
    resume(path, X, on_epoch=look)
    assert [len(pictures) for pictures in seen.values()] == [2, 2, 2, 2]
    for one, other in seen.values():
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("before", [True, False])
def test_whoever_watches_may_come_and_go(undisturbed, tmp_path, before):
    params, X, expected = undisturbed
    path, epochs = tmp_path / "run.npz", []

    def look(vae, epoch):
        epochs.append(epoch)

    with stopping_after(3, ctrl_c), pytest.raises(KeyboardInterrupt):
        make(params).fit(X, checkpoint=path, on_epoch=look if before else None)
    vae = resume(path, X, on_epoch=None if before else look)
    assert epochs
    assert_same_run(everything(path, vae), expected)


def test_a_finished_run_comes_back_at_once_with_its_best(undisturbed, tmp_path, monkeypatch):
    params, X, expected = undisturbed
    path = tmp_path / "run.npz"
    vae = make(params).fit(X, checkpoint=path)
    monkeypatch.setattr(Run, "step", crash)
    assert_same_run(everything(path, resume(path, X)), expected)
    loaded = VAE.load(path)
    for name, value in vae.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], value)
    assert loaded.history_ == vae.history_


def test_a_run_can_be_looked_at_while_it_is_going_on(tmp_path):
    path = tmp_path / "run.npz"
    params, X = RUNS["early-stopping"]
    best = []

    def look(vae, epoch):
        if epoch:
            scores = VAE.load(path).history_.get("validation_elbo", [])
            best.append((len(scores), VAE.load(path).state_dict()))

    make(params).fit(X, checkpoint=path, on_epoch=look)
    assert [n for n, _ in best] == list(range(len(best)))  # the checkpoint of the epoch before


# Kills --------------------------------------------------------------------------------------------

KILLED = textwrap.dedent(
    """
    import sys
    from minivae import VAE, datasets, resume
    X = datasets.load("optdigits").model_arrays(counts=True)[0][:1500]
    path, goes_on = sys.argv[1], sys.argv[2] == "resume"
    say = lambda vae, epoch: print(epoch, flush=True)
    if goes_on:
        resume(path, X, on_epoch=say)
    else:
        VAE(likelihood="binomial", n_trials=16, hidden=(100,), epochs=40, batch_size=32,
            validation=0.2, patience=40, random_state=0).fit(X, checkpoint=path, on_epoch=say)
    print("done", flush=True)
    """
)


def start(path, how):
    search = os.pathsep.join(str(ROOT / folder) for folder in (".", "kernels"))
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), how],
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(tmp_path):
    with start(tmp_path / "whole.npz", "fit") as whole:
        killed, kills = tmp_path / "killed.npz", 0
        rng = np.random.default_rng()
        how = "fit"
        while True:
            with start(killed, how) as process:
                # first wait until the run is on its way, then a moment more
                for line in process.stdout:
                    if line.strip() == "done" or kills < 3:
                        break
                if line.strip() != "done" and kills < 3:
                    time.sleep(rng.uniform(0.0, 0.15))
                    process.kill()
                    kills += 1
                else:
                    assert process.wait() == 0, process.stderr.read()
                    break
            how = "resume"
        assert whole.wait() == 0, whole.stderr.read()
    assert kills == 3
    (arrays, metadata), (expected, expected_metadata) = map(
        load_checkpoint, (killed, tmp_path / "whole.npz")
    )
    assert arrays.keys() == expected.keys()
    for name in arrays:
        np.testing.assert_array_equal(arrays[name], expected[name], err_msg=name)
    assert metadata == expected_metadata
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed.npz", "whole.npz"]


# Disks --------------------------------------------------------------------------------------------


def test_a_disk_that_fills_up_leaves_the_last_checkpoint_and_the_model(tmp_path, monkeypatch):
    path, saved = tmp_path / "run.npz", []

    def save(*args):
        if len(saved) == 2:
            raise CheckpointError("cannot write the checkpoint: No space left on device")
        saved.append(None)
        save_checkpoint(*args)

    monkeypatch.setattr(minivae.models.vae.model, "save_checkpoint", save)
    vae = make(RUNS["plain"][0])
    with pytest.raises(CheckpointError, match="No space left"):
        vae.fit(COUNTS, checkpoint=path)
    assert len(vae.history_["elbo"]) == 2
    assert np.isfinite(vae.elbo(COUNTS)).all()
    assert len(VAE.load(path).history_["elbo"]) == 1
    monkeypatch.undo()
    resumed = resume(path, COUNTS)
    whole = make(RUNS["plain"][0]).fit(COUNTS)
    assert resumed.history_ == whole.history_


def test_a_folder_that_is_missing_is_told_before_the_first_step(tmp_path, monkeypatch):
    monkeypatch.setattr(Run, "step", crash)
    heard = []
    with pytest.raises(CheckpointError, match="No such file or directory"):
        make({}).fit(
            COUNTS > 8, checkpoint=tmp_path / "no" / "run.npz", on_epoch=lambda *a: heard.append(a)
        )
    assert heard == []


def test_a_fitted_model_outlives_a_refit_that_cannot_begin(tmp_path):
    vae = make(RUNS["plain"][0]).fit(COUNTS)
    before, history = vae.state_dict(), vae.history_
    with pytest.raises(CheckpointError):
        vae.set_params(hidden=(5,)).fit(COUNTS, checkpoint=tmp_path / "missing" / "run.npz")
    assert vae.hidden == (5,)  # what the user asked for stays
    assert vae.history_ is history
    for name, value in vae.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    vae.elbo(COUNTS)


def test_what_killed_writes_left_is_tidied_up(tmp_path):
    path = tmp_path / "run.npz"
    (tmp_path / ".run.npz.0badcafe.tmp").write_bytes(b"half")
    make({}, epochs=1).fit(COUNTS > 8, checkpoint=path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.npz"]


# What cannot be resumed ---------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path):
    """The checkpoint of a run that was stopped in its second epoch."""
    path = tmp_path / "run.npz"
    with stopping_after(4, ctrl_c), pytest.raises(KeyboardInterrupt):
        make(RUNS["early-stopping"][0]).fit(GREYS, checkpoint=path)
    return path


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (GREYS[::-1], CheckpointError, "not what this run was started on"),
        (GREYS[:-1], CheckpointError, r"X, of shape \(149, 64\), is not what"),
        (GREYS[:, :5], CheckpointError, r"X, of shape \(150, 5\), is not what"),
        (GREYS * 0.5, CheckpointError, "not what this run was started on"),
        (COUNTS, CheckpointError, "not what this run was started on"),
        (GREYS[0], ShapeError, r"resume: X has shape \(64,\)"),
        (np.full_like(GREYS, np.nan), ValueError, r"resume: X\[0, 0\] = nan"),
        (None, CheckpointError, r"does not say where .* resume\(path, X\)"),
    ],
)
def test_other_data_are_refused(stopped, X, error, message):
    before = stopped.read_bytes()
    with pytest.raises(error, match=message):
        resume(stopped, X)
    assert stopped.read_bytes() == before


def test_the_same_data_in_another_dtype_are_the_same_data(stopped):
    assert len(resume(stopped, GREYS.astype(np.float64)).history_["elbo"]) > 1


def test_the_source_of_the_data_is_remembered(tmp_path):
    path = tmp_path / "run.npz"
    X = datasets.load("optdigits").model_arrays(counts=True)[0]
    params = {**RUNS["plain"][0], "epochs": 1, "batch_size": 1000}
    with stopping_after(1, ctrl_c), pytest.raises(KeyboardInterrupt):
        make(params).fit(X, checkpoint=path, source="optdigits")
    assert resume(path).history_ == make(params).fit(X).history_


def test_a_source_that_is_gone_is_named(tmp_path):
    path = tmp_path / "run.npz"
    make({}, epochs=1).fit(COUNTS > 8, checkpoint=path, source="nowhere.npz")
    with pytest.raises(DatasetError, match=r"nowhere\.npz"):
        resume(path)


def test_a_saved_model_is_no_run(tmp_path):
    path = tmp_path / "model.npz"
    make({}, epochs=1).fit(COUNTS > 8).save(path)
    with pytest.raises(CheckpointError, match=r"saved model, not a training run: use VAE.load"):
        resume(path, COUNTS > 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, t: t.pop("position"), "it has no 'position'"),
        (lambda a, t: t.pop("checksum"), "it has no 'checksum'"),
        (lambda a, t: t["position"].pop("epoch"), "it has no 'epoch'"),
        (lambda a, t: t["position"].update(noise={}), "random generator"),
        (lambda a, t: t["position"].update(order=3), "random generator"),
        (lambda a, t: t.update(sampling=3), "random generator"),
        (lambda a, t: t["position"].update(hooks=None), "not subscriptable"),
        (lambda a, t: t["position"]["hooks"].clear(), "it has no 'early_stopping'"),
        (
            lambda a, t: t["position"]["hooks"]["early_stopping"].pop("best_epoch"),
            "it has no 'best_epoch'",
        ),
        (lambda a, t: a.pop("optimiser.0.m.0"), "optimiser"),
        (lambda a, t: a.update({"optimiser.0.m.0": np.ones(3)}), "m.0"),
        (lambda a, t: a.pop("parameters.encoder.mu.bias"), "encoder.mu.bias"),
    ],
)
def test_a_checkpoint_that_lacks_something_is_refused(stopped, change, message):
    arrays, metadata = load_checkpoint(stopped)
    change(arrays, metadata["training"])
    save_checkpoint(stopped, arrays, metadata)
    with pytest.raises(CheckpointError, match="not a checkpoint of this version's VAE") as refusal:
        resume(stopped, GREYS)
    assert str(refusal.value).startswith(str(stopped))


def test_a_truncated_checkpoint_is_refused(stopped):
    stopped.write_bytes(stopped.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="truncated or damaged"):
        resume(stopped, GREYS)
