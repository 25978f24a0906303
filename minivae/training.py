"""One run of training by gradients, which all models here share.

A run knows nothing of models. It draws minibatches, asks each player for a loss, moves the player's
parameters along the gradient, averages what was measured, and keeps the state from which it
continues bit for bit. What else happens on the way, such as early stopping or a prior that is held
at first, is a hook.
"""

from __future__ import annotations

import copy
import math
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import minivae_kernels as kernels
from minivae.checkpoint import generator_state, restore_generator
from minivae.errors import ShapeError
from minivae.notebook import progress_bar
from minivae.optim import Optimiser
from minivae.replay import Step
from minivae.stored import shuffled
from minivae.tensor import Array, Tensor

__all__ = [
    "Batch", "EachEpoch", "EarlyStopping", "Hook", "Loss", "Metrics", "Player", "Run",
    "with_prefix", "without_prefix",
]  # fmt: skip

Metrics = dict[str, float]
Batch = tuple[Array, ...]
Loss = Callable[[Batch, np.random.Generator, float], tuple[Tensor, Metrics]]


class Player(NamedTuple):
    """Some parameters, and the loss that they are to minimise.

    ``loss(batch, rng, progress)`` returns the loss and means over the batch of what is to be
    recorded; ``progress`` counts epochs, for example 2.5. ``optimiser`` makes this player's own
    optimiser; without it, the run's is used.
    """

    parameters: Sequence[Tensor]
    loss: Loss
    optimiser: Callable[[list[Tensor]], Optimiser] | None = None


