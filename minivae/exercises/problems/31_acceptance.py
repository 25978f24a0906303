"""31 Take the end of a trajectory, or stay

A trajectory of Hamiltonian Monte Carlo went from z to z', and its momentum from
r to r'. The energy is -log p(z) + sum_k r_k^2 / (2 m_k), equation CHAIN.2. Return
the probability with which each chain takes its end.
"""

import numpy as np


def acceptance(log_p, log_p_new, r, r_new, mass):
    """Return the probabilities ``(N,)`` from log p at z and z', both ``(N,)``.

    The momenta r and r' are ``(N, K)``, the masses m ``(K,)``.
    """
    # --- your code: return an array of N probabilities ---
    energy = np.sum(r**2 / mass, axis=1) / 2 - log_p
    energy_new = np.sum(r_new**2 / mass, axis=1) / 2 - log_p_new
    return np.minimum(1, np.exp(energy - energy_new))
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["CHAIN.2"]
SECTION = "sampling#rolling-along-the-density"

HINTS = [
    "Two terms make the energy. The leapfrog trades one for the other, so what does the ratio of "
    "the densities alone leave out?",
    "The probability is min(1, exp(H - H')): a move to lower energy is always taken.",
    "energy = np.sum(r**2 / mass, axis=1) / 2 - log_p, the same at the end, and np.minimum(1, ...)",
]


def made(log_p, log_p_new, r, r_new, mass, density, kinetic, scale, end):
    before, after = (scale(p**2, mass) for p in (r, r_new))
    return end(density * (log_p_new - log_p) + kinetic * (before - after))


SUSPECTS = combined(
    made,
    density={
        "": 1,
        "the density is missing: only the kinetic energy is left": 0,
        "the density has the wrong sign: a fall of the density is rewarded": -1,
        "the density counts twice": 2,
    },
    kinetic={
        "": 1,
        "the kinetic energy is missing: a chain with this acceptance draws from another "
        "density": 0,
        "the kinetic energy has the wrong sign": -1,
        "the half of the kinetic energy is missing": 2,
        "the kinetic energy is halved twice": 0.5,
    },
    scale={
        "": lambda squares, mass: np.sum(squares / mass, axis=1) / 2,
        "multiplied by the masses, where the squares are divided by them": lambda squares, mass: (
            np.sum(squares * mass, axis=1) / 2
        ),
        "the masses are missing": lambda squares, mass: np.sum(squares, axis=1) / 2,
        "divided by the squares of the masses": lambda squares, mass: (
            np.sum(squares / mass**2, axis=1) / 2
        ),
        "the kinetic energy is a mean over the dimensions, where a sum is meant": (
            lambda squares, mass: np.mean(squares / mass, axis=1) / 2
        ),
    },
    end={
        "": lambda a: np.minimum(1, np.exp(a)),
        "min(1, ...) is missing: a probability is not above 1": np.exp,
        "the exponential is missing": lambda a: np.minimum(1, a),
        "this is the logarithm of the probability": lambda a: np.minimum(0, a),
        "this is 0 or 1, and not the probability": lambda a: (a > 0).astype(float),
        "the largest of the two is taken, where the smallest is meant": lambda a: (
            np.maximum(1, np.exp(a))
        ),
        "a sigmoid, which is another rule (Barker's)": lambda a: 1 / (1 + np.exp(-a)),
    },
)


def check(answer):
    check_function(
        answer.acceptance, acceptance, suspects=SUSPECTS,
        elsewhere={
            "where a trajectory ran far off: its probability is 0": {
                "log_p_new": draw(5, seed=2) - 4000.0,
            },
        },
        log_p=draw(5, seed=1), log_p_new=draw(5, seed=2), r=draw(5, 3, seed=3),
        r_new=draw(5, 3, seed=4), mass=draw(3, seed=5, low=0.5, high=3.0),
    )  # fmt: skip


ENERGY = (
    "energy = np.sum(r**2 / mass, axis=1) / 2 - log_p\n"
    "energy_new = np.sum(r_new**2 / mass, axis=1) / 2 - log_p_new\n"
)

WRONG = [
    Wrong("return np.minimum(1, np.exp(log_p_new - log_p))", "kinetic energy is missing"),
    Wrong(ENERGY + "return np.minimum(1, np.exp(energy_new - energy))", "sign"),
    Wrong(ENERGY + "return np.exp(energy - energy_new)", r"min\(1"),
    Wrong(ENERGY + "return np.minimum(0, energy - energy_new)", "logarithm of the probability"),
    Wrong(
        ENERGY.replace("/ mass", "* mass") + "return np.minimum(1, np.exp(energy - energy_new))",
        "multiplied by the masses",
    ),
    Wrong(
        ENERGY.replace(" / mass", "") + "return np.minimum(1, np.exp(energy - energy_new))",
        "masses are missing",
    ),
    Wrong(
        ENERGY.replace(" / 2", "") + "return np.minimum(1, np.exp(energy - energy_new))",
        "half of the kinetic",
    ),
    Wrong(
        ENERGY.replace("- log_p", "+ log_p") + "return np.minimum(1, np.exp(energy - energy_new))",
        "density has the wrong sign",
    ),
    Wrong(ENERGY + "return (energy > energy_new) * 1.0", "0 or 1"),
    Wrong(ENERGY + "return 1 / (1 + np.exp(energy_new - energy))", "sigmoid"),
    Wrong(
        ENERGY.replace("np.sum", "np.mean") + "return np.minimum(1, np.exp(energy - energy_new))",
        "mean over the dimensions",
    ),
]
