"""What a latent space knows of attributes, and how cleanly they can be moved: from models and data to a Navigation."""

import contextlib
import importlib.metadata
import itertools
import math
import os
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.navigate import keeping
from jaxvae.navigate.attributes import Attributes, attributes_of
from jaxvae.navigate.boundaries import Boundaries, fit_boundaries, resample, space_of
from jaxvae.navigate.classifier import STEPS as CLASSIFIER_STEPS
from jaxvae.navigate.classifier import Classifier, load_classifier, train_classifier
from jaxvae.navigate.coders import BATCH, Coder, Coders
from jaxvae.navigate.comparing import compare, plan_directions
from jaxvae.navigate.judging import judge_images, kl_to_prior
from jaxvae.navigate.parts import Parts, cut_up
from jaxvae.navigate.pictures import round_trip_of, rows_of_pictures, trips
from jaxvae.navigate.responses import STEPS, Scorer, respond, score_in_batches
from jaxvae.navigate.results import Judge, Navigation, Shown
from jaxvae.navigate.scores import NUM_BOOTSTRAPS, TARGET, expected_by_labels
from jaxvae.parallel.machine import device_name
from jaxvae.saved.model import Model
from jaxvae.types import InputError, in_32_bits, look_up
from jaxvae.version import __version__


@in_32_bits
def study(
    models: Mapping[str, Coder] | Sequence[Coder],
    data: Dataset,
    attributes: Sequence[str] | None = None,
    *,
    held_out: Dataset | None = None,
    scorer: Scorer | None = None,
    conditions: Mapping[str, Sequence[str]] | None = None,
    faces: int = 128,
    steps: Sequence[float] = STEPS,
    target: float = TARGET,
    resamples: int = 8,
    bootstraps: int = NUM_BOOTSTRAPS,
    classifier_steps: int = CLASSIFIER_STEPS,
    mirror: bool = True,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    say: Callable[[str], None] = print,
) -> Navigation:
    """Find the directions of attributes in latent spaces, move codes along them, and score what that does to pictures.

    A linear boundary is fitted to each attribute in each model's codes; held-out images are encoded, moved along its
    normal, decoded, and given to a judge that has seen none of the images that boundaries were fitted on.

    Args:
        models: by name, or a sequence of them: Models, or whatever encodes and decodes as they do. All must take images
            of the data's shape. The first is what others are compared with.
        data: images with labels or factors, to fit on.
        attributes: names; None for all that vary. See attributes.attributes_of.
        held_out: other images, to report on; by default 15% of `data`, cut by identity where the data knows it.
        scorer: images f32[B, H, W, C] in [0, 1] -> f32[B, A], the judge; None to train a classifier on 75% of the
            images to fit on, of people that boundaries never see. One that has `attributes` may tell more than are
            asked for. A Classifier that another study of the same data and seed trained serves again: what it was
            trained on is left out of the boundaries as it was there.
        conditions: for each attribute the others to project out of its normal, as many for each; None for the three
            whose normals are nearest to it.
        faces: held-out images that are edited.
        steps: sizes of the steps tried, standard deviations of the codes, ascending.
        target: of matched effect, standard deviations of an attribute's score over real images.
        resamples: refits of each boundary to halves of the images, at least 2.
        bootstraps: resamples of the edited images, for intervals.
        classifier_steps: updates of the classifier.
        mirror: whether a mirrored image has the same attributes, for the classifier's augmentation.
        seed: of everything that is drawn.
        out: a folder where finished parts are kept; the same call goes on from there.
        overwrite: delete another study that the folder holds.
        say: is given lines about the progress.

    Raises:
        InputError: no labels, an unknown or constant attribute, too few images with or without one, a model of another
            image shape or that is told labels, an unusable scorer or number.
        StudyError: `out` is something else, or another study.
    """
    names, coders = _named(models), Coders(list(models.values() if isinstance(models, Mapping) else models), data.shape)
    known = attributes_of(data, attributes)
    _check_numbers(faces, steps, target, resamples, bootstraps, classifier_steps, seed)
    parts = cut_up(data, held_out, known, scorer is None or isinstance(scorer, Classifier), seed)
    if isinstance(scorer, Classifier) and scorer.about.get("trained_on") != keeping.digest(parts.judged[0]):
        parts = cut_up(data, held_out, known, False, seed)
    judge = _of_attributes(scorer, known.names)
    _check_makers(coders, judge, parts.held_out[0][:BATCH], len(known.names))
    faces = min(faces, len(parts.held_out[0]))
    others = _conditions(conditions, known.names)
    spec = {
        "data": data.name,
        "images_for_classifier": len(parts.judged[0]),
        "images_for_boundaries": len(parts.fitted[0]),
        "held_out_images": len(parts.held_out[0]),
        "edited_images": faces,
        "steps": [float(step) for step in steps],
        "target": float(target),
        "resamples": resamples,
        "bootstraps": bootstraps,
        "classifier_steps": classifier_steps if scorer is None else None,
        "scorer": "a classifier trained here" if scorer is None else _called(scorer),
        "conditions": {n: list(c) for n, c in conditions.items()} if conditions else "three nearest normals",
        "mirror": mirror,
        "seed": seed,
    }
    asked = {
        "jaxvae": __version__,
        "models": {name: _digest(coder) for name, coder in zip(names, coders.coders, strict=True)},
        "attributes": list(known.names),
        "pixels": [keeping.of_data(data), None if held_out is None else keeping.of_data(held_out)],
        "weights_of_scorer": keeping.digest(scorer.params) if isinstance(scorer, Classifier) else None,
        **spec,
    }
    keep = keeping.Keep(out, asked, overwrite=overwrite)
    clock = _Clock(say, keep)

    with clock.part("classifier", scorer is None and f"training a classifier on {len(parts.judged[0]):,} images"):
        judge = judge or _classifier(parts.judged, keep, classifier_steps, mirror, seed, say)
    num_encoded = len(parts.fitted[0]) + len(parts.held_out[0])
    with clock.part("codes", f"encoding {num_encoded:,} images by {len(coders)} models"):
        codes = keep.arrays("codes", lambda: _codes(coders, parts))
    space = space_of(codes["fitted"], codes["fitted_logvar"])
    fitted, there = space.standardise(codes["fitted"]), space.standardise(codes["held_out"])
    with clock.part("boundaries", f"fitting {len(known.names)} boundaries of each, and {resamples} refits"):
        weights = resample(fitted.shape[1], parts.fitted[2], resamples, seed)
        told = parts.held_out[1].values
        found = keep.arrays(
            "boundaries",
            lambda: fit_boundaries((fitted, parts.fitted[1].values), (there, told), weights)._asdict(),
        )
        boundaries = Boundaries(**found)
    with clock.part("judging", "judging held-out images and their reconstructions"):
        seen = keep.arrays("judged", lambda: judge_images(coders, codes["held_out"], parts.held_out, judge))
        judged = Judge(**{name: seen[name] for name in Judge._fields})
    chosen = np.sort(np.random.default_rng(seed).permutation(len(told))[:faces])
    plan = plan_directions(boundaries, space, fitted, others, seed)
    moved = codes["held_out"][:, chosen]
    with clock.part("edits", f"moving {faces} images along {plan.directions.shape[1]} directions of each model"):
        how = {"steps": tuple(steps), "keep": keep.arrays, "say": say}
        responses = respond(coders, space, moved, plan.directions, judge, len(known.names), **how) / judged.deviation
    with clock.part("scores", "scoring the edits"):
        compared = compare(
            responses,
            plan,
            boundaries,
            judged,
            tuple(map(float, steps)),
            names,
            target=target,
            num_bootstraps=bootstraps,
            seed=seed,
        )
    with clock.part("round trip", "encoding edited images again"):
        step = compared.normals.step.value
        again = keep.arrays("round_trip", lambda: trips(coders, space, moved, boundaries.normals, step))
        effect = np.einsum("maa->ma", compared.normals.matrix)
        round_trip = round_trip_of(again, effect, bootstraps, seed)
    with clock.part("pictures", "drawing rows of edited images"):
        images = parts.held_out[0][chosen]
        shown = Shown(**keep.arrays("shown", lambda: rows_of_pictures(coders, space, moved, boundaries, images, seed)))

    results = Navigation(
        models=names,
        attributes=known.names,
        spec=spec,
        environment=_environment(clock, scorer or judge),
        judge=judged,
        labels=np.nan_to_num(np.corrcoef(told.T.astype(float)).reshape(len(known.names), -1)).astype(np.float32),
        by_labels=np.diagonal(expected_by_labels(told)).copy(),
        reconstruction=seen["reconstruction"],
        kl=kl_to_prior(codes["held_out"], codes["held_out_logvar"]),
        space=space,
        boundaries=boundaries,
        normals=compared.normals,
        conditioned=compared.conditioned,
        single=compared.single,
        random=compared.random,
        principal=compared.principal,
        round_trip=round_trip,
        means=compared.means,
        smaller=compared.smaller,
        shown=shown,
    )
    if out is not None:
        keeping.save(results, out)
    return results


