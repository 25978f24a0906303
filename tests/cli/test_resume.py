"""A run that was stopped goes on as if nothing had happened: by Ctrl-C, by kill, at any moment."""

import csv
import json
import os
import random
import re
import shutil
import signal
import time

import pytest

from cli.conftest import assert_same_run, start
from minivae.cli import main

EPOCHS = ("--epochs", "24")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, small):
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert main(["train", *EPOCHS, "--out", str(folder), *small]) == 0
    return folder


def finished_epochs(folder):
    try:
        with open(folder / "history.csv", newline="") as file:
            return len(list(csv.reader(file))) - 1
    except FileNotFoundError:
        return 0


def wait_for(condition, process, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def start_training(small):
    return lambda run: start("train", *EPOCHS, "--out", run, *small, cwd=run.parent)


@pytest.mark.skipif(os.name != "posix", reason="no process can send Ctrl-C to one other alone")
@pytest.mark.slow
def test_ctrl_c_and_resume(minivae, undisturbed, start_training, tmp_path, small):
    run = tmp_path / "a run"
    process = start_training(run)
    wait_for(lambda: finished_epochs(run) >= 3, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert re.fullmatch(
        r"minivae: stopped; \d+ epochs are done; go on with: minivae train --resume '.*/a run'\n",
        err,
    )
    assert finished_epochs(run) < 24
    status, out, _ = minivae("info", run)
    assert status == 0
    assert "not finished" in out
    # What is said again is not a conflict.
    status, out, err = minivae("train", "--resume", run, *EPOCHS, *small)
    assert (status, err) == (0, "")
    assert re.search(r"^\d\d epochs in ", out, re.M)
    assert_same_run(run, undisturbed)


@pytest.mark.slow
def test_kill_and_resume(minivae, undisturbed, start_training, tmp_path):
    run = tmp_path / "run"
    process = start_training(run)
    wait_for((run / "checkpoint.npz").exists, process)
    for _ in range(2):
        time.sleep(random.uniform(0.0, 0.5))
        process.kill()
        process.communicate()
        process = start("train", "--resume", run, "--quiet", cwd=tmp_path)
        before = (run / "checkpoint.npz").stat().st_mtime_ns
        # As long as it has not begun to train, or is finished, a kill would not disturb it.
        end = time.monotonic() + 30
        while (run / "checkpoint.npz").stat().st_mtime_ns == before and time.monotonic() < end:
            if process.poll() is not None:
                break
            time.sleep(0.005)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert_same_run(run, undisturbed)
    assert not list(run.rglob("*.tmp"))


def test_stopped_before_the_first_checkpoint(minivae, undisturbed, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(undisturbed / "run.json", run)
    assert minivae("train", "--resume", run, "--quiet")[0] == 0
    assert_same_run(run, undisturbed)
    record = json.loads((run / "run.json").read_text())
    assert record["hyper_parameters"]["epochs"] == 24


@pytest.mark.slow
def test_killed_between_history_and_checkpoint(minivae, undisturbed, start_training, tmp_path):
    run = tmp_path / "run"
    process = start_training(run)
    wait_for(lambda: finished_epochs(run) >= 2, process)
    process.kill()
    process.communicate()
    # What was written after the checkpoint that counts, and in the middle of a write.
    for name in ("history.csv", "learning_curve.png"):
        shutil.copy(undisturbed / name, run)
    for path in (undisturbed / "latent").iterdir():
        shutil.copy(path, run / "latent")
    (run / "latent" / "00099.npy").touch()
    (run / ".history.csv.0a1b2c3d.tmp").touch()
    assert minivae("train", "--resume", run, "--quiet")[0] == 0
    assert_same_run(run, undisturbed)
    assert not list(run.rglob("*.tmp"))


def test_data_that_moved_meanwhile(minivae, small, tmp_path, few_digits):
    old, new, run = tmp_path / "old.npz", tmp_path / "new.npz", tmp_path / "run"
    shutil.copy(few_digits, old)
    assert minivae("train", *small, "--data", old, "--epochs", "1", "--out", run)[0] == 0
    old.rename(new)
    status, _, err = minivae("train", "--resume", run)
    assert status == 2
    assert str(old) in err
    assert minivae("train", "--resume", run, "--data", new, "--quiet")[0] == 0


def test_a_finished_run_is_drawn_again(minivae, undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    (run / "latent.gif").unlink()
    (run / "learning_curve.png").unlink()
    status, out, err = minivae("train", "--resume", run)
    assert status == 0
    assert "This run was finished; its pictures are drawn again." in err
    assert "epochs in" not in out
    assert_same_run(run, undisturbed)


def test_early_stopping_is_remembered(minivae, tmp_path, small):
    run = tmp_path / "run"
    flags = ("--validation", "0.1", "--patience", "1", "--learning-rate", "0.2")
    status, *_ = minivae("train", "--epochs", "30", *flags, "--out", run, *small)
    assert status == 0
    epochs = finished_epochs(run)
    assert epochs < 30
    assert f"{epochs} of 30, finished: no improvement for 1 epochs" in minivae("info", run)[1]
    before = json.loads((run / "run.json").read_text())["results"]
    assert minivae("train", "--resume", run, "--quiet")[0] == 0
    assert finished_epochs(run) == epochs
    assert json.loads((run / "run.json").read_text())["results"] == before


# What a run did not write ------------------------------------------------------------------------


def test_what_a_run_did_not_write_is_left_alone(minivae, undisturbed, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(undisturbed, run)
    mine = [
        "latent/mine.npy", "latent/0000.npy", "latent/099999.npy", "latent/\u00b2\u00b20000.npy",
        "latent/notes.txt", "latent/.mine.0a1b2c3d.tmp", "latent/.00001.npy.mine.tmp",
        ".mine.0a1b2c3d.tmp", ".history.csv.tmp", ".history.csv.mine.tmp", "notes.csv",
    ]  # fmt: skip
    (run / "latent" / "99999.npy").mkdir()
    for name in mine:
        (run / name).write_text("mine")
    ours = [".history.csv.0a1b2c3d.tmp", "latent/.00031.npy.0a1b2c3d.tmp", "latent/00025.npy"]
    for name in ours:
        (run / name).touch()
    assert minivae("train", "--resume", run, "--quiet")[0] == 0
    assert [name for name in mine if (run / name).read_text() != "mine"] == []
    assert [name for name in ours if (run / name).exists()] == []
    assert (run / "latent" / "99999.npy").is_dir()


@pytest.mark.parametrize(
    "name", ["latent", "history.csv", "checkpoint.npz", "run.json", "latent/00000.npy", "prior.png"]
)
def test_no_link_is_followed_out_of_the_folder(minivae, undisturbed, tmp_path, name):
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(undisturbed, run)
    (run / name).rename(outside)
    try:
        (run / name).symlink_to(outside)
    except OSError:
        pytest.skip("this system does not let us make symbolic links")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    status, out, err = minivae("train", "--resume", run, "--quiet")
    assert (status, out) == (2, "")
    assert f"{run / name} is a symbolic link, and a run writes into its own folder only" in err
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_a_run_behind_a_link_goes_on(minivae, undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "run")
    try:
        (tmp_path / "link").symlink_to(tmp_path / "run")
    except OSError:
        pytest.skip("this system does not let us make symbolic links")
    assert minivae("train", "--resume", tmp_path / "link", "--quiet")[0] == 0


@pytest.mark.parametrize("command", ["sample", "reconstruct"])
def test_a_picture_that_is_a_link_is_not_written(minivae, undisturbed, tmp_path, command):
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(undisturbed, run)
    outside.write_text("mine")
    name = {"sample": "samples.png", "reconstruct": "reconstructions.png"}[command]
    (run / name).unlink(missing_ok=True)
    try:
        (run / name).symlink_to(outside)
    except OSError:
        pytest.skip("this system does not let us make symbolic links")
    status, _, err = minivae(command, run)
    assert status == 2
    assert f"{run / name} is a symbolic link: say by --out where to write" in err
    assert outside.read_text() == "mine"


@pytest.mark.slow
def test_only_one_process_goes_on_with_a_run(minivae, undisturbed, start_training, tmp_path):
    run = tmp_path / "run"
    process = start_training(run)
    wait_for(lambda: finished_epochs(run) >= 2, process)
    before = (run / "run.json").read_bytes()
    for arguments in (("train", "--resume", run), ("train", "--resume", run / "checkpoint.npz")):
        status, out, err = minivae(*arguments)
        assert (status, out) == (2, "")
        assert err == f"minivae: {run}: another run is writing there; wait until it ends\n"
    assert (run / "run.json").read_bytes() == before
    assert minivae("info", run)[0] == 0  # to look does no harm
    process.kill()
    process.communicate()
    assert minivae("train", "--resume", run, "--quiet")[0] == 0
    assert_same_run(run, undisturbed)


def test_a_mixture_that_was_stopped_does_not_advise_what_fails(minivae, tmp_path):
    run = tmp_path / "run"
    flags = ("--n-components", "2", "--quiet", "--out", run)
    assert minivae("gmm", *flags)[0] == 0
    for path in run.iterdir():
        if path.name != "run.json":  # as a kill between the record and the model leaves it
            path.unlink()
    status, _, err = minivae("gmm", *flags)
    assert status == 2
    assert "is not empty: name a new folder" in err
    assert "--resume" not in err
    status, _, err = minivae("train", "--resume", run)
    assert status == 2
    assert "holds what minivae gmm left when it was stopped" in err
