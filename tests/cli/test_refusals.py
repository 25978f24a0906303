"""What is wrong is refused with exit status 2 and one line, and nothing is left behind."""

import errno
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minivae.checkpoint
from cli.conftest import assert_same_run, environment, run_process, start
from minivae import VAE
from minivae.checkpoint import load_checkpoint
from minivae.cli import lock
from minivae.cli.lock import hold, release
from minivae.cli.run import LOCK, WRITTEN, new_run

BAD = [
    ("trian", "there is no command 'trian'; did you mean train?"),
    ("xyzzy", "there is no command 'xyzzy'; there are train, sweep, "),
    ("--quiet", "'--quiet' is not understood"),
    ("train --epoch 5", "'--epoch' is not understood; did you mean --epochs?"),
    ("train --epochs=five", "--epochs: 'five' should be a whole number from 1; the default"),
    ("train --epochs", "argument --epochs: expected one argument"),
    ("train --seed -1", "argument --seed: '-1' should be a whole number from 0"),
    ("train --grid round", "argument --grid: invalid choice: 'round'"),
    ("train --out a --resume b", "argument --resume: not allowed with argument --out"),
    ("train --latent-dim 0", "latent_dim=0 makes no sense; it must be a whole number from 1"),
    ("train --beta -1", "beta=-1.0 makes no sense; it must be a number from 0"),
    ("train --learning-rate nan", "learning_rate=nan makes no sense"),
    ("train --hidden 200;100", "numbers from 1, such as (400,); the default is 200,100"),
    ("train --n-classes x", "argument --n-classes: 'x' should be a whole number from 2"),
    ("train --n-classes 17", "n_classes=17 goes with likelihood='categorical', not 'binomial'"),
    ("train --likelihood cauchy", "'gaussian', 'poisson', 'categorical', or a Likelihood"),
    ("train --likelihood categorical --n-classes 9", "is outside its support; data are classes"),
    ("train --activation gelu", "activation='gelu' makes no sense; it must be one of"),
    ("train --dtype int8", "dtype='int8' makes no sense"),
    ("train --validation 2", "validation=2.0 makes no sense"),
    ("train --grey sample", "grey='sample' goes with likelihood='bernoulli'"),
    ("train --likelihood gaussian --sigma wide", "sigma='wide'"),
    ("train --likelihood bernoulli", "X[0, 1] = 0.0625 is outside its support"),
    ("train --prior round", "prior='round' makes no sense"),
    ("train --prior-components 3", "prior_components=3 goes with prior='mixture'"),
    ("train --n-trials 7", "is outside its support"),
    ("train --data nowhere.npz", "there is no data set and no file 'nowhere.npz'"),
    ("train --resume nowhere", "--resume nowhere: no run was begun there"),
    ("train --out file/run", "file/run: Not a directory"),
    ("train --out file", "--out file: there is a file of that name"),
    ("train --out full", "--out full is not empty: name a new folder"),
    ("info", "the following arguments are required: RUN"),
    ("info nowhere", "there is no nowhere: give a run's folder, or a checkpoint file"),
    ("info full", "full is not the folder of a run: it has no checkpoint.npz"),
    ("info file", "file is not a minivae checkpoint"),
    ("sample nowhere", "there is no nowhere"),
    ("sample nowhere -n 0", "argument -n: '0' should be a whole number from 1"),
    ("sample nowhere --out x.gif", "argument --out: 'x.gif' should end in .png or .npz"),
    ("reconstruct nowhere", "there is no nowhere"),
]


def is_one_line(err):
    return re.fullmatch(r"minivae: [^\n]+\n", err) and "Traceback" not in err


@pytest.mark.parametrize(("command", "complaint"), BAD, ids=[command for command, _ in BAD])
def test_one_line_and_nothing_left(minivae, tmp_path, monkeypatch, command, complaint):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    status, out, err = minivae(*command.split())
    assert (status, out) == (2, "")
    assert is_one_line(err), err
    assert complaint in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_with_a_run_is_not_overwritten(minivae, small_run):
    status, _, err = minivae("train", "--out", small_run)
    assert status == 2
    assert is_one_line(err)
    assert f"holds a run: go on with it by minivae train --resume {small_run}" in err


