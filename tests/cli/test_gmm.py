"""``minivae gmm``: classic numbers, a folder to look at, and one line for what makes no sense."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from cli.test_refusals import is_one_line
from minivae import GaussianMixture
from minivae.cli.gmm import _path
from minivae.datasets import load, load_faithful


@pytest.fixture(scope="module")
def faithful_run(tmp_path_factory):
    """The folder of the default command, and what it printed; not to be changed."""
    from minivae.cli import main

    folder = tmp_path_factory.mktemp("gmm") / "run"
    assert main(["gmm", "--out", str(folder), "--quiet"]) == 0
    return folder


def test_old_faithful_has_two_kinds_of_eruption(minivae, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = minivae("gmm", "--n-components", "1-3")
    assert status == 0
    # The likelihood's known maximum, from which EM stops by less than tol for a datum.
    assert float(re.search(r"all data +(-\d+\.\d+) nats", out)[1]) == pytest.approx(-1130.26, 1e-4)
    assert re.search(r"^components +2, full$", out, re.M)
    assert re.search(r"^BIC +2322\.\d\d$", out, re.M)
    assert "runs/faithful-gmm-1 holds" in out
    assert re.search(r"^data +faithful: 272 rows, 2 values$", err, re.M)
    assert len(re.findall(r"^K = \d +bound -4\.\d{4} +BIC \d+\.\d +AIC", err, re.M)) == 3
    assert max(map(len, (out + err).splitlines())) <= 80


def test_a_run_leaves_its_model_its_record_and_pictures(faithful_run):
    pictures = {"mixture.png", "em.gif", "criteria.png"}
    assert {path.name for path in faithful_run.iterdir()} == {*pictures, "mixture.npz", "run.json"}
    for name in pictures:
        with Image.open(faithful_run / name) as image:
            assert np.asarray(image.convert("L")).std() > 10
    record = json.loads((faithful_run / "run.json").read_text())
    mixture = GaussianMixture.load(faithful_run / "mixture.npz")
    again = GaussianMixture(**record["hyper_parameters"]).fit(load_faithful())
    for name, value in again.state_dict().items():
        np.testing.assert_array_equal(value, mixture.state_dict()[name])
    flags = {name for name, p in GaussianMixture.declared.items() if p.metavar is not None}
    assert set(record["hyper_parameters"]) == flags
    assert {"covariance_type", "reg_covar", "random_state", "n_components"} <= flags
    assert record["results"]["lower_bound"] == pytest.approx(mixture.score(load_faithful()))
    assert record["criteria"]["n_components"] == list(range(1, 7))
    best = record["criteria"]["n_components"][int(np.argmin(record["criteria"]["bic"]))]
    assert mixture.n_components == best
    with Image.open(faithful_run / "em.gif") as film:
        assert film.n_frames == mixture.n_iter_ + 1
    frames = _path(mixture, load_faithful())
    assert [bound for *_, bound in frames[1:]] == pytest.approx(mixture.lower_bounds_)
    np.testing.assert_array_equal(frames[-1][1], mixture.means_)


@pytest.mark.filterwarnings("default::minivae.errors.ConvergenceWarning")
@pytest.mark.slow
def test_digits_are_shown_as_images_and_judged_on_test_data(minivae, tmp_path, few_digits):
    flags = ("--n-components", "4", "--covariance-type", "diag", "--reg-covar", "1", "--quiet")
    status, out, err = minivae("gmm", "--data", few_digits, "--out", tmp_path / "run", *flags)
    assert status == 0
    assert re.fullmatch(r"(minivae: warning: .*\n)+", err)
    assert "such as a constant feature" in err
    assert {"means.png", "mixture.png", "em.gif"} <= {p.name for p in (tmp_path / "run").iterdir()}
    mixture = GaussianMixture.load(tmp_path / "run" / "mixture.npz")
    held_out = mixture.score(load(few_digits).x_test)
    assert f"{held_out:.4f} nats" in re.search(r"a test datum +(.*)", out)[0]


@pytest.mark.parametrize("name", ["x.csv", "x.npy", "x.npz"])
@pytest.mark.parametrize("D", [1, 3])
def test_files_of_ones_own(minivae, tmp_path, name, D):
    X = np.random.default_rng(0).normal(size=(80, D)).round(3)
    if name == "x.csv":
        np.savetxt(tmp_path / name, X, delimiter=",")
    elif name == "x.npy":
        np.save(tmp_path / name, X)
    else:
        np.savez(tmp_path / name, X)
    flags = ("--n-components", "2", "--out", tmp_path / "run", "--quiet")
    status, _, err = minivae("gmm", "--data", tmp_path / name, *flags)
    assert (status, err) == (0, "")
    mixture = GaussianMixture.load(tmp_path / "run" / "mixture.npz")
    expected = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_allclose(mixture.means_, expected.means_, rtol=1e-12)
    assert (tmp_path / "run" / "em.gif").exists() == (D > 1)


def test_several_starts_have_no_single_path(minivae, tmp_path):
    flags = ("--n-components", "2", "--n-init", "3", "--out", tmp_path / "run", "--quiet")
    assert minivae("gmm", *flags)[0] == 0
    assert not (tmp_path / "run" / "em.gif").exists()


BAD = [
    ("--n-components 0", "argument --n-components: '0' should be a whole number from 1, or a"),
    ("--n-components 5-2", "'5-2' should be a whole number from 1, or a range such as 1-6"),
    ("--n-components 2-", "'2-' should be"),
    ("--n-components 300", "Expected n_samples >= n_components"),
    ("--covariance-type round", "covariance_type='round' makes no sense; it must be one of"),
    ("--reg-covar -1", "reg_covar=-1.0 makes no sense; it must be a number from 0"),
    ("--tol nan", "tol=nan makes no sense; it must be a number from 0"),
    ("--max-iter -1", "max_iter=-1 makes no sense; it must be a whole number from 0"),
    ("--n-init 0", "n_init=0 makes no sense; it must be a whole number from 1"),
    ("--init-params best", "init_params='best' makes no sense; it must be one of"),
    ("--seed -1", "argument --seed: '-1' should be a whole number from 0"),
    ("--data nowhere.csv", "there is no data set and no file 'nowhere.csv'"),
    ("--data words.csv", "line 2, column 'kind': 'setosa' is not a number: drop the column"),
    ("--data gaps.csv", "line 3, column 'b': '' is not a number"),
    ("--data ragged.csv", "line 2: 3 columns, and 2 in the first"),
    ("--data nan.csv", "holds NaN in row 1"),
    ("--data header.csv", "is empty: at least one row and one column are needed"),
    ("--data nothing.csv", "nothing.csv has no lines"),
    ("--data binary.csv", "is not a table of text in UTF-8"),
    ("--data objects.npy", "objects.npy holds Python objects, whose pickle"),
    ("--data constant.csv --reg-covar 0", "increase reg_covar"),
    ("--out full", "--out full is not empty: name a new folder"),
    ("--out words.csv", "--out words.csv: there is a file of that name; name a folder"),
    ("--components 2", "'--components' is not understood; did you mean --n-components?"),
]


@pytest.mark.parametrize(("flags", "complaint"), BAD, ids=[flags for flags, _ in BAD])
def test_one_line_and_nothing_left(minivae, tmp_path, monkeypatch, flags, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.csv").write_text("length,kind\n1.5,setosa\n")
    (tmp_path / "gaps.csv").write_text("a,b\n1,2\n3,\n")
    (tmp_path / "ragged.csv").write_text("1,2\n3,4,5\n")
    (tmp_path / "nan.csv").write_text("1,2\nnan,5\n3,4\n")
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "nothing.csv").write_text("\n")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "constant.csv").write_text("1,2\n1,2\n1,2\n")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    status, out, err = minivae("gmm", *flags.split())
    assert (status, out) == (2, "")
    assert is_one_line(err), err
    assert complaint in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_finished_run_is_not_overwritten(minivae, faithful_run):
    status, _, err = minivae("gmm", "--out", faithful_run)
    assert status == 2
    assert is_one_line(err)
    assert "is not empty: name a new folder" in err


@pytest.mark.parametrize("command", ["info", "sample", "reconstruct", "train --resume"])
def test_the_folder_of_a_mixture_is_none_of_a_vae(minivae, faithful_run, command):
    status, _, err = minivae(*command.split(), faithful_run)
    assert status == 2
    assert is_one_line(err)
    assert "holds a mixture, not a VAE" in err


@pytest.mark.filterwarnings("ignore::minivae.errors.ConvergenceWarning")  # three points, K = 3
def test_fewer_rows_than_the_default_range_are_enough(minivae, tmp_path):
    (tmp_path / "few.csv").write_text("1,2\n2,1\n4,4\n")
    command = ("gmm", "--data", tmp_path / "few.csv", "--out", tmp_path / "run")
    status, _, err = minivae(*command)
    assert (status, re.findall(r"^K = (\d)", err, re.M)) == (0, ["1", "2", "3"])


def test_columns_in_another_order_are_refused(minivae, tmp_path):
    X = np.random.default_rng(0).normal(size=(40, 2)) + np.array([0.0, 50.0])
    for names, columns in ("a,b", X), ("b,a", X[:, ::-1]), ("a,c", X), ("", X):
        file = tmp_path / f"{names.replace(',', '') or 'plain'}.csv"
        np.savetxt(file, columns, delimiter=",", header=names, comments="")
    run = tmp_path / "run"
    file = tmp_path / "ab.csv"
    assert minivae("gmm", "--data", file, "--n-components", "1", "--out", run, "--quiet")[0] == 0
    for wrong, called in ("ba", "b, a"), ("ac", "a, c"):
        status, out, err = minivae("score", run, tmp_path / f"{wrong}.csv")
        assert (status, out) == (2, "")
        assert is_one_line(err)
        assert f"{wrong}.csv has the columns {called}, and the model was fitted to a, b" in err
    scores = []
    for right in "ab", "plain":  # columns without names are taken as they come
        status, _, _ = minivae("score", run, tmp_path / f"{right}.csv", "--quiet")
        assert status == 0
        scores.append((run / "scores.csv").read_text())
    assert scores[0] == scores[1]
