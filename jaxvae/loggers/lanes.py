"""What lanes are called elsewhere, and which sweep they are of. Knows no logger."""

import json
import pathlib
import re
import secrets
from collections.abc import Sequence
from typing import Any

from jaxvae import files
from jaxvae.asked.spec import Group, Spec
from jaxvae.loggers.base import Lane, Watched

LONGEST = 120
"""Signs of a name; file systems take 255 bytes."""


def watched(spec: Spec, groups: Sequence[Group], path: pathlib.Path) -> Watched:
    """Return the sweep in a workdir as a group of runs, the same whenever it goes on.

    Raises:
        OSError: its identity cannot be written down.
    """
    rows = [row for group in groups for row in group.rows()]
    varying = _varying(rows)
    lanes = (Lane(row["lane"], _name(row, varying), {n: v for n, v in row.items() if n != "lane"}) for row in rows)
    return Watched(path.resolve().name, _identity(path / "logs"), spec.to_json(), tuple(lanes))


def _varying(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the names of what tells lanes apart, the seed last."""
    taken: dict[str, set] = {}
    for row in rows:
        for name, value in row.items():
            taken.setdefault(name, set()).add(value)
    found = [name for name, values in taken.items() if len(values) > 1 and name != "lane"]
    return sorted(found, key=lambda name: name == "seed")


def _name(row: dict[str, Any], varying: Sequence[str]) -> str:
    told = [f"{n}={row[n]:g}" if isinstance(row[n], float) else f"{n}={row[n]}" for n in varying if n in row]
    safe = re.sub(r"[^\w=+.,-]", "_", "_".join([f"lane_{row['lane']:05d}", *told]), flags=re.ASCII)
    return safe[:LONGEST]


def _identity(folder: pathlib.Path) -> str:
    """Return what this sweep is known by, drawn when it is first asked for: a folder that is replaced has another."""
    file = folder / "sweep.json"
    try:
        known = json.loads(files.read(file))["id"]
        if re.fullmatch("[0-9a-f]{8}", known):
            return known
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never begun, or damaged: what was told before is then another sweep's
    drawn = secrets.token_hex(4)
    files.make_folder(folder)
    files.replace(file, json.dumps({"id": drawn}) + "\n")
    return drawn
