"""Several finished sweeps in one report. Knows no training; the sweeps are read and nothing is written to them."""

import json
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxvae import files, report
from jaxvae.arguments import as_path
from jaxvae.data import Dataset
from jaxvae.evaluate import taken_on
from jaxvae.evaluate.joined import join
from jaxvae.evaluate.reopened import check_fit
from jaxvae.evaluate.showcases import encode_and_show
from jaxvae.study.sweep import Sweep
from jaxvae.types import InputError, Results, Showcase, in_32_bits
from jaxvae.version import __version__
from jaxvae.workdir import tables
from jaxvae.workdir.records import WorkdirError

MARKER = "comparison.json"
"""What says that a folder is a comparison's: such a one is replaced, any other is left alone."""

MOST_SHOWN = 6
"""Sweeps whose best lane is put on show: those that score highest."""


class _Source(NamedTuple):
    """A sweep that is compared."""

    name: str
    sweep: Sweep
    results: Results

    @property
    def images(self) -> tuple[Any, ...]:
        """What decides the evaluation set where the sweep does not say it itself."""
        spec = self.sweep.spec
        share = spec.get("validation") or 0
        return spec["dataset"], share, spec["seed"] if share else None


@in_32_bits
def compare(
    sweeps: Sequence[str | os.PathLike[str] | Sweep],
    out: str | os.PathLike[str],
    *,
    data: Dataset | None = None,
    say: Callable[[str], None] = print,
) -> pathlib.Path:
    """Write lanes of several scored sweeps into one table and one report; return the path of the page.

    Nothing is trained, scored or copied, and nothing is written to the sweeps. Lanes are numbered anew; results.csv
    says of each its `sweep`, the name of that one's folder, and its `own_lane` there. Lanes that are set alike are all
    kept. The best lane of each sweep (of six at most) is put on show where the evaluation set is at hand.

    Args:
        sweeps: two or more, folders or what `load_sweep` and `train` return.
        out: the folder for results.csv, figures/ and report.html: a new or empty one, or an earlier comparison's, which
            is replaced.
        data: the evaluation set, for pictures, where the sweeps were not trained on a named data set.
        say: prints a line.

    Raises:
        InputError: a sweep has not been scored, or sweeps have been scored on different images or by different
            versions: what differs.
        WorkdirError: a folder does not hold a sweep, or `out` holds something else than a comparison.
    """
    if isinstance(sweeps, str | os.PathLike | Sweep) or len(sweeps := list(sweeps)) < 2:
        raise InputError("give two sweeps or more to compare, folders or what load_sweep returns")
    out = as_path("out", out)
    sources = _opened(sweeps)
    _check_out(out, sources)
    _check_same_versions(sources)
    notes = [*_check_same_images(sources), *_differing_likelihoods(sources)]
    shown, factor_names, told = _showcases(sources, data)
    notes += told
    for line in notes:
        say(line)
    joined = join({source.name: source.results for source in sources}, _spec(sources, notes), _environment(sources))
    joined.showcases, joined.factor_names = shown, factor_names
    page = _write(joined, sources, out)
    say(report.terminal_table(joined))
    say(f"report: {page}")
    return page


def _opened(given: Sequence[Any]) -> list[_Source]:
    """Open the sweeps, and call each by its folder's name, made unique."""
    sources: list[_Source] = []
    for one in given:
        sweep = one if isinstance(one, Sweep) else Sweep(one)
        for other in sources:
            if other.sweep.path.resolve() == sweep.path.resolve():
                raise InputError(f"{sweep.path} is given twice; give each sweep once")
        taken, name = {source.name for source in sources}, sweep.path.resolve().name or "sweep"
        number = 2
        own = name
        while own in taken:
            own, number = f"{name}_{number}", number + 1
        sources.append(_Source(own, sweep, sweep.tabled()))
    return sources


