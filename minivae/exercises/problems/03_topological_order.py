"""03 Topological order

Before a node of the graph can hand back its cotangent, every node that used it
must have handed its own share back: equation AD.3 sums over all of them. So the
walk back goes through the nodes in an order in which each comes before the
inputs it was made from.
"""


def walk_order(root, inputs):
    """Return a list of all nodes from root on, each once and before each of its inputs.

    ``inputs[node]`` is the tuple of the nodes that node was made from, empty for a leaf. Nodes are
    hashable; there are no cycles. A graph may be thousands of nodes deep. inputs may hold nodes
    that root was not made from: they stay out of the list.
    """
    # --- your code: return the list, root first ---
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, finished = stack.pop()
        if finished:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((i, False) for i in inputs[node])
    return order[::-1]
    # --- end of your code ---


# === the author's half: the student never sees what follows ===

import time

import numpy as np

from minivae.exercises.judging import SALT, Wrong, call, fail

EQUATIONS = ["AD.3"]
SECTION = "reverse_mode#the-walk"

HINTS = [
    "Try x -> y -> z with z made from x as well. Which of the two must wait, and for whom? A walk "
    "that visits each node when it first meets it comes to x too early.",
    "Two ways. Depth first: write a node down after all that lies below it, then reverse the list. "
    "Or count, for each node, how many nodes use it, and release it when all have been released.",
    "Keep a stack of (node, finished): pop; if finished, append the node to the order; else, if it "
    "is new, push (node, True), then (i, False) for its inputs. Return the order reversed.",
]

# Small graphs with names that a student can draw; inputs by node, root first.
GRAPHS = {
    "a chain": {"loss": ("y",), "y": ("x",), "x": ()},
    "a shared subexpression": {"loss": ("a", "b"), "a": ("s",), "b": ("s",), "s": ("x",), "x": ()},
    "a leaf that is used early and late": {
        "loss": ("x", "y"), "y": ("z",), "z": ("x", "w"), "x": (), "w": ()
    },
    "the same from the other side": {
        "loss": ("y", "x"), "y": ("z",), "z": ("w", "x"), "x": (), "w": ()
    },
    "x * x": {"loss": ("x", "x"), "x": ()},
    "a long way and a short way": {
        "loss": ("a", "b"), "a": ("b", "c"), "b": ("d",), "c": ("d", "b"), "d": ("x",), "x": ()
    },
    "a node that is made from x, and that loss was not made from": {
        "loss": ("y",), "y": ("x",), "plot": ("x", "y"), "x": ()
    },
    "other nodes with inputs of their own": {
        "title": ("font",), "font": (), "loss": ("x", "w"), "x": (), "w": (), "report": ("loss",)
    },
    "a root that is a leaf": {"loss": ()},
}  # fmt: skip


def programs(count=30):
    """Random graphs, with branches that lead nowhere, their nodes in any order."""
    random = np.random.default_rng(SALT.get())
    for _ in range(count):
        size = int(random.integers(3, 12))
        inputs = {
            f"n{i}": tuple(f"n{j}" for j in random.integers(0, i, int(random.integers(1, 4))))
            if i > 1
            else ()
            for i in range(size)
        }
        nodes = random.permutation(list(inputs)).tolist()
        yield {node: inputs[node] for node in nodes}, f"n{int(random.integers(size // 2, size))}"


def check(answer):
    for what, inputs in GRAPHS.items():
        shapes = f"walk_order: {what}, loss made of {', '.join(inputs['loss']) or 'nothing'}"
        judge_order(call(answer.walk_order, "loss", inputs), inputs, "loss", what, shapes)
    for inputs, root in programs():
        found = call(answer.walk_order, root, inputs)
        judge_order(found, inputs, root, f"a random graph, root {root}", "")
    # Forty diamonds on top of each other: 2**40 paths, 121 nodes.
    stacked = {0: ()}
    for i in range(40):
        stacked |= {f"{i} left": (i,), f"{i} right": (i,), i + 1: (f"{i} left", f"{i} right")}
    limit = time.monotonic() + 1
    patient = Patient(stacked, limit)
    judge_order(call(answer.walk_order, 40, patient), stacked, 40, "forty diamonds", "")
    deep = {i: (i - 1,) if i else () for i in range(5000)}
    try:
        found = call(answer.walk_order, 4999, deep)
    except RecursionError:
        fail(
            "It recurses, and a chain of 5000 nodes is deeper than Python's stack: use a list as a "
            "stack of your own",
            "walk_order: a chain of 5000 nodes",
        )
    judge_order(found, deep, 4999, "a chain of 5000 nodes", "")


class Patient(dict):
    def __init__(self, inputs, limit):
        super().__init__(inputs)
        self.limit = limit

    def __getitem__(self, node):
        if time.monotonic() > self.limit:
            fail(
                "It walks every path, and forty diamonds on top of each other have 2**40: "
                "remember which nodes have been seen"
            )
        return super().__getitem__(node)


def below(root, inputs):
    """The nodes that root was made from, and itself."""
    seen, stack = {root}, [root]
    while stack:
        new = set(inputs[stack.pop()]) - seen
        seen |= new
        stack.extend(new)
    return seen


