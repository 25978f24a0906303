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
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minivae import VAE, datasets
from minivae.checkpoint import atomic_write, load_checkpoint, partial_files
from minivae.cli.doctor import versions
from minivae.cli.lock import hold, release
from minivae.datasets import Dataset
from minivae.errors import CheckpointError, DatasetError
from minivae.models.resuming import load_model
from minivae.reading import opened, read_array, read_text, refused, shown
from minivae.tensor import Array

__all__ = [
    "MIXTURE",
    "MOST_FRAMES",
    "MOST_POINTS",
    "RunFolder",
    "SavedRun",
    "empty_folder",
    "frame_epochs",
    "in_units",
    "load_like",
    "new_run",
    "open_run",
    "prior_draws",
    "provenance",
    "read_model",
    "refuse_mixture",
    "reopened",
]

MIXTURE = "mixture.npz"
MOST_FRAMES = 60
MOST_POINTS = 2000  # test data in the animation
LOCK = ".lock"

# All that a run writes into its folder; nothing else in it is ever touched.
WRITTEN = frozenset(
    [
        "checkpoint.npz", MIXTURE, "run.json", "history.csv", "latent", LOCK,
        "latent.png", "latent.gif", "prior.png", "reconstructions.png", "learning_curve.png",
        "mixture.png", "em.gif", "criteria.png", "means.png",
    ]
)  # fmt: skip
_FRAME = re.compile(r"([0-9]{5}|[1-9][0-9]{5,8})\.npy")


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

    def lock(self) -> None:
        """Keep other runs out until this process ends or :meth:`give_back` is called.

        Raises
        ------
        BlockingIOError
            If another run is writing here.
        CheckpointError
            If a name that a run writes is a symbolic link, which leads who knows where.
        """
        hold(self.path / LOCK)
        frames = self.frames.iterdir() if self.frames.is_dir() else ()
        for path in (*self.path.iterdir(), *frames):
            if path.is_symlink() and (path.name in WRITTEN or path.parent == self.frames):
                release(self.path / LOCK)
                raise CheckpointError(
                    f"{path} is a symbolic link, and a run writes into its own folder only: put "
                    "what it points to in its place"
                )

    def give_back(self) -> None:
        """Let others in, and remove the folders that were made for this run if they are empty."""
        release(self.path / LOCK)
        with suppress(OSError):
            for path in self.made:
                path.rmdir()

    @contextmanager
    def begun(self, record: Mapping[str, Any]) -> Iterator[None]:
        """Write the record; take it away, and the folder, if no checkpoint comes of it."""
        was_there = self.record.exists()  # where a run goes on that had no checkpoint yet
        try:
            self.write_record(record)
            yield
        except BaseException as error:
            # A Ctrl-C leaves the record of a run that can go on from it.
            stopped = not isinstance(error, Exception) and self.checkpoint.name != MIXTURE
            if not (stopped or self.checkpoint.exists()):
                if not was_there:
                    with suppress(OSError):
                        self.record.unlink(missing_ok=True)
                self.give_back()
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
        if not self.record.exists():
            return {}
        with refused(CheckpointError, str(self.record), "damaged", "delete it"):
            record: dict[str, Any] = json.loads(read_text(self.record))
            _check_record(record)
            return record

    def conditions(self) -> tuple[str, ...]:
        """Return the columns of the data that were conditions."""
        return tuple(self.read_record().get("data", {}).get("conditions", ()))

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
            with refused(CheckpointError, str(self.history)):
                columns = zip(*csv.reader(io.StringIO(read_text(self.history))), strict=True)
                return {name: [float(value) for value in values] for name, *values in columns}
        except CheckpointError:
            return {}

    def keep_frame(self, epoch: int, mu: Array) -> None:
        """Keep the posterior means ``(N, K)`` of an epoch."""
        self.frames.mkdir(exist_ok=True)
        atomic_write(self.frames / f"{epoch:05}.npy", lambda file: np.save(file, mu))

    def read_frames(self, shape: tuple[int, ...]) -> dict[int, Array]:
        """Return the posterior means that were kept, by epoch; what is damaged is left out."""
        frames = {}
        for epoch, path in self._frames():
            try:
                with refused(CheckpointError, str(path)), opened(path) as (file, size):
                    mu = read_array(file, size, CheckpointError, str(path))
            except CheckpointError:
                continue
            if mu.shape == shape and mu.dtype.kind == "f":
                frames[epoch] = mu
        return frames

    def _frames(self) -> list[tuple[int, Path]]:
        """The files of the frames, by epoch; what is called otherwise is not a frame."""
        entries = self.frames.iterdir() if self.frames.is_dir() else ()
        named = [(_FRAME.fullmatch(path.name), path) for path in entries if path.is_file()]
        return sorted((int(match[1]), path) for match, path in named if match)

    def cut_back(self, history: Mapping[str, Sequence[float]]) -> None:
        """Forget what lies beyond a checkpoint, and what a killed process left half written.

        Parameters
        ----------
        history
            The checkpoint's; the test ELBO, which it does not hold, is kept for the same epochs.
        """
        self.lock()
        for path, name in partial_files(self.path):
            if name in WRITTEN:
                path.unlink()
        epochs = len(history.get("epoch", ()))
        test_elbo = self.read_history().get("test_elbo", [])[:epochs]
        test_elbo += [math.nan] * (epochs - len(test_elbo))
        if epochs:
            self.write_history({**history, "test_elbo": test_elbo})
        else:
            self.history.unlink(missing_ok=True)
        for epoch, path in self._frames():
            if epoch > epochs:
                path.unlink()
        for path, name in partial_files(self.frames) if self.frames.is_dir() else ():
            if _FRAME.fullmatch(name):
                path.unlink()


