"""A run's folder: what a training leaves behind, and how it is found again.

``checkpoint.npz`` is all that a restart or a look at the model needs. ``run.json`` says how to
reproduce the run, ``history.csv`` has a row for each epoch, ``latent/`` the posterior means of
some test data at a few dozen epochs, from which the animation is made; the rest are pictures.
"""

import csv
import io
import itertools
import json
import math
import os
import platform
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import VAE
from minivae.checkpoint import atomic_write, load_checkpoint
from minivae.cli.doctor import versions
from minivae.datasets import Dataset
from minivae.errors import CheckpointError
from minivae.tensor import Array

__all__ = [
    "MIXTURE",
    "MOST_FRAMES",
    "MOST_POINTS",
    "RunFolder",
    "SavedRun",
    "empty_folder",
    "frame_epochs",
    "new_run",
    "open_run",
    "prior_draws",
    "provenance",
    "refuse_mixture",
]

MIXTURE = "mixture.npz"
MOST_FRAMES = 60
MOST_POINTS = 2000  # test data in the animation


class RunFolder:
    """The files in a run's folder.

    `model` is what its model is called, `made` are the folders that were made for it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        model: str = "checkpoint.npz",
        made: Sequence[Path] = (),
    ) -> None:
        self.path, self.made = Path(path), made
        self.checkpoint = self.path / model
        self.history = self.path / "history.csv"
        self.record = self.path / "run.json"
        self.frames = self.path / "latent"

    @contextmanager
    def begun(self, record: Mapping[str, Any]) -> Iterator[None]:
        """Make the folder with its record; take both away if no checkpoint comes of it."""
        missing = [path for path in (self.path, *self.path.parents) if not path.exists()]
        made = self.made or missing
        try:
            if missing:  # and if it is there by now, it is somebody else's
                self.path.mkdir(parents=True)
            self.write_record(record)
            yield
        except Exception:
            if not self.checkpoint.exists():
                with suppress(OSError):
                    self.record.unlink(missing_ok=True)
                    for path in made:
                        path.rmdir()
            raise

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        text = json.dumps(record, indent=2) + "\n"
        atomic_write(self.record, lambda file: file.write(text.encode()))

    def read_record(self) -> dict[str, Any]:
        """Return what ``run.json`` says, or an empty dict if there is none.

        Raises
        ------
        CheckpointError
            If the file is not what a run wrote.
        """
        try:
            record = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except ValueError as error:
            raise CheckpointError(f"{self.record} is damaged ({error}): delete it") from error
        if not isinstance(record, dict):
            raise CheckpointError(f"{self.record} is not the record of a run: delete it")
        return record

    def write_history(self, history: Mapping[str, Sequence[float]]) -> None:
        """Write ``history.csv``: a row for each epoch, numbers with all their digits."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(history)
        for row in zip(*history.values(), strict=True):
            rows.writerow(int(v) if k == "epoch" else v for k, v in zip(history, row, strict=True))
        atomic_write(self.history, lambda file: file.write(text.getvalue().encode()))

    def read_history(self) -> dict[str, list[float]]:
        """Return the columns of ``history.csv``, or nothing if there is none or it is damaged."""
        try:
            columns = zip(*csv.reader(io.StringIO(self.history.read_text("utf-8"))), strict=True)
            return {name: [float(value) for value in values] for name, *values in columns}
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return {}

    def keep_frame(self, epoch: int, mu: Array) -> None:
        """Keep the posterior means ``(N, K)`` of an epoch."""
        self.frames.mkdir(exist_ok=True)
        atomic_write(self.frames / f"{epoch:05}.npy", lambda file: np.save(file, mu))

    def read_frames(self, shape: tuple[int, ...]) -> dict[int, Array]:
        """Return the posterior means that were kept, by epoch; what is damaged is left out."""
        frames = {}
        for path in sorted(self.frames.glob("*.npy")):
            try:
                mu = np.load(path, allow_pickle=False)
            except (ValueError, EOFError, OSError):
                continue
            if path.stem.isdigit() and mu.shape == shape:
                frames[int(path.stem)] = mu
        return frames

    def cut_back(self, history: Mapping[str, Sequence[float]]) -> None:
        """Forget what lies beyond a checkpoint, and what a killed process left half written.

        Parameters
        ----------
        history
            The checkpoint's; the test ELBO, which it does not hold, is kept for the same epochs.
        """
        for path in (*self.path.glob(".*.tmp"), *self.frames.glob(".*.tmp")):
            path.unlink(missing_ok=True)
        epochs = len(history.get("epoch", ()))
        test_elbo = self.read_history().get("test_elbo", [])[:epochs]
        test_elbo += [math.nan] * (epochs - len(test_elbo))
        if epochs:
            self.write_history({**history, "test_elbo": test_elbo})
        else:
            self.history.unlink(missing_ok=True)
        for path in self.frames.glob("*.npy"):
            if not path.stem.isdigit() or int(path.stem) > epochs:
                path.unlink()


