"""spec.json, run.json and the counters of a checkpoint: one reader and one schema for each. Knows no device.

What is wrong with one of them is one line: which file, what is wrong, what can be done.
"""

import json
import pathlib
import re
import zlib
from typing import Any

from jaxvae import files
from jaxvae.asked.checking import LANE_MODES
from jaxvae.asked.spec import ONCE_FIELDS
from jaxvae.types import InputError
from jaxvae.workdir.schema import (
    Part,
    Wrong,
    anything,
    either,
    listed,
    mapping,
    null,
    number,
    one_of,
    record,
    seconds,
    text,
    whole,
    wrong,
)

RunNotes = dict[str, Any]
"""What run.json says, checked: "modes" {key of a group: mode}, "waves" [Wave.to_json(), …], "data" (see
plan.fingerprint); once the sweep is scored also "environment", and "seconds" {directory of a wave: how long it was
trained}."""


class WorkdirError(InputError):
    """A folder cannot be used as asked; the message says why and what to change."""


class DamagedError(WorkdirError):
    """A file of a workdir is not what it should be; `what` says which and why, without what to do."""

    def __init__(self, what: str, remedy: str = "bring it back, or start anew with --overwrite"):
        super().__init__(f"{what}; {remedy}")
        self.what = what


def read_json(path: pathlib.Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedError: it is missing or no JSON.
    """
    try:
        return json.loads(files.read(path), parse_constant=_no_number)
    except (OSError, ValueError, RecursionError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise DamagedError(f"{path} cannot be read ({reason})", "is this the folder of a sweep?") from None


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


# spec.json

_SIZE = either(listed(whole(0)), whole(0))
_GENERATION = record({"objectives": listed(text, 1), "architectures": listed(text, 1), "sweep": listed(text)})
_LATER = ("sizes", "hold_out", "validation", "plugins", "extends", "log_to", "figure_format")
"""Fields that the first version did not have."""
FIELDS: dict[str, Part] = {
    **dict.fromkeys(("dataset", "likelihood", "dtype", "lanes"), text),
    **dict.fromkeys(("objectives", "architectures"), listed(text, 1)),
    **dict.fromkeys(("sweep", "hold_out", "plugins", "log_to"), listed(text)),
    **dict.fromkeys(("latent_dim", "batch_size", "steps", "log_every"), whole(1)),
    **dict.fromkeys(("seed", "eval_every"), whole(0)),
    **dict.fromkeys(("lr", "validation", "save_seconds"), number),
    "data_dir": either(null, text),
    "metrics": either(null, listed(text)),
    "figure_format": listed(one_of(("png", "pdf", "svg"))),
    "max_lanes": either(one_of(("auto",)), whole(1)),
    "sizes": mapping(_SIZE),
    "extends": listed(_GENERATION),
}
_SPEC = record(
    {name: part for name, part in FIELDS.items() if name not in _LATER},
    {name: part for name, part in FIELDS.items() if name in _LATER} | dict.fromkeys(ONCE_FIELDS, _SIZE),
)


def read_spec(path: pathlib.Path) -> dict[str, Any]:
    """Read the spec.json of a workdir, as this version or an earlier one wrote it: what `spec.from_json` takes.

    Raises:
        DamagedError: it is missing, no JSON, or no spec that this version knows.
    """
    file = path / "spec.json"
    saved = read_json(file)
    try:
        _SPEC(saved, "")
    except Wrong as error:
        later = "; update jaxvae if a later version wrote it" if "unknown to this version" in str(error) else ""
        raise DamagedError(f"{file} is not that of a sweep ({error}){later}") from None
    return saved


# run.json

_PROGRAM = record(
    {"architecture": text, "objective": text, "image_shape": listed(whole(1), 3)},
    {
        **dict.fromkeys(("likelihood", "dtype"), text),
        **dict.fromkeys(("latent_dim", "batch_size"), whole(1)),
        "label_sizes": listed(whole(0)),
        "sizes": mapping(_SIZE),
    },
    _SIZE,  # as fields, before their owners declared them
)
_LANE = record({"lane": whole(0), "objective": text, "architecture": text, "lr": number, "seed": whole(0)}, {}, number)
_WAVE = record({"directory": text, "program": _PROGRAM, "lanes": listed(_LANE, 1)}, {"size": whole(1)})
_DATA = record({"images": whole(1), "shape": listed(whole(1), 3), "checksum": whole(0)}, {}, anything)
_RUN = record(
    {"modes": mapping(one_of(LANE_MODES[1:])), "waves": listed(_WAVE, 1), "data": _DATA},
    {"seconds": mapping(seconds), "environment": mapping(anything)},
)


def read_run(path: pathlib.Path) -> RunNotes:
    """Read the run.json of a workdir, as this version or an earlier one wrote it.

    Raises:
        DamagedError: it is missing, no JSON, or does not list the lanes from 0 on, wave by wave, each where it belongs.
    """
    file = path / "run.json"
    saved = read_json(file)
    try:
        check_run(saved)
    except Wrong as error:
        raise DamagedError(f"{file} is not that of a sweep ({error})") from None
    return saved


def check_run(saved: Any) -> None:
    """Raise Wrong where something is not what run.json says."""
    _RUN(saved, "")
    following = 0
    for place, wave in enumerate(saved["waves"]):
        check_wave(wave, f"waves[{place}]")
        if wave["lanes"][0]["lane"] != following:
            raise Wrong(f"waves[{place}] begins with lane {wave['lanes'][0]['lane']}, expected lane {following}")
        following += len(wave["lanes"])


def check_wave(wave: Any, called: str = "wave") -> None:
    """Raise Wrong where something is not what `Wave.to_json` gives: its folder is the one that its lanes have."""
    _WAVE(wave, called)
    program, lanes = wave["program"], wave["lanes"]
    for place, lane in enumerate(lanes):
        if lane["lane"] != lanes[0]["lane"] + place:
            raise wrong(lane["lane"], f"{called}.lanes[{place}].lane", str(lanes[0]["lane"] + place))
        if (lane["objective"], lane["architecture"]) != (program["objective"], program["architecture"]):
            raise Wrong(f"{called}.lanes[{place}] has another objective or architecture than the program")
    if wave.get("size", len(lanes)) < len(lanes):
        raise wrong(wave["size"], f"{called}.size", f"at least its {len(lanes)} lanes")
    belongs = wave_folder(group_of(wave), lanes[0]["lane"], lanes[-1]["lane"])
    if wave["directory"] != belongs or not _INSIDE.fullmatch(belongs):
        raise wrong(wave["directory"], f"{called}.directory", belongs)


def group_of(wave: dict[str, Any]) -> str:
    """Return the name of the group that a wave, as `Wave.to_json` gives it, is cut from."""
    return f"{wave['program']['objective']}_{wave['program']['architecture']}"


_INSIDE = re.compile(r"checkpoints/[^/\\\x00-\x1f]+/lanes_[0-9]{5,}-[0-9]{5,}")


def wave_folder(group: str, first: int, last: int) -> str:
    """Return where the checkpoints of some lanes of a group lie, below the workdir."""
    return f"checkpoints/{group}/lanes_{first:05d}-{last:05d}"


# The counters of a checkpoint

Label = dict[str, Any]
"""What a checkpoint belongs to, JSON types: "wave" (Wave.to_json()), its lanes' "mode", "data" (plan.fingerprint())."""

_LABEL = record({"wave": _WAVE, "mode": either(null, one_of(LANE_MODES[1:])), "data": _DATA})
_COUNTERS = record(
    {"step": whole(0), "seconds": seconds},
    {"lanes": whole(1), "arrays": listed(text), "label": _LABEL, "checksum": whole(0)},
    anything,
)


def sealed(counters: dict[str, Any]) -> dict[str, Any]:
    """Return counters (JSON types) with a checksum of all of them."""
    return counters | {"checksum": _checksum(counters)}


def check_counters(counters: Any) -> None:
    """Raise Wrong where the counters of a checkpoint are not as this version or an earlier one wrote them."""
    _COUNTERS(counters, "")
    if "checksum" in counters and counters["checksum"] != _checksum(counters):
        raise Wrong("the counters do not match their checksum")
    if "label" in counters:
        check_wave(counters["label"]["wave"], "label.wave")
        if "checksum" not in counters:
            raise Wrong("it lacks 'checksum'")


def _checksum(counters: dict[str, Any]) -> int:
    said = {name: value for name, value in counters.items() if name != "checksum"}
    return zlib.crc32(json.dumps(said, sort_keys=True).encode())


def common(there: Any, now: Any) -> bool:
    """Return whether two dictionaries agree in all that both have; an earlier version may have known less."""
    if isinstance(there, dict) and isinstance(now, dict):
        return all(common(value, now[name]) for name, value in there.items() if name in now)
    if isinstance(there, (list, tuple)) and isinstance(now, (list, tuple)):
        return len(there) == len(now) and all(map(common, there, now))
    return there == now
