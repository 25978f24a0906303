"""Directed graphical models: nodes with parents and conditionals, p(x) = prod_i p(x_i | parents).

>>> import numpy as np
>>> from minivae import BayesNet, Node
>>> net = BayesNet([
...     Node("rain", (), [0.8, 0.2]),
...     Node("sprinkler", ("rain",), [[0.6, 0.4], [0.99, 0.01]]),
...     Node("wet", ("rain", "sprinkler"), [[[1.0, 0.0], [0.1, 0.9]], [[0.2, 0.8], [0.01, 0.99]]]),
... ])
>>> net.query(["rain"], {"wet": 1}).round(4).tolist()
[0.6423, 0.3577]
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minivae.checks import as_float64, is_whole, refuse_masked, require_whole
from minivae.distributions import Distribution
from minivae.errors import ShapeError
from minivae.randomness import entropy_from, stream
from minivae.tensor import Array, no_grad

__all__ = ["BayesNet", "Node"]

MOST = 10**6  # cells of the joint table


class Node(NamedTuple):
    """A variable, its parents, and its conditional.

    The conditional is a table of probabilities ``(C_1, ..., C_m, C)``, with an axis for each parent
    in their order and the last for the variable's own C values 0, 1, ... Or it is a function of the
    parents' values, each ``(n, K)``, in their order, that returns a distribution over the variable,
    ``(1, n, K)`` a sample; without parents, a distribution that takes any rows. The values of a
    variable with a table are handed to such a function as one-hot rows ``(n, C)``, so that networks
    can take them as they are.
    """

    name: str
    parents: Sequence[str]
    conditional: Any
    plate: str | None = None
    """A word for what the variable is repeated over, such as "N", for the diagram."""


class BayesNet:
    """A directed acyclic graph of variables, and the joint density it factorises, Eq. DAG.1.

    Parameters
    ----------
    nodes
        In any order. Every parent must be a node.

    Attributes
    ----------
    nodes
        By name, in topological order: each after its parents.

    Raises
    ------
    TypeError
        If a node is not a :class:`Node`, or has neither a table nor a function.
    ValueError
        If names repeat or are missing, the graph has a cycle (which the message names), or a table
        does not hold probabilities.
    ShapeError
        If a table's axes do not fit its parents' values.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        for i, node in enumerate(nodes):
            _check_node(i, node)
        named = {node.name: node._replace(parents=tuple(node.parents)) for node in nodes}
        if len(named) != len(nodes):
            raise ValueError(f"BayesNet: names repeat among {[node.name for node in nodes]}")
        for node in named.values():
            if len(set(node.parents)) != len(node.parents):
                raise ValueError(
                    f"BayesNet: {node.name!r} names a parent twice among {list(node.parents)}"
                )
            for parent in node.parents:
                if parent not in named:
                    raise ValueError(
                        f"BayesNet: {node.name!r} has the parent {parent!r}, which is not a node"
                    )
        self.nodes = {name: named[name] for name in _topological(named)}
        self._tables: dict[str, Array] = {}
        for name, node in self.nodes.items():
            if not callable(node.conditional):
                self._tables[name] = self._checked_table(node)

    def _checked_table(self, node: Node) -> Array:
        table = as_float64(node.conditional, f"BayesNet: the table of {node.name!r}")
        for parent in node.parents:
            if parent not in self._tables:
                raise ValueError(
                    f"BayesNet: {node.name!r} has a table, but its parent {parent!r} has none: a "
                    "table has an axis only for a parent with few values; use a function"
                )
        wanted = tuple(self._tables[p].shape[-1] for p in node.parents)
        if table.ndim == 0 or table.shape[:-1] != wanted:
            axes = ", ".join(map(str, (*wanted, "C")))
            raise ShapeError(
                f"BayesNet: the table of {node.name!r} has shape {table.shape}; with the parents "
                f"{list(node.parents)} it must be ({axes})"
            )
        sums = table.sum(axis=-1)
        if (table < 0).any() or not np.allclose(sums, 1.0, atol=1e-9):
            raise ValueError(
                f"BayesNet: the table of {node.name!r} must hold probabilities, of sum 1 along the "
                f"last axis; the sums are from {sums.min():g} to {sums.max():g}"
            )
        return table

    # ---- the density ----

    def log_prob(self, values: Mapping[str, Any]) -> Any:
        """log p(x) = sum_i log p(x_i | parents of x_i) in nats, ``(n,)``, Eq. DAG.1.

        Parameters
        ----------
        values
            Of all nodes: whole numbers ``(n,)`` where there is a table, else ``(n, K)``.
        """
        missing = sorted(self.nodes.keys() - values.keys())
        if missing or values.keys() - self.nodes.keys():
            raise ValueError(
                f"log_prob: values of {sorted(values)} are not those of the nodes "
                f"{list(self.nodes)}; missing are {missing}"
            )
        given = {name: self._checked_values(name, values[name], "log_prob") for name in self.nodes}
        lengths = {name: np.shape(of_each)[0] for name, of_each in given.items()}
        if len(set(lengths.values())) > 1:
            raise ShapeError(
                f"log_prob: the nodes have {lengths} values; all must have one for each of n data"
            )
        total: Any = 0.0
        for name, node in self.nodes.items():
            if name in self._tables:
                with np.errstate(divide="ignore"):
                    place = (*(given[p] for p in node.parents), given[name])
                    total = total + np.log(self._tables[name][place])
            else:
                total = total + self._distribution(node, given).log_prob(given[name][None])[0]
        return total

    def _checked_values(self, name: str, values: Any, operation: str) -> Any:
        if name not in self._tables:
            if len(np.shape(values)) != 2:
                raise ShapeError(
                    f"{operation}: {name!r} has shape {np.shape(values)}; without a table it must "
                    "be (n, K)"
                )
            return values
        refuse_masked(values, f"{operation}: {name!r}")
        given, C = np.asarray(values), self._tables[name].shape[-1]
        if given.ndim != 1 or given.dtype.kind not in "biu" or ((given < 0) | (given >= C)).any():
            raise ValueError(
                f"{operation}: {name!r} must be whole numbers (n,) from 0 to {C - 1}; it has shape "
                f"{given.shape} and dtype {given.dtype}"
            )
        return given.astype(np.int64)

    def _distribution(self, node: Node, given: Mapping[str, Any]) -> Distribution:
        """The distribution that a function makes of the parents' values."""
        handed = [
            np.eye(self._tables[p].shape[-1])[given[p]] if p in self._tables else given[p]
            for p in node.parents
        ]
        made = node.conditional(*handed)
        if not isinstance(made, Distribution):
            raise TypeError(
                f"BayesNet: the conditional of {node.name!r} returned a {type(made).__name__}; it "
                "must return a distribution"
            )
        return made

    # ---- samples ----

    def sample(self, n: int = 1, random_state: Any = None) -> dict[str, Array]:
        """n draws of every variable by ancestral sampling, parents first, Eq. DAG.1.

        Each node draws from its own stream, so that a node that is added at the end leaves
        the others as they were.
        """
        require_whole("sample", "n", n, least=1)
        entropy = entropy_from(random_state)
        drawn: dict[str, Array] = {}
        for i, (name, node) in enumerate(self.nodes.items()):
            rng = stream(entropy, i)
            if name in self._tables:
                p = self._tables[name][tuple(drawn[parent] for parent in node.parents)]
                below = np.cumsum(np.broadcast_to(p, (n, p.shape[-1])), axis=1)
                u = rng.random(n)[:, None] * below[:, -1:]
                drawn[name] = (below <= u).sum(axis=1)
                continue
            with no_grad():
                q = self._distribution(node, drawn)
                noise = q.noise(rng, 1 if node.parents else n)
                z = np.asarray(q.draw(noise, rng))
            drawn[name] = z[0] if z.ndim == 3 else z
        return drawn

    # ---- exact answers ----

    def joint(self) -> Array:
        """The probability of every combination of values, by enumeration, one axis per node.

        Raises
        ------
        ValueError
            If a node has no table, or there are more than a million combinations.
        """
        self._require_small("joint")
        axes = {name: i for i, name in enumerate(self.nodes)}
        table = np.ones([self._tables[name].shape[-1] for name in self.nodes])
        for name, node in self.nodes.items():
            own = [axes[v] for v in (*node.parents, name)]
            rest = self._tables[name].transpose(np.argsort(own))
            shape = [table.shape[i] if i in own else 1 for i in range(table.ndim)]
            table = table * rest.reshape(shape)
        return table

    def query(self, names: Sequence[str], given: Mapping[str, int] | None = None) -> Array:
        """p(names | given), one axis per name, by summing out the rest, Eq. DAG.2.

        Parameters
        ----------
        names
            What is asked about.
        given
            What is known: the observed values by name.

        Raises
        ------
        ValueError
            If a name is unknown or on both sides, or what is given cannot happen.
        """
        table, known, order = self.joint(), dict(given or {}), list(self.nodes)
        for name in (*names, *known):
            if name not in self.nodes:
                raise ValueError(f"query: there is no node {name!r}; there are {order}")
        if len({*names, *known}) != len(names) + len(known):
            raise ValueError(f"query: {list(names)} and {known} must name each node once")
        for name, value in known.items():
            C = self._tables[name].shape[-1]
            if not (is_whole(value) and 0 <= value < C):
                raise ValueError(f"query: {name}={value!r} must be a whole number below {C}")
        table = table[tuple(known.get(name, slice(None)) for name in order)]
        left = [name for name in order if name not in known]
        table = table.sum(axis=tuple(i for i, name in enumerate(left) if name not in names))
        total = table.sum()
        if total == 0:
            raise ValueError(f"query: {known} has probability 0; nothing follows from it")
        kept = [name for name in left if name in names]
        return np.asarray((table / total).transpose([kept.index(name) for name in names]))

    def _require_small(self, operation: str) -> None:
        without = [name for name in self.nodes if name not in self._tables]
        if without:
            raise ValueError(f"{operation}: {without} have no tables, and so cannot be enumerated")
        cells = math.prod(table.shape[-1] for table in self._tables.values())
        if cells > MOST:
            raise ValueError(f"{operation}: {cells} combinations are more than {MOST}")


