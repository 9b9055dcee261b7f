"""Models by what a command line calls them: a lane of a sweep, a saved model, a published network's folder."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from jaxvae.arguments import as_path
from jaxvae.saved import export
from jaxvae.saved.model import Model, load_model
from jaxvae.saved.pretrained import load_pretrained
from jaxvae.saved.sweep import SavedSweep
from jaxvae.types import InputError

EXAMPLE = (
    "runs/faces:beta=4,seed=0 (a lane of a sweep), runs/faces:* (all of them), the folder of a saved model, or one "
    "with a published network's model.pt"
)


def split(text: str) -> list[str]:
    """Return the parts of "a,runs/x:beta=4,seed=0,b": a comma before NAME=VALUE goes on with the lane before it."""
    parts: list[str] = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        goes_on = parts and ":" in parts[-1] and "=" in piece and "/" not in piece and ":" not in piece
        parts[-1:] = [f"{parts[-1]},{piece}"] if goes_on else [*parts[-1:], piece]
    return parts


def open_models(wanted: Iterable[str]) -> dict[str, Model]:
    """Open models, and name each by what tells it from the others.

    Args:
        wanted: FOLDER of a saved model or of a published network; FOLDER:NAME=VALUE,… of a lane, FOLDER:* of all lanes
            that were trained to their end, FOLDER alone where the sweep has one lane.

    Raises:
        InputError: one is not there, is damaged, or names no lane or several.
    """
    found: dict[str, Model] = {}
    for text in wanted:
        for name, model in _open(text):
            if name in found:
                raise InputError(f"{text} is the model {name!r}, which was given already; give each model once")
            found[name] = model
    if not found:
        raise InputError(f"no model was given; give {EXAMPLE}")
    return found


def _open(text: str) -> list[tuple[str, Model]]:
    place, _, lane = text.partition(":")
    folder = as_path("a model", place)
    if not folder.is_dir():
        raise InputError(f"{text}: there is no folder {folder}; give {EXAMPLE}")
    if (folder / "spec.json").exists():
        return _lanes(SavedSweep(folder), lane)
    if lane:
        raise InputError(f"{text}: {folder} holds no sweep, so it has no lane {lane!r}")
    if (folder / export.MODEL.about).exists():
        return [(folder.name, load_model(folder))]
    if (folder / "model.pt").exists():
        return [(folder.name, load_pretrained(folder))]
    raise InputError(f"{folder} holds no model (no spec.json, {export.MODEL.about} or model.pt); give {EXAMPLE}")


def _lanes(sweep: SavedSweep, wanted: str) -> list[tuple[str, Model]]:
    def opened(model: Model) -> tuple[str, Model]:
        model.about["dataset"] = sweep.spec.get("dataset")
        return lane_name(sweep, model.about), model

    if wanted == "*":
        models = [sweep.model(lane["lane"]) for lane in sweep.lanes]
        return [opened(model) for model in models if model.about["status"] == "ok"]
    chosen: dict[str, Any] = {}
    for part in filter(None, wanted.split(",")):
        name, sign, value = part.partition("=")
        if not sign:
            raise InputError(f"{sweep.path}:{wanted}: write NAME=VALUE, as in beta=4,seed=0")
        chosen[name] = _value(value)
    model = sweep.select(**chosen)
    if model.about["status"] != "ok":
        raise InputError(f"{sweep.path}:{wanted} {model.about['status']}; choose another lane")
    return [opened(model)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def lane_name(sweep: SavedSweep, about: Mapping[str, Any]) -> str:
    """Name a lane by its objective, by its architecture where there are several, and by what was swept."""
    several = len({lane["architecture"] for lane in sweep.lanes}) > 1
    told = [about["objective"], *([about["architecture"]] if several else [])]
    told += [f"{name}={about[name]:g}" for name in sweep.swept if about.get(name) is not None]
    return " ".join(told)