def _named(models: Mapping[str, Coder] | Sequence[Coder]) -> tuple[str, ...]:
    if not len(models):
        raise InputError("there are no models to study; give one or more")
    if isinstance(models, Mapping):
        return tuple(map(str, models))
    names = []
    for number, model in enumerate(models):
        about = model.about if isinstance(model, Model) else {}
        name = str(about.get("experiment") or about.get("objective") or f"model {number + 1}")
        names.append(name if name not in names else f"{name} ({number + 1})")
    return tuple(names)


def _check_numbers(
    faces: int,
    steps: Sequence[float],
    target: float,
    resamples: int,
    bootstraps: int,
    classifier_steps: int,
    seed: int,
) -> None:
    for name, value, least, most in (
        ("faces", faces, 2, 2**31 - 1),
        ("resamples", resamples, 2, 10_000),
        ("bootstraps", bootstraps, 2, 1_000_000),
        ("classifier_steps", classifier_steps, 1, 2**30),
        ("seed", seed, 0, 2**32 - 1),
    ):
        number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value != int(value) or value < least:
            raise InputError(f"{name} must be a whole number from {least}, got {value!r}")
        if value > most:
            raise InputError(f"{name} must be at most {most:,}, got {value:,}")
    far = [0.0, *steps]
    if len(far) == 1 or not all(map(math.isfinite, far)) or any(b <= a for a, b in itertools.pairwise(far)):
        raise InputError(f"steps must be numbers above 0 that ascend, got {list(steps)}")
    if not 0 < target < math.inf:
        raise InputError(f"target must be a number above 0, got {target}")