class Hook:
    """Something that happens during a run; a subclass overrides the methods it needs."""

    name: str = ""
    """Under which a checkpoint keeps its state; hooks without state may come and go."""

    def step_begins(self, run: Run, progress: float) -> None:
        """Before the first loss of a step."""

    def gradients_ready(self, run: Run, progress: float) -> None:
        """Before a player's optimiser steps; parameters without a gradient stay as they are."""

    def epoch_ended(self, run: Run) -> None:
        """Before the first step, when ``run.epoch`` is 0, and after each epoch."""

    def wants_to_stop(self, run: Run) -> bool:
        """Whether the run is finished."""
        return False

    def run_ended(self, run: Run) -> None:
        """When a run that is finished comes to its end."""

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """What a restart needs: what JSON can say, and arrays by name."""
        return {}, {}

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from where :meth:`state` was taken."""


class EarlyStopping(Hook):
    """Stop when a metric has not risen for ``patience`` epochs, and go back to the best.

    Parameters
    ----------
    metric
        Its name in the history.
    patience
        How many epochs to wait for a better one.
    warmup
        How many epochs at the start are ignored, because they train a different model.
    remember, give_back
        Copies of the parameters by name, and the function that takes them back.
    """

    name = "early_stopping"

    def __init__(
        self,
        metric: str,
        patience: int,
        warmup: int,
        remember: Callable[[], dict[str, Array]],
        give_back: Callable[[Mapping[str, Array]], None],
    ) -> None:
        self.metric, self.patience, self.warmup = metric, patience, warmup
        self.remember, self.give_back = remember, give_back
        self.best_score, self.best_epoch = -np.inf, warmup
        self.best: dict[str, Array] = {}

    def epoch_ended(self, run: Run) -> None:
        """Keep the parameters if they are the best so far."""
        if run.epoch <= self.warmup:
            return
        score = run.history[self.metric][-1]
        if score > self.best_score:
            self.best_score, self.best_epoch = score, run.epoch
            self.best = self.remember()

    def wants_to_stop(self, run: Run) -> bool:
        """Whether the best epoch lies ``patience`` epochs back."""
        return run.epoch - self.best_epoch >= self.patience

    def run_ended(self, run: Run) -> None:
        """Give back the best parameters."""
        if self.best:
            self.give_back(self.best)

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The best score, its epoch and its parameters."""
        return {"best_score": self.best_score, "best_epoch": self.best_epoch}, self.best

    def restore(self, state: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from there."""
        self.best_score, self.best_epoch = state["best_score"], state["best_epoch"]
        self.best = dict(arrays)


class EachEpoch(Hook):
    """Call a function with the number of finished epochs, 0 before the first step."""

    def __init__(self, function: Callable[[int], object]) -> None:
        self.function = function

    def epoch_ended(self, run: Run) -> None:
        """Call it."""
        self.function(run.epoch)


class Run:
    """Epochs of minibatches.

    Parameters
    ----------
    players
        What is trained; several players move in turn in each step. A parameter that occurs twice
        in one player counts once.
    data
        Arrays that share their rows, the first of which may be on disk. A batch is a tuple of some
        rows of each.
    epochs, batch_size
        How many passes over the data, and how many data per batch; the last may be smaller.
    order, noise
        The generators that shuffle the data anew for each epoch, and that losses draw from.
    optimiser
        Makes the optimiser of a list of parameters.
    monitor
        What to measure after each epoch, by name.
    hooks
        In the order in which they are called.
    save
        Called to write a checkpoint: before the first step, after each epoch, and on Ctrl-C.
    show
        Turns metrics into the text of a progress bar; without it there is none.
    replay
        Whether steps are recorded and run again without the tape (:mod:`minivae.replay`): with the
        same bits, for losses that do nothing but compute. What else a loss does, such as to count
        its calls, is not done then.

    Attributes
    ----------
    history
        Lists with one number for each finished epoch: ``epoch``, the mean of each metric, and what
        ``monitor`` returned.
    """

    def __init__(
        self,
        players: Sequence[Player],
        data: Sequence[Array],
        *,
        epochs: int,
        batch_size: int,
        order: np.random.Generator,
        noise: np.random.Generator,
        optimiser: Callable[[list[Tensor]], Optimiser],
        monitor: Callable[[], Metrics] | None = None,
        hooks: Sequence[Hook] = (),
        save: Callable[[Run], None] | None = None,
        show: Callable[[Metrics], str] | None = None,
        replay: bool = False,
    ) -> None:
        self.players = [p._replace(parameters=[*dict.fromkeys(p.parameters)]) for p in players]
        self.data, self.n = tuple(data), len(data[0])
        if any(len(array) != self.n for array in self.data):
            raise ShapeError(
                f"Run: the arrays have {', '.join(str(len(a)) for a in self.data)} rows; they must "
                "share their rows"
            )
        self.epochs, self.batch_size, self.order, self.noise = epochs, batch_size, order, noise
        self.monitor, self.hooks, self._save, self.show = monitor, list(hooks), save, show
        _check_names(self.hooks)
        self.parameters = [*dict.fromkeys(p for player in self.players for p in player.parameters)]
        self._optimiser, self._replay = optimiser, replay
        self.restart_optimisers()
        self.batches = -(-self.n // batch_size)  # in an epoch
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the present one
        self.sums: Metrics = {}  # over the data of the finished batches
        self.history: dict[str, list[float]] = {}

    def restart_optimisers(self) -> None:
        """Forget the running averages, because the loss changes."""
        self.optimisers = [
            (player.optimiser or self._optimiser)([*player.parameters]) for player in self.players
        ]
        self._steps = [
            Step(player.loss, optimiser, self._replay)
            for player, optimiser in zip(self.players, self.optimisers, strict=True)
        ]

    # ---- stopping and going on ----

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """Where the run stands between two steps, besides parameters and history.

        Two parts: what JSON can say, and arrays by name.
        """
        arrays: dict[str, Array] = {}
        for i, optimiser in enumerate(self.optimisers):
            arrays |= with_prefix(f"optimiser.{i}.", optimiser.state_dict())
        hooks: dict[str, dict[str, Any]] = {}
        for hook in self.hooks:
            if hook.name:
                hooks[hook.name], own = hook.state()
                arrays |= with_prefix(f"{hook.name}.", own)
        position = {
            "epoch": self.epoch,
            "batch": self.batch,
            "sums": dict(self.sums),
            "order": generator_state(self.order),
            "noise": generator_state(self.noise),
            "hooks": hooks,
        }
        return position, arrays

    def restore(self, position: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        """Go on from where :meth:`state` was taken; give ``history`` back its value of then.

        Raises
        ------
        ValueError
            If the state cannot be that of such a run; nothing is changed then.
        """
        epoch, batch = position["epoch"], position["batch"]
        if not (0 <= epoch <= self.epochs and 0 <= batch < self.batches):
            raise ValueError(f"epoch {epoch}, batch {batch} is not a place in this run")
        for i, optimiser in enumerate(self.optimisers):
            optimiser.load_state_dict(without_prefix(f"optimiser.{i}.", arrays))
        for hook in self.hooks:
            if hook.name:
                hook.restore(position["hooks"][hook.name], without_prefix(f"{hook.name}.", arrays))
        self.epoch, self.batch = epoch, batch
        self.sums = {name: float(value) for name, value in position["sums"].items()}
        self.order = restore_generator(position["order"])
        self.noise = restore_generator(position["noise"])

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or a hook wants to stop."""
        return self.epoch >= self.epochs or any(hook.wants_to_stop(self) for hook in self.hooks)

    def save(self) -> None:
        """Write a checkpoint, if there is a file for it."""
        if self._save is not None:
            self._save(self)

    # ---- training ----

    def run(self) -> None:
        """Train to the end; a Ctrl-C stops between two steps, after a checkpoint.

        Raises
        ------
        FloatingPointError
            If a loss becomes infinite or NaN; the parameters are as they were before that step.
        KeyboardInterrupt
            After Ctrl-C, once the checkpoint is written; a second Ctrl-C does not wait for that.
        """
        try:
            with _deferred_interrupt() as interrupted:
                if self.epoch == self.batch == 0:
                    self.save()  # before anything else, in case the disk is full or read-only
                    self._tell_hooks()
                with self._progress_bar() as bar:
                    while not self.finished:
                        self._run_epoch(interrupted, bar)
                if interrupted.is_set():
                    raise KeyboardInterrupt
        finally:
            if self.finished:
                for hook in self.hooks:
                    hook.run_ended(self)

    def _run_epoch(self, interrupted: threading.Event, bar: _NoBar | _Bar) -> None:
        # A copy shuffles, so that a checkpoint in mid-epoch can still tell how the epoch began.
        order = copy.deepcopy(self.order)
        permutation = shuffled(self.data, order, self.batch_size)
        while self.batch < self.batches:
            if interrupted.is_set():
                self.save()
                raise KeyboardInterrupt
            index = permutation[self.batch * self.batch_size : (self.batch + 1) * self.batch_size]
            metrics = self.step(index, self.epoch + self.batch / self.batches)
            for name, value in metrics.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * len(index)
            self.batch += 1
            bar.advance(metrics)
        self._finish_epoch(order)

    def step(self, index: Array, progress: float) -> Metrics:
        """Move each player once, along the gradient of its loss on some rows of the data."""
        for hook in self.hooks:
            hook.step_begins(self, progress)
        # One player's program has room for its rows; what one wrote there, another might not find.
        room = self._steps[0].room(len(index)) if len(self._steps) == 1 else None
        places = zip(self.data, room or [None] * len(self.data), strict=True)
        batch = tuple(_rows(array, index, out) for array, out in places)
        metrics: Metrics = {}
        for step in self._steps:
            loss, measured = step.gradients(batch, self.noise, progress)
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"fit: the loss became {loss} in epoch {int(progress) + 1}; try a smaller "
                    f"learning_rate than {step.optimiser.learning_rate}, or data divided by their "
                    "scale; to resume would lead here again"
                )
            for hook in self.hooks:
                if type(hook).gradients_ready is not Hook.gradients_ready:
                    step.show()
                    hook.gradients_ready(self, progress)
            step.move()
            for p in self.parameters:
                p.grad = None
            metrics |= measured
        return metrics

    def _finish_epoch(self, order: np.random.Generator) -> None:
        means = {name: total / self.n for name, total in self.sums.items()}
        self.epoch, self.batch, self.sums, self.order = self.epoch + 1, 0, {}, order
        measured = self.monitor() if self.monitor is not None else {}
        for name, value in {"epoch": self.epoch, **means, **measured}.items():
            self.history.setdefault(name, []).append(value)
        # In this order, so that after a kill between the two the caller is told again, not never.
        self._tell_hooks()
        self.save()

    def _tell_hooks(self) -> None:
        for hook in self.hooks:
            hook.epoch_ended(self)

    @contextmanager
    def _progress_bar(self) -> Iterator[_NoBar | _Bar]:
        if self.show is None:
            yield _NoBar()
            return
        with progress_bar(
            total=self.epochs * self.batches,
            initial=self.epoch * self.batches + self.batch,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
            dynamic_ncols=True,
            file=sys.stderr,
        ) as bar:
            yield _Bar(bar, self.batches, self.epochs, self.show)


