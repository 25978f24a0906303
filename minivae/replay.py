"""From a tape to a program: a training step recorded once, and run again as a list of calls.

A step computes the same graph each time, of other numbers. So one step is recorded, and the list of
its calls is a *program*. To run it is to copy the minibatch into the first arrays and to make the
calls: there are no tensors, nothing is sorted, and the arrays are those of the recording. The
parameters lie one behind the other in one array, and so do their gradients and what the optimiser
keeps of each, so that one call moves them all.

What was not recorded is not done, so a program is not believed before it has proved itself: the
steps after the recording are done both ways, and every bit of the gradients and of what is measured
must agree. Where it does not fit, as a last batch that is shorter, a step is done on the tape.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from minivae.optim import Optimiser
from minivae.recording import (
    Call,
    Draws,
    Guard,
    Progress,
    Recorder,
    Seen,
    address,
    owner,
    plain,
    whole,
)
from minivae.tensor import Array
from minivae.trees import mapped
from minivae_kernels.recording import again

__all__ = ["Program", "Refused", "Step", "bound", "is_on"]

CHECKED = 2  # steps that are done both ways
FILLING = (np.random.Generator.standard_normal, np.random.Generator.random)  # a given array
PAGE, LINE = 4096, 64  # bytes of an array that is not small, and of a cache line
ATTEMPTS = 10  # recordings, after which a run's steps stay on the tape

Measured = Mapping[str, float]


class Refused(Exception):
    """Why a program does not do a step: any, or this one."""


class Program:
    """The calls of a recorded step, bound to arrays of their own.

    Parameters
    ----------
    recorder
        What has seen the step.
    batch, rng, loss, measured
        What the step was given, and what came of it.
    optimiser
        Whose parameters have their gradients.

    Raises
    ------
    Refused
        If the step cannot be done by calls alone.
    """

    def __init__(
        self,
        recorder: Recorder,
        batch: Sequence[Array],
        rng: np.random.Generator,
        loss: Array,
        measured: Mapping[str, Any],
        optimiser: Optimiser,
    ) -> None:
        numbers = {id(number): array for number, array in recorder.numbers}
        found = {name: plain(numbers.pop(id(x), x)) for name, x in measured.items()}
        if numbers:
            recorder.refuse("a number leaves for Python, which may decide by it")
        if recorder.refusal:
            raise Refused(recorder.refusal)
        self.source, self.guards = rng.bit_generator, recorder.guards
        self.optimiser, self.averages = optimiser, optimiser.averages
        moved = [i for i, p in enumerate(optimiser.parameters) if p.grad is not None]
        self.parameters = [optimiser.parameters[i] for i in moved]
        if len({p.dtype for p in self.parameters}) != 1:
            raise Refused("the parameters have several dtypes")
        copies = [recorder.leaves[p][1] for p in self.parameters]
        self.values, self.views = _side_by_side(copies)
        gradients: list[Any] = [p.grad for p in self.parameters]
        self.gradient, self.gradients = _side_by_side(gradients)
        place = {id(x): view for x, view in zip(copies, self.views, strict=True)}
        calls = recorder.calls
        for g, view in zip(gradients, self.gradients, strict=True):
            if not recorder.knows(g):
                raise Refused("a gradient comes from somewhere else")
            if g is owner(g) and g.flags.c_contiguous and id(g) not in place:
                place[id(g)] = view
            else:
                calls.append(Call(np.array, (g,), {}, [(0, view)]))
        rooms = [_side_by_side([x[i] for i in moved]) for x in self.averages.values()]
        together = [[memory] for memory, _ in rooms]
        self.mover = optimiser._mover([self.values], [self.gradient], *together)
        for averages, (_, views) in zip(self.averages.values(), rooms, strict=True):
            for i, view in zip(moved, views, strict=True):
                np.copyto(view, averages[i])
                averages[i] = view
        own = set(self.parameters)
        # Another player's parameters may be written over, by its program or by its optimiser: if
        # nobody holds on to them.
        self.others = [
            (leaf, None if leaf.requires_grad else array, copy)
            for leaf, (array, copy) in recorder.leaves.items()
            if leaf not in own
        ]
        # What is computed on the way lies in one array as well, all but small arrays.
        kept = place.keys() | {id(copy) for *_, copy in self.others}
        passing = [
            x
            for x in recorder.known
            if x.nbytes >= PAGE and x.dtype == self.values.dtype and id(x) not in kept
        ]
        place |= zip(map(id, passing), _side_by_side(passing)[1], strict=True)
        self.loss, *self.batch = [_placed(x, place) for x in (loss, *batch)]
        self.measured = {name: _placed(x, place) for name, x in found.items()}
        calls = [call for call in calls if not _only_copies(call, kept, place)]
        self.calls = [bound(call, place) for call in calls]
        self.agreed = self.readers = 0

    def fits(self, batch: Sequence[Array]) -> bool:
        """Whether a minibatch has the shapes and dtypes of the one that was recorded."""
        return [(x.shape, x.dtype) for x in batch] == [(x.shape, x.dtype) for x in self.batch]

    def run(
        self, batch: Sequence[Array], rng: np.random.Generator, progress: float
    ) -> tuple[float, Measured]:
        """The loss and what is measured; the gradients are in ``gradients``.

        Raises
        ------
        Refused
            If a comparison of the progress has another answer than when it was recorded, or
            somebody holds on to values of the parameters, which are to be written over, or what it
            draws from or moves is another's.
        """
        if not all(guard.holds(progress) for guard in self.guards):
            raise Refused("the run has come to where its steps are other ones")
        here = sum([p._array is view for p, view in zip(self.parameters, self.views, strict=True)])
        readers = sum(map(sys.getrefcount, (owner(self.values), *self.views))) - here
        self.readers = self.readers or readers  # the program itself
        if readers > self.readers:
            raise Refused("somebody holds on to the parameters' values")
        if self.optimiser.averages is not self.averages or rng.bit_generator is not self.source:
            raise Refused("the run has another state")
        for own, rows in zip(self.batch, batch, strict=True):
            if rows is not own:
                np.copyto(own, rows)
        if here < len(self.views):
            self._take_parameters()
        for leaf, array, copy in self.others:
            if leaf._array is not array:
                np.copyto(copy, leaf._array)
        with np.errstate(all="ignore"):
            for call in self.calls:
                call()
        return self.loss.item(), {name: float(x) for name, x in self.measured.items()}

    def _take_parameters(self) -> None:
        """Take over what the tape has moved, or what was given new data."""
        for p, view in zip(self.parameters, self.views, strict=True):
            if p._array is not view:
                view.setflags(write=True)
                np.copyto(view, p._array)
                view.setflags(write=False)
                p._array = view

    def move(self) -> None:
        """Move all parameters at once along their gradients."""
        self.optimiser.step_count += 1
        self.mover()


class Step:
    """How a player's steps are done: on the tape, or by a program as soon as there is one.

    Parameters
    ----------
    loss, optimiser
        Of the player.
    replay
        Whether there may be programs; not where the environment has MINIVAE_REPLAY=0.

    Attributes
    ----------
    refusal
        Why the last program was given up, or could not be made.
    """

    def __init__(self, loss: Callable[..., Any], optimiser: Optimiser, replay: bool) -> None:
        self.loss, self.optimiser = loss, optimiser
        self.attempts = ATTEMPTS if replay and is_on() else 0
        self.program: Program | None = None
        self.replayed = False  # whether the last gradients are in the program only
        self.refusal = ""
        self._rows = 0  # of the largest batch so far: smaller ones are not recorded
        self._waiting: Sequence[Guard] = ()  # for one of these to change

    def room(self, rows: int) -> Sequence[Array | None] | None:
        """Where so many rows of the data are best put, or None while the tape may see them."""
        program = self.program
        if program is None or program.agreed < CHECKED or len(program.batch[0]) != rows:
            return None
        return program.batch

    def gradients(
        self, batch: Sequence[Array], rng: np.random.Generator, progress: float
    ) -> tuple[float, Measured]:
        """Compute the gradients; return the loss and what the loss measured."""
        program, self.replayed = self.program, False
        if program is not None and program.fits(batch):
            return self._by_program(program, batch, rng, progress)
        waits = self._waiting and all(guard.holds(progress) for guard in self._waiting)
        if self.attempts == 0 or waits or len(batch[0]) <= self._rows - (program is None):
            return self._on_tape(batch, rng, progress)
        if not Recorder.one_at_a_time.acquire(blocking=False):  # another thread is recording
            return self._on_tape(batch, rng, progress)
        try:
            return self._recorded(batch, rng, progress)
        finally:
            Recorder.one_at_a_time.release()

    def _on_tape(self, batch: Any, rng: Any, progress: float) -> tuple[float, Measured]:
        loss, measured = self.loss(batch, rng, progress)
        value = loss.item()
        if math.isfinite(value):
            loss.backward()
        return value, measured

    def _recorded(self, batch: Any, rng: Any, progress: float) -> tuple[float, Measured]:
        self.attempts, self._rows, self.program = self.attempts - 1, len(batch[0]), None
        recorder = Recorder()
        own = [recorder.learn(np.array(x)) for x in batch]
        seen = tuple([x.view(Seen) for x in own])
        with recorder.watching():
            for p in self.optimiser.parameters:
                recorder.stand_in(p)
            loss, measured = self.loss(seen, Draws(rng.bit_generator), Progress(progress))
            at = plain(loss._array)
            if math.isfinite(at.item()):
                loss.backward()
        found = at.item(), {name: float(x) for name, x in measured.items()}
        if not math.isfinite(at.item()):
            return found
        for p in self.optimiser.parameters:
            p.grad = None if p.grad is None else whole(plain(p.grad))
        try:
            self.program = Program(recorder, own, rng, at, measured, self.optimiser)
        except Refused as refused:
            self.refusal, self._waiting = str(refused), recorder.guards
            self.attempts = self.attempts if recorder.moving else 0
        return found

    def _by_program(
        self, program: Program, batch: Any, rng: Any, progress: float
    ) -> tuple[float, Measured]:
        before = rng.bit_generator.state
        try:
            found = program.run(batch, rng, progress)
        except Exception as error:  # whatever it is: where it is the loss's own, the tape tells it
            self.program, self.refusal = None, str(error)
            rng.bit_generator.state = before
            return self._on_tape(batch, rng, progress)
        self.replayed = program.agreed == CHECKED
        if self.replayed:
            return found
        rng.bit_generator.state = before
        theirs = self._on_tape(batch, rng, progress)
        if _bits(*found, program.gradients) == _bits(*theirs, [p.grad for p in program.parameters]):
            program.agreed += 1
        else:
            self.program, self.attempts = None, 0
            self.refusal = "the program computes something else than the tape"
        return theirs

    def show(self) -> None:
        """Put the gradients where a hook finds them, and may change them: in ``grad``."""
        if self.replayed and self.program is not None:
            for p, g in zip(self.program.parameters, self.program.gradients, strict=True):
                p.grad = g.copy()
            self.replayed = False

    def move(self) -> None:
        """Move the parameters along the gradients."""
        if self.replayed and self.program is not None:
            self.program.move()
        else:
            self.optimiser.step()


def is_on() -> bool:
    """Whether the environment leaves programs on: MINIVAE_REPLAY is not 0.

    Raises
    ------
    ValueError
        If it is neither 0 nor 1.
    """
    text = os.environ.get("MINIVAE_REPLAY", "").strip()
    if text not in ("", "0", "1"):
        raise ValueError(f"MINIVAE_REPLAY must be 0 or 1, not {text!r}")
    return text != "0"


def _bits(loss: float, measured: Measured, gradients: Sequence[Any]) -> Any:
    """All bits of a step."""
    numbers = np.array([loss, *measured.values()], np.float64)
    return [*measured], numbers.tobytes(), [None if g is None else g.tobytes() for g in gradients]


def _side_by_side(arrays: Sequence[Array]) -> tuple[Array, list[Array]]:
    """One array with room for all the others, and its parts in their shapes.

    Each begins where a cache line does. A register that is stored across the border of two lines
    takes both of them away from other threads, and NumPy's arrays may begin anywhere.
    """
    if not arrays:
        return np.empty(0), []
    dtype, one = arrays[0].dtype, LINE // arrays[0].itemsize
    ends = np.cumsum([-(-x.size // one) * one for x in arrays]).tolist()
    memory = np.zeros(ends[-1] + one, dtype)
    together = memory[-address(memory) % LINE // dtype.itemsize :][: ends[-1]]
    starts = zip(arrays, [0, *ends], strict=False)
    return together, [together[i : i + x.size].reshape(x.shape) for x, i in starts]


def _placed(x: Any, place: Mapping[int, Array]) -> Any:
    """An array where its memory lies now, or anything else."""
    if not isinstance(x, np.ndarray) or id(owner(x)) not in place:
        return x
    to = place[id(owner(x))]
    start = address(x) - address(owner(x)) + address(to) - address(owner(to))
    return np.ndarray(x.shape, x.dtype, owner(to), start, x.strides)


def _only_copies(call: Call, kept: Collection[int], place: dict[int, Array]) -> bool:
    """Whether a call copies what can be read where it is, and from then on is.

    Everything is written once in a step, so an array and its copy stay the same.
    """
    if call.function is not np.array or not isinstance(call.inputs[0], np.ndarray):
        return False
    x, (_, copy) = call.inputs[0], call.results[0]
    alike = (x.shape, x.dtype, x.strides) == (copy.shape, copy.dtype, copy.strides)
    if not alike or copy is not owner(copy) or id(copy) in kept:
        return False
    place[id(copy)] = _placed(x, place)
    return True


def bound(call: Call, place: Mapping[int, Array]) -> Callable[[], object]:
    """A call without arguments; what lay in arrays of those numbers lies where they say now."""
    there = partial(_placed, place=place)
    function, inputs, params, results = call
    if function is again:
        return again(*mapped(there, inputs))
    for _, x in results:
        owner(x).setflags(write=True)
        x.setflags(write=True)
    places = [(i, there(x)) for i, x in results]
    inputs, params = mapped(there, inputs), mapped(there, params)
    if function in (np.array, np.ndarray.copy):
        return partial(np.copyto, places[0][1], inputs[0], casting="unsafe")
    if function in FILLING and len(inputs) == 2 and places[0][1].flags.c_contiguous:
        return partial(function, inputs[0], **params, out=places[0][1])
    if isinstance(getattr(function, "__self__", None), np.ufunc) or function is np.ndarray.sum:
        return partial(function, *inputs, **params, out=places[0][1])
    return partial(_put, function, inputs, params, places)


def _put(
    function: Callable[..., Any],
    inputs: Sequence[Any],
    params: Mapping[str, Any],
    places: Sequence[tuple[int, Array]],
) -> None:
    """Make a call, and put its results into their places."""
    found = function(*inputs, **params)
    parts = found if isinstance(found, list | tuple) else (found,)
    for i, to in places:
        if np.shape(parts[i]) != to.shape:
            raise Refused("a result has another shape than when it was recorded")
        np.copyto(to, parts[i])
