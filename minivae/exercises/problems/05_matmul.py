"""05 The VJP of matmul

Y = A @ B, with A of shape (N, D) and B of shape (D, H). The cotangents of A and
B are matrix products too, equation AD.6; their shapes leave little choice.
"""

import numpy as np


def matmul(A, B):
    """Multiply two matrices."""
    return np.matmul(A, B)


def matmul_vjp(g, out, A, B):
    """Return the cotangents of A, (N, D), and of B, (D, H); g and out are (N, H)."""
    # --- your code: return two matrices ---
    return g @ B.T, A.T @ g
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_vjp, draw

EQUATIONS = ["AD.6"]
SECTION = "reverse_mode#five-derivations"

HINTS = [
    "Y[i, j] = sum over k of A[i, k] B[k, j]. Which elements of Y does A[i, k] take part in, and "
    "with what factor?",
    "The cotangent of A[i, k] is the sum over j of g[i, j] B[k, j]. Which matrix product is that, "
    "and which matrix has to be transposed?",
    "return g @ B.T, ... @ g",
]


def check(answer):
    suspects = {
        "the cotangents come in the order of the inputs: A's first": lambda g, out, A, B: (
            A.T @ g,
            g @ B.T,
        ),
    }
    check_vjp(
        answer.matmul_vjp, matmul, matmul_vjp, suspects=suspects, A=draw(3, 5), B=draw(5, 4)
    )
    # Square matrices do not say by their shapes which one has to be transposed.
    square = dict(A=draw(4, 4), B=draw(4, 4, seed=1))
    suspects = {
        "B is not transposed in the cotangent of A": lambda g, out, A, B: (g @ B, A.T @ g),
        "A is not transposed in the cotangent of B": lambda g, out, A, B: (g @ B.T, A @ g),
        "neither matrix is transposed": lambda g, out, A, B: (g @ B, A @ g),
        "the factors are in the wrong order: a matrix product does not commute": (
            lambda g, out, A, B: (B.T @ g, g @ A.T)
        ),
        "the factor in the cotangent of A is in the wrong order": (
            lambda g, out, A, B: (B.T @ g, A.T @ g)
        ),
    }
    check_vjp(answer.matmul_vjp, matmul, matmul_vjp, suspects=suspects, **square)


WRONG = [
    Wrong("return A.T @ g, g @ B.T", "order is A, B|exchanged"),
    Wrong("return (g @ B.T).T, A.T @ g", "transposed"),
    Wrong("return g @ B.T, (A.T @ g).T", "cotangent of B .* transposed"),
    Wrong("return g @ B.T, -A.T @ g", "gradient of B has the wrong sign"),
    Wrong("return g @ B.T / len(g), A.T @ g / len(g)", "N times too small"),
    Wrong("return g @ B.T, A.T @ out", "g is left out in the cotangent of B"),
    Wrong("return np.ones_like(g) @ B.T, A.T @ np.ones_like(g)", "cotangent g is left out"),
    Wrong("return g @ B, A @ g", "mismatch"),
    Wrong(
        "m = g.shape[1] == A.shape[1]\nreturn g @ (B if m else B.T), A.T @ g",
        "B is not transposed",
    ),
    Wrong("return 2 * g @ B.T, A.T @ g", "gradient of A is twice"),
    Wrong("return g * B, A * g", r"there: g \(3, 4\), A \(3, 5\), B \(5, 4\)"),
    Wrong("return g @ B, A @ g", "last axis of A and the first of B agree"),
    Wrong("return g @ B.T, (A.T @ g).astype(np.float32)", "float32"),
]