@pytest.mark.parametrize(
    ("flags", "values"),
    [
        (("--epochs", "3"), "--epochs 3 is not what the run was started with, 2:"),
        (("--hidden", "16,8"), "--hidden 16,8 is not what the run was started with, 16:"),
        (("--seed", "1"), "--seed 1 is not what the run was started with, 0:"),
        (("--likelihood", "gaussian"), "--likelihood gaussian is not .* with, binomial:"),
        (("--validation", "0.1"), "--validation 0.1 is not .* with, None:"),
    ],
)
def test_flags_that_conflict_with_the_run(minivae, small_run, flags, values):
    status, _, err = minivae("train", "--resume", small_run, *flags)
    assert status == 2
    assert is_one_line(err)
    assert re.search(values, err)


def test_data_that_conflict_with_the_run(minivae, small_run, few_digits, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 64)))
    status, _, err = minivae("train", "--resume", small_run, "--data", tmp_path / "x.npz")
    assert status == 2
    assert f"--data {tmp_path / 'x.npz'} is not what the run was started with, {few_digits}:" in err


def test_data_that_changed_since(minivae, tmp_path, small):
    path, run = tmp_path / "x.npz", tmp_path / "run"
    np.savez(path, x=np.random.default_rng(0).normal(size=(40, 3)))
    assert minivae("train", *small, "--data", path, "--epochs", "1", "--out", run)[0] == 0
    np.savez(path, x=np.random.default_rng(1).normal(size=(40, 3)))
    status, _, err = minivae("train", "--resume", run, "--quiet")
    assert status == 2
    assert is_one_line(err)
    assert "is not what this run was started on" in err


# ---- checkpoints that are none ----


def damaged(folder, kind):
    checkpoint = folder / "checkpoint.npz"
    content = checkpoint.read_bytes()
    if kind == "truncated":
        checkpoint.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        checkpoint.write_bytes(b"")
    elif kind == "pickle":
        checkpoint.write_bytes(pickle.dumps({"weights": [1.0]}))
    else:
        np.savez(checkpoint, weights=np.ones(3))


@pytest.mark.parametrize("kind", ["truncated", "empty", "pickle", "foreign"])
@pytest.mark.parametrize("command", ["info", "sample", "reconstruct", "train --resume"])
def test_damaged_checkpoints(minivae, small_run, tmp_path, command, kind):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    damaged(run, kind)
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    status, out, err = minivae(*command.split(), run)
    assert (status, out) == (2, "")
    assert is_one_line(err)
    assert str(run / "checkpoint.npz") in err
    assert {path: path.read_bytes() for path in run.rglob("*.*")} == before


def test_a_saved_model_is_not_resumed(minivae, small_run, tmp_path):
    VAE.load(small_run / "checkpoint.npz").save(tmp_path / "checkpoint.npz")
    status, _, err = minivae("train", "--resume", tmp_path)
    assert status == 2
    assert is_one_line(err)
    assert "is a saved model, not a training run" in err


@pytest.mark.parametrize("content", ["{", "[]", "\x00"])
def test_a_damaged_record(minivae, small_run, tmp_path, content):
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "run.json").write_text(content)
    status, _, err = minivae("info", run)
    assert status == 2
    assert is_one_line(err)
    assert "run.json" in err


def altered(run, folder, *, record=None, metadata=None):
    """A copy of a run with other words in its record, or in its checkpoint."""
    shutil.copytree(run, folder)
    if record is not None:
        was = json.loads((folder / "run.json").read_text())
        text = record if isinstance(record, str) else json.dumps({**was, **record})
        (folder / "run.json").write_text(text, encoding="utf-8")
    if metadata is not None:
        arrays, was = load_checkpoint(folder / "checkpoint.npz")
        minivae.checkpoint.save_checkpoint(folder / "checkpoint.npz", arrays, metadata(was))
    return folder