def _check_out(out: pathlib.Path, sources: Sequence[_Source]) -> None:
    """Refuse a folder that holds something else, or lies in a sweep's.

    Raises:
        WorkdirError: which folder, and why.
    """
    for source in sources:
        if out.resolve().is_relative_to(source.sweep.path.resolve()):
            raise WorkdirError(f"--out={out} lies in the sweep {source.sweep.path}, which is only read; choose another")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise WorkdirError(f"--out={out} is a link or no folder; choose another")
    if out.exists() and any(out.iterdir()) and not (out / MARKER).is_file():
        what = "a sweep" if (out / "spec.json").exists() else "files but no comparison"
        raise WorkdirError(f"--out={out} holds {what}; choose a new or empty folder")


def _check_same_images(sources: Sequence[_Source]) -> list[str]:
    """Refuse sweeps that were scored on different images; return what to say of those that do not tell.

    Raises:
        InputError: what differs.
    """
    first, data = sources[0], {source.name: taken_on.data_of(source.results.environment) for source in sources}
    kept = [source for source in sources if data[source.name] is not None]
    for source in kept[1:]:
        if data[source.name] != data[kept[0].name]:
            raise InputError(
                f"scores of different images cannot be compared: {kept[0].name} was scored on "
                f"{_images(data[kept[0].name])}, {source.name} on {_images(data[source.name])}"
            )
    notes = []
    for source in sources if len(kept) < len(sources) else []:
        if data[source.name] is None:
            notes.append(
                f"{source.name} does not say which images it was scored on, which an earlier version did not keep; "
                f"they are taken to be the evaluation set of {source.sweep.spec['dataset']!r}"
            )
        if source.images != first.images:
            raise InputError(f"scores of different images cannot be compared: {_as_asked(first)}, {_as_asked(source)}")
        if _rules(source) == _rules(first) and source.sweep.trained_on != first.sweep.trained_on:
            raise InputError(
                f"scores of different images cannot be compared: {first.name} was trained on "
                f"{_images(first.sweep.trained_on)}, {source.name} on {_images(source.sweep.trained_on)}, and what "
                "they were scored on was not kept"
            )
    return notes


def _images(fingerprint: dict[str, Any]) -> str:
    shape = "x".join(map(str, fingerprint.get("shape", ())))
    return f"{fingerprint.get('images', 0):,} images of {shape} (checksum {fingerprint.get('checksum')})"


def _rules(source: _Source) -> list[str]:
    return list(source.sweep.spec.get("hold_out") or ())


def _as_asked(source: _Source) -> str:
    dataset, share, seed = source.images
    part = f", a share of {share:g} drawn by seed {seed}" if share else ""
    return f"{source.name} was scored on {dataset!r}{part}"


def _check_same_versions(sources: Sequence[_Source]) -> None:
    """Refuse scores that different versions have computed, since a version may change what a metric gives.

    Raises:
        InputError: which scores, and which versions.
    """
    by = {source.name: _versions(source) for source in sources}
    for name in dict.fromkeys(name for source in sources for name in source.results.score_names):
        found = {source: versions[name] for source, versions in by.items() if versions.get(name)}
        if len(set(found.values())) > 1:
            told = ", ".join(f"{version} in {source}" for source, version in found.items())
            raise InputError(
                f"{name} was computed by different versions of jaxvae: {told}; jaxvae --workdir=… --metrics=… computes "
                "it anew"
            )


def _versions(source: _Source) -> dict[str, str]:
    """Return {score: version}; what was not kept is taken to be of the version that trained the sweep."""
    otherwise = source.sweep.environment.get("jaxvae")
    kept = taken_on.versions(source.results.environment)
    return {name: kept.get(name, otherwise) for name in source.results.score_names}


def _differing_likelihoods(sources: Sequence[_Source]) -> list[str]:
    found = {source.name: source.sweep.spec["likelihood"] for source in sources}
    if len(set(found.values())) == 1:
        return []
    told = ", ".join(f"{name} {likelihood}" for name, likelihood in found.items())
    return [f"likelihoods differ ({told}): reconstructions and ELBOs are not on one scale"]


