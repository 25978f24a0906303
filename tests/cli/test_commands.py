"""Each command does what it says, on standard output, in 80 columns."""

import csv
import json
import os
import platform
import re
import struct
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cli.conftest import environment, run_process
from minivae import VAE, datasets, recipe
from minivae.cli import COMMANDS, doctor
from minivae.cli.describe import best_epoch
from minivae.cli.flags import hyper_parameters
from minivae.cli.results import measure
from minivae.cli.run import MOST_FRAMES, frame_epochs
from minivae.cli.terminal import Parser
from minivae.information import surgery_by_quadrature

PICTURES = ("latent.png", "prior.png", "reconstructions.png", "learning_curve.png")


def history_of(folder):
    with open(folder / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_all_its_files(small_run):
    files = {path.name for path in small_run.iterdir()}
    others = {"latent.gif", "checkpoint.npz", "history.csv", "run.json", "latent"}
    assert files == {*PICTURES, *others}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_shows_something(small_run, name):
    with Image.open(small_run / name) as image:
        grey = np.asarray(image.convert("L"))
    assert min(grey.shape) > 150
    assert grey.std() > 10
    assert len(np.unique(grey)) > 20


def test_the_animation_has_a_frame_for_each_epoch(small_run):
    with Image.open(small_run / "latent.gif") as film:
        assert film.n_frames == 3
        first = np.asarray(film.convert("L"))
        film.seek(2)
        assert (np.asarray(film.convert("L")) != first).mean() > 0.005


def test_history_has_a_row_for_each_epoch(small_run):
    rows = history_of(small_run)
    assert list(rows[0]) == ["epoch", "loss", "elbo", "reconstruction", "kl", "test_elbo"]
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for row in rows:
        elbo, reconstruction, kl = (float(row[k]) for k in ("elbo", "reconstruction", "kl"))
        assert elbo == pytest.approx(reconstruction - kl)
        assert elbo == pytest.approx(-float(row["loss"]), rel=1e-5)


def test_the_record_reproduces_the_run(small_run):
    record = json.loads((small_run / "run.json").read_text())
    params = record["hyper_parameters"]
    X, X_test = datasets.load(record["data"]["source"]).model_arrays()
    vae = VAE(**{**params, "hidden": tuple(params["hidden"])}).fit(X)
    saved = VAE.load(small_run / "checkpoint.npz")
    for name, value in vae.state_dict().items():
        np.testing.assert_array_equal(value, saved.state_dict()[name])
    results = record["results"]
    assert results["elbo"] == pytest.approx(vae.score(X_test), abs=1e-9)
    assert results["elbo"] == pytest.approx(results["reconstruction"] - results["kl"], rel=1e-6)
    assert results["elbo"] < results["log_likelihood"] < 0
    assert float(history_of(small_run)[-1]["test_elbo"]) == pytest.approx(results["elbo"])
    assert record["versions"]["python"] == platform.python_version()
    assert record["command"].startswith("minivae train --epochs 2 ")


@pytest.mark.slow
def test_train_prints_its_results_and_progress_apart(tmp_path):
    out = tmp_path / "run"
    status, stdout, stderr = run_process(
        "train", "--hidden", "8", "--epochs", "20", "--out", out, cwd=tmp_path
    )
    assert status == 0, stderr
    assert re.search(r"^ELBO +-\d+\.\d\d$", stdout, re.M)
    assert re.search(r"^log p\(x\), estimated +-\d+\.\d\d$", stdout, re.M)
    assert re.search(r"effective \d+ \(median\), \d+\.\d \(least\)$", stdout, re.M)
    assert re.search(r"^20 epochs in \d+\.\d s, \d+\.\d s in all", stdout, re.M)
    assert stdout.count("nats per datum") == 1
    # No terminal, no bar: a line for each tenth of the epochs.
    assert "\r" not in stderr
    number = r"\d+\.\d\d"
    line = rf"^epoch +(\d+)/20  ELBO -{number} = -{number} - {number}$"
    epochs = re.findall(line, stderr, re.M)
    assert epochs == [str(n) for n in range(2, 21, 2)]
    written = [line for line in (stdout + stderr).splitlines() if str(tmp_path) not in line]
    assert max(map(len, written)) <= 80


@pytest.mark.skipif(os.name != "posix", reason="there are no pseudo-terminals")
@pytest.mark.slow
def test_a_terminal_gets_a_bar(tmp_path, few_digits):
    import fcntl
    import pty
    import termios

    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "minivae", "train", "--data", few_digits, "--epochs", "9"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=writer,
    )
    os.close(writer)
    shown = b""
    with suppress(OSError):  # how a terminal ends
        while portion := os.read(reader, 4096):
            shown += portion
    os.close(reader)
    out, _ = process.communicate()
    assert process.returncode == 0
    assert b"ELBO" in out
    last = shown.decode().split("epoch ")[-1]
    number = r"\d+\.\d\d"
    assert re.match(rf"9/9  ELBO -{number} = -{number} - {number} 100%\|", last)
    assert max(map(len, re.split(r"[\r\n]+", shown.decode()))) <= 80


