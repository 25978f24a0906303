"""10 Adam's bias correction

Adam keeps running means m of the gradient and v of its square, equation OPT.3.
Both begin at zero, so that after t steps they are too small by known factors;
dividing by 1 - beta1**t and 1 - beta2**t mends that, and the first step has
length learning_rate whatever the gradient.
"""

import numpy as np


def adam_step(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon):
    """Return theta, m and v after step t of a descent; t counts from 1.

    theta, g (the gradient at theta), m and v (the running means before this step) have one shape.
    """
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    # --- your code: correct the bias, take the step, return theta, m and v ---
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

from minivae.exercises.judging import Wrong, check_function, combined, draw

EQUATIONS = ["OPT.3", "OPT.4"]
SECTION = "networks#adam"

HINTS = [
    "After one step from zero, m is (1 - beta1) g. By what must it be divided to be g? And after "
    "two steps with the same g?",
    "Divide m by 1 - beta1**t and v by 1 - beta2**t, but hand back m and v themselves: they are "
    "the running means, and the next step goes on from them. Epsilon stands outside the root.",
    "theta - learning_rate * m_hat / (np.sqrt(...) + epsilon), m, v",
]

NAMES = ("theta", "m", "v")


def variant(corrected=(True, True), power=True, sign=-1, root=True, inside=False, early=0, **more):
    def wrong(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        one, two = more.get("betas", lambda one, two: (one, two))(beta1, beta2)
        exponent = t + early if power else 1
        m_hat = m / (1 - one**exponent) if corrected[0] else m
        v_hat = v / (1 - two**exponent) if corrected[1] else v
        if more.get("times"):
            m_hat, v_hat = m * (1 - beta1**t), v * (1 - beta2**t)
        if inside:
            below = np.sqrt(v_hat + epsilon)
        else:
            below = (np.sqrt(v_hat) if root else v_hat) + epsilon
        theta = theta + sign * learning_rate * (g if more.get("raw") else m_hat) / below
        return theta, *((m_hat, v_hat) if more.get("stored") else (m, v))

    return wrong


SUSPECTS = {
    "neither mean is corrected: both still lean towards zero": variant((False, False)),
    "m is not corrected": variant((False, True)),
    "v is not corrected": variant((True, False)),
    "the power t is missing: the correction is that of the first step": variant(power=False),
    "the step climbs: descent subtracts it": variant(sign=1),
    "the root of v is missing": variant(root=False),
    "epsilon stands inside the root, where the equation adds it outside": variant(inside=True),
    "t is one too large: it counts from 1 already": variant(early=1),
    "t is one too small: it counts from 1 already": variant(early=-1),
    "beta1 and beta2 are exchanged in the corrections": variant(betas=lambda one, two: (two, one)),
    "v is corrected with beta1, where its own beta2 is meant": variant(
        betas=lambda one, two: (one, one)
    ),
    "m is corrected with beta2, where its own beta1 is meant": variant(
        betas=lambda one, two: (two, two)
    ),
    "multiplied by the corrections, where the equation divides": variant(times=True),
    "the gradient itself is used where its running mean m is": variant(raw=True),
    "the corrected means are handed back: the next step must go on from the running means": variant(
        stored=True
    ),
}


def made(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon, first, second, step):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    m_hat, v_hat = m / first(beta1, t), v / second(beta2, t)
    return theta - learning_rate * step(m_hat, v_hat, epsilon), m, v


CORRECTIONS = {
    "{} has no correction": lambda beta, t: 1.0,
    "{}: the power t is that of beta alone, 1 - beta**t": lambda beta, t: (1 - beta) ** t,
    "{}: the correction has a plus for its minus": lambda beta, t: 1 + beta**t,
    "{}: the correction has beta t where a power is meant": lambda beta, t: 1 - beta * t,
    "{}: the correction lacks the power t": lambda beta, t: 1 - beta,
    "{}: the correction is beta**t, not 1 less that": lambda beta, t: beta**t,
    "{}: multiplied by the correction, where it is divided": lambda beta, t: 1 / (1 - beta**t),
    "{}: the root of the correction": lambda beta, t: np.sqrt(1 - beta**t),
    "{}: the square of the correction": lambda beta, t: (1 - beta**t) ** 2,
    "{}: 1 - beta stands where beta is meant, in the power": lambda beta, t: 1 - (1 - beta) ** t,
    "{}: the correction has the wrong sign": lambda beta, t: beta**t - 1,
}


def corrections(mean):
    return {"": lambda beta, t: 1 - beta**t} | {
        sentence.format(mean): wrong for sentence, wrong in CORRECTIONS.items()
    }


def epsilon_outside(sign):
    def wrong(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon):
        exact = adam_step(theta, g, m, v, t, learning_rate, beta1, beta2, 0.0)
        return exact[0] + sign * epsilon, *exact[1:]

    return wrong


def epsilon_early(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon):
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
    rate = learning_rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
    return theta - rate * m / (np.sqrt(v) + epsilon), m, v


def again(first, second):
    def wrong(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon):
        if first:
            m = beta1 * m + (1 - beta1) * g
        if second:
            v = beta2 * v + (1 - beta2) * g**2
        return adam_step(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon)

    return wrong


def written(beta_1, beta_2, small):
    def wrong(theta, g, m, v, t, learning_rate, beta1, beta2, epsilon):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - (beta_1 or beta1) ** t), v / (1 - (beta_2 or beta2) ** t)
        return theta - learning_rate * m_hat / (np.sqrt(v_hat) + (small or epsilon)), m, v

    return wrong


