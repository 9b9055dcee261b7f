"""What a program's code consists of: groups of latents, from the top down. Knows no network and no loss.

Models build the groups, objectives weigh them and scores look at the first of them, so this lies below all rooms.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

from jaxvae.types import InputError, Program, Range, Size

GROUPS_PER_SCALE = Size(
    "groups_per_scale",
    (2, 2),
    Range("at least 1 group for every scale, such as 2,2", lambda groups: all(number >= 1 for number in groups)),
    "groups of latents of nvae on each grid, the coarsest first, each half as fine as the next",
    most=64,
)

FINEST_SIDE = 8
"""Images are halved, at least once, until their longer side is not above this: the finest grid of latents."""


class Pyramid(NamedTuple):
    """The grids of a hierarchy over an image, all static."""

    padded: tuple[int, int]  # height and width of the image with its margin
    halvings: int  # from the padded image to the finest grid of latents
    grids: tuple[tuple[int, int], ...]  # height and width of each scale, the coarsest first


def pyramid(image_shape: tuple[int, int, int], num_scales: int) -> Pyramid:
    """Return the grids of `num_scales` scales, each half as fine as the next.

    Images get a margin so that all halvings come out even: 28x28 is padded to 32x32, with grids of 4x4 and 8x8 at two
    scales and from 1x1 at four.

    Raises:
        InputError: the image cannot be halved so often.
    """
    sides = image_shape[:2]
    halvings = 1
    while math.ceil(max(sides) / 2**halvings) > FINEST_SIDE:
        halvings += 1
    most = 1 + max(0, math.ceil(math.log2(max(sides))) - halvings)
    if not 1 <= num_scales <= most:
        raise InputError(
            f"--groups_per_scale has {num_scales} scales, and a {sides[0]}x{sides[1]} image allows 1 to {most}; "
            "give one number of groups for each"
        )
    unit = 2 ** (halvings + num_scales - 1)
    padded = tuple(math.ceil(side / unit) * unit for side in sides)
    grids = [tuple(side // 2 ** (halvings + up) for side in padded) for up in reversed(range(num_scales))]
    return Pyramid(padded, halvings, tuple(grids))


def groups(program: Program) -> tuple[int, ...]:
    """Return how many latents each group of a program's code has, in the order in which they lie in [B, D].

    A flat code is one group. The latents of a hierarchical one are, at every place of a group's grid,
    `program.latent_dim` numbers.

    Raises:
        InputError: the hierarchy does not fit the images.
    """
    if program.architecture not in HIERARCHICAL:
        return (program.latent_dim,)
    return HIERARCHICAL[program.architecture](program)


def groups_of_pyramid(program: Program) -> tuple[int, ...]:
    """Return the latents of each group of a `pyramid`: latent_dim at each place, groups_per_scale groups a grid."""
    groups_per_scale = GROUPS_PER_SCALE.of(program)
    grids = pyramid(program.image_shape, len(groups_per_scale)).grids
    return tuple(
        height * width * program.latent_dim
        for (height, width), number in zip(grids, groups_per_scale, strict=True)
        for _ in range(number)
    )


HIERARCHICAL: dict[str, Callable[[Program], tuple[int, ...]]] = {"nvae": groups_of_pyramid}
"""architecture -> function(program) -> latents of each group, the top one first; an architecture that is not here is
flat. A group below the top has a prior that depends on the groups above it."""


def maps(program: Program) -> tuple[tuple[int, int], ...]:
    """Return (places, latent_dim) of each group: its latents as they lie in [B, D], place by place.

    A map is one of a group's latent_dim latents at all its places, which share parameters. A flat code has one place.
    """
    return tuple((size // program.latent_dim, program.latent_dim) for size in groups(program))


def is_flat(program: Program) -> bool:
    """Return whether a program's code is one group, with the prior N(0, I)."""
    return len(groups(program)) == 1


def number(program: Program) -> int:
    """Return D, the number of latents of all groups."""
    return sum(groups(program))


def number_scored(program: Program) -> int:
    """Return how many latents, the first ones, are what metrics, maps and traversals call the code: the top group.

    It alone depends on the image and nothing else and has the prior N(0, I), which is what they assume of a code. What
    the groups below hold is relative to the groups above, and there are thousands of it.
    """
    return groups(program)[0]