def test_train_says_that_kernels_will_be_compiled_though_fit_has_begun(
    minivae, small, tmp_path, monkeypatch
):
    begun, fit = [], VAE.fit
    monkeypatch.setattr(VAE, "fit", lambda *a, **k: begun.append(True) or fit(*a, **k))
    monkeypatch.setattr("minivae.cli.train.kernels_are_compiled", lambda: bool(begun))
    command = ("train", "--epochs", "1", *(flag for flag in small if flag != "--quiet"))
    for folder, is_said in (("first", True), ("again", False)):
        _, out, err = minivae(*command, "--out", tmp_path / folder)
        assert ("Compiling the kernels, this once" in out + err) == is_said


def test_quiet_prints_the_results_and_nothing_else(minivae, tmp_path, small):
    status, out, err = minivae("train", "--epochs", "1", "--out", tmp_path / "run", *small)
    assert (status, err) == (0, "")
    assert "ELBO" in out


def test_log_p_of_large_data_is_estimated_on_the_first_few(small_run, monkeypatch):
    monkeypatch.setattr("minivae.cli.results.MOST_DECODED", 30 * 1000 * 64)
    vae = VAE.load(small_run / "checkpoint.npz")
    X = np.random.default_rng(0).integers(0, 17, (50, 64))
    results = measure(vae, X)
    assert results.log_likelihood_data == 30
    assert results.log_likelihood_elbo == pytest.approx(vae.elbo(X)[:30].mean(), rel=1e-6)
    assert results.elbo == pytest.approx(vae.elbo(X).mean(), rel=1e-6)
    assert f"of the first 30, whose ELBO is {results.log_likelihood_elbo:.2f}" in results.as_table()


@pytest.mark.slow
def test_runs_are_numbered(minivae, tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    np.savez("my data.npz", x=np.random.default_rng(0).normal(size=(60, 3)))
    for _ in range(2):
        command = ("train", *small, "--data", "my data.npz", "--epochs", "1")
        assert minivae(*command)[0] == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["my-data-1", "my-data-2"]


def test_data_of_ones_own_that_are_no_images(minivae, tmp_path, small):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "rows.npz", x=rng.normal(size=(120, 5)), y=rng.normal(size=120).round())
    command = ("train", *small, "--data", tmp_path / "rows.npz", "--epochs", "2")
    more = ("--latent-dim", "3", "--validation", "0.2", "--out", tmp_path / "run")
    status, out, err = minivae(*command, *more)
    assert (status, err) == (0, "")
    assert "of 3 latent dimensions" in out
    assert "validation_elbo" in history_of(tmp_path / "run")[0]
    for command in ("sample", "reconstruct", "info"):
        status, out, err = minivae(command, tmp_path / "run", "--quiet")
        assert (status, err) == (0, "")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["source"] == str(tmp_path / "rows.npz")
    assert (tmp_path / "run" / "samples.png").stat().st_size > 5000