@pytest.mark.parametrize(
    ("record", "complaint"),
    [
        ("[" * 50_000, "run.json is damaged (maximum recursion depth"),
        ('{"a": ' + "9" * 5000 + "}", "run.json is damaged (Exceeds the limit"),
        ({"results": None}, "run.json is damaged (its results is None)"),
        ({"command": 5}, "run.json is damaged (its command is 5)"),
        ({"command": ["x" * 100_000]}, "run.json is damaged (its command is ['xxx"),
        ({"data": None}, "run.json is damaged (its data is None)"),
        ({"data": {}}, "run.json is damaged (it has no 'source')"),
        ({"data": {"source": 5}}, "run.json is damaged (its data's source is 5)"),
        ({"data": {"source": "x", "image_shape": [1, "a"]}}, "image_shape is [1, 'a']"),
        ({"data": {"source": "x", "image_shape": [-8, -8]}}, "image_shape is [-8, -8]"),
        ({"data": {"source": "x", "columns": {"a": 1}}}, "its data's columns are {'a': 1}"),
        ({"hyper_parameters": 5}, "run.json is damaged (its hyper_parameters is 5)"),
    ],
    ids=range(12),
)
@pytest.mark.parametrize("command", ["info", "sample", "train --quiet --resume"])
def test_nonsense_in_a_record(minivae, small_run, tmp_path, command, record, complaint):
    run = altered(small_run, tmp_path / "run", record=record)
    before = {path: path.read_bytes() for path in run.rglob("*.*")}
    status, out, err = minivae(*command.split(), run)
    assert (status, out) == (2, "")
    assert is_one_line(err)
    assert complaint in err
    assert len(err) < len(str(run)) + 400
    assert {path: path.read_bytes() for path in run.rglob("*.*")} == before


@pytest.mark.parametrize("results", [{"a": 1}, {"elbo": "x", "log_likelihood": None}, {"elbo": []}])
def test_nonsense_in_results(minivae, small_run, tmp_path, results):
    run = altered(small_run, tmp_path / "run", record={"results": results})
    status, out, err = minivae("info", run)
    assert (status, out) == (2, "")
    assert is_one_line(err)
    assert "is not as this version writes it" in err


def test_what_a_record_says_is_shown_on_a_line_of_bounded_length(minivae, small_run, tmp_path):
    record = {"command": "minivae train \x1b[2J" + "x" * 100_000}
    status, out, _ = minivae("info", altered(small_run, tmp_path / "run", record=record))
    assert status == 0
    assert len(out) < 5000
    assert "\x1b" not in out
    assert "\\x1b[2J" in out


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ({"elbo": ["a", "b"]}, "its history holds what is not a number"),
        ({"elbo": [1.0, 2.0], "epoch": [1]}, "its history has columns of several lengths"),
        (5, "'int' object has no attribute 'values'"),
        ({"epoch": None}, "'NoneType' object is not iterable"),
        ({"epoch": [1, 2], "x": [1, 2]}, "its history has only epoch, x"),
        ({}, "its history has 0 epochs, and 2 are done"),
    ],
)
@pytest.mark.parametrize("command", ["info", "sample", "train --quiet --resume"])
def test_nonsense_in_a_checkpoint(minivae, small_run, tmp_path, command, history, complaint):
    run = altered(small_run, tmp_path / "run", metadata=lambda was: {**was, "history": history})
    status, out, err = minivae(*command.split(), run)
    assert (status, out) == (2, "")
    assert is_one_line(err)
    assert f"checkpoint.npz is not a checkpoint of this version's VAE ({complaint})" in err


@pytest.mark.parametrize("training", [None, 5, {"source": 5}, {"position": 5}])
@pytest.mark.parametrize("command", ["info", "train --quiet --resume"])
def test_nonsense_in_the_state_of_training(minivae, small_run, tmp_path, command, training):
    def metadata(was):
        changed = {**was["training"], **training} if isinstance(training, dict) else training
        return {**was, "training": changed}

    run = altered(small_run, tmp_path / "run", metadata=metadata)
    status, out, err = minivae(*command.split(), run)
    assert (status, out) == (2, "")
    assert is_one_line(err)


def test_a_damaged_history_and_damaged_frames_are_done_without(minivae, small_run, tmp_path):
    run = altered(small_run, tmp_path / "run")
    (run / "history.csv").write_text("epoch,test_elbo\n1," + "9" * 200_000 + "\n")
    nonsense = b"\x93NUMPY\x01\x00\x76\x00" + b"(" * 117 + b"\n"
    (run / "latent" / "00000.npy").write_bytes(nonsense)
    assert minivae("train", "--quiet", "--resume", run)[0] == 0


# ---- disks ----


def fill_the_disk_after(monkeypatch, writes):
    """Let each file beyond the first few meet a full disk, half written."""
    left = [writes]
    sync = os.fsync

    def fsync(descriptor):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(minivae.checkpoint.os, "fsync", fsync)


