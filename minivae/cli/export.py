"""``minivae export``: a run's model for another engine, and what that engine made of it."""

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from minivae.checkpoint import atomic_write
from minivae.cli.run import empty_folder, open_run
from minivae.cli.terminal import add_quiet, say
from minivae.errors import CheckpointError
from minivae.models.exporting import from_torch, to_torch
from minivae.reading import opened, read_array, refused

__all__ = ["register"]


def register(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export",
        help="write a run's model for another engine, and read it back",
        description="Write a script and weights with which PyTorch continues where a run "
        "ended. The script does not need minivae, and checks that its ELBO is the same. With "
        "--from, read the weights back into a model file.",
    )
    parser.add_argument("path", metavar="RUN", help="a run's folder, or a checkpoint file")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--to", choices=["torch"], help="the engine to write for")
    which.add_argument(
        "--from", dest="weights", metavar="FILE", help="weights that the script's save() wrote"
    )
    parser.add_argument(
        "--out",
        metavar="PATH",
        help="with --to, a new or empty folder (RUN-torch); with --from, the model's file "
        "(from-torch.npz)",
    )
    add_quiet(parser)
    parser.set_defaults(run=export)


def export(arguments: argparse.Namespace) -> None:
    """Write for PyTorch, or read from it."""
    saved = open_run(arguments.path)
    if arguments.weights is not None:
        out = Path(arguments.out or "from-torch.npz")
        if out.exists():
            raise FileExistsError(f"{out} is there already; name another file with --out")
        from_torch(saved.vae, _read(Path(arguments.weights)))
        saved.vae.save(out)
        say(f"{out} holds the model with its new weights; 'minivae info {out}' describes it.",
            quiet=arguments.quiet)  # fmt: skip
        return
    script, arrays = to_torch(saved.vae)
    name = Path(arguments.path).resolve()
    folder = empty_folder(arguments.out or f"{name.stem if name.is_file() else name.name}-torch")
    folder.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    atomic_write(folder / "weights.npz", lambda file: file.write(content.getvalue()))
    atomic_write(folder / "model.py", lambda file: file.write(script.encode()))
    say(f"{folder} holds model.py and weights.npz. Where PyTorch is: python {folder}/model.py",
        quiet=arguments.quiet)  # fmt: skip


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of weights.

    Raises
    ------
    CheckpointError
        If it is not one that ``numpy.savez`` wrote.
    """
    fault = "not weights that numpy.savez wrote"
    mend = "write them with save() of the script; torch.save makes a pickle, which may run code"
    with (
        refused(CheckpointError, str(path), fault, mend),
        opened(path) as (file, _),
        zipfile.ZipFile(file) as archive,
    ):
        found = {}
        for entry in archive.infolist():
            with archive.open(entry) as part:
                name = entry.filename.removesuffix(".npy")
                found[name] = read_array(part, entry.file_size, CheckpointError, name)
        return found