def judge_order(found, inputs, root, what, shapes):
    try:
        order = list(found)
    except TypeError:
        fail(f"It returns {type(found).__name__}, not a list of nodes", shapes)
    strangers = [node for node in order if node not in inputs]
    if strangers:
        fail(f"{strangers[0]!r} is in the list, and is not a node of the graph", shapes)
    needed = below(root, inputs)
    shown = f" ({what}: you return {', '.join(map(str, order[:8]))})"
    twice = [node for node in order if order.count(node) > 1] if len(order) < 500 else []
    if twice or len(set(order)) != len(order):
        node = twice[0] if twice else "a node"
        fail(
            f"{node} is in the list more than once: its cotangent would go back twice{shown}",
            shapes,
        )
    missing = needed - set(order)
    if missing:
        kind = "the root itself" if root in missing else f"{sorted(missing, key=str)[0]}"
        waits = [node for node in inputs if node not in needed and missing & set(inputs[node])]
        why = f": does it wait for {waits[0]}, which root was not made from?" if waits else ""
        fail(f"{kind} is missing from the list{why}{shown}", shapes)
    dead = [node for node in order if node not in needed]
    if dead:
        fail(
            f"{dead[0]} is in the list, and root was not made from it: no cotangent reaches it"
            f"{shown}",
            shapes,
        )
    place = {node: i for i, node in enumerate(order)}
    wrong = [(node, i) for node in order for i in inputs[node] if place[i] < place[node]]
    if not wrong:
        return
    if len(wrong) == sum(len(inputs[node]) for node in needed) > 1:
        fail(
            f"The order is reversed: inputs come before what was made from them, as on the way "
            f"forward; the walk back begins at the root{shown}",
            shapes,
        )
    node, early = wrong[0]
    fail(
        f"{early} comes before {node}, which was made from it: the share of its cotangent that "
        f"comes through {node} would be lost{shown}",
        shapes,
    )


WRONG = [
    Wrong(
        "order, seen, queue = [], {root}, [root]\nwhile queue:\n    node = queue.pop(0)\n"
        "    order.append(node)\n    for i in inputs[node]:\n        if i not in seen:\n"
        "            seen.add(i)\n            queue.append(i)\nreturn order",
        "comes before .* would be lost",
    ),
    Wrong(
        "order, stack = [], [root]\nwhile stack:\n    node = stack.pop()\n"
        "    if node not in order:\n        order.append(node)\n"
        "        stack.extend(inputs[node])\nreturn order",
        "comes before .* would be lost",
    ),
    Wrong(
        "order, seen, stack = [], set(), [(root, False)]\nwhile stack:\n"
        "    node, finished = stack.pop()\n    if finished:\n        order.append(node)\n"
        "    elif node not in seen:\n        seen.add(node)\n"
        "        stack.append((node, True))\n"
        "        stack.extend((i, False) for i in inputs[node])\n"
        "return order",
        "reversed",
    ),
    Wrong(
        "order, stack = [], [root]\nwhile stack:\n    node = stack.pop()\n"
        "    order.append(node)\n    stack.extend(inputs[node])\nreturn order",
        "more than once",
    ),
    Wrong(
        "order = []\ndef visit(node):\n    for i in inputs[node]:\n        visit(i)\n"
        "    if node not in order:\n        order.append(node)\nvisit(root)\nreturn order[::-1]",
        "walks every path",
    ),
    Wrong(
        "order, seen = [], set()\ndef visit(node):\n    if node in seen:\n        return\n"
        "    seen.add(node)\n    for i in inputs[node]:\n        visit(i)\n"
        "    order.append(node)\nvisit(root)\nreturn order[::-1]",
        "recurses",
    ),
    Wrong("return list(inputs)", "comes before|wrong"),
    Wrong("return [root]", "missing"),
    Wrong("return [root, *inputs[root]]", "missing|more than once"),
    Wrong(
        "uses = {}\n"
        "for n in inputs:\n"
        "    for i in inputs[n]:\n"
        "        uses[i] = uses.get(i, 0) + 1\n"
        "order, ready = [], [root]\n"
        "while ready:\n"
        "    node = ready.pop()\n"
        "    order.append(node)\n"
        "    for i in inputs[node]:\n"
        "        uses[i] -= 1\n"
        "        if uses[i] == 0:\n"
        "            ready.append(i)\n"
        "return order",
        "wait for .*root was not made from",
    ),
    Wrong(
        "def depth(n):\n"
        "    return 1 + max((depth(i) for i in inputs[n]), default=0)\n"
        "return sorted(inputs, key=depth, reverse=True)",
        "no cotangent reaches it",
    ),
    Wrong(
        "order, ready = [], [root]\n"
        "while ready:\n"
        "    node = ready.pop()\n"
        "    order.append(node)\n"
        "    ready += inputs.pop(node, ())\n"
        "return order",
        "changes its argument inputs in place; work on a new dict",
    ),
    Wrong("return list(reversed(list(inputs)))", "reversed"),
]
