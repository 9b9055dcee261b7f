"""Which static sizes objectives and architectures declare, and who declares which. Knows no value that was given."""

from collections.abc import Iterable
from typing import NamedTuple

from jaxvae import models, objectives
from jaxvae.types import InputError, Size


class Declared(NamedTuple):
    """A size, and in words who has it."""

    size: Size
    owners: tuple[str, ...]  # "objective factor_vae", "architecture nvae", …


def sizes_of(chosen: Iterable[str], architectures: Iterable[str]) -> dict[str, Size]:
    """Return name -> size of all that these objectives and architectures declare.

    Raises:
        InputError: one of them is unknown, or two declare different sizes by one name.
    """
    found: dict[str, Size] = {}
    for size in (
        *(size for name in chosen for size in objectives.objective(name).sizes),
        *(size for name in architectures for size in models.sizes(name)),
    ):
        if found.setdefault(size.name, size) != size:
            raise InputError(
                f"the size {size.name!r} is declared twice, as {found[size.name].meaning!r} and as {size.meaning!r}; "
                "give the newer one a name of its own"
            )
    return found


def every_size() -> dict[str, Declared]:
    """Return name -> size and owners of all sizes that there are."""
    found: dict[str, Declared] = {}
    owners = [
        *((f"objective {name}", objective.sizes) for name, objective in objectives.OBJECTIVES.items()),
        *((f"term {name}", term.sizes) for name, term in objectives.TERMS.items()),
        *((f"architecture {name}", architecture.sizes) for name, architecture in models.ARCHITECTURES.items()),
    ]
    for owner, sizes in owners:
        for size in sizes:
            known = found.get(size.name, Declared(size, ()))
            found[size.name] = Declared(known.size, (*known.owners, owner))
    return found
