"""``minivae exercise graduate``: a student's passed answers train a VAE, beside the library's."""

import argparse
from collections.abc import Mapping
from pathlib import Path

from minivae.cli.terminal import say, table
from minivae.exercises import Exercise
from minivae.exercises.folder import Folder
from minivae.exercises.graduation import (
    Graduation,
    digits,
    graduate,
    places_of,
    read_answer,
)
from minivae.exercises.pieces import PLACES, Answer, Piece
from minivae.exercises.running import read_text
from minivae.figures import prior_predictive_grid, save_figure

__all__ = ["run"]

PICTURE = Path("graduate.png")


def run(arguments: argparse.Namespace) -> None:
    """Train with what has passed; the exit status is 1 if an answer did not stand the run."""
    folder = Folder(Path())
    if arguments.epochs < 1:
        raise ValueError(f"--epochs {arguments.epochs} must be at least 1")
    answers, failed = _answers(folder)
    if not answers:
        raise ValueError(
            "none of the exercises that a training run needs has passed yet; 'minivae exercise "
            "next' shows where to go on"
        )
    X, X_test, _ = digits()
    say(f"Training on {len(X)} digits twice, with the library and with your answers ...")
    found = graduate(answers, X, X_test, epochs=arguments.epochs, said=_Epochs(arguments.epochs))
    print(_numbers(found))
    print(f"\n{_pieces(found.pieces, folder)}")
    save_figure(prior_predictive_grid(found.vae.decode, 2, (8, 8)), PICTURE)
    print(f"\n{PICTURE} shows the digits that your system draws.")
    put_aside = {
        f"{piece.answer.exercise.number}  {piece.answer.exercise.title}": piece.fault
        for piece in found.pieces.values()
        if piece.answer is not None and piece.fault
    }
    failed = {**failed, **put_aside}
    if failed:
        print("\nThese answers are not in it, and the library's functions are in their places:")
        for name, why in failed.items():
            print(f"\n  {name}\n{table([('', why)], indent=6)}")
        raise SystemExit(1)


def _answers(folder: Folder) -> tuple[list[Answer], dict[str, str]]:
    """The answers that pass now, and what is wrong with those that only passed once."""
    wanted = [e for e in folder.exercises() if places_of(e.number)]
    passed_once = {e.number for e in wanted if folder.passed(e)}
    answers, failed = [], {}
    for verdict in folder.check_all(wanted):
        exercise = folder.find(verdict.exercise)
        if verdict:
            file = folder.file(exercise)
            answers.append(read_answer(exercise, read_text(file), str(file)))
        elif exercise.number in passed_once:
            name = f"{exercise.number}  {exercise.title}"
            failed[name] = f"It passed once, and does not now: {verdict.diagnosis}"
    return sorted(answers, key=lambda answer: answer.exercise.number), failed


class _Epochs:
    """Say now and then how far the two runs are."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def __call__(self, whose: str, epoch: int, elbo: float) -> None:
        if epoch % 5 == 0 or epoch == self.epochs:
            name = {"library": "the library", "own": "your answers"}[whose]
            say(f"  {name:13}  epoch {epoch:2} of {self.epochs}  ELBO {elbo:9.4f}")


def _numbers(found: Graduation) -> str:
    """Both runs' numbers, side by side."""
    rows = [f"{'nats per datum':32}{'library':>14}{'yours':>14}"]
    last = len(found.history)
    for epoch in sorted({1, *range(5, last, 5), last}):
        library, own = found.history[epoch - 1]
        rows.append(f"{f'ELBO, epoch {epoch}':32}{library:14.6f}{own:14.6f}")
    for name, own in found.own.items():
        rows.append(f"{name:32}{found.library[name]:14.6f}{own:14.6f}")
    pairs = [*found.history, *((found.library[name], own) for name, own in found.own.items())]
    off = max(abs(own - library) / abs(library) for library, own in pairs)
    same = f"The same numbers: they differ by at most {off:.0e} of their size."
    return "\n".join([*rows, "", same if off < 1e-6 else f"They differ by up to {off:.1e}."])


def _pieces(pieces: Mapping[str, Piece], folder: Folder) -> str:
    """Whose each piece is, in the order of the run."""
    known: dict[str, Exercise] = {e.number: e for e in folder.exercises()}
    lines = [f"{'piece of the run':36}{'exercise':10}{'whose':12}{'calls':>7}{'seconds':>9}"]
    for name, place in PLACES.items():
        piece = pieces[name]
        if piece.is_own and piece.answer is not None:
            number = piece.answer.exercise.number
            used = f"{piece.calls:7}{piece.seconds:9.2f}"
            lines.append(f"{place.what:36}{number:10}{'yours':12}{used}")
        else:
            numbers = " or ".join(n for n in place.fits if n in known)
            lines.append(f"{place.what:36}{numbers:10}the library's")
    return "\n".join(lines)
