r"""Read the book's equations and evaluate them on numbers: a sign flipped on the page is noticed.

`check` takes an equation's TeX from its page, a Pratt parser turns it into trees, and both sides
of each relation are evaluated with the values that a test binds to the symbols. The test binds the
left side to what the library says, or to another way of finding it, never to the same TeX.

A symbol is bound by its TeX (``\mu``, ``\bar{x}``, ``\sigma_w``), as a number, an array of two
dimensions (a vector is a column), a list, or a dict for what is not counted from 1. An index picks
from these, and an index that no sum binds runs through ``ranges``. A function is bound by its name,
or by the shape of its call: ``p(x|z)`` is the p of an x given a z, whatever their indices. What
depends on other symbols is `Of` them, so that it follows when they are shifted for a derivative, or
drawn for an expectation. An expectation is bound to a function of the symbols that returns cases
and their weights.
"""

import inspect
import itertools
import math
import re
from collections.abc import Callable, Iterator
from functools import cache, reduce
from typing import Any, NamedTuple

import numpy as np
from scipy.special import comb, factorial

from minivae.equations import read_registry

Node = tuple[Any, ...]

TOKEN = re.compile(
    r"\\(?:text|mathrm|mathcal|mathbb)\s*\{[^{}]*\}|\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\S"
)
NO_SENSE = re.compile(
    r"(?<!\\)%.*|\\(?:begin|end)\{aligned\}|\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z])|&|\\[\\,;!:]"
)
SAME = {r"\vert": "|", r"\lvert": "|", r"\rvert": "|", r"\leq": r"\le", r"\geq": r"\ge",
        r"\ldots": r"\dots", r"\cdots": r"\dots", r"\tfrac": r"\frac"}  # fmt: skip
RELATIONS = {"=", "<", ">", r"\le", r"\ge", r"\ne", r"\approx", r"\leftarrow", r"\in"}
BREAKS = {r"\qquad", r"\quad", r"\Longrightarrow", ","}
SEPARATORS = {",": ",", ";": ";", r"\mid": "|", r"\Vert": "||"}
OPEN, CLOSE = {"(", "[", "{", r"\langle", r"\lbrace"}, {")", "]", "}", r"\rangle", r"\rbrace"}
ACCENTS = {r"\bar", r"\hat", r"\tilde"}
POWERS = {r"\top", r"\star"}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    r"\log": np.log, r"\exp": np.exp, r"\sin": np.sin, r"\cos": np.cos, r"\tanh": np.tanh,
    r"\max": max, r"\min": min, r"\sqrt": np.sqrt,
}  # fmt: skip
CONSTANTS = {
    "e": math.e,
    r"\pi": math.pi,
    r"\mathrm{diag}": lambda *values: np.diag(np.array(values, float)),
}
BINDING = {"+": 10, "-": 10, r"\cdot": 18, r"\odot": 18, "/": 20}
TIMES = 20  # two factors side by side


class Unread(ValueError):
    """TeX that is not understood, or a symbol without a value."""


class Free(Exception):
    """An index that nothing binds, so the relation holds for each of its values."""


class Of(NamedTuple):
    """A value that depends on the symbols after which the function's arguments are named."""

    function: Callable[..., Any]

    def at(self, env: "Env") -> Any:
        """The value, with the symbols as they are now."""
        names = [name.rstrip("_") for name in inspect.signature(self.function).parameters]
        tex = (name if name in env or name in env["ranges"] else f"\\{name}" for name in names)
        return self.function(*(value_of(env, name) for name in tex))


Env = dict[str, Any]


# Reading -----------------------------------------------------------------------------------------


def tokens_of(tex: str) -> list[str]:
    """The tokens that mean something."""
    return [SAME.get(t, re.sub(r"\s", "", t)) for t in TOKEN.findall(NO_SENSE.sub(" ", tex))]