@pytest.mark.skipif(os.name != "posix", reason="folders are synchronised as well only there")
@pytest.mark.parametrize("writes", [0, 2, 3, 8, 20])
def test_a_full_disk_leaves_the_last_checkpoint(
    minivae, monkeypatch, tmp_path, small, small_run, writes
):
    run = tmp_path / "new" / "run"
    with monkeypatch.context() as patch:
        fill_the_disk_after(patch, writes)
        status, _, err = minivae("train", "--epochs", "2", "--out", run, *small)
    assert status == 2
    assert is_one_line(err)
    assert "No space left on device" in err
    assert not list(tmp_path.rglob("*.tmp"))
    if not (run / "checkpoint.npz").exists():
        assert not run.parent.exists()
        return
    load_checkpoint(run / "checkpoint.npz")
    assert f"go on with: minivae train --resume {run}" in err
    assert minivae("train", "--resume", run, "--quiet")[0] == 0
    assert_same_run(run, small_run)


@pytest.mark.skipif(
    os.name != "posix" or not hasattr(os, "geteuid") or os.geteuid() == 0,
    reason="to the administrator every folder can be written",
)
def test_a_read_only_folder(minivae, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    status, _, err = minivae("train", "--out", tmp_path / "locked" / "run")
    assert status == 2
    assert is_one_line(err)
    assert "Permission denied" in err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_results_onto_a_full_disk(small_run):
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "minivae", "info", small_run],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert process.returncode == 2
    assert process.stderr.startswith("minivae: ")
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_error(small_run, tmp_path):
    with start("info", small_run, cwd=tmp_path) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_divergence_stops_the_run(minivae, tmp_path, small):
    command = ("train", "--learning-rate", "1e9", "--out", tmp_path / "run")
    status, out, err = minivae(*command, *small)
    assert (status, out) == (2, "")
    assert is_one_line(err)
    assert "learning_rate" in err


def test_in_a_process_of_its_own(tmp_path):
    status, out, err = run_process("train", "--likelihood", "cauchy", cwd=tmp_path)
    assert (status, out) == (2, "")
    assert is_one_line(err)
    assert list(tmp_path.iterdir()) == []


