"""Codes and losses of a whole data set, of every lane in one compiled call. Knows no metric."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxvae import latents, ledger, models, objectives
from jaxvae.data.grid import Dataset
from jaxvae.lane.keys import Stream, key_for
from jaxvae.parallel import compiling
from jaxvae.parallel.compiling import Wanted
from jaxvae.parallel.lanes import (
    LANE,
    fetch,
    make_mesh,
    over_lanes,
    pad_lanes,
    padded_size,
    put_everywhere,
    put_lanes,
    shapes_on,
)
from jaxvae.parallel.machine import RUN_ONCE
from jaxvae.training import sweep
from jaxvae.types import Hypers, InputError, Networks, Program, in_32_bits, remember

LATENT_STATISTICS = ("mean", "absolute_mean", "variance_of_mean", "posterior_variance")
"""Of the posterior N(mean, variance) of a latent, over the images: the mean of its means, the mean of their absolute
values, their variance (N in the denominator), and the mean of the posteriors' variances. By the law of total variance
the last two add up to the variance of the aggregate posterior."""

BATCH = 64  # small enough for the activations of one batch to stay in a CPU core's cache


class Encoded(NamedTuple):
    """What R lanes make of N images; losses are means over the images, nats."""

    means: jax.Array  # f32[R', N, D'] of q(z|x), left on the devices, where lanes past R only pad
    logvar: jax.Array | None  # likewise
    reconstruction: np.ndarray  # [R], -log p(x|z) at one z ~ q(z|x) each
    kl_per_latent: np.ndarray  # [R, D], closed form, to the architecture's own prior
    kl: np.ndarray  # [R], to the prior that the objective trains against (see Term.prior_kl)
    latent_statistics: dict[str, np.ndarray]  # {name of LATENT_STATISTICS: f64[R, D]}
    # (f32[R', N], f32[R', N]), reconstruction and kl of each image, where they were asked for, likewise on the devices
    of_images: tuple[jax.Array, jax.Array] | None = None


def numbers_read(program: Program) -> dict[str, float]:
    """Return name -> default of the hypers that losses depend on: those of the likelihood and of the prior."""
    return models.likelihood(program).hypers | objectives.objective(program.objective).prior_hypers()


def _read(program: Program, hypers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: hypers[name] for name in numbers_read(program)}


@remember
def _compiled_encode(program: Program, mesh, mode: str, with_logvar: bool, each_image: bool):
    """Return the jitted (data, hypers, networks [R, …]) -> (means [R, N, D], logvar, each, losses, told).

    The losses are (nll, kl [R, N/B, D], own): nll [R, N/B] and kl are sums over batches, and so is own [R, N/B], the KL
    to the objective's own prior; None where it has none. told [R, N/B, 4, D] are sums over batches of the posteriors'
    means, of their absolute values, of their squared distances from the batch's mean, and of the variances. `each` is
    what Encoded has as of_images.
    """
    module, likelihood = models.build(program), models.likelihood(program)
    objective = objectives.objective(program.objective)
    scored = latents.number_scored(program)

    def encode_lane(data: Dataset, lane):
        hypers, networks = lane
        if models.needs_labels(program.architecture):
            check_labels(program, data)

        def one_batch(number):
            indices = number * BATCH + jnp.arange(BATCH)
            real = indices < len(data)  # the last batch may run over the end; what does is not counted
            indices = jnp.minimum(indices, len(data) - 1)
            images = data.batch(indices)
            out = module.apply(
                networks.variables, images, key_for(0, Stream.EVALUATE, number), labels=data.factors[indices]
            )
            nll = likelihood.nll(out.logits, images, hypers)
            codes = (out.q.mean[:, :scored], out.q.logvar[:, :scored] if with_logvar else None)
            own = None
            if objective.has_own_prior or each_image:
                own = objective.prior_kl(out, networks.extra, hypers)
            codes = (*codes, (nll[:, None], own[:, None]) if each_image else None)
            own = jnp.where(real, own, 0).sum() if objective.has_own_prior else None
            there, mean = real[:, None], out.q.mean
            centre = jnp.where(there, mean, 0).sum(0) / real.sum()
            told = jnp.stack([mean, jnp.abs(mean), jnp.square(mean - centre), jnp.exp(out.q.logvar)])
            losses = jnp.where(real, nll, 0).sum(), jnp.where(there, out.q.kl, 0).sum(0), own
            return codes, losses, jnp.where(there, told, 0).sum(1)

        codes, losses, told = jax.lax.map(one_batch, jnp.arange(-(-len(data) // BATCH)))
        means, logvar, each = jax.tree.map(lambda leaf: leaf.reshape(-1, leaf.shape[-1])[: len(data)], codes)
        return means, logvar, jax.tree.map(lambda leaf: leaf[:, 0], each), losses, told

    return jax.jit(over_lanes(encode_lane, mesh, mode), compiler_options=RUN_ONCE)


def check_labels(program: Program, data: Dataset) -> None:
    """Raise InputError where data has other labels than those that a conditional architecture was trained with."""
    told, there = program.label_sizes, data.factor_sizes
    if len(told) != len(there) or any(size > known for size, known in zip(there, told, strict=True)):
        raise InputError(
            f"architecture {program.architecture!r} was trained with labels of {list(told)} values, and {data.name!r} "
            f"has labels of {list(there) or 'none'}; evaluate it on data that has the same labels"
        )


@in_32_bits
def encode(
    program: Program,
    hypers: dict[str, np.ndarray],
    networks: Networks,
    data: Dataset,
    *,
    with_logvar: bool = False,
    each_image: bool = False,
) -> Encoded:
    """Encode and reconstruct a whole data set with every lane, in one compiled call.

    Args:
        program: the lanes' program.
        hypers: name -> [R]; only those of `numbers_read`.
        networks: the lanes' networks, leaves [R, …].
        data: N images.
        with_logvar: whether to keep log-variances, which take as much memory as the means.
        each_image: whether to keep the losses of single images.

    Returns:
        Means and log-variances of the latents that are scored (all of a flat code, D' = D; the top group of a
        hierarchical one, see latents.number_scored), losses, and statistics of all latents.
    """
    lanes = len(jax.tree.leaves(networks)[0])
    mesh = make_mesh(lanes, sharing=True)
    padded = pad_lanes((_read(program, hypers), networks), padded_size(lanes, mesh))
    kept = {"with_logvar": with_logvar, "each_image": each_image}
    encoded = encode_in_place(program, *put_lanes(padded, mesh), put_everywhere(data, mesh), **kept)
    on_host = ("reconstruction", "kl_per_latent", "kl", "latent_statistics")
    return encoded._replace(
        **{name: jax.tree.map(lambda array: array[:lanes], getattr(encoded, name)) for name in on_host}
    )


@in_32_bits
def encode_in_place(
    program: Program,
    hypers: Hypers,
    networks: Networks,
    data: Dataset,
    *,
    with_logvar: bool = False,
    each_image: bool = False,
) -> Encoded:
    """Do as `encode` for hypers and networks [R', …] that lie on the devices, lanes split, and data that does."""
    mesh = jax.tree.leaves(networks)[0].sharding.mesh
    program, hypers, networks = _looked_at(program, hypers, networks)
    with ledger.part("encode"):
        wanted = _wanted(program, mesh, with_logvar, each_image, (data, (hypers, networks)))
        compiled = compiling.together([wanted])[0]
        means, logvar, each, sums, told = compiled(data, (hypers, networks))
        nll, kl, own = fetch(sums, lambda sums: sums.sum(1, dtype=np.float64) / len(data))
        told = fetch(told, lambda told: _over_all(told, len(data)))
    statistics = {name: told[:, index] for index, name in enumerate(LATENT_STATISTICS)}
    return Encoded(means, logvar, nll, kl, kl.sum(-1) if own is None else own, statistics, each)


@in_32_bits
def begin(program: Program, num_lanes: int, data: Dataset, *, with_logvar: bool = False) -> None:
    """Begin to compile what `encode` will need for so many lanes of a program and such data."""
    mesh = make_mesh(num_lanes, sharing=True)
    size = padded_size(num_lanes, mesh)
    hypers = {name: jax.ShapeDtypeStruct((size,), np.float32) for name in numbers_read(program)}
    program, hypers, networks = _looked_at(program, hypers, sweep.state_shapes(program, mesh, size).networks)
    arrays = shapes_on(data, mesh), shapes_on((hypers, networks), mesh, LANE)
    compiling.begin(_wanted(program, mesh, with_logvar, False, arrays))


def _looked_at(program: Program, hypers: Hypers, networks: Networks) -> tuple[Program, Hypers, Networks]:
    """Return what encoding depends on: the same for objectives that share a prior."""
    hypers, objective = _read(program, hypers), objectives.objective(program.objective)
    if objective.has_own_prior or objective.prior_hypers():
        return program, hypers, networks
    return models.network_of(program), hypers, networks._replace(extra={})


def _wanted(program: Program, mesh: Mesh, with_logvar: bool, each_image: bool, arrays: Any) -> Wanted:
    """Return the program that encodes such arrays (data, (hypers, networks)), or shapes of some, not compiled yet."""
    # Side by side fills an accelerator; one after another stays in a CPU's cache.
    mode = "map" if mesh.devices.flat[0].platform == "cpu" else "vmap"
    shapes, known_by = compiling.shapes(arrays)
    settings = (program, mesh, mode, with_logvar, each_image)
    return Wanted(("encode", *settings, known_by), lambda: _compiled_encode(*settings).lower(*shapes))


def _over_all(told: np.ndarray, num_images: int) -> np.ndarray:
    """Return the statistics f64[R, 4, D] of all images from the sums [R, N/B, 4, D] over batches."""
    told = told.astype(np.float64)
    found = told.sum(1) / num_images
    sizes = np.minimum(BATCH, num_images - BATCH * np.arange(told.shape[1]))[:, None]
    # In batches, and then between them: squares of means less the square of their mean would cancel.
    found[:, 2] += (sizes * (told[:, :, 0] / sizes - found[:, None, 0]) ** 2).sum(1) / num_images
    return found