def statements(tex: str) -> list[list[str]]:
    """The tokens of each statement; commas and wide spaces outside brackets part them."""
    parts: list[list[str]] = [[]]
    depth = 0
    for token in tokens_of(tex):
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0 and token in BREAKS:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in ([*strip_stop(part)] for part in parts) if part]


def strip_stop(part: list[str]) -> list[str]:
    """Without the full stop of the sentence that the formula ends."""
    return part[:-1] if part and part[-1] == "." else part


def sides(part: list[str]) -> tuple[list[list[str]], list[str]]:
    """The two or more sides of a statement and the relations between them."""
    found: list[list[str]] = [[]]
    between: list[str] = []
    depth = 0
    for token in part:
        depth += (token in OPEN) - (token in CLOSE)
        if depth == 0 and token in RELATIONS:
            between.append(token)
            found.append([])
        else:
            found[-1].append(token)
    return found, between


class Parser:
    """A Pratt parser: each token says how tightly it binds to what stands left of it."""

    def __init__(self, tokens: list[str], functions: set[str]) -> None:
        self.tokens, self.functions = [*tokens], functions
        self.bars = 0

    def peek(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def take(self, expected: str = "") -> str:
        if not self.tokens or (expected and self.tokens[0] != expected):
            raise Unread(f"{expected or 'more'} expected before {' '.join(self.tokens[:5])!r}")
        return self.tokens.pop(0)

    def whole(self) -> Node:
        """Everything, as one expression."""
        node = self.expression(0)
        if self.tokens:
            raise Unread(f"nothing reads {' '.join(self.tokens)!r}")
        return node

    def expression(self, tightness: int) -> Node:
        """As much as binds more tightly than what stands to the left."""
        left = self.first()
        while (token := self.peek()) and token not in CLOSE and token not in SEPARATORS:
            if (token == "|" and self.bars) or token in RELATIONS:
                break
            binding = BINDING.get(token, TIMES)
            if binding <= tightness:
                break
            if token in BINDING:
                self.take()
            left = (token if token in BINDING else "", left, self.expression(binding))
        return left

    def first(self) -> Node:
        """What begins an expression, with the powers and primes that follow it."""
        token = self.take()
        if token in "+-":
            return ("negative" if token == "-" else "positive", self.expression(15))
        if token in FUNCTIONS and token != r"\sqrt":
            if self.peek() == "(":
                return self.powers(("function", token, self.arguments()[0]))
            return ("function", token, (self.expression(TIMES - 1),))
        if token in (r"\sum", r"\prod"):
            condition = self.argument("_")
            last = self.argument("^") if self.peek() == "^" else []
            return (token, condition, last, self.expression(17))
        if token == r"\nabla":
            by = self.parsed(self.argument("_")) if self.peek() == "_" else None
            return ("nabla", by, self.expression(TIMES - 1))
        if token == r"\frac":
            above, below = self.argument(), self.argument()
            if above[:1] in ([r"\partial"], [r"\mathrm{d}"]):
                return self.derivative(above, below)
            return self.powers(("/", self.parsed(above), self.parsed(below)))
        return self.powers(self.atom(token))

    def derivative(self, above: list[str], below: list[str]) -> Node:
        """Of what stands above, or of what follows if nothing does."""
        above = above[3:] if above[1:2] == ["^"] else above[1:]
        marks = (r"\partial", r"\mathrm{d}")
        starts = [i for i, token in enumerate(below) if token in marks] + [len(below)]
        by = [self.parsed(below[i + 1 : j]) for i, j in itertools.pairwise(starts)]
        body = self.parsed(above) if above else self.expression(TIMES - 1)
        return reduce(lambda inside, target: ("derivative", target, inside), by, body)

    def atom(self, token: str) -> Node:
        if token[0].isdigit():
            return ("number", float(token))
        if token in ("(", "[", "{", r"\langle"):
            self.tokens.insert(0, token)
            inside, separators = self.arguments()
            if token == r"\langle":
                return ("inner", *inside)
            return inside[0] if len(inside) == 1 else ("tuple", inside, separators)
        if token == "|":
            self.bars += 1
            inside = self.expression(0)
            self.bars -= 1
            self.take("|")
            return ("size", inside)
        if token == r"\dots":
            return ("dots",)
        if token == r"\sqrt":
            return ("function", token, (self.parsed(self.argument()),))
        if token == r"\binom":
            return ("binomial", self.parsed(self.argument()), self.parsed(self.argument()))
        if token in ACCENTS:
            token = f"{token}{{{''.join(self.argument())}}}"
        elif not (token[0] == "\\" or token.isalpha()):
            raise Unread(f"nothing begins with {token!r}")
        while self.peek() == "'":
            token += self.take()
        below = self.argument("_") if self.peek() == "_" else []
        if self.peek() == "^" and self.tokens[1:2] == [r"\star"]:
            token, self.tokens = token + r"^\star", self.tokens[2:]
        if token == r"\mathbb{E}":
            measure = f"{token}_{''.join(below)}" if below else token
            return ("expectation", measure, self.arguments())
        symbol = ("symbol", token, "".join(below), self.indices(below))
        if token in self.functions and self.peek() in ("(", "["):
            return ("call", symbol, *self.arguments())
        return symbol

    def powers(self, node: Node) -> Node:
        """The node with what is raised or hung on to it."""
        while self.peek() in ("^", "_", "!"):
            if self.peek() == "!":
                node = (self.take(), node)
                continue
            if self.peek() == "_":
                node = ("index", node, self.indices(self.argument("_")))
                continue
            above = self.argument("^")
            node = ("transposed", node) if above == [r"\top"] else ("^", node, self.parsed(above))
        return node

    def argument(self, mark: str = "") -> list[str]:
        """The tokens of an argument: a group in braces, or one sign."""
        if mark:
            self.take(mark)
        if self.peek() != "{":
            token = self.take()
            if token.isdigit() and len(token) > 1:  # \frac12
                self.tokens.insert(0, token[1:])
                token = token[0]
            return [token]
        depth, inside = 0, []
        while True:
            token = self.take()
            depth += (token == "{") - (token == "}")
            inside.append(token)
            if depth == 0:
                return inside[1:-1]

    def arguments(self) -> tuple[tuple[Node, ...], str]:
        """What stands in brackets, and the signs that part it."""
        self.take()
        bars, self.bars = self.bars, 0
        inside, signs = [], ""
        while True:
            node = self.expression(0)
            if self.peek() == "=":
                self.take()
                node = ("equal", node, self.expression(0))
            inside.append(node)
            sign = self.take()
            if sign in CLOSE:
                self.bars = bars
                return tuple(inside), signs
            signs += SEPARATORS[sign] + " "

    def indices(self, below: list[str]) -> tuple[Node, ...]:
        """Letters side by side are an index each; a sum is one."""
        if not below or below[0].startswith(r"\text"):
            return ()
        if "," in below:
            at = below.index(",")
            return self.indices(below[:at]) + self.indices(below[at + 1 :])
        if {"+", "-", "/"} & {*below}:
            return (self.parsed(below),)
        inside = Parser(below, set())
        found = []
        while inside.tokens:
            found.append(inside.atom(inside.take()))
        return tuple(found)

    def parsed(self, tokens: list[str]) -> Node:
        return Parser(tokens, self.functions).whole()


# Evaluating --------------------------------------------------------------------------------------


def value_of(env: Env, name: str, below: str = "", indices: tuple[Node, ...] = ()) -> Any:
    """What a symbol is bound to: with what hangs below it as its name, or as an index."""
    whole = f"{name}_{below}"
    if below and whole in env:
        found = resolved(env, whole)
        return picked(found, indices, env) if isinstance(found, list | dict) else found
    if name in env:
        found = resolved(env, name)
        if indices and isinstance(found, list | dict | np.ndarray):
            return picked(found, indices, env)
        if below and not callable(found):
            raise Unread(f"{name} is bound, but {whole} is not")
        return found
    if name in env["ranges"]:
        raise Free(name)
    if name in CONSTANTS and not below:
        return CONSTANTS[name]
    raise Unread(f"{whole if below else name} has no value")


def resolved(env: Env, name: str) -> Any:
    found = env[name]
    return found.at(env) if isinstance(found, Of) else found


def picked(values: Any, indices: tuple[Node, ...], env: Env) -> Any:
    """An element; dicts by the indices as they are, all else counted from 1."""
    at = [whole_number(evaluate(index, env)) for index in indices]
    if isinstance(values, dict):
        return values[at[0] if len(at) == 1 else tuple(at)]
    if min(at) < 1:
        raise Unread(f"an index {min(at)}")
    if isinstance(values, np.ndarray):
        at = at if len(at) == 2 else [at[0], 1] if values.shape[1] == 1 else [1, at[0]]
        return float(values[at[0] - 1, at[1] - 1])
    return picked(values[at[0] - 1], indices[1:], env) if at[1:] else values[at[0] - 1]


def whole_number(value: Any) -> int:
    if round(value) != value:
        raise Unread(f"an index {value}")
    return round(value)


def head(node: Node) -> str:
    """The symbol that a tree begins with, by which a call's shape is known."""
    if node[0] == "dots":
        return "..."
    if node[0] in ("symbol", "number"):
        return node[1] if node[0] == "symbol" else f"{node[1]:g}"
    return next((head(part) for part in node[1:] if isinstance(part, tuple) and part), "")


def called(symbol: Node, arguments: tuple[Node, ...], signs: str, env: Env) -> Any:
    name = symbol[1]
    shape = "".join(map("".join, zip(map(head, arguments), [*signs.split(), ""], strict=True)))
    if f"{name}({shape})" in env:
        found = resolved(env, f"{name}({shape})")
    else:
        found = env[f"{name}()"] if f"{name}()" in env else value_of(env, *symbol[1:])
    if not callable(found):
        return found
    return found(*(evaluate(argument, env) for argument in expanded(arguments, env)))


def expanded(arguments: tuple[Node, ...], env: Env) -> tuple[Node, ...]:
    """``a_1, ..., a_d`` written out."""
    if ("dots",) not in arguments:
        return arguments
    first, _, last = arguments
    (index,) = [i for i in indices_of(last) if i[0] != "number"]
    return tuple(
        with_index(first, ("number", float(i))) for i in range(1, int(evaluate(index, env)) + 1)
    )


def indices_of(node: Node) -> Iterator[Node]:
    """What stands below the symbols of a tree."""
    if node[0] == "symbol":
        yield from node[3]
    for part in node:
        if isinstance(part, tuple) and part:
            yield from indices_of(part)


def with_index(node: Any, index: Node) -> Any:
    """The tree with another index in place of 1."""
    if not isinstance(node, tuple) or not node:
        return node
    if node[0] == "symbol" and node[3] == (("number", 1.0),):
        return ("symbol", node[1], f"{index[1]:g}", (index,))
    return tuple(with_index(part, index) for part in node)


def shifted(env: Env, target: Node, by: float) -> Env:
    """The values with one of them moved."""
    _, name, below, indices = target
    name = f"{name}_{below}" if below and f"{name}_{below}" in env else name
    value = resolved(env, name)  # of what depends on others, the value, moved by itself
    if indices and isinstance(value, list | np.ndarray):
        i = whole_number(evaluate(indices[0], env)) - 1
        value = value.copy()
        value[i] = value[i] + by
        return {**env, name: value}
    return {**env, name: value + by}


def derivative(target: Node, body: Node, env: Env, h: float = 2e-3) -> Any:
    """By differences, exact up to the fifth power."""
    near, far = (
        (evaluate(body, shifted(env, target, s)) - evaluate(body, shifted(env, target, -s))) / s
        for s in (h, 2 * h)
    )
    return (8 * near - 2 * far) / 12


def gradient(by: Node | None, body: Node, env: Env) -> Any:
    target = body[2][0] if by is None else by  # of f(x), by its argument
    value = value_of(env, *target[1:])
    if not isinstance(value, np.ndarray):
        return derivative(target, body, env)
    each = (("symbol", target[1], "", (("number", i + 1.0),)) for i in range(len(value)))
    return np.array([[derivative(one, body, env)] for one in each])


def cases(condition: list[str], last: list[str], env: Env) -> Iterator[Env]:
    """The values that the index of a sum or product takes."""
    name, *rest = condition
    if rest[:1] == ["="]:
        first = int(tree(rest[1:], env))
        values: Any = range(first, whole_number(tree(last, env)) + 1)
    elif rest[:1] == [r"\in"]:
        values = env["".join(rest[1:])]
    elif name in env["ranges"]:
        values = range(1, env["ranges"][name] + 1)
    else:
        raise Unread(f"no sum over {' '.join(condition)!r}")
    test = rest[1:] if rest[:1] == [":"] else condition if rest and rest[0] in RELATIONS else []
    for value in values:
        inside = {**env, name: value}
        if rest[:1] in (["="], [r"\in"]) or not test or true(test, inside):
            yield inside


def tree(tokens: list[str], env: Env) -> Any:
    """The value of what these tokens say."""
    return evaluate(Parser(tokens, functions_of(env)).whole(), env)


def true(condition: list[str], env: Env) -> bool:
    (left, right), (relation,) = sides(condition)
    return bool(ORDER[relation](tree(left, env), tree(right, env)))


ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda a, b: a == b, r"\ne": lambda a, b: a != b, "<": lambda a, b: a < b,
    ">": lambda a, b: a > b, r"\le": lambda a, b: a <= b, r"\ge": lambda a, b: a >= b,
}  # fmt: skip


