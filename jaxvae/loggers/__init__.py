"""The list of loggers: where else than in its folder a sweep is told while it trains. A new one is a class and a line.

A run there is a lane. Knows no training: rows of history.csv come in as plain numbers, pictures as PNG files.
"""

import importlib.util
from collections.abc import Callable, Iterable

from jaxvae.loggers.base import Final, Lane, Logger, Watched
from jaxvae.loggers.jsonl import Jsonl
from jaxvae.loggers.lanes import watched
from jaxvae.loggers.telling import Telling
from jaxvae.loggers.tensorboard import TensorBoard
from jaxvae.loggers.weights_and_biases import WeightsAndBiases
from jaxvae.types import InputError, Table, look_up

__all__ = ["LOGGERS", "Final", "Lane", "Logger", "Telling", "Watched", "check", "watched"]

LOGGERS: Table[Callable[..., Logger]] = Table(
    "logger", None, {"tensorboard": TensorBoard, "wandb": WeightsAndBiases, "jsonl": Jsonl}
)


def check(names: Iterable[str]) -> None:
    """Refuse loggers that nobody knows, whose package is not installed, or that cannot begin as things are.

    Raises:
        InputError: what was given, what is legal, what to change.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"--log_to names loggers ({', '.join(LOGGERS)}), got {names!r}")
    for name in names:
        logger = look_up("logger", name, LOGGERS)
        needs = getattr(logger, "needs", "")
        if needs and not _is_installed(needs):
            extra = f"'jaxvae[{name}]'" if name in LOGGERS.built_in else needs
            raise InputError(
                f"--log_to={name} needs the package {needs}, which is not installed: pip install {extra}, or leave it "
                "out"
            )
        getattr(logger, "check", lambda: None)()


def _is_installed(module: str) -> bool:
    """Return whether a module is there; a folder of its name that is none (./wandb, of somebody's runs) is not it."""
    try:
        found = importlib.util.find_spec(module)
    except ImportError:
        return False
    return found is not None and found.origin is not None
