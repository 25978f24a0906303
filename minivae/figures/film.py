"""Frames of pixels as one animation."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import cKDTree

from minivae.checkpoint import atomic_write
from minivae.figures.page import Floats

__all__ = ["write_film"]


def write_film(
    path: str | os.PathLike[str],
    film: Iterator[NDArray[np.uint8]],
    colours: Floats,
    times: Sequence[int],
) -> None:
    """Write a GIF that loops for ever, whole or not at all.

    Parameters
    ----------
    path : path
    film : iterator of (H, W, 3)
        The pixels of each frame.
    colours : (n, 4)
        The colours that are used besides greys, as RGBA.
    times : sequence of int
        How long each frame stands, in milliseconds.
    """
    images = _indexed(film, colours)
    first = next(images)
    more: dict[str, Any] = {"append_images": images, "duration": list(times), "loop": 0}
    atomic_write(path, lambda file: first.save(file, "GIF", save_all=True, **more))


def _indexed(film: Iterator[NDArray[np.uint8]], colours: Floats) -> Iterator[Image.Image]:
    """The film in one table of colours: greys, and each colour from white to its full strength."""
    mix = np.linspace(0, 1, 1 + 220 // len(colours))[1:, None, None]
    ramps = (1 - mix) + mix * colours[:, :3]
    greys = np.linspace(0, 1, 24)[:, None].repeat(3, axis=1)
    table = np.concatenate([greys, ramps.reshape(-1, 3)])
    # Which entry is nearest is asked once, for each colour of five bits a channel.
    cells = np.stack(np.unravel_index(np.arange(32**3), (32, 32, 32)), axis=1) / 31
    nearest = cKDTree(table).query(cells)[1].astype(np.uint8).reshape(32, 32, 32)
    for pixels in film:
        red, green, blue = np.moveaxis(pixels >> 3, -1, 0)
        image = Image.fromarray(nearest[red, green, blue])
        image.putpalette(np.round(255 * table).astype(np.uint8).tobytes())
        yield image