def functions_of(env: Env) -> set[str]:
    """The symbols after which a bracket is an argument, and not a factor."""
    return {name.partition("(")[0] for name in env if "(" in name} | {
        name for name, value in [*env.items(), *CONSTANTS.items()]
        if (callable(value) and not isinstance(value, Of))
        or (isinstance(value, list) and value and callable(value[0]))
    }  # fmt: skip


def times(a: Any, b: Any) -> Any:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return plain(a @ b)
    return a * b


def plain(value: Any) -> Any:
    return float(value[0, 0]) if isinstance(value, np.ndarray) and value.shape == (1, 1) else value


def size(value: Any) -> Any:
    """An absolute value, a length, or a determinant."""
    if not isinstance(value, np.ndarray):
        return abs(value)
    return np.linalg.norm(value) if 1 in value.shape else np.linalg.det(value)


def power(a: Any, b: Any) -> Any:
    if not isinstance(a, np.ndarray):
        return np.power(float(a), b)
    if b != -1:
        raise Unread("a power of a matrix")
    return np.linalg.inv(a)


DOES: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "": times, r"\cdot": times,
    "/": lambda a, b: a / b, r"\odot": lambda a, b: a * b, "^": power, "size": size,
    "negative": lambda a: -a, "positive": lambda a: a, "transposed": np.transpose,
    "inner": lambda a, b: float(np.sum(a * b)), "binomial": comb,
    "!": factorial, "dots": lambda: 0.0,
}  # fmt: skip


