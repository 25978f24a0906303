"""32 A step of the leapfrog

Half a kick of the momentum, a drift of the position, half a kick again: equation
CHAIN.3. The density is log p(z) = -sum_k a_k log cosh z_k, and its slope is given.
Only this order is undone by the same step with the momentum turned round.
"""

import numpy as np


def slope(z, a):
    """Return the gradient of log p at each row of z, ``(N, K)``."""
    return -a * np.tanh(z)


def leapfrog(z, r, a, mass, h):
    """Return z and r after one step of size h, each ``(N, K)``; the masses are ``(K,)``."""
    # --- your code: return two arrays ---
    r = r + h / 2 * slope(z, a)
    z = z + h * r / mass
    r = r + h / 2 * slope(z, a)
    return z, r
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["CHAIN.3"]
SECTION = "sampling#rolling-along-the-density"

HINTS = [
    "Three lines. Each shifts one of the two by a function of the other. At which z is the second "
    "kick taken?",
    "The drift uses the momentum that was kicked already, and the second kick the slope at the new "
    "place. A kick goes uphill on log p.",
    "r = r + h / 2 * slope(z, a); z = z + h * r / mass; and the first line again",
]


def made(z, r, a, mass, h, first, drift, by, second, place):
    kicked = r + first * h * slope(z, a)
    new = z + drift * h * by(kicked, r, mass)
    return new, kicked + second * h * slope(place(new, z), a)


SUSPECTS = combined(
    made,
    first={
        "": 0.5,
        "the first kick is a whole one: two halves are meant": 1,
        "the first kick is missing": 0,
        "the first kick goes downhill": -0.5,
    },
    second={
        "": 0.5,
        "the second kick is a whole one: two halves are meant": 1,
        "the second kick is missing": 0,
        "the second kick goes downhill": -0.5,
    },
    drift={"": 1, "the drift has the wrong sign": -1, "the drift is half as long": 0.5,
           "the position does not move": 0},
    by={
        "": lambda kicked, r, mass: kicked / mass,
        "the drift is by the momentum before its kick: such a step does not retrace its "
        "path": lambda kicked, r, mass: r / mass,
        "the masses are missing: a heavy momentum drifts slowly": lambda kicked, r, mass: kicked,
        "the drift is multiplied by the masses: divide": lambda kicked, r, mass: kicked * mass,
        "divided by the square root of the masses": lambda kicked, r, mass: kicked / mass**0.5,
    },
    place={
        "": lambda new, z: new,
        "the second kick is by the slope at the old place: take it at the new one": (
            lambda new, z: z
        ),
    },
)  # fmt: skip


SUSPECTS |= {
    "drift, kick, drift: a leapfrog too, but the equation begins and ends with a kick": (
        lambda z, r, a, mass, h: drifting(z, r, a, mass, h)
    ),
}


def drifting(z, r, a, mass, h):
    half = z + h / 2 * r / mass
    kicked = r + h * slope(half, a)
    return half + h / 2 * kicked / mass, kicked


def check(answer):
    check_function(
        answer.leapfrog, leapfrog, names=("z", "r"), suspects=SUSPECTS,
        z=draw(5, 3, seed=1), r=draw(5, 3, seed=2), a=draw(3, seed=3, low=0.5, high=2.0),
        mass=draw(3, seed=4, low=0.5, high=3.0), h=0.3,
    )  # fmt: skip


DRIFT, KICK = "z = z + h * r / mass\n", "r = r + h / 2 * slope(z, a)\n"

WRONG = [
    Wrong("return z + h * r / mass, r + h * slope(z, a)", "before its kick"),
    Wrong(KICK.replace(" / 2", "") + DRIFT + "return z, r", "whole"),
    Wrong(KICK + DRIFT + "return z, r", "second kick is missing"),
    Wrong(DRIFT + KICK + "return z, r", "before its kick"),
    Wrong(KICK.replace("+", "-") + DRIFT + KICK.replace("+", "-") + "return z, r", "downhill"),
    Wrong("z = z + h * r\n".join([KICK, KICK]) + "return z, r", "masses are missing"),
    Wrong("z = z + h * r * mass\n".join([KICK, KICK]) + "return z, r", "multiplied by the masses"),
    Wrong(
        "g = slope(z, a)\nr = r + h / 2 * g\n" + DRIFT + "r = r + h / 2 * g\nreturn z, r",
        "old place",
    ),
    Wrong(
        "half = r + h / 2 * slope(z, a)\nz = z + h * r / mass\n"
        "return z, half + h / 2 * slope(z, a)",
        "before its kick",
    ),
    Wrong(
        "z = z + h / 2 * r / mass\nr = r + h * slope(z, a)\nz = z + h / 2 * r / mass\nreturn z, r",
        "drift, kick, drift",
    ),
    Wrong(KICK + DRIFT + KICK + "return r, z", "the order is"),
]
