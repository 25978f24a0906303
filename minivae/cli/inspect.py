"""``minivae sample``, ``reconstruct`` and ``info``: what a run has learned."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minivae import VAE, datasets
from minivae.checkpoint import atomic_write
from minivae.cli.describe import (
    architecture,
    best_epoch,
    describe_given,
    describe_likelihood,
    describe_prior,
    parameter_count,
)
from minivae.cli.flags import seed
from minivae.cli.models import asked, decoded, model_name, require_y
from minivae.cli.results import Results
from minivae.cli.run import SavedRun, load_like, open_run, prior_draws
from minivae.cli.terminal import add_quiet, say, table
from minivae.errors import CheckpointError, DatasetError
from minivae.reading import refused, shown
from minivae.tensor import Array
from minivae.training import EarlyStopping

__all__ = ["register"]

RUN = "a run's folder, or a checkpoint file"
MOST_SHOWN = 1000  # characters of what a record says


def register(commands: Any) -> None:
    """Add the commands to the parser."""
    about = "Draw data from a trained model: z from the prior, then x from p(x|z)."
    sampling = commands.add_parser(
        "sample", help="draw data from a trained model", description=about
    )
    sampling.add_argument("path", metavar="RUN", help=RUN)
    sampling.add_argument("-n", type=_count, default=100, metavar="N", help="how many draws (100)")
    sampling.add_argument(
        "--y",
        metavar="Y",
        help="for a model that is given y: the class to draw, or the conditions, such as 0.5,2 "
        "(each class in turn; the test data's conditions)",
    )
    sampling.add_argument(
        "--mean", action="store_true", help="show the means E[x|z] instead of draws, without noise"
    )
    sampling.add_argument(
        "--seed",
        type=seed,
        metavar="N",
        help="draw others than the run's own seed does, the same each time",
    )
    _add_out(sampling, "samples.png", "the array x")
    sampling.set_defaults(run=sample)

    about = "Encode test data and decode their codes; the run's own data, unless --data is given."
    reconstruction = commands.add_parser(
        "reconstruct", help="encode data and decode their codes", description=about
    )
    reconstruction.add_argument("path", metavar="RUN", help=RUN)
    reconstruction.add_argument(
        "--data", metavar="NAME|PATH", help="other data, as for train; their test data are used"
    )
    reconstruction.add_argument(
        "-n", type=_count, default=10, metavar="N", help="how many in the picture (10)"
    )
    arrays = "the arrays x, reconstruction, mu, log_var and elbo"
    _add_out(reconstruction, "reconstructions.png", arrays)
    reconstruction.set_defaults(run=reconstruct)

    information = commands.add_parser(
        "info", help="what a run's checkpoint holds", description="Say what a checkpoint holds."
    )
    information.add_argument("path", metavar="RUN", help=RUN)
    add_quiet(information)
    information.set_defaults(run=info)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} should be a whole number from 1")
    return int(text)


def _add_out(parser: argparse.ArgumentParser, picture: str, arrays: str) -> None:
    parser.add_argument(
        "--out",
        metavar="FILE",
        action="append",
        type=_out,
        help=f"a .png, or an .npz for {arrays}; may be given twice (default: {picture} "
        "in the run's folder)",
    )
    add_quiet(parser)


def _out(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in (".png", ".npz"):
        raise argparse.ArgumentTypeError(f"{text!r} should end in .png or .npz")
    return path


def sample(arguments: argparse.Namespace) -> None:
    """Write draws of x as a picture, or as an array."""
    saved = open_run(arguments.path)
    n, vae = arguments.n, saved.vae
    given = _drawn_under(arguments.y, saved, n)
    if arguments.mean:
        x = vae.decode(prior_draws(vae, n, arguments.seed or 0), *given)
    elif given:
        x = vae.sample(None, arguments.seed, y=given[0])  # type: ignore[call-arg, arg-type]
    else:
        x = vae.sample(n, arguments.seed)
    title = "Means $E[x|z]$ for draws of $z$ from the prior"
    if not arguments.mean:
        title = "Draws of $x$ from the model"

    def draw(path: Path) -> None:
        from minivae import figures
        from minivae.cli.pictures import darkest

        figure = figures.samples(x, saved.image_shape, title=title, vmax=darkest(vae))
        figures.save_figure(figure, path)

    _write(arguments, saved, "samples.png", draw, {"x": x})


def _drawn_under(text: str | None, saved: SavedRun, n: int) -> tuple[Any, ...]:
    """What each of n draws is given: nothing of a VAE, else a class or conditions for each."""
    vae = saved.vae
    if vae._condition_width_ is None:
        if text is not None:
            raise ValueError(f"--y {text}: this model is not given any y")
        return ()
    if vae.classes_ is not None:
        if text is None:
            return (np.asarray(vae.classes_)[np.arange(n) * len(vae.classes_) // n],)
        named = [k for k in vae.classes_ if str(k) == text]
        if not named:
            known = f"there are {shown(', '.join(map(str, vae.classes_)), 200)}"
            raise ValueError(f"--y {shown(text, 40)} is not a class of the model: {known}")
        return (np.repeat(named, n),)
    if text is None:
        if saved.source is None:
            raise DatasetError("the model does not say what it was trained on: give --y")
        y = datasets.load(saved.source, conditions=saved.conditions).y_test
        return (np.resize(y, (n, vae._condition_width_)),)  # type: ignore[arg-type]
    try:
        y = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise ValueError(f"--y {shown(text, 40)} should be numbers separated by commas") from None
    if y.shape != (vae._condition_width_,) or not np.isfinite(y).all():
        raise ValueError(f"--y {shown(text, 40)} should be {vae._condition_width_} finite numbers")
    return (np.tile(y, (n, 1)),)


def reconstruct(arguments: argparse.Namespace) -> None:
    """Write data and their reconstructions as a picture, or as arrays; print their ELBO."""
    saved = open_run(arguments.path)
    vae, source = saved.vae, arguments.data or saved.source
    if source is None:
        raise DatasetError(f"{arguments.path} does not say what it was trained on: give --data")
    data = load_like(saved.record, source, conditions=saved.conditions)
    require_y(vae, data, data.y_test, "test")
    X = data.model_arrays(counts=vae.likelihood_.takes_counts)[1]
    given = asked(vae, data.y_test)
    terms = vae.elbo_terms(X, *given)
    posterior = vae.posterior(X, *given)

    def draw(path: Path) -> None:
        from minivae.cli import pictures

        pictures.reconstructions(path, vae, data, X, arguments.n)

    arrays = {
        "x": X,
        "reconstruction": vae.decode(posterior.mu, *decoded(vae, X, data.y_test)),
        "mu": posterior.mu,
        "log_var": posterior.log_var,
        "elbo": terms.elbo,
    }
    print(Results.of(vae, X, data.y_test, terms).as_table())
    _write(arguments, saved, "reconstructions.png", draw, arrays)


def _write(
    arguments: argparse.Namespace,
    saved: SavedRun,
    default: str,
    draw: Any,
    arrays: dict[str, Array],
) -> None:
    inside = saved.folder.path / default
    if not arguments.out and inside.is_symlink():
        raise FileExistsError(f"{inside} is a symbolic link: say by --out where to write")
    for path in arguments.out or [inside]:
        if path.suffix.lower() == ".png":
            draw(path)
        else:
            atomic_write(path, lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        say(f"wrote {path}", quiet=arguments.quiet)


def info(arguments: argparse.Namespace) -> None:
    """Print what a checkpoint holds."""
    saved = open_run(arguments.path)
    with refused(CheckpointError, str(saved.checkpoint), "not as this version writes it"):
        rows = _rows(saved)
    print(table([(name, shown(text, MOST_SHOWN)) for name, text in rows], indent=0))


def _rows(saved: SavedRun) -> list[tuple[str, str]]:
    """What there is to say of a run."""
    vae, history = saved.vae, saved.vae.history_
    prior_weight = f", {vae.beta_warmup:g} epochs of warm-up" if vae.beta_warmup else ""
    rows = [
        ("checkpoint", str(saved.checkpoint)),
        *([] if model_name(vae) == "vae" else [("model", model_name(vae))]),
        ("network", architecture(vae, vae.n_features_in_)),
        *([("y", describe_given(vae))] if describe_given(vae) else []),
        ("activation", vae.activation),
        ("likelihood", describe_likelihood(vae)),
        ("prior", describe_prior(vae)),
        ("parameters", f"{parameter_count(vae):,}, {vae.dtype}"),
        ("objective", f"{vae.objective}, KL {vae.kl}, S = {vae.n_samples}, beta = {vae.beta:g}"
                      f"{prior_weight}"),
        ("training", f"Adam, learning rate {vae.learning_rate:g}, minibatches of {vae.batch_size}, "
                     f"seed {vae.random_state}"),
        ("epoch", _where(saved)),
    ]  # fmt: skip
    names = {"elbo": "training", "validation_elbo": "validation"}
    for name, kind in names.items():
        if history.get(name):
            best = best_epoch(vae, name)
            rows.append(
                (f"{kind} ELBO", f"{history[name][best - 1]:.2f} nats per datum at best, in "
                 f"epoch {best}; {history[name][-1]:.2f} in the last")
            )  # fmt: skip
    results = saved.record.get("results")
    if results:
        log_p = results["log_likelihood"]
        estimate = "" if log_p is None else f"; log p(x) about {log_p:.2f}"
        rows.append(("test ELBO", f"{results['elbo']:.2f} nats per datum{estimate}"))
        rows.append(("latent", _latent(vae, results)))
    rows.append(("data", saved.source or "not recorded"))
    if saved.record.get("command"):
        rows.append(("command", saved.record["command"]))
    return rows


def _latent(vae: VAE, results: dict[str, Any]) -> str:
    """Say what the code is used for; runs of earlier versions do not tell the KL's two parts."""
    said = f"{results['active_units']} of {vae.latent_dim} dimensions active"
    if not results["active_units"]:
        said += ": the posterior has collapsed"
    information, marginal = (results.get(name) for name in ("information", "marginal_kl"))
    if information is None or marginal is None:
        return said
    return (
        f"{said}; KL {information + marginal:.2f} = mutual information {information:z.2f} + "
        f"marginal KL {marginal:.2f}"
    )


def _where(saved: SavedRun) -> str:
    """Say how far training went."""
    epochs = saved.vae.epochs
    if "training" not in saved.metadata:
        return f"{len(saved.vae.history_.get('epoch', ()))} of {epochs}; a saved model"
    position = saved.metadata["training"]["position"]
    epoch = position["epoch"]
    best = position["hooks"].get(EarlyStopping.name, {"best_epoch": epoch})["best_epoch"]
    waited = epoch - best
    if epoch >= epochs:
        state = "finished"
    elif waited >= saved.vae.patience:
        state = f"finished: no improvement for {waited} epochs"
    else:
        state = f"not finished: minivae train --resume {saved.folder.path}"
    part = f" and {position['batch']} minibatches" if position["batch"] else ""
    return f"{epoch}{part} of {epochs}, {state}"