def _check_record(record: Any) -> None:
    """Refuse a record that cannot be of a run: its keys say what, and the rest is looked at."""
    if not isinstance(record, dict):
        raise ValueError("it is not the record of a run")
    kinds = {"command": str, "model": str, "data": dict, "hyper_parameters": dict, "results": dict}
    for key, kind in kinds.items():
        if key in record and not isinstance(record[key], kind):
            raise ValueError(f"its {key} is {shown(record[key], 40)}")
    data = record.get("data", {"source": None, "image_shape": None})
    if not (data["source"] is None or isinstance(data["source"], str)):
        raise ValueError(f"its data's source is {shown(data['source'], 40)}")
    most = data.get("max_value")
    for key in ("conditions", "columns"):
        given = data.get(key, [])
        if not (isinstance(given, list) and all(isinstance(name, str) for name in given)):
            raise ValueError(f"its data's {key} are {shown(given, 40)}")
    if not (most is None or (type(most) is int and 0 < most < 256)):
        raise ValueError(f"its data's max_value is {shown(most, 40)}")
    shape = data["image_shape"]
    if shape is not None and not (len(shape) == 2 and all(type(n) is int and n > 0 for n in shape)):
        raise ValueError(f"its data's image_shape is {shown(shape, 40)}")


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
            shape = self.record["data"]["image_shape"]
            fits = shape and shape[0] * shape[1] == self.vae.n_features_in_
            return (shape[0], shape[1]) if fits else None
        side = round(self.vae.n_features_in_**0.5)
        square = side * side == self.vae.n_features_in_ and side >= 4
        likelihood = self.vae.likelihood_
        real = likelihood.most is None and not likelihood.takes_counts
        return (side, side) if square and not real else None

    @property
    def conditions(self) -> tuple[str, ...]:
        """The columns of the data that were conditions."""
        return tuple(self.record.get("data", {}).get("conditions", ()))

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
    vae, metadata = read_model(checkpoint)
    record = folder.read_record() if checkpoint == folder.checkpoint else {}
    return SavedRun(folder, checkpoint, vae, metadata, record)


def in_units(saved: SavedRun, data: Dataset, x: Array) -> Array:
    """Return rows of other data in the units that a run was trained in.

    Whole numbers are divided by what those of the run were: a file that is dark all over has its
    largest pixel below 255, and is not brighter for it.
    """
    if data.max_value is None or saved.vae.likelihood_.takes_counts:
        return x.astype(np.result_type(x, np.float32))
    most = saved.record.get("data", {}).get("max_value", data.max_value)
    return x.astype(np.float32) / np.float32(most or 1)