def _check_node(i: int, node: Any) -> None:
    """Refuse what is not a node, before it is taken apart."""
    if not isinstance(node, Node):
        raise TypeError(
            f"BayesNet: nodes[{i}] is a {type(node).__name__}; it must be a Node(name, parents, "
            "conditional)"
        )
    if isinstance(node.parents, str):
        raise TypeError(
            f"BayesNet: the parents of {node.name!r} are the word {node.parents!r}; they must be "
            f"a tuple of names, ({node.parents!r},) for one"
        )
    if node.conditional is None:
        raise TypeError(
            f"BayesNet: {node.name!r} has no conditional; it must be a table of probabilities, or "
            "a function of the parents' values"
        )


def _topological(named: Mapping[str, Node]) -> list[str]:
    """The names, each after its parents, and otherwise as they came (Kahn, 1962)."""
    order: list[str] = []
    waiting = dict(named)
    while waiting:
        ready = [n for n, node in waiting.items() if all(p in order for p in node.parents)]
        if not ready:
            raise ValueError(f"BayesNet: the graph has a cycle, {' -> '.join(_cycle(waiting))}")
        order.append(ready[0])
        del waiting[ready[0]]
    return order


def _cycle(waiting: Mapping[str, Node]) -> list[str]:
    """A way along the arrows back to where it began, among nodes that all wait for a parent."""
    path = [next(iter(waiting))]
    while path[-1] not in path[:-1]:
        path.append(next(p for p in waiting[path[-1]].parents if p in waiting))
    return path[path.index(path[-1]) :][::-1]
