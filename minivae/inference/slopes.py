"""log p(z) and its gradient for a chain, which asks for them thousands of times.

What is computed is the same each time, so from the second call on it is done by the recorded calls
of the first, as a training step is: see :mod:`minivae.replay`. What does not depend on z, such as a
coefficient of the data, is then not computed again, and no memory is asked for. A trajectory wants
the height at its end only: on the way, the calls that make nothing but it are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from minivae.inference.importance import LogDensity
from minivae.recording import Call, Recorder, owner, plain, same_bits
from minivae.replay import Refused, bound, is_on
from minivae.tensor import Array, Tensor, walk
from minivae.transforms import vjp
from minivae.trees import leaves

__all__ = ["Slopes", "ValueAndSlope"]


class ValueAndSlope(Protocol):
    """What a trajectory needs of a density."""

    def __call__(self, z: Array) -> tuple[Array, Array]:
        """log p(z), ``(C, n)``, and its gradient, ``(C, n, K)``."""

    def slope(self, z: Array) -> Array:
        """The gradient alone."""


class Slopes:
    """The value and the gradient of a log-density at z, ``(C, n)`` and ``(C, n, K)``.

    The first, second, fourth, eighth, ... run of a program is made on the tape as well, and where
    the two differ the program is given up: what it cannot see may turn out otherwise far away.

    Parameters
    ----------
    log_density
        log p(z) up to a constant, of z ``(C, n, K)``: a function of z alone, computed with
        operations that can be differentiated.
    """

    def __init__(self, log_density: LogDensity) -> None:
        self.log_density, self._on = log_density, is_on()
        self._program: _Program | None = None
        self._runs = 0  # of the program
        self._seen: Any = None  # the shape and dtype of the last z

    def __call__(self, z: Array) -> tuple[Array, Array]:
        """log p(z) and its gradient."""
        kind = z.shape, z.dtype
        known = self._program and self._program.fits(z)
        if self._on and kind == self._seen and not known:
            self._record(z)
        self._seen = kind
        if self._program is None or not self._program.fits(z):
            return self._on_tape(z)
        if self._checked() and np.array_equal(z, self._program.z):
            # where it is known already, it would prove nothing
            return self._program.run(z) if self._runs > 1 else self._on_tape(z)
        try:
            found = self._program.run(z)
            if not self._checked():
                self._runs += 1
                return found
            alone, theirs = self._program.run(z, height=False)[1], self._on_tape(z)
            if all(map(same_bits, (*found, alone), (*theirs, theirs[1]))):
                self._runs += 1
                return theirs
        except Exception:  # where it is the density's own, the tape tells it
            pass
        self._on, self._program = False, None
        return self._on_tape(z)

    def slope(self, z: Array) -> Array:
        """The gradient alone."""
        if self._program is not None and self._program.fits(z) and not self._checked():
            with suppress(Exception):  # which the tape tells
                slope = self._program.run(z, height=False)[1]
                self._runs += 1
                return slope
        return self(z)[1]

    def _checked(self) -> bool:
        """Whether the next run is one that is made both ways."""
        return not (self._runs + 1) & self._runs

    def _on_tape(self, z: Array) -> tuple[Array, Array]:
        height, pull_back = vjp(self.log_density, z)
        (slope,) = pull_back(np.ones_like(height))
        return height, slope

    def _record(self, z: Array) -> None:
        """Make a program, or see that there can be none."""
        if not Recorder.one_at_a_time.acquire(blocking=False):  # another thread is recording
            return
        try:
            self._program, self._runs = _Program(self.log_density, z), 0
        except Exception:  # whatever it is: where it is the density's own, the tape tells it
            self._on, self._program = False, None
        finally:
            Recorder.one_at_a_time.release()


class _Program:
    """The calls that make log p(z) and its gradient of z, bound to arrays of their own."""

    def __init__(self, log_density: LogDensity, z: Array) -> None:
        recorder, leaf = Recorder(), Tensor(z, requires_grad=True)
        with recorder.watching():
            recorder.stand_in(leaf)
            height = log_density(leaf)
            slope = walk(height, np.ones(height.shape, height.dtype), [leaf])[leaf]
        if recorder.refusal or recorder.numbers or not recorder.knows(height._array):
            raise Refused(recorder.refusal or "a number leaves for Python, which may decide by it")
        self.kind = z.shape, z.dtype
        self.leaves, (_, self.z) = recorder.leaves, recorder.leaves.pop(leaf)
        self.height, self.gradient = plain(height._array), plain(slope)
        calls = {id(call): bound(call, {}) for call in recorder.calls}
        self.calls, self.of_gradient = (
            [calls[id(call)] for call in _between(recorder.calls, self.z, ends)]
            for ends in ((self.height, self.gradient), (self.gradient,))
        )

    def fits(self, z: Array) -> bool:
        """Whether z has the shape of the recording, and the model is the same."""
        same = all(leaf._array is array for leaf, (array, _) in self.leaves.items())
        return same and (z.shape, z.dtype) == self.kind

    def run(self, z: Array, height: bool = True) -> tuple[Array, Array]:
        """log p(z), unless it is left as it was, and its gradient."""
        np.copyto(self.z, z)
        with np.errstate(all="ignore"):
            for call in self.calls if height else self.of_gradient:
                call()
        return self.height.copy(), self.gradient.copy()


def _between(calls: Sequence[Call], start: Array, ends: Sequence[Array]) -> list[Call]:
    """The calls on the ways from one array to others."""
    moving, reached = {id(owner(start))}, []
    for call in calls:
        if moving & _read(call):
            moving |= _made(call)
            reached.append(call)
    wanted, needed = {id(owner(x)) for x in ends}, []
    for call in reversed(reached):
        if wanted & _made(call):
            wanted |= _read(call)
            needed.append(call)
    return needed[::-1]


def _made(call: Call) -> set[int]:
    return {id(owner(x)) for _, x in call.results}


def _read(call: Call) -> set[int]:
    """Where a call's arguments lie, and what a loop writes to."""
    arrays = (x for x in leaves((call.inputs, call.params)) if isinstance(x, np.ndarray))
    return {id(owner(x)) for x in arrays}