# Folders -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_runs_that_begin_together_have_a_folder_each(tmp_path):
    kinds = ("full", "diag", "tied", "spherical")
    flags = ("--n-components", 2, "--quiet")
    runs = [start("gmm", "--covariance-type", kind, *flags, cwd=tmp_path) for kind in kinds]
    folders = {re.search(r"(runs/\S+) holds", run.communicate(timeout=120)[0])[1] for run in runs}
    assert len(folders) == len(kinds)
    records = [json.loads((tmp_path / name / "run.json").read_text()) for name in folders]
    assert {record["hyper_parameters"]["covariance_type"] for record in records} == set(kinds)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_numbered_folder_is_taken_at_once_and_given_back(tmp_path, monkeypatch, order):
    monkeypatch.chdir(tmp_path)
    runs = [new_run(None, "some data") for _ in order]
    assert [run.path.name for run in runs] == ["some-data-1", "some-data-2"]
    for i in order:
        with pytest.raises(ValueError, match="no model"), runs[i].begun({}):
            raise ValueError("no model comes of it")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_runs_into_one_new_folder(tmp_path):
    flags = ("--n-components", 2, "--quiet", "--out", "run")
    runs = [start("gmm", "--seed", seed, *flags, cwd=tmp_path) for seed in range(3)]
    said = [run.communicate(timeout=120) for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 2, 2]
    for run, (out, err) in zip(runs, said, strict=True):
        if run.returncode:
            assert out == ""
            assert is_one_line(err)
            assert "another run is writing there" in err or "--out run is not empty" in err
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    winner = next(seed for seed, run in enumerate(runs) if run.returncode == 0)
    assert record["hyper_parameters"]["random_state"] == winner
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.slow
def test_the_folder_of_a_run_that_writes_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = new_run("a/run", "data")
    script = "from minivae.cli.run import {0}; from pathlib import Path; {0}({1})"
    for call in ("new_run", "'a/run', 'data'"), ("reopened", "Path('a/run')"):
        (tmp_path / "a" / "run" / "run.json").write_text("{}")
        if call[0] == "new_run":
            (tmp_path / "a" / "run" / "run.json").unlink()
        process = subprocess.run(
            [sys.executable, "-c", script.format(*call)],
            env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "BlockingIOError" in process.stderr
    (tmp_path / "a" / "run" / "run.json").unlink()
    first.give_back()
    assert not list(tmp_path.iterdir())


def test_a_lock_whose_file_went_away_is_taken_again(tmp_path):
    with open(tmp_path / "lock", "w"):  # as a process that was killed leaves it
        pass
    hold(tmp_path / "lock")
    hold(tmp_path / "lock")  # is ours already
    release(tmp_path / "lock")
    assert not (tmp_path / "lock").exists()
    release(tmp_path / "lock")


class Msvcrt:
    """What Windows offers: a byte of a file is held until its descriptor is closed."""

    LK_NBLCK = 2

    def __init__(self):
        self.held = {}

    def locking(self, descriptor, mode, n_bytes):
        assert (mode, n_bytes) == (self.LK_NBLCK, 1)
        file = os.fstat(descriptor).st_ino
        if self.held.get(file, descriptor) != descriptor:
            raise PermissionError(errno.EACCES, "Permission denied")
        self.held[file] = descriptor

    def close(self, descriptor):
        self.held = {file: d for file, d in self.held.items() if d != descriptor}
        os.close(descriptor)

    def unlink(self, path):
        if path.exists() and path.stat().st_ino in self.held:
            raise PermissionError(errno.EACCES, "used by another process")
        os.unlink(path)


def test_the_lock_of_windows(tmp_path, monkeypatch):
    windows = Msvcrt()
    monkeypatch.setitem(sys.modules, "msvcrt", windows)
    monkeypatch.setattr(sys, "platform", "win32")
    source = Path(lock.__file__).read_text(encoding="utf-8")
    ours, theirs = {"__name__": "ours"}, {"__name__": "theirs"}  # as two processes have them
    for names in (ours, theirs):
        exec(compile(source, lock.__file__, "exec"), names)
        names["os"] = SimpleNamespace(**{**vars(os), "close": windows.close})
    monkeypatch.setattr(Path, "unlink", lambda path: windows.unlink(path))
    path = tmp_path / "lock"
    ours["hold"](path)
    ours["hold"](path)
    with pytest.raises(BlockingIOError, match="another run is writing there"):
        theirs["hold"](path)
    theirs["release"](path)  # is not theirs to give back
    with pytest.raises(BlockingIOError):
        theirs["hold"](path)
    ours["release"](path)  # which Windows allows only once it is closed
    assert not path.exists()
    theirs["hold"](path)
    theirs["release_all"]()
    assert not path.exists()
    assert windows.held == {}


def test_no_lock_is_left_in_a_finished_run(small_run):
    assert LOCK not in {path.name for path in small_run.iterdir()}


def test_all_that_a_run_writes_is_known(small_run):
    assert {path.name for path in small_run.iterdir()} <= WRITTEN


def test_a_folder_of_runs_that_leads_nowhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        new_run(None, "data")


# The process ------------------------------------------------------------------------------------


def shell(command, cwd, **more):
    """What a shell says to a command; `minivae` is the program."""
    command = command.replace("minivae", f"'{sys.executable}' -m minivae", 1)
    return subprocess.run(
        ["sh", "-c", command], cwd=cwd, env={**environment(), **more}, capture_output=True,
        encoding="utf-8", errors="backslashreplace", check=False,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.slow
def test_closed_streams(tmp_path, small_run):
    result = shell(f"minivae info '{small_run}' >&-", tmp_path)
    assert result.returncode == 1
    assert result.stderr == "minivae: standard output is closed: the results are lost\n"
    result = shell("minivae doctor 2>&-", tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("minivae")
    assert shell("minivae info nowhere >&- 2>&-", tmp_path).returncode == 2
    result = shell("minivae doctor 1</dev/null", tmp_path)
    assert (result.returncode, result.stderr) == (2, "minivae: Bad file descriptor\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.slow
def test_an_encoding_without_the_symbols(tmp_path):
    result = shell("minivae eq", tmp_path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\u" in result.stdout
    assert result.stdout.isascii()


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
@pytest.mark.slow
def test_an_interpreter_that_leaves_out_docstrings_and_assertions(tmp_path):
    result = shell("minivae eq ELBO.4 --test", tmp_path, PYTHONOPTIMIZE="2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"\n\d+ passed in [^\n]*\n$", result.stdout)


@pytest.mark.skipif(os.name != "posix", reason="no process can send Ctrl-C to one other alone")
@pytest.mark.parametrize("library", ["numpy", "numba.core", "scipy"])
def test_ctrl_c_while_libraries_load(tmp_path, library):
    command = [sys.executable, "-X", "importtime", "-m", "minivae", "doctor"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if f" {library}" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.endswith("minivae: interrupted\n")


def test_ctrl_c_in_any_other_program_is_its_own_affair(tmp_path):
    script = "import minivae, signal; print(signal.getsignal(signal.SIGINT).__name__)"
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.stdout == "default_int_handler\n"