@pytest.mark.slow
def test_cross_entropy_warns_in_one_line_and_has_no_likelihood(tmp_path, small):
    status, out, err = run_process(
        *("train", "--likelihood", "bernoulli", "--grey", "cross-entropy", "--epochs", "1"),
        *("--out", "run", *small),
        cwd=tmp_path,
    )
    assert status == 0
    assert err.startswith("minivae: warning: elbo_terms: with grey='cross-entropy' this is no")
    assert err.count("\n") == 1
    assert "log p(x)" not in out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("poisson",), "poisson"),
        (("categorical", "--n-classes", "17"), "categorical, 17 classes"),
        (("gaussian", "--sigma", "0.2"), "gaussian, sigma: 0.2"),
        (("bernoulli", "--grey", "sample"), "bernoulli, grey pixels: sample"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_every_likelihood_from_training_to_pictures(minivae, tmp_path, small, flags, words):
    run, arrays = tmp_path / "run", tmp_path / "x.npz"
    status, out, err = minivae(
        "train", *small, "--likelihood", *flags, "--epochs", "1", "--out", run
    )
    assert (status, err) == (0, "")
    assert minivae("reconstruct", run, "--quiet")[1].split("log p(x)")[0] in out
    assert re.search(rf"^likelihood +{re.escape(words)}$", minivae("info", run)[1], re.M)
    assert minivae("sample", run, "-n", 7, "--out", arrays, "--quiet")[0] == 0
    record = json.loads((run / "run.json").read_text())
    assert record["hyper_parameters"]["likelihood"] == flags[0]
    vae = VAE.load(run / "checkpoint.npz")
    with np.load(arrays) as drawn:
        vae.likelihood_.check(drawn["x"])
        assert drawn["x"].shape == (7, 64)


def test_equal_steps_draw_another_grid(minivae, small_run, tmp_path, small):
    command = ("train", "--epochs", "2", "--grid", "equal", "--out", tmp_path / "run")
    assert minivae(*command, *small)[0] == 0
    assert (tmp_path / "run" / "prior.png").read_bytes() != (small_run / "prior.png").read_bytes()
    assert (tmp_path / "run" / "latent.png").read_bytes() == (small_run / "latent.png").read_bytes()


def test_a_mixture_prior_is_trained_drawn_and_sampled_from(minivae, tmp_path, small, small_run):
    run, flags = tmp_path / "run", ("--prior", "mixture", "--prior-components", "3")
    more = ("--prior-warmup", "1", "--epochs", "2", "--out", run)
    status, _, err = minivae("train", *flags, *more, *small)
    assert (status, err) == (0, "")
    for name in ("prior.png", "latent.png"):
        assert (run / name).read_bytes() != (small_run / name).read_bytes()
    out = minivae("info", run)[1]
    assert re.search(r"^prior +mixture of 3, N\(0, I\) for 1 epochs$", out, re.M)
    assert minivae("sample", run, "--mean", "-n", 5, "--out", tmp_path / "x.npz")[0] == 0
    vae = VAE.load(run / "checkpoint.npz")
    z = vae.prior_.sample(0, 5)
    with np.load(tmp_path / "x.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], vae.decode(z))


# ---- looking at a run ----


def test_info_says_what_the_checkpoint_holds(minivae, small_run, few_digits):
    status, out, err = minivae("info", small_run)
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if not line.startswith(" ")]
    facts = dict(re.split(r" {2,}", line, maxsplit=1) for line in lines)
    assert facts["network"] == "64 -> 16 -> z: 2 -> 16 -> 64"
    assert facts["parameters"] == f"{65 * 16 + 17 * 4 + 3 * 16 + 17 * 64:,}, float32"
    assert facts["epoch"] == "2 of 2, finished"
    assert facts["data"] == str(few_digits)
    best = max(float(row["elbo"]) for row in history_of(small_run))
    assert facts["training ELBO"].startswith(f"{best:.2f} nats per datum")
    results = json.loads((small_run / "run.json").read_text())["results"]
    parts = results["information"], results["marginal_kl"]
    assert results["active_units"] == 0
    assert facts["latent"].startswith("0 of 2 dimensions active: the posterior has collapsed")
    assert (
        f"KL {sum(parts):.2f} = mutual information {parts[0]:z.2f} + marginal KL {parts[1]:.2f}"
        in " ".join(out.split())
    )
    assert minivae("info", small_run / "checkpoint.npz")[1] == out


def test_the_kl_of_few_test_data_is_parted_as_quadrature_parts_it(small_run):
    vae = VAE.load(small_run / "checkpoint.npz")
    X = datasets.load("optdigits").model_arrays()[1][:40]
    found, exact = measure(vae, X), surgery_by_quadrature(vae.posterior(X), vae.prior_)
    assert found.information == pytest.approx(exact.information, abs=0.004)
    assert found.marginal_kl == pytest.approx(exact.marginal_kl, abs=0.02)


def test_info_of_a_saved_model(minivae, small_run, tmp_path):
    VAE.load(small_run / "checkpoint.npz").save(tmp_path / "model.npz")
    status, out, _ = minivae("info", tmp_path / "model.npz")
    assert status == 0
    assert "a saved model" in out


def test_sample_writes_a_picture_and_arrays(minivae, small_run, tmp_path):
    png, npz = tmp_path / "x.png", tmp_path / "x.npz"
    status, out, err = minivae("sample", small_run, "-n", 9, "--out", png, "--out", npz)
    assert (status, out) == (0, "")
    assert err == f"wrote {png}\nwrote {npz}\n"
    x = np.load(npz)["x"]
    vae = VAE.load(small_run / "checkpoint.npz")
    np.testing.assert_array_equal(x, vae.sample(9))
    assert x.shape == (9, 64)
    assert set(np.unique(x)) <= set(range(17))
    with Image.open(png) as image:
        assert np.asarray(image.convert("L")).std() > 10


@pytest.mark.parametrize("kind", [(), ("--mean",)])
def test_a_seed_gives_other_draws_and_the_same_each_time(minivae, small_run, tmp_path, kind):
    drawn = []
    for i, chosen in enumerate(((), ("--seed", 1), ("--seed", 1), ("--seed", 2))):
        out = tmp_path / f"{i}.npz"
        assert minivae("sample", small_run, "-n", 5, *kind, *chosen, "--out", out)[0] == 0
        drawn.append(np.load(out)["x"])
    own, one, again, two = drawn
    np.testing.assert_array_equal(one, again)
    for other in (own, two):
        assert not np.array_equal(one, other)
    assert minivae("sample", small_run, "--seed", -1)[0] == 2


def test_sample_means(minivae, small_run, tmp_path):
    assert minivae("sample", small_run, "--mean", "--out", tmp_path / "x.npz")[0] == 0
    x = np.load(tmp_path / "x.npz")["x"]
    assert x.shape == (100, 64)
    assert (x % 1 != 0).any()


def test_reconstruct_writes_arrays_and_prints_the_elbo(minivae, small_run, few_digits, tmp_path):
    status, out, _ = minivae("reconstruct", small_run, "--out", tmp_path / "r.npz")
    vae = VAE.load(small_run / "checkpoint.npz")
    X = datasets.load(few_digits).model_arrays()[1]
    assert status == 0
    assert f"{vae.score(X):.2f}" in out
    with np.load(tmp_path / "r.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], X)
        np.testing.assert_array_equal(arrays["reconstruction"], vae.reconstruct(X))
        np.testing.assert_array_equal(arrays["mu"], vae.transform(X))
        np.testing.assert_array_equal(arrays["log_var"], vae.posterior(X).log_var)
        np.testing.assert_array_equal(arrays["elbo"], vae.elbo(X))


def test_reconstruct_other_data(minivae, small_run, tmp_path):
    X = np.random.default_rng(0).integers(0, 17, size=(30, 8, 8))
    np.savez(tmp_path / "mine.npz", x_train=X, x_test=X[:12])
    status, out, err = minivae(
        "reconstruct", small_run, "--data", tmp_path / "mine.npz", "--out", tmp_path / "r.png"
    )
    assert status == 0, err
    assert out.startswith("test data: 12 ")


# ---- the program itself ----


def test_doctor_reports_what_there_is(minivae, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIVAE_DATA", str(tmp_path))
    status, out, err = minivae("doctor")
    assert (status, err) == (0, "")
    assert f"numpy          {np.__version__}\n" in out
    for word in ("python", "numba", "threads", "processors", "kernel cache", "optdigits"):
        assert re.search(rf"^{word} ", out, re.M)
    assert "fashion-mnist  not here" in out
    assert "set MINIVAE_DATA to it" in " ".join(out.split())


SLOW = [
    ({"doctor.threads.available_cpus": lambda: 1, "doctor.os.cpu_count": lambda: 8}, "of 8, by"),
    ({"doctor.threads.available_cpus": lambda: 1, "doctor.os.cpu_count": lambda: 1}, "has one"),
    ({"doctor.threads.available_cpus": lambda: 4, "doctor.minivae_kernels.get_num_threads":
      lambda: 1}, "MINIVAE_NUM_THREADS"),
    ({"doctor.registers.BYTES": 16, "doctor.platform.machine": lambda: "x86_64"}, "no AVX2"),
    ({"doctor.kernel_cache": lambda: None}, "every process compiles"),
    ({"doctor.kernel_cache": lambda: Path("/nowhere")}, "the first run compiles"),
    ({"doctor.FULL": 1e30}, "the disk is full"),
    ({"doctor.INTERPRETED": True}, "NUMBA_DISABLE_JIT is set"),
    ({"doctor.replay.is_on": lambda: False}, "MINIVAE_REPLAY=0 leaves each to the slower tape"),
]  # fmt: skip


@pytest.mark.parametrize(("machine", "said"), SLOW)
def test_doctor_says_what_is_slow_and_why(minivae, monkeypatch, machine, said):
    fast = {"doctor.threads.available_cpus": lambda: 4, "doctor.registers.BYTES": 32,
            "doctor.minivae_kernels.get_num_threads": lambda: 4, "doctor.FULL": 0}  # fmt: skip
    for name, value in fast.items():
        monkeypatch.setattr(f"minivae.cli.{name}", value)
    if not doctor.INTERPRETED:
        assert "Nothing is slow here." in minivae("doctor")[1] or not doctor.kernels_are_compiled()
    for name, value in machine.items():
        monkeypatch.setattr(f"minivae.cli.{name}", value)
    slow = " ".join(minivae("doctor")[1].partition("What is slow here, and why:")[2].split())
    assert said in slow


def test_doctor_misses_no_folder_where_nothing_is_compiled(minivae, monkeypatch):
    monkeypatch.setattr("minivae.cli.doctor.INTERPRETED", True)
    said = " ".join(minivae("doctor")[1].split())
    assert "kernel cache none: nothing is compiled" in said
    assert "no folder is writable" not in said


def test_doctor_finds_data(minivae, monkeypatch, tmp_path):
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").touch()
    monkeypatch.setenv("MINIVAE_DATA", str(tmp_path))
    assert re.search(rf"^mnist +{re.escape(str(tmp_path))}$", minivae("doctor")[1], re.M)


def test_the_list_of_commands_says_what_the_commands_say_of_themselves():
    for module, sentences in COMMANDS.items():
        parsers = Parser().add_subparsers()
        import_module(f"minivae.cli.{module}").register(parsers)
        found = {action.dest: action.help for action in parsers._choices_actions}
        assert found == sentences


def test_no_command_prints_help(minivae):
    status, out, err = minivae()
    assert (status, err) == (0, "")
    assert all(word in out for word in ("train", "sample", "reconstruct", "info", "doctor"))


@pytest.mark.parametrize("command", [name for names in COMMANDS.values() for name in names])
def test_help_fits_80_columns(minivae, command):
    status, out, _ = minivae(command, "--help")
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80


def test_help_tells_the_defaults(minivae):
    words = " ".join(minivae("train", "--help")[1].split())
    params = VAE(**hyper_parameters(datasets.load("optdigits"), {})).get_params()
    told = {**params, "hidden": "200,100", "beta": 1, "beta_warmup": 0, "seed": 0}
    told |= {"free_bits": 0, "standardise": "no"}
    for name, declared in VAE.declared.items():
        if declared.metavar is None or told[name] is None:
            del told[name]
    for name, value in told.items():
        flag = re.escape("--" + name.replace("_", "-"))
        assert re.search(rf"{flag} (?:(?! --).)*\({re.escape(str(value))}\)", words), name


def test_version(minivae):
    from minivae import __version__

    assert minivae("--version") == (0, f"minivae {__version__}\n", "")


# ---- how defaults are chosen ----


def test_a_likelihood_of_ones_own_drops_what_came_with_the_default():
    digits = datasets.load("optdigits")
    assert hyper_parameters(digits, {})["n_trials"] == 16
    chosen = hyper_parameters(digits, {"likelihood": "gaussian"})
    assert "n_trials" not in chosen
    assert chosen["hidden"] == (200, 100)
    assert hyper_parameters(digits, {"likelihood": "binomial"})["n_trials"] == 16


def test_binomial_takes_the_largest_value_of_whole_numbers(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.arange(256, dtype=np.uint8).reshape(16, 16))
    data = datasets.load(tmp_path / "x.npz")
    assert recipe(data)["likelihood"] == "continuous-bernoulli"
    assert hyper_parameters(data, {"likelihood": "binomial"})["n_trials"] == 255
    chosen = hyper_parameters(data, {"likelihood": "categorical"})
    assert chosen["n_classes"] == 256
    assert "n_trials" not in chosen


@pytest.mark.parametrize("epochs", [1, 59, 60, 61, 150, 10_000])
def test_frames_are_few_and_start_at_the_beginning(epochs):
    frames = frame_epochs(epochs)
    assert len(frames) < MOST_FRAMES
    assert min(frames) == 0
    assert max(frames) < epochs
    assert len(frames) == epochs or epochs >= MOST_FRAMES


def test_the_best_epoch_comes_after_a_mixture_priors_warm_up():
    vae = VAE(prior="mixture", prior_warmup=2)
    vae.history_ = {"validation_elbo": [-1.0, -2.0, -9.0, -8.0, -8.5]}
    assert best_epoch(vae, "validation_elbo") == 4
    vae.history_ = {"validation_elbo": [-1.0, -2.0]}
    assert best_epoch(vae, "validation_elbo") == 1