class SavedRun(NamedTuple):
    """What a command that looks at a run works on."""

    folder: RunFolder
    checkpoint: Path
    vae: VAE
    metadata: dict[str, Any]
    record: dict[str, Any]

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """The shape of the data's images, if they are images."""
        if "data" in self.record:
            shape = self.record["data"].get("image_shape")
            return tuple(shape) if shape else None
        side = round(self.vae.n_features_in_**0.5)
        square = side * side == self.vae.n_features_in_ and side >= 4
        likelihood = self.vae.likelihood_
        real = likelihood.most is None and not likelihood.takes_counts
        return (side, side) if square and not real else None

    @property
    def source(self) -> str | None:
        """The name or path of the data, if it was recorded."""
        source: str | None = self.metadata.get("training", {}).get("source")
        return source


def open_run(path: str) -> SavedRun:
    """Read a run by its folder or its checkpoint.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be read.
    """
    where = Path(path)
    if not where.exists():
        raise CheckpointError(f"there is no {path}: give a run's folder, or a checkpoint file")
    if where.is_dir():
        folder = RunFolder(where)
        checkpoint = folder.checkpoint
        refuse_mixture(where)
        if not checkpoint.exists():
            raise CheckpointError(f"{path} is not the folder of a run: it has no checkpoint.npz")
    else:
        folder, checkpoint = RunFolder(where.parent), where
    _, metadata = load_checkpoint(checkpoint)
    vae = VAE.load(checkpoint)
    record = folder.read_record() if checkpoint == folder.checkpoint else {}
    return SavedRun(folder, checkpoint, vae, metadata, record)


def refuse_mixture(folder: Path) -> None:
    """Refuse the folder of ``minivae gmm`` where a VAE's is needed.

    Raises
    ------
    CheckpointError
        If it is one.
    """
    if (folder / MIXTURE).exists():
        raise CheckpointError(
            f"{folder} holds a mixture and no VAE: run.json has its results, and "
            f"minivae.GaussianMixture.load reads {MIXTURE}"
        )


def frame_epochs(epochs: int) -> set[int]:
    """Return after which epochs to keep a frame: more of the early ones, where most happens."""
    if epochs < MOST_FRAMES:
        return set(range(epochs))
    share = np.arange(MOST_FRAMES - 1) / (MOST_FRAMES - 1)
    return set((epochs * share**1.5).round().astype(int).tolist())


def new_run(out: str | None, data: str, model: str = "checkpoint.npz") -> RunFolder:
    """Return the folder that ``--out`` names, or the first free ``runs/<data>-<number>``.

    The numbered one is made at once: of two runs that begin together each has its own.

    Raises
    ------
    FileExistsError
        If ``--out`` is a file, or there is something in it.
    """
    if out is not None:
        return RunFolder(empty_folder(out), model)
    runs = Path("runs")
    runs.mkdir(exist_ok=True)
    name = "".join(c if c.isalnum() or c in "-_" else "-" for c in data) or "run"
    for number in itertools.count(1):
        folder = runs / f"{name}-{number}"
        with suppress(FileExistsError):
            folder.mkdir()
            break
    return RunFolder(folder, model, [folder, runs])


def empty_folder(path: str) -> Path:
    """Return the folder that ``--out`` names, if it is new or empty.

    Raises
    ------
    FileExistsError
        If it is a file, or there is something in it.
    """
    out = Path(path)
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"--out {out}: there is a file of that name; name a folder")
    if out.is_dir() and any(out.iterdir()):
        is_run = RunFolder(out).record.exists() or RunFolder(out).checkpoint.exists()
        is_run = is_run and not (out / MIXTURE).exists()
        resume = f"minivae train --resume {shlex.quote(str(out))}"
        mend = f"go on with it by {resume}, or " if is_run else ""
        what = "holds a run" if is_run else "is not empty"
        raise FileExistsError(f"--out {out} {what}: {mend}name a new folder")
    return out


def provenance(arguments: Sequence[str], data: Dataset) -> dict[str, Any]:
    """Return what a record says of every run: the command, with what, on what machine and data."""
    return {
        "command": shlex.join(["minivae", *arguments]),
        "versions": versions(),
        "platform": platform.platform(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "data": {
            "source": data.source,
            "name": data.name,
            "image_shape": data.image_shape,
            "training_data": len(data.x_train),
            "test_data": len(data.x_test),
        },
    }


def prior_draws(vae: VAE, n: int, seed: int = 0) -> Array:
    """Return n draws of z from the prior, always the same for a seed."""
    z: Array = vae.prior_.sample(seed, n)
    return z
