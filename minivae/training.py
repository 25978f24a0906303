"""The training loop, generic over a step: epochs, history, early stopping, Ctrl-C, progress.

The loop knows nothing of models. It draws minibatches, calls ``step`` on each, averages what the
step measured, and keeps the state from which a run continues bit for bit: where it stands in which
epoch, the generator that orders the data, the sums so far, the history and the best validation
score.
"""

from __future__ import annotations

import copy
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from minivae.checkpoint import generator_state, restore_generator
from minivae.tensor import Array

__all__ = ["EarlyStopping", "Metrics", "Trainee", "TrainingLoop"]

Metrics = dict[str, float]


class Trainee(Protocol):
    """What the loop trains."""

    def step(self, index: Array, progress: float) -> Metrics:
        """Learn from a minibatch, and return means over it; ``progress`` counts epochs, as 2.5."""

    def validate(self) -> Metrics:
        """What to measure after each epoch; empty if nothing."""

    def remember_best(self) -> None:
        """Keep the present parameters as the best so far."""

    def save(self) -> None:
        """Write a checkpoint."""

    def epoch_ended(self, epoch: int) -> None:
        """Called with 0 before the first step, and after each epoch."""


class EarlyStopping:
    """Stop when a score has not risen for ``patience`` epochs.

    The first ``warmup`` epochs train another model than the one that is wanted: they do not count.
    """

    def __init__(self, patience: int, warmup: int = 0) -> None:
        self.patience, self.warmup = patience, warmup
        self.best_score = -np.inf
        self.best_epoch = warmup

    def is_best(self, epoch: int, score: float) -> bool:
        """Whether this epoch's score is the best so far, which is remembered."""
        if epoch > self.warmup and score > self.best_score:
            self.best_score, self.best_epoch = score, epoch
            return True
        return False

    def should_stop(self, epoch: int) -> bool:
        """Whether the best epoch lies ``patience`` epochs back."""
        return epoch - self.best_epoch >= self.patience


class TrainingLoop:
    """Epochs of minibatches over ``n`` data.

    Parameters
    ----------
    trainee
        What to train.
    n
        The number of data.
    epochs, batch_size
        How many passes over the data, in portions of how many; the last of a pass may be smaller.
    order
        The generator that shuffles the data anew for each epoch.
    early_stopping
        Judges the metric ``validation_elbo``, if given.
    verbose
        Whether to show a progress bar, of the metrics ``elbo``, ``reconstruction`` and ``kl``.

    Attributes
    ----------
    history
        Lists with one number for each finished epoch: ``epoch``, the mean of each metric that
        ``step`` returned, and what ``validate`` returned.
    """

    def __init__(
        self,
        trainee: Trainee,
        n: int,
        *,
        epochs: int,
        batch_size: int,
        order: np.random.Generator,
        early_stopping: EarlyStopping | None = None,
        verbose: bool = False,
    ) -> None:
        self.trainee, self.n, self.epochs, self.batch_size = trainee, n, epochs, batch_size
        self.order, self.early_stopping, self.verbose = order, early_stopping, verbose
        self.batches = -(-n // batch_size)  # in an epoch
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the present one
        self.sums: Metrics = {}  # over the data of the finished batches
        self.history: dict[str, list[float]] = {}

    def state(self) -> dict[str, Any]:
        """Where the run stands, besides its history, as JSON can say it; between two steps."""
        stopping = self.early_stopping
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": dict(self.sums),
            "order": generator_state(self.order),
            "best": [stopping.best_score, stopping.best_epoch] if stopping else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where :meth:`state` was taken; give ``history`` back its value of then."""
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.sums = dict(state["sums"])
        self.order = restore_generator(state["order"])
        if self.early_stopping:
            self.early_stopping.best_score, self.early_stopping.best_epoch = state["best"]

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping ended the run."""
        if self.early_stopping and self.early_stopping.should_stop(self.epoch):
            return True
        return self.epoch >= self.epochs

    def run(self) -> None:
        """Train to the end; a Ctrl-C stops between two steps, after a checkpoint.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, once the checkpoint is written; a second Ctrl-C does not wait for that.
        """
        with _deferred_interrupt() as interrupted:
            if self.epoch == self.batch == 0:
                self.trainee.save()  # before anything else, in case the disk is full or read-only
                self.trainee.epoch_ended(0)
            with self._progress_bar() as bar:
                while not self.finished:
                    self._run_epoch(interrupted, bar)
            if interrupted.is_set():
                raise KeyboardInterrupt

    def _run_epoch(self, interrupted: threading.Event, bar: _NoBar | _Bar) -> None:
        # A copy shuffles, so that a checkpoint in mid-epoch can still tell how the epoch began.
        order = copy.deepcopy(self.order)
        permutation = order.permutation(self.n)
        while self.batch < self.batches:
            if interrupted.is_set():
                self.trainee.save()
                raise KeyboardInterrupt
            index = permutation[self.batch * self.batch_size : (self.batch + 1) * self.batch_size]
            metrics = self.trainee.step(index, self.epoch + self.batch / self.batches)
            for name, value in metrics.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * len(index)
            self.batch += 1
            bar.advance(metrics)
        self._finish_epoch(order)

    def _finish_epoch(self, order: np.random.Generator) -> None:
        means = {name: total / self.n for name, total in self.sums.items()}
        self.epoch, self.batch, self.sums, self.order = self.epoch + 1, 0, {}, order
        row = {"epoch": self.epoch, **means, **self.trainee.validate()}
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        if self.early_stopping and self.early_stopping.is_best(self.epoch, row["validation_elbo"]):
            self.trainee.remember_best()
        # In this order, so that after a kill between the two the caller is told again, not never.
        self.trainee.epoch_ended(self.epoch)
        self.trainee.save()

    @contextmanager
    def _progress_bar(self) -> Iterator[_NoBar | _Bar]:
        if not self.verbose:
            yield _NoBar()
            return
        from tqdm import tqdm

        with tqdm(
            total=self.epochs * self.batches,
            initial=self.epoch * self.batches + self.batch,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            dynamic_ncols=True,
            file=sys.stderr,
        ) as bar:
            yield _Bar(bar, self.batches, self.epochs)


class _NoBar:
    def advance(self, metrics: Metrics) -> None:
        pass


class _Bar:
    """A progress bar: the epoch, the ELBO and its two terms, averaged over the last batches."""

    def __init__(self, bar: Any, batches: int, epochs: int) -> None:
        self.bar, self.batches, self.epochs = bar, batches, epochs
        self.running: Metrics = {}
        self.done: int = bar.n
        self.pending = 0

    def advance(self, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self.running[name] = 0.98 * self.running.get(name, value) + 0.02 * value
        self.pending += 1
        self.done += 1
        # Redrawing costs as much as a small step: every tenth batch is enough for the eye.
        if self.pending < 10 and self.done % self.batches:
            return
        r = self.running
        self.bar.set_description_str(
            f"epoch {(self.done - 1) // self.batches + 1}/{self.epochs}  "
            f"ELBO {r['elbo']:.2f} = {r['reconstruction']:.2f} - {r['kl']:.2f} ",
            refresh=False,
        )
        self.bar.update(self.pending)
        self.pending = 0


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that no step is cut in half; a second acts at once."""
    interrupted = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    # Only the main thread may handle signals; and where Python does not handle Ctrl-C, somebody
    # wants it ignored or deadly.
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        yield interrupted
        return

    def remember(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