def _showcases(sources: Sequence[_Source], data: Dataset | None) -> tuple[list[Showcase], tuple[str, ...], list[str]]:
    """Return the best lanes on show, names of the factors of the evaluation set, and what to say of what is missing."""
    try:
        data = data if data is not None else _evaluation_set(sources)
    except (InputError, OSError) as error:
        return [], (), [f"no pictures: {error}"]
    ranked = [source for source in sources if source.results.ranked]
    ranked.sort(key=lambda source: -_best(source)[source.results.main_score])
    chosen = {source.name for source in ranked[:MOST_SHOWN]}
    shown, notes, first = [], [], 0
    for source in sources:
        if source.name in chosen:
            try:
                check_fit(source.sweep, data)
                own = _best(source)["lane"]
                shown.append(encode_and_show(f"best of {source.name}", first + own, source.sweep.model(own), data))
            except InputError as error:
                notes.append(f"no pictures of {source.name}: {error}")
        first += len(source.results.lanes)
    return shown, data.factor_names if data.annotation == "factors" else (), notes


def _evaluation_set(sources: Sequence[_Source]) -> Dataset:
    """Load the images that the sweeps were scored on, by the first one that can."""
    reason = None
    for source in sources:
        try:
            return source.sweep.evaluation_set()
        except (InputError, OSError) as error:
            reason = reason or error
    raise reason


def _best(source: _Source) -> dict[str, Any]:
    return next(lane for lane in source.results.lanes if lane["lane"] == source.results.ranked[0])


def _spec(sources: Sequence[_Source], notes: Sequence[str]) -> dict[str, Any]:
    """Return what the page says of all sweeps: what each is, and what they share."""
    specs = [source.sweep.spec for source in sources]
    shared = {n: v for n, v in specs[0].items() if all(spec.get(n) == v for spec in specs[1:])}
    objectives = list(dict.fromkeys(name for spec in specs for name in spec["objectives"]))
    told = {source.name: _about(source) for source in sources}
    return shared | {"objectives": objectives, "sweeps": told, "notes": list(notes)}


def _about(source: _Source) -> str:
    spec, number = source.sweep.spec, len(source.results.lanes)
    lanes = f"{number} lane{'s' * (number != 1)} of {', '.join(spec['objectives'])}"
    return (
        f"{lanes} with {', '.join(spec['architectures'])}, "
        f"{spec['steps']:,} steps of {spec['batch_size']} images, in {source.sweep.path.resolve()}"
    )


def _environment(sources: Sequence[_Source]) -> dict[str, Any]:
    command = f"jaxvae compare {' '.join(str(source.sweep.path) for source in sources)}"
    return {"command": command, "jaxvae": __version__}


def _write(joined: Results, sources: Sequence[_Source], out: pathlib.Path) -> pathlib.Path:
    """Write table, figures and page; figures of an earlier comparison go first."""
    files.make_folder(out)
    before = _figures_before(out / MARKER)
    told = {"sweeps": {source.name: str(source.sweep.path.resolve()) for source in sources}, "jaxvae": __version__}
    # First, so that a folder which a kill left half written is known for what it is.
    tables.write_json(out / MARKER, told | {"figures": before})
    for name in before if files.is_folder(out / "figures") else []:
        files.remove(out / "figures" / name)
    others = _pictures_in(out)
    page = report.write_all(joined, out)
    tables.write_json(out / MARKER, told | {"figures": sorted(_pictures_in(out) - others)})
    return page


def _pictures_in(out: pathlib.Path) -> set[str]:
    return {path.name for path in (out / "figures").glob("*.png")}


def _figures_before(marker: pathlib.Path) -> list[str]:
    """Return the names of the figures that an earlier comparison drew."""
    try:
        names = json.loads(files.read(marker)).get("figures", [])
    except (OSError, ValueError, AttributeError):
        return []
    return [name for name in names if isinstance(name, str) and name.endswith(".png") and _is_a_name(name)]


def _is_a_name(text: str) -> bool:
    return pathlib.PurePath(text).name == text