SUSPECTS |= {
    "m is updated twice: the line above the hole has done it": again(True, False),
    "v is updated twice: the line above the hole has done it": again(False, True),
    "m and v are updated twice: the lines above the hole have done it": again(True, True),
    "epsilon is added to the root of v before v is corrected, as some libraries do: here it stands "
    "beside the root of the corrected v": epsilon_early,
    "epsilon is added behind the fraction: it stands in the denominator": epsilon_outside(1),
    "epsilon is subtracted behind the fraction: it stands in the denominator": epsilon_outside(-1),
}
SUSPECTS |= combined(
    made,
    first=corrections("m"),
    second=corrections("v"),
    step={
        "": lambda m, v, e: m / (np.sqrt(v) + e),
        "the sign of m alone: its size counts too": lambda m, v, e: np.sign(m),
        "epsilon is missing": lambda m, v, e: m / np.sqrt(v),
        "epsilon is subtracted": lambda m, v, e: m / (np.sqrt(v) - e),
        "the root of v is missing": lambda m, v, e: m / (v + e),
        "epsilon stands inside the root": lambda m, v, e: m / np.sqrt(v + e),
        "multiplied by the root of v": lambda m, v, e: m * (np.sqrt(v) + e),
        "v is left out": lambda m, v, e: m,
        "epsilon is added to the fraction: it stands in the denominator": lambda m, v, e: (
            m / np.sqrt(v) + e
        ),
        "the step climbs": lambda m, v, e: -m / (np.sqrt(v) + e),
    },
)


SUSPECTS |= {
    "this is plain gradient descent: neither running mean is in the step": (
        lambda theta, g, m, v, t, learning_rate, beta1, beta2, epsilon: (
            theta - learning_rate * g,
            beta1 * m + (1 - beta1) * g,
            beta2 * v + (1 - beta2) * g**2,
        )
    ),
    "the step is averaged over the parameters: each has its own": (
        lambda theta, *more: (
            theta + np.mean(adam_step(theta, *more)[0] - theta),
            *adam_step(theta, *more)[1:],
        )
    ),
}
SUSPECTS |= {
    f"{' and '.join(str(c) for c in some if c)} stands in the code: use the arguments": written(
        *some
    )
    for some in ((0.9, 0.999, 1e-8), (0.9, 0.999, None), (None, None, 1e-8), (0.9, None, None))
}
ELSEWHERE = {
    "after many steps, t = 10000": {"t": 10000},
    "where all gradients are 0: epsilon keeps 0/0 away": (
        {name: np.zeros((3, 4)) for name in ("g", "m", "v")}
    ),
    "where beta1 is 0, which leaves m the gradient": {"beta1": 0.0},
    "where the gradients are small, 1e-9, beside an epsilon of 1e-8": {
        "g": 1e-9 * draw(3, 4, seed=5),
        "m": np.zeros((3, 4)),
        "v": np.zeros((3, 4)),
        "epsilon": 1e-8,
    },
}


