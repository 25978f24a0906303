"""Right answers in unusual clothes pass; wrong ones that no bank foresaw are told what they are."""

import re

import pytest

from minivae.exercises import find, judge

RIGHT = {
    "01 a list": "return [g * y, g * x]",
    "01 a loop": """
        a, b = np.zeros(x.shape), np.zeros(x.shape)
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                a[i, j], b[i, j] = g[i, j] * y[i, j], g[i, j] * x[i, j]
        return a, b""",
    "01 nested lists": "return (g * y).tolist(), (g * x).tolist()",
    "02 a while loop": """
        while g.ndim > len(shape):
            g = g.sum(axis=0)
        for i, n in enumerate(shape):
            if n == 1:
                g = g.sum(axis=i, keepdims=True)
        return g""",
    "03 by counting": """
        uses, stack, seen = {}, [root], {root}
        while stack:
            for i in inputs[stack.pop()]:
                uses[i] = uses.get(i, 0) + 1
                if i not in seen:
                    seen.add(i)
                    stack.append(i)
        order, ready = [], [root]
        while ready:
            node = ready.pop()
            order.append(node)
            for i in inputs[node]:
                uses[i] -= 1
                if uses[i] == 0:
                    ready.append(i)
        return tuple(order)""",
    "04 factored": "return g * (np.sin(s) + s * np.cos(s)) * 2 * x",
    "05 einsum": "return np.einsum('nh,dh->nd', g, B), np.einsum('nd,nh->dh', A, g)",
    "06 by cosh": """
        with np.errstate(over="ignore"):
            return g / np.cosh(x) ** 2, g * 0.5 * (1 + np.tanh(x / 2))""",
    "07 a loop with math": """
        import math
        found = []
        for row in a:
            m = max(row)
            found.append(m + math.log(sum(math.exp(v - m) for v in row)))
        return found""",
    "07 reduce": "return np.logaddexp.reduce(a, axis=1)",
    "08 one-hot": "return g.reshape(-1, 1) * (np.exp(log_softmax(a)) - np.eye(a.shape[1])[labels])",
    "09 einsum": """
        P = g / np.cosh(X @ W + b) ** 2
        return np.einsum("nh,dh->nd", P, W), np.einsum("nd,nh->dh", X, P), np.ones(len(X)) @ P""",
    "10 Kingma's shorter form": """
        rate = learning_rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
        scale = np.sqrt(v) + epsilon * np.sqrt(1 - beta2**t)
        return theta - rate * m / scale, m, v""",
    "11 by cases": """
        return np.where(x == 1, -softplus(-logits), -softplus(logits)).sum(axis=1)""",
    "12 by sigma": """
        sigma = np.sqrt(np.exp(log_var))
        each = -np.log(sigma) - np.log(2 * np.pi) / 2 - ((x - mu) / sigma) ** 2 / 2
        return each.sum(axis=-1)""",
    "13 a loop": """
        return [
            sum(0.5 * (m * m + np.exp(v) - 1 - v) for m, v in zip(*row)) for row in zip(mu, log_var)
        ]""",
    "14 through z": "return g, g * (out - mu) / 2",
    "15 a Python float": """
        draws = log_likelihood(x, logits)
        return float(sum(draws)) / len(draws) - float(kl(mu, log_var))""",
}

WRONG = {
    "01 g twice": ("return g * g * y, g * g * x", "squared"),
    "02 sums everything": ("return np.full(shape, g.sum())", "everywhere"),
    "03 sorted": ("return sorted(inputs, key=str)", "comes before|not a list|would be lost"),
    "05 a mean": ("return g @ B.T / 5, A.T @ g", "too small"),
    "06 softplus as relu": (
        "return g * (1 - tanh_x**2), g * (x > 0)",
        "derivative of relu",
    ),
    "07 log of one plus": (
        "m = a.max(axis=1)\nreturn m + np.log1p(np.exp(a - m[:, None]).sum(axis=1))",
        "log1p adds a 1",
    ),
    "09 no bias in tanh": (
        "P = g * (1 - out**2)\nreturn P @ W.T, X.T @ P, -P.sum(axis=0)",
        "gradient of b has the wrong sign",
    ),
    "12 squared twice": (
        "return -0.5 * np.sum(np.log(2*np.pi) + log_var + (x-mu)**4 * np.exp(-log_var), axis=1)",
        "result",
    ),
    "13 double log_var": (
        "return 0.5 * np.sum(mu**2 + np.exp(log_var) - 1 - 2 * log_var, axis=1)",
        "log_var is counted twice",
    ),
    "13 plus one": (
        "return 0.5 * np.sum(mu**2 + np.exp(log_var) + 1 - log_var, axis=1)",
        "-1/2, .* has the wrong sign",
    ),
    "14 sigma from mu": (
        "return g, g * 0.5 * np.exp(mu / 2) * eps",
        "mu is used where log_var should be",
    ),
    "15 kl of zero": (
        "return np.mean(log_likelihood(x, logits)) - kl(0 * mu, log_var)",
        "mu is missing in the KL",
    ),
    "12 None": ("log_var + x - mu", "returns None"),
    "12 a string": ("return 'log'", "not numbers"),
    "12 complex": ("return np.sum(np.sqrt(log_var.astype(complex)), axis=1)", "complex"),
    "01 float32": ("return (g * y).astype(np.float32), (g * x).astype(np.float32)", "float32"),
    "12 float32": (
        "x, mu, log_var = (v.astype(np.float32) for v in (x, mu, log_var))\n"
        "total = np.log(2 * np.float32(np.pi)) + log_var + (x - mu) ** 2 / np.exp(log_var)\n"
        "return -np.float32(0.5) * total.sum(axis=1)",
        "float32",
    ),
    "12 exit": ("exit()", "exit"),
    "12 no Python": ("return (", "not Python"),
    "12 recursion": ("return gaussian_log_prob(x, mu, log_var)", "calls itself without end"),
    "12 writes": ("x -= mu\nreturn np.sum(x, axis=1)", "changes its argument x in place"),
    "12 noise": ("return np.random.normal(size=len(x))", "pattern|differ"),
    "12 nan": ("return np.full(len(x), np.nan)", "nan"),
}


@pytest.mark.parametrize("what", RIGHT)
def test_right_answers_pass_however_they_are_written(what):
    exercise = find(what[:2])
    verdict = judge(exercise, exercise.filled(RIGHT[what]))
    assert verdict, f"{verdict}\n{verdict.traceback}"


@pytest.mark.parametrize("what", WRONG)
def test_wrong_answers_that_nobody_foresaw(what):
    exercise = find(what[:2])
    body, diagnosis = WRONG[what]
    verdict = judge(exercise, exercise.filled(body))
    assert not verdict
    assert re.search(diagnosis, verdict.diagnosis, re.IGNORECASE), verdict.diagnosis
