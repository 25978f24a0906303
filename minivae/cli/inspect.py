"""``minivae sample``, ``reconstruct`` and ``info``: what a run has learned."""

from typing import Any

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the commands to the parser."""