def check(answer):
    given = dict(
        theta=draw(3, 4), g=draw(3, 4, seed=1), m=0.1 * draw(3, 4, seed=2),
        v=draw(3, 4, seed=3, low=0.01, high=0.2),
    )  # fmt: skip
    more = dict(learning_rate=0.07, beta1=0.8, beta2=0.95, epsilon=0.03)
    for t in (3, 1):
        if t == 1:
            given |= dict(m=np.zeros((3, 4)), v=np.full((3, 4), 0.0) + 1e-30)
        check_function(
            answer.adam_step, adam_step, names=NAMES, suspects=SUSPECTS, elsewhere=ELSEWHERE,
            **given, t=t, **more,
        )  # fmt: skip


WRONG = [
    Wrong("return theta - learning_rate * m / (np.sqrt(v) + epsilon), m, v", "neither mean"),
    Wrong(
        "m_hat = m / (1 - beta1)\nv_hat = v / (1 - beta2)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "power t is missing",
    ),
    Wrong(
        "m = m / (1 - beta1**t)\nv = v / (1 - beta2**t)\n"
        "return theta - learning_rate * m / (np.sqrt(v) + epsilon), m, v",
        "corrected means are handed back",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return theta + learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "climbs",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / (v_hat + epsilon), m, v",
        "root of v is missing",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / np.sqrt(v_hat + epsilon), m, v",
        "inside the root",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v) + epsilon), m, v",
        "v is not corrected",
    ),
    Wrong(
        "m_hat = m * (1 - beta1**t)\nv_hat = v * (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "multiplied by the corrections",
    ),
    Wrong(
        "m_hat = m / (1 - beta1 ** (t + 1))\nv_hat = v / (1 - beta2 ** (t + 1))\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "one too large",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "theta -= learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)\nreturn theta, m, v",
        "changes its argument theta in place",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon)",
        "one array where 3 are asked for",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "theta",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta1**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "v is corrected with beta1",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / np.sqrt(v_hat) + epsilon, m, v",
        "epsilon is added behind the fraction",
    ),
    Wrong(
        "m_hat = m / (1 - beta1**t)\nv_hat = v / (1 - beta2**t)\n"
        "return theta - learning_rate * (m_hat / np.sqrt(v_hat) + epsilon), m, v",
        "epsilon is added to the fraction",
    ),
    Wrong(
        "theta, g, m, v = (a.astype(np.float32) for a in (theta, g, m, v))\n"
        "m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "float32",
    ),
    Wrong(
        "rate = learning_rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)\n"
        "return theta - rate * m / (np.sqrt(v) + epsilon), m, v",
        "before v is corrected, as some libraries do",
    ),
    Wrong(
        "m_hat, v_hat = m / (1 - beta2**t), v / (1 - beta1**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "beta1 and beta2 are exchanged",
    ),
    Wrong(
        "m_hat, v_hat = m / (1 - (1 - beta1) ** t), v / (1 - (1 - beta2) ** t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "1 - beta stands where beta",
    ),
    Wrong(
        "m = beta1 * m + (1 - beta1) * g\n"
        "m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + epsilon), m, v",
        "m is updated twice",
    ),
    Wrong(
        "m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)\n"
        "return theta - learning_rate * m_hat / (np.sqrt(v_hat) + 1e-8), m, v",
        "0.9 and 0.999 and 1e-08 stands in the code",
    ),
]
