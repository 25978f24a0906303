"""Trees: lists, tuples and dicts of arrays or tensors, nested to any depth.

- `named_leaves`: what hangs in a tree, with dotted names, in reading order;
- `leaves`: the same without names;
- `mapped`: a tree of the same form, each leaf replaced;
- `aligned`: the leaves of one tree in the order of another, if they have one form.

Anything but a list, a tuple or a dict is a leaf. A dict keeps its order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from minivae.errors import ShapeError

__all__ = ["Tree", "aligned", "leaves", "mapped", "named_leaves"]

Tree: TypeAlias = Any
_SEQUENCES = list, tuple


def named_leaves(tree: Tree, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a tree with dotted names, as in ``layers.0.weight``."""
    parts = _parts(tree)
    if parts is None:
        yield name, tree
        return
    for key, part in parts.items():
        yield from named_leaves(part, f"{name}.{key}" if name else str(key))


def leaves(tree: Tree) -> list[Any]:
    """The leaves of a tree, in reading order."""
    parts = _parts(tree)
    return [tree] if parts is None else [x for part in parts.values() for x in leaves(part)]


def mapped(function: Callable[[Any], Any], tree: Tree) -> Tree:
    """A tree of the same form with the function's values for leaves."""
    if isinstance(tree, dict):
        return {key: mapped(function, part) for key, part in tree.items()}
    if isinstance(tree, _SEQUENCES):
        parts = [mapped(function, part) for part in tree]
        named = hasattr(tree, "_fields")  # a named tuple takes its parts one by one
        return type(tree)(*parts) if named else type(tree)(parts)
    return function(tree)


def aligned(operation: str, tree: Tree, other: Tree) -> list[Any]:
    """The leaves of ``other`` in the order of those of ``tree``.

    Raises
    ------
    ShapeError
        If the two do not have the same form.
    """
    parts, others = _parts(tree), _parts(other)
    if parts is None and others is None:
        return [other]
    if parts is None or others is None or parts.keys() != others.keys():
        raise ShapeError(
            f"{operation}: a tree of the form {_form(tree)} was given one of the form "
            f"{_form(other)}; lists must have one length, dicts the same keys"
        )
    return [leaf for key, part in parts.items() for leaf in aligned(operation, part, others[key])]


def _parts(tree: Tree) -> dict[Any, Any] | None:
    """What a list, tuple or dict holds, by place or key; None for a leaf."""
    if isinstance(tree, dict):
        return tree
    return dict(enumerate(tree)) if isinstance(tree, _SEQUENCES) else None


def _form(tree: Tree) -> str:
    """The outermost part of a tree in a few words."""
    if isinstance(tree, dict):
        keys = ", ".join(map(repr, [*tree][:5])) + (", ..." if len(tree) > 5 else "")
        return f"dict of {keys or 'nothing'}"
    if isinstance(tree, _SEQUENCES):
        return f"{type(tree).__name__} of {len(tree)}"
    return type(tree).__name__
