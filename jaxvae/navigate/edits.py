"""One attribute of pictures changed by a model, as a finished study knows how. Knows no statistics."""

from collections.abc import Sequence

import numpy as np

from jaxvae.navigate.boundaries import Space
from jaxvae.navigate.coders import Coder
from jaxvae.navigate.directions import condition, move, move_to
from jaxvae.navigate.results import Navigation
from jaxvae.types import InputError, in_32_bits, look_up


@in_32_bits
def edit(
    results: Navigation,
    name: str,
    model: Coder,
    images,
    attribute: str,
    *,
    without: Sequence[str] = (),
    step: float | None = None,
    distance: float | None = None,
    effect: float | None = None,
) -> np.ndarray:
    """Return images f32[B, H, W, C] in [0, 1] with an attribute moved: encoded, moved, decoded.

    Args:
        results: a study of the model.
        name: of the model in it.
        model: itself.
        images: [B, H, W, C], as the model takes them.
        attribute: what to move.
        without: other attributes whose boundaries are not to be crossed: their normals are projected out.
        step: how far, in standard deviations of the codes; below 0 takes the attribute away.
        distance: or the signed distance from the attribute's boundary at which every image is to come to lie.
        effect: or how far the attribute's score is to move, in standard deviations over real images, on average: the
            study's step for its target, as many times.

    Raises:
        InputError: an unknown model or attribute, not exactly one of step, distance and effect, a direction that the
            others leave nothing of, or an effect of an attribute that the study found unsteerable.
    """
    given = [value for value in (step, distance, effect) if value is not None]
    if len(given) != 1 or not np.isfinite(given[0]):
        raise InputError("give exactly one of step, distance and effect, a finite number")
    number = look_up("model of the study", name, {n: i for i, n in enumerate(results.models)})
    table = {n: i for i, n in enumerate(results.attributes)}
    own = look_up("attribute", attribute, table)
    others = [look_up("attribute", other, table) for other in without]
    normal, offset = results.boundaries.normals[number, own], float(results.boundaries.offsets[number, own])
    direction = condition(normal, results.boundaries.normals[number, others])
    if not direction.any():
        raise InputError(f"nothing of {attribute!r} is left in {name} without {', '.join(without) or 'anything'}")
    if effect is not None:
        if others:
            raise InputError("the study knows the effect of whole normals only; give step or distance with `without`")
        if not results.normals.steerable[number, own]:
            raise InputError(f"{attribute!r} is not steerable in {name}: no step moves its score so far; give step")
        step = effect / results.spec["target"] * float(results.normals.step.value[number, own])
    space = Space(*(part[number : number + 1] for part in results.space))
    codes = np.asarray(model.encode(images)[0])
    size = codes.shape[1]
    if size > space.mean.shape[1]:
        raise InputError(f"{name} had {space.mean.shape[1]} latents in the study at most, this model has {size}")
    padded = np.pad(codes, ((0, 0), (0, space.mean.shape[1] - size)))[None]
    units = space.standardise(padded)[0]
    moved = move(units, direction, step) if distance is None else move_to(units, direction, normal, offset, distance)
    return np.asarray(model.decode(space.restore(moved[None].astype(np.float32), padded)[0, :, :size]))