def evaluate(node: Node, env: Env) -> Any:
    """The value of a tree."""
    kind, *parts = node
    if kind in DOES:
        return plain(DOES[kind](*(evaluate(part, env) for part in parts)))
    if kind == "number":
        return parts[0]
    if kind == "symbol":
        return value_of(env, *parts)
    if kind == "call":
        return called(*parts, env)
    if kind == "function":
        return FUNCTIONS[parts[0]](*(evaluate(part, env) for part in parts[1]))
    if kind == "tuple":
        return tuple(evaluate(part, env) for part in parts[0])
    if kind == "equal":  # p(z = k): what matters is the k
        return evaluate(parts[1], env)
    if kind == "index":
        return picked(evaluate(parts[0], env), parts[1], env)
    if kind == "derivative":
        return derivative(*parts, env)
    if kind == "nabla":
        return gradient(*parts, env)
    if kind == "expectation":
        name, ((body,), _) = parts
        return sum(w * evaluate(body, {**env, **case}) for case, w in resolved(env, name))
    if kind in (r"\sum", r"\prod"):
        condition, last, body = parts
        values = [evaluate(body, inside) for inside in cases(condition, last, env)]
        return reduce(*((times, values, 1.0) if kind == r"\prod" else (np.add, values, 0.0)))
    raise Unread(f"no value of {kind}")


