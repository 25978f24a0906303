"""Models that are given labels or conditions, scores of a user's file, and sweeps."""

import csv
import json
import re
import shlex
import signal
import sys
import time
import warnings

import numpy as np
import pytest

from cli.conftest import assert_same_run, start
from minivae import ConditionalVAE, GaussianMixture, SemiSupervisedVAE, datasets
from minivae.errors import DatasetError
from minivae.models.resuming import load_model

pytestmark = pytest.mark.filterwarnings("ignore::minivae.errors.DatasetWarning")

TINY = ("--hidden", "8", "--epochs", "2", "--quiet")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Counts with half of their labels, and measurements with a condition."""
    folder, rng = tmp_path_factory.mktemp("tables"), np.random.default_rng(0)
    y = rng.integers(0, 3, 120)
    X = rng.poisson(np.array([[1, 1, 8], [8, 1, 1], [1, 8, 1]])[y])
    with open(folder / "half.csv", "w") as file:
        file.write("a,b,c,label\n")
        for i, (row, k) in enumerate(zip(X, y, strict=True)):
            file.write(",".join(map(str, row)) + f",{k if i % 2 else ''}\n")
    np.savetxt(folder / "counts.csv", X, "%d", ",", header="a,b,c", comments="")
    dose = rng.uniform(-1, 1, 120)
    table = np.c_[dose + rng.normal(0, 0.1, 120), dose, dose**2 + rng.normal(0, 0.1, 120)]
    for name, header in (("real", "u,dose,v"), ("like", "a,b,c")):
        np.savetxt(folder / f"{name}.csv", table, delimiter=",", header=header, comments="")
    return folder


@pytest.fixture(scope="module")
def runs(tables):
    """A folder of a run of each kind."""
    from minivae.cli import main

    half = ("--model", "semi-supervised", "--likelihood", "poisson", "--data", "half.csv")
    real = ("--model", "conditional", "--conditions", "dose", "--data", "real.csv")
    for name, (*flags, file) in {"half": half, "real": real}.items():
        out = str(tables / f"run-{name}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("COLUMNS", "80")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                assert main(["train", *flags, str(tables / file), *TINY, "--out", out]) == 0
    return tables


def scores(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# ---- data ----


def test_a_cell_without_a_label_is_minus_one(tables):
    with pytest.warns(Warning, match="labels of the rows, 60 of which have none"):
        data = datasets.load(tables / "half.csv", hold_out=False)
    assert data.kind == "counts"
    assert data.x_train.shape == (120, 3)
    assert (data.y_train[::2] == -1).all()
    assert set(data.y_train[1::2]) == {0, 1, 2}


def test_conditions_are_no_data(tables):
    data = datasets.load(tables / "real.csv", hold_out=False, conditions=("dose",))
    table = np.loadtxt(tables / "real.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(data.x_train, table[:, [0, 2]])
    np.testing.assert_array_equal(data.y_train, table[:, 1:2])
    assert data.test_labels is None


def test_conditions_that_are_not_there(tables, tmp_path):
    for conditions, fault in [(("x",), "they are u, dose, v"), (("u", "dose", "v"), "no data")]:
        with pytest.raises(DatasetError, match=fault):
            datasets.load(tables / "real.csv", conditions=conditions)
    np.savez(tmp_path / "a.npz", x=np.zeros((4, 2)), y=np.arange(4.0))
    y = datasets.load(tmp_path / "a.npz", conditions=("y",), hold_out=False).y_train
    np.testing.assert_array_equal(y, np.arange(4.0)[:, None])
    with pytest.raises(DatasetError, match="called y"):
        datasets.load(tmp_path / "a.npz", conditions=("z",))


# ---- train and what looks at it ----


def test_each_model_is_what_it_was_asked_to_be(runs):
    half, real = (load_model(runs / f"run-{name}" / "checkpoint.npz") for name in ("half", "real"))
    assert type(half) is SemiSupervisedVAE
    assert list(half.classes_) == [0, 1, 2]
    assert type(real) is ConditionalVAE
    assert real.classes_ is None
    assert real.n_features_in_ == 2
    record = json.loads((runs / "run-real" / "run.json").read_text())
    assert record["data"]["conditions"] == ["dose"]
    results = json.loads((runs / "run-half" / "run.json").read_text())["results"]
    data = datasets.load(runs / "half.csv")
    X, y = data.model_arrays()[1], data.y_test
    assert results["accuracy"] == pytest.approx((half.predict(X[y >= 0]) == y[y >= 0]).mean())
    assert results["elbo"] == pytest.approx(half.elbo(X).mean(), rel=1e-6)


@pytest.mark.parametrize("name", ["half", "real"])
@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(minivae, runs, tmp_path, name):
    record = json.loads((runs / f"run-{name}" / "run.json").read_text())
    command = shlex.split(record["command"])[1:-1]
    with start(*command, tmp_path / "x", cwd=tmp_path) as process:
        while not (tmp_path / "x" / "checkpoint.npz").exists() and process.poll() is None:
            pass
        process.kill()
    status, _, err = minivae("train", "--resume", tmp_path / "x", "--quiet")
    assert status == 0, err
    assert_same_run(runs / f"run-{name}", tmp_path / "x")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("sample run-half --y 1 -n 4 --out a.npz", ""),
        ("sample run-half -n 4 --mean --out a.npz", ""),
        ("sample run-real --y 0.5 -n 4 --out a.npz", ""),
        ("sample run-real -n 4 --out a.npz", ""),
        ("reconstruct run-half --out a.npz", "accuracy"),
        ("reconstruct run-real --out a.npz", "ELBO"),
        ("info run-half", "3 classes: 0, 1, 2"),
        ("info run-real", "1 real-valued conditions"),
    ],
)
def test_the_other_commands_know_y(minivae, runs, monkeypatch, command, said):
    monkeypatch.chdir(runs)
    status, out, err = minivae(*command.split())
    assert status == 0, err
    assert said in out
    if command.startswith("sample"):
        x = np.load("a.npz")["x"]
        assert x.shape == (4, 2 if "real" in command else 3)


@pytest.mark.slow
@pytest.mark.parametrize("run", ["run-half", "run-real"])
def test_methods_are_compared_given_y(minivae, runs, monkeypatch, run, tmp_path):
    monkeypatch.chdir(runs)
    status, out, err = minivae("infer", run, "--datum", 2, "--out", tmp_path / "answers.png")
    assert status == 0, err
    log_p = float(re.search(r"= (-?[\d.]+) nats", out)[1])
    estimate, error = map(float, re.search(r"^importance +\S+ +(\S+) +(\S+)", out, re.M).groups())
    assert abs(log_p - estimate) < 5 * error + 0.01


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("train --model conditional --data half.csv", "data without a label"),
        ("train --model conditional --data counts.csv", "has no labels"),
        ("train --model semi-supervised --data counts.csv", "has no labels"),
        ("train --alpha 3 --data counts.csv", "--alpha goes with --model semi-supervised"),
        ("train --conditions dose --data real.csv", "goes with --model conditional"),
        ("train --model conditional --conditions x --data real.csv", "they are u, dose, v"),
        ("train --model gan", "invalid choice: 'gan'"),
        ("train --resume run-half --model vae", "--model vae is not what the run"),
        ("train --resume run-real --conditions u", "--conditions u is not what the run"),
        ("sample run-half --y 7", "not a class of the model: there are 0, 1, 2"),
        ("sample run-real --y a", "should be numbers"),
        ("sample run-real --y 1,2", "should be 1 finite numbers"),
        ("infer run-real --datum 99999", "there is no datum 99999"),
        ("score run-half like.csv", "data are whole counts from 0"),
        ("score run-half real.csv", "has the columns u, dose, v, and the model was fitted to"),
        ("score run-half counts.csv --out a.txt", "should end in .csv"),
        ("score nowhere counts.csv", "there is no nowhere"),
        ("sweep", "say what to compare"),
        ("sweep --latent-dim 0", "whole numbers from 1"),
        ("sweep --components 2 --hidden 8", "--hidden is a setting of VAEs"),
        ("sweep --latent-dim 2 --tol 0.1", "--tol is a setting of mixtures"),
        ("sweep --resume run-half", "no sweep was begun there"),
        ("sweep --latent-dim 2 --learning-rate -1", "learning_rate"),
    ],
)
def test_refused_in_one_line(minivae, runs, monkeypatch, command, complaint):
    monkeypatch.chdir(runs)
    before = sorted(p.name for p in runs.iterdir())
    status, out, err = minivae(*command.split())
    assert (status, out) == (2, "")
    assert re.search(complaint, err.splitlines()[-1]), err
    assert sorted(p.name for p in runs.iterdir()) == before


# ---- score ----


def test_scores_are_minus_log_p_and_what_is_strange_scores_high(minivae, runs, tmp_path):
    X = np.loadtxt(runs / "counts.csv", delimiter=",", skiprows=1, dtype=int)[:20]
    X[7] = [60, 70, 80]
    np.savetxt(tmp_path / "x.csv", X, "%d", ",", header="a,b,c", comments="")
    status, out, _ = minivae("score", runs / "run-half", tmp_path / "x.csv", "--quiet")
    assert status == 0
    assert "row 7" in out
    found = scores(runs / "run-half" / "scores.csv")
    assert [int(row["row"]) for row in found] == list(range(20))
    score = np.array([float(row["score"]) for row in found])
    assert score.argmax() == 7
    model = load_model(runs / "run-half" / "checkpoint.npz")
    np.testing.assert_allclose(score, -model.log_likelihood(X, n_samples=100), rtol=1e-4)
    own = datasets.load(runs / "half.csv").x_test
    least = -model.log_likelihood(own, n_samples=100)
    p = (1 + (least[None] >= score[:, None]).sum(axis=1)) / (1 + len(least))
    np.testing.assert_allclose([float(row["p_value"]) for row in found], p, rtol=1e-5)


def test_a_dark_file_is_no_brighter(minivae, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "grey.npz", x=rng.integers(0, 256, (60, 16)))
    np.savez(tmp_path / "dark.npz", x=rng.integers(0, 60, (5, 16)))
    run, out = tmp_path / "run", tmp_path / "s.csv"
    minivae("train", "--data", tmp_path / "grey.npz", *TINY, "--out", run)
    assert minivae("score", run, tmp_path / "dark.npz", "--out", out)[0] == 0
    model = load_model(run / "checkpoint.npz")
    dark = datasets.load(tmp_path / "dark.npz", hold_out=False).x_train / 255
    np.testing.assert_allclose(
        [float(row["elbo"]) for row in scores(out)], model.elbo(dark), rtol=1e-3
    )


def test_a_mixture_scores_too(minivae, tmp_path):
    run = tmp_path / "run"
    minivae("gmm", "--n-components", "2", "--out", run, "--quiet")
    assert minivae("score", run, "faithful")[0] == 0
    X = datasets.load("faithful", hold_out=False).x_train
    log_p = GaussianMixture.load(run / "mixture.npz").score_samples(X)
    found = [float(row["score"]) for row in scores(run / "scores.csv")]
    np.testing.assert_allclose(found, -log_p, rtol=1e-4)


# ---- sweep ----


def test_a_sweep_over_mixtures_and_its_resumption(minivae, tmp_path):
    out = tmp_path / "sweep"
    status, table, _ = minivae(
        "sweep", "--components", "1,2", "--seeds", "2", "--jobs", "1", "--out", out
    )
    assert status == 0
    data = datasets.load("faithful")
    one = GaussianMixture(1, random_state=0).fit(data.x_train)
    rows = scores(out / "results.csv")
    assert len(rows) == 4
    assert float(rows[0]["bic"]) == pytest.approx(one.bic(data.x_train))
    assert float(rows[0]["log_likelihood"]) == pytest.approx(one.score(data.x_test))
    assert "the least" in table.splitlines()[2]  # two kinds of eruption
    (out / "n_components-2-seed-1.json").unlink()
    kept = (out / "n_components-2-seed-0.json").stat().st_mtime_ns
    assert minivae("sweep", "--resume", out)[0] == 0
    assert scores(out / "results.csv") == rows
    assert (out / "n_components-2-seed-0.json").stat().st_mtime_ns == kept


@pytest.mark.slow
def test_a_sweep_over_latent_dimensions(minivae, tmp_path, few_digits):
    out = tmp_path / "sweep"
    flags = ("--data", few_digits, "--hidden", "8", "--epochs", "1", "--out", out)
    status, table, err = minivae("sweep", "--latent-dim", "2,1", "--seeds", "1", *flags)
    assert status == 0, err
    assert all(len(line) <= 80 for line in table.splitlines()[:4])
    found = {int(row["latent_dim"]): row for row in scores(out / "results.csv")}
    assert list(found) == [1, 2]
    model = load_model(out / "latent_dim-2-seed-0.npz")
    X_test = datasets.load(few_digits).model_arrays()[1]
    assert float(found[2]["elbo"]) == pytest.approx(float(model.elbo(X_test).mean()), rel=1e-6)
    assert (out / "sweep.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of another process is POSIX's")
@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_a_sweep_that_is_stopped_leaves_no_process_and_goes_on(minivae, tmp_path, few_digits, how):
    out = tmp_path / "sweep"
    flags = ("--data", few_digits, "--hidden", "8", "--epochs", "30", "--jobs", "2", "--out", out)
    with start("sweep", "--latent-dim", "1", "--seeds", "2", *flags, cwd=tmp_path) as process:
        while not list(out.glob("*.npz")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(getattr(signal, how))
        _, err = process.communicate(timeout=60)  # until nobody can write to its pipes any more
    if how == "SIGINT":
        assert process.returncode == 130, err
        assert err.splitlines()[-1].endswith(f"go on with: minivae sweep --resume {out}")
    assert "Traceback" not in err
    assert minivae("sweep", "--resume", out, "--jobs", "1", "--quiet")[0] == 0
    assert len(scores(out / "results.csv")) == 2