def _check_makers(coders: Coders, judge: Scorer | None, images: np.ndarray, num_attributes: int) -> None:
    """Check on a few images what would else come to light after all of them, or never."""
    if judge is not None:
        score_in_batches(judge, images.astype(np.float32) / 255.0, num_attributes)
    _check_codes(coders, *coders.encode(images))


def _check_codes(coders: Coders, *codes: np.ndarray) -> None:
    well = np.all([np.isfinite(part).all((1, 2)) for part in codes], axis=0)
    if not well.all():
        raise InputError(
            f"{coders.coders[int(well.argmin())]!r} encodes some images to something that is not a number: it has "
            "diverged; leave it out"
        )


def _conditions(conditions: Mapping[str, Sequence[str]] | None, names: tuple[str, ...]) -> list[np.ndarray] | None:
    """Return the attributes to project out of each normal, as numbers."""
    if not conditions:
        return None
    table = {name: number for number, name in enumerate(names)}
    for name in conditions:
        look_up("attribute", name, table)
    chosen = [[look_up("attribute", other, table) for other in conditions.get(name, ())] for name in names]
    # An attribute is never projected out of itself; its own number stands for "nothing".
    most = max(map(len, chosen))
    return [np.array([*(o for o in own if o != n), *[n] * most][:most], int) for n, own in enumerate(chosen)]


def _classifier(
    judged: tuple[np.ndarray, Attributes], keep: keeping.Keep, steps: int, mirror: bool, seed: int, say
) -> Classifier:
    folder = None if keep.path is None else keep.path / "classifier"
    if folder is not None and folder.exists():
        say(f"  taken from {folder}")
        return load_classifier(folder)
    made = train_classifier(*judged, steps=steps, mirror=mirror, seed=seed, say=say)
    if folder is not None:
        made.save(folder)
    return made


def _of_attributes(scorer: Scorer | None, names: tuple[str, ...]) -> Scorer | None:
    """Return a scorer of these attributes: one that says what it tells may tell more, in another order.

    Raises:
        InputError: it does not tell one of them.
    """
    told = getattr(scorer, "attributes", names)
    if tuple(told) == names:
        return scorer
    columns = {name: number for number, name in enumerate(told)}
    chosen = [look_up("attribute of the scorer", name, columns) for name in names]
    return lambda images: np.asarray(scorer(images))[:, chosen]


def _codes(coders: Coders, parts: Parts) -> dict[str, np.ndarray]:
    fitted, fitted_logvar = coders.encode(parts.fitted[0])
    there, there_logvar = coders.encode(parts.held_out[0])
    _check_codes(coders, fitted, fitted_logvar, there, there_logvar)
    return {"fitted": fitted, "fitted_logvar": fitted_logvar, "held_out": there, "held_out_logvar": there_logvar}


class _Clock:
    """Says what is being done, and remembers how long each part took when it was made."""

    def __init__(self, say: Callable[[str], None], keep: keeping.Keep):
        self._say, self._keep, self.seconds = say, keep, {}

    @contextlib.contextmanager
    def part(self, name: str, doing: str | bool) -> Iterator[None]:
        if doing:
            self._say(str(doing))
        began = time.monotonic()
        yield
        self.seconds = self._keep.seconds(self.seconds | {name: round(time.monotonic() - began, 1)})


def _called(scorer: Scorer) -> str:
    # What an object says of itself tells two of a kind apart; where it lies in memory differs from run to run.
    said = getattr(scorer, "__qualname__", None) or repr(scorer)
    return type(scorer).__name__ if " at 0x" in said else said


def _digest(coder: Coder) -> str:
    return keeping.digest(coder.networks) if isinstance(coder, Model) else repr(coder)


def _environment(clock: _Clock, judge: Scorer) -> dict[str, Any]:
    unit = 2**30 if sys.platform == "darwin" else 2**20  # the system counts bytes there, kilobytes elsewhere
    return {
        "device": device_name(),
        "device_count": jax.device_count(),
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")},
        "jaxvae": __version__,
        "finished": time.strftime("%Y-%m-%d %H:%M:%S"),
        "seconds": clock.seconds,
        "gigabytes_at_most": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 2),
        "classifier": judge.about if isinstance(judge, Classifier) else None,
    }