# Checking ----------------------------------------------------------------------------------------


@cache
def equations() -> dict[str, str]:
    """The TeX of each equation, as its page has it; `flips.py` changes it here."""
    return {equation.label: equation.tex for equation in read_registry().equations}


def said(part: list[str]) -> bool:
    """Does the statement say in words, or by a draw, what no number shows?"""
    for i, token in enumerate(part):
        name = part[i - 2 : i] == ["_", "{"] and part[i - 3] not in (r"\sum", r"\prod")
        if token == r"\sim" or (token.startswith(r"\text") and not name):
            return True
    return False


def check(label, bind, trials=6, tolerance=1e-7, near=0.0):
    """Assert that an equation is true of random numbers.

    Parameters
    ----------
    label
        The equation's.
    bind
        From a generator and the trial's number, what the symbols stand for.
    trials
        How many times.
    tolerance
        Relative; absolute for numbers below 1.
    near
        An inequality must also come near to an equality: in some trial the smaller side, relative
        to the larger, is at least this. A bound that is far from everything notices no sign.
    """
    parts = [part for part in statements(equations()[label]) if not said(part)]
    closest = dict.fromkeys(range(len(parts)), -math.inf)
    assert any(len(sides(part)[0]) > 1 for part in parts), f"{label} has no relation to evaluate"
    for trial in range(trials):
        env: Env = {"ranges": {}, **bind(np.random.default_rng((trial, 20)), trial)}
        with np.errstate(all="ignore"):
            for i, part in enumerate(parts):
                where = f"{label}, trial {trial}: {' '.join(part)}"
                closest[i] = max(closest[i], holds(part, env, tolerance, where))
    for i, part in enumerate(parts):
        bounds = {r"\le", r"\ge"} & {*part}
        assert not bounds or closest[i] >= near, f"{label} is never near: {' '.join(part)}"


def holds(part, env, tolerance, where):
    """Assert that one statement holds for all free indices; how near its inequalities come."""
    found, relations = sides(part)
    try:
        if relations == [r"\leftarrow"]:
            name = "".join(found[0])
            env[name], values = env["after"][name], [env["after"][name], tree(found[1], env)]
        else:
            values = [tree(side, env) for side in found]
    except Free as free:
        name = free.args[0]
        every = range(1, env["ranges"][name] + 1)
        return min(holds(part, {**env, name: i}, tolerance, where) for i in every)
    nearness = 1.0
    for a, b, relation in zip(values, values[1:], relations, strict=False):
        gap, scale = np.subtract(a, b), max(np.max(np.abs(a)), np.max(np.abs(b)), 1e-300)
        slack = tolerance * max(scale, 1.0)
        if relation in (r"\le", r"\ge"):
            right = gap <= slack if relation == r"\le" else gap >= -slack
            nearness = min(nearness, 1 - float(abs(gap)) / scale)
        else:
            right = np.all(np.abs(gap) <= slack)
        assert right, f"{where}\n{a}\n{relation} {b}"
    return nearness
