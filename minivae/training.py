"""The training loop, generic over a step: epochs, history, early stopping, interruptions, progress.

The loop knows nothing of models. It draws minibatches, calls ``step(index)`` on each, averages what the step
measured, and keeps the state from which a run continues bit for bit: where it stands in which epoch, the
generator that orders the data, the sums so far, the history, and the best validation score.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from minivae.checkpoint import generator_state, restore_generator
from minivae.tensor import Array

__all__ = ["EarlyStopping", "TrainingLoop"]

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
    """Stop when a score has not risen for ``patience`` epochs."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_score = -np.inf
        self.best_epoch = 0

    def is_best(self, epoch: int, score: float) -> bool:
        """Whether this epoch's score is the best so far, which is remembered."""
        if score > self.best_score:
            self.best_score, self.best_epoch = float(score), epoch
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
        Whether to show a progress bar.
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
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the present one
        self.sums: Metrics = {}  # over the data of the finished batches
        self.history: dict[str, list[float]] = {}

    def state(self) -> dict[str, Any]:
        """Where the run stands, as JSON can say it; take it between two steps."""
        stopping = self.early_stopping
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": dict(self.sums),
            "history": {name: list(values) for name, values in self.history.items()},
            "order": generator_state(self.order),  # as it was before the present epoch was shuffled
            "best_score": stopping.best_score if stopping else None,
            "best_epoch": stopping.best_epoch if stopping else None,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from where :meth:`state` was taken."""
        self.epoch, self.batch = state["epoch"], state["batch"]
        self.sums, self.history = (
            dict(state["sums"]),
            {k: list(v) for k, v in state["history"].items()},
        )
        self.order = restore_generator(state["order"])
        if self.early_stopping and state["best_score"] is not None:
            self.early_stopping.best_score = state["best_score"]
            self.early_stopping.best_epoch = state["best_epoch"]

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or early stopping ended the run."""
        stopping = self.early_stopping
        return self.epoch >= self.epochs or (
            stopping is not None and self.epoch > 0 and stopping.should_stop(self.epoch)
        )

    def run(self) -> None:
        """Train to the end; a Ctrl-C stops between two steps, after a checkpoint.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, once the checkpoint is written.
        """
        if self.epoch == self.batch == 0:
            self.trainee.epoch_ended(0)
            self.trainee.save()
        with _deferred_interrupt() as interrupted, self._progress_bar() as bar:
            while not self.finished:
                self._run_epoch(interrupted, bar)

    def _run_epoch(self, interrupted: threading.Event, bar: Any) -> None:
        # A copy is shuffled, so that state() can still tell how this epoch began.
        order = restore_generator(generator_state(self.order))
        permutation = order.permutation(self.n)
        batches = -(-self.n // self.batch_size)
        while self.batch < batches:
            index = permutation[self.batch * self.batch_size : (self.batch + 1) * self.batch_size]
            metrics = self.trainee.step(index, self.epoch + self.batch / batches)
            for name, value in metrics.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * len(index)
            self.batch += 1
            bar.advance(metrics)
            if interrupted.is_set():
                self.trainee.save()
                raise KeyboardInterrupt
        self._finish_epoch(order)

    def _finish_epoch(self, order: np.random.Generator) -> None:
        row = {
            "epoch": float(self.epoch + 1),
            **{name: s / self.n for name, s in self.sums.items()},
        }
        self.epoch, self.batch, self.sums, self.order = self.epoch + 1, 0, {}, order
        row.update(self.trainee.validate())
        for name, value in row.items():
            self.history.setdefault(name, []).append(value)
        if self.early_stopping and self.early_stopping.is_best(self.epoch, row["validation_elbo"]):
            self.trainee.remember_best()
        self.trainee.epoch_ended(self.epoch)
        self.trainee.save()

    @contextmanager
    def _progress_bar(self) -> Iterator[Any]:
        if not self.verbose:
            yield _NoBar()
            return
        from tqdm import tqdm

        batches = -(-self.n // self.batch_size)
        with tqdm(
            total=self.epochs * batches,
            initial=self.epoch * batches + self.batch,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            dynamic_ncols=True,
            file=sys.stderr,
        ) as bar:
            yield _Bar(bar, batches, self.epochs)


class _NoBar:
    def advance(self, metrics: Metrics) -> None:
        pass


class _Bar:
    """A progress bar that shows the epoch, the ELBO and its two terms, averaged over the last batches."""

    def __init__(self, bar: Any, batches: int, epochs: int) -> None:
        self.bar, self.batches, self.epochs = bar, batches, epochs
        self.running: Metrics = {}
        self.done, self.pending = bar.n, 0

    def advance(self, metrics: Metrics) -> None:
        for name, value in metrics.items():
            self.running[name] = 0.98 * self.running.get(name, value) + 0.02 * value
        self.pending += 1
        self.done += 1
        # Redrawing costs as much as a small step: every tenth batch is enough for the eye.
        if self.pending < 10 and self.done % self.batches:
            return
        r = self.running
        epoch = min((self.done - 1) // self.batches + 1, self.epochs)
        self.bar.set_description_str(
            f"epoch {epoch}/{self.epochs}  ELBO {r['elbo']:.2f} = {r['reconstruction']:.2f} - {r['kl']:.2f} ",
            refresh=False,
        )
        self.bar.update(self.pending)
        self.pending = 0


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, so that no step is cut in half; a second one interrupts at once."""
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    previous = signal.getsignal(signal.SIGINT)

    def remember(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, previous)

    if not callable(previous):  # somebody ignores Ctrl-C on purpose
        yield interrupted
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