def _check_names(hooks: Sequence[Hook]) -> None:
    """Refuse hooks whose state a checkpoint could not keep, or would keep in one place."""
    names = [hook.name for hook in hooks if hook.name]
    for hook in hooks:
        kind = type(hook).__name__
        if type(hook).state is not Hook.state and not hook.name:
            raise ValueError(f"Run: the hook {kind} has a state; give it a name to keep it under")
        if hook.name and names.count(hook.name) > 1:
            raise ValueError(f"Run: two hooks have the name {hook.name!r}; give each its own")


def _rows(array: Array, index: Array, out: Array | None) -> Array:
    """Some rows of an array: by all threads, and into the place for them, if they are floats."""
    if isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind == "f":
        return kernels.take_rows(array, index, out)
    return array[index]


def with_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays with a prefix before their names."""
    return {prefix + name: array for name, array in arrays.items()}


def without_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays whose names start with a prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


class _NoBar:
    def advance(self, metrics: Metrics) -> None:
        pass


class _Bar:
    """A progress bar: the epoch, and metrics averaged over the last batches."""

    def __init__(
        self, bar: Any, batches: int, epochs: int, show: Callable[[Metrics], str]
    ) -> None:
        self.bar, self.batches, self.epochs, self.show = bar, batches, epochs, show
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
        self.bar.set_description_str(
            f"epoch {(self.done - 1) // self.batches + 1}/{self.epochs}  "
            f"{self.show(self.running)} ",
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