def read_model(checkpoint: Path) -> tuple[VAE, dict[str, Any]]:
    """Return the VAE or relative in a checkpoint, and the checkpoint's metadata.

    Raises
    ------
    CheckpointError
        If there is none, or it cannot be read.
    """
    with refused(CheckpointError, str(checkpoint), "not a checkpoint of this version's VAE"):
        _, metadata = load_checkpoint(checkpoint)
        _check_metadata(metadata)
        return load_model(checkpoint), metadata


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Refuse what the commands could not work with; the rest, whoever reads it looks at."""
    history = metadata["history"]
    columns = list(history.values())
    if any(type(value) not in (int, float) for column in columns for value in column):
        raise ValueError("its history holds what is not a number")
    if len({len(column) for column in columns}) > 1:
        raise ValueError("its history has columns of several lengths")
    if history and not {"epoch", "elbo", "reconstruction", "kl"} <= history.keys():
        raise ValueError(f"its history has only {shown(', '.join(history), 80)}")
    if "training" in metadata:
        training = metadata["training"]
        if not (training["source"] is None or isinstance(training["source"], str)):
            raise ValueError(f"its source is {shown(training['source'], 40)}")
        epochs, done = len(history.get("epoch", ())), training["position"]["epoch"]
        if epochs != done:
            raise ValueError(f"its history has {epochs} epochs, and {shown(done, 40)} are done")


def reopened(path: Path) -> RunFolder:
    """Return the folder of a run that was begun, or whose checkpoint `path` is; others are out.

    Raises
    ------
    CheckpointError
        If there is none, or it does not belong to a VAE.
    BlockingIOError
        If another run is writing there.
    """
    run = RunFolder(path.parent if path.name == "checkpoint.npz" else path)
    if not (run.checkpoint.exists() or run.record.exists()):
        refuse_mixture(run.path)
        raise CheckpointError(
            f"--resume {path}: no run was begun there: it has neither checkpoint.npz nor "
            "run.json"
        )
    run.lock()
    refuse_mixture(run.path)
    run.read_record()  # what cannot be read is refused now, and not when training is done
    return run


def refuse_mixture(folder: Path) -> None:
    """Refuse the folder of ``minivae gmm`` where a VAE's is needed.

    Raises
    ------
    CheckpointError
        If it is one.
    """
    if (folder / MIXTURE).exists():
        raise CheckpointError(
            f"{folder} holds a mixture, not a VAE: run.json has its results, and "
            f"minivae.GaussianMixture.load reads {MIXTURE}"
        )
    if _command_of(RunFolder(folder)) == "gmm" and not RunFolder(folder).checkpoint.exists():
        raise CheckpointError(
            f"{folder} holds what minivae gmm left when it was stopped: it cannot go on; run it "
            "again with another --out"
        )


def _command_of(run: RunFolder) -> str:
    """The command that began a run, or nothing if its record does not say."""
    try:
        command: str = run.read_record().get("command", "")
    except CheckpointError:  # whoever needs more of it says so
        return ""
    return "".join(command.split()[1:2])


def frame_epochs(epochs: int) -> set[int]:
    """Return after which epochs to keep a frame: more of the early ones, where most happens."""
    if epochs < MOST_FRAMES:
        return set(range(epochs))
    share = np.arange(MOST_FRAMES - 1) / (MOST_FRAMES - 1)
    return set((epochs * share**1.5).round().astype(int).tolist())


def new_run(out: str | None, data: str, model: str = "checkpoint.npz") -> RunFolder:
    """Return the folder that ``--out`` names, or the first free ``runs/<data>-<number>``.

    It is made at once and locked: of two runs that begin together each has its own.

    Raises
    ------
    FileExistsError
        If ``--out`` is a file, or there is something in it.
    BlockingIOError
        If another run is writing there.
    """
    if out is not None:
        folder = empty_folder(out)
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        run = RunFolder(folder, model, missing)
    else:
        runs = Path("runs")
        runs.mkdir(exist_ok=True)
        name = "".join(c if c.isalnum() or c in "-_" else "-" for c in data) or "run"
        for number in itertools.count(1):
            folder = runs / f"{name}-{number}"
            with suppress(FileExistsError):
                folder.mkdir()
                break
        run = RunFolder(folder, model, [folder, runs])
    run.lock()
    try:
        empty_folder(str(folder))  # by now another run may have begun here, and even ended
    except FileExistsError:
        run.give_back()
        raise
    return run


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
    if out.is_dir() and any(entry.name != LOCK for entry in out.iterdir()):
        is_run = RunFolder(out).checkpoint.exists() or _command_of(RunFolder(out)) == "train"
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
            "max_value": data.max_value,
            "training_data": len(data.x_train),
            "test_data": len(data.x_test),
            **({"columns": data.columns} if data.columns else {}),
        },
    }


def load_like(record: Mapping[str, Any], where: str, **options: Any) -> Dataset:
    """Return data for a run, the columns of a table as those that it was fitted to.

    Raises
    ------
    DatasetError
        If they cannot be read, or the columns have other names or another order.
    """
    data = datasets.load(where, **options)
    fitted = record.get("data", {}).get("columns")
    if fitted and data.columns and list(data.columns) != fitted:
        raise DatasetError(
            f"{where} has the columns {shown(', '.join(data.columns), 80)}, and the model was "
            f"fitted to {shown(', '.join(fitted), 80)}: give the same ones in the same order"
        )
    return data


def prior_draws(vae: VAE, n: int, seed: int = 0) -> Array:
    """Return n draws of z from the prior, always the same for a seed."""
    z: Array = vae.prior_.sample(seed, n)
    return z
