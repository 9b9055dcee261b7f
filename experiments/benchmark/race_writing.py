"""The race as sentences, a table and a figure. Knows only its lines."""

import pathlib

from matplotlib.patches import Patch

from jaxvae.report import style
from race import OURS, THEIRS

NAMES = {"dci": "DCI", "mig": "MIG", "sap": "SAP", "factor_vae": "FactorVAE score", "beta_vae": "beta-VAE score"}
PARTS = ("start", "compiling", "training", "encoding", *NAMES, "figures", "the rest")
DRAWN = {
    "training": ("training",),
    "encoding held-out images": ("encoding",),
    "DCI": ("dci",),
    "MIG, SAP, FactorVAE and beta-VAE scores": tuple(name for name in NAMES if name != "dci"),
    "start, compiling, figures, the rest": ("start", "compiling", "figures", "the rest"),
}


def sentence(line: dict) -> str:
    """Return one line for a terminal."""
    how = f", measured {line['measured']}, times {line['times']}" if line.get("times", 1) > 1 else ""
    who = line["implementation"] + (f", {line['start']} start" if "start" in line else "")
    again = ", measured before" if line.get("kept") else ""
    return f"race, {who}: {line['part']} {line['seconds']:,.1f} s{how}{again}"


def contestants(lines: list[dict]) -> dict[str, dict[str, float]]:
    """Return {contestant: {part: seconds}}, ours first; only those of which all has been measured."""
    found: dict[str, dict[str, float]] = {}
    for line in lines:
        parts = found.setdefault(_contestant(line), dict.fromkeys(PARTS, 0.0))
        parts[line["part"]] += line["seconds"]
    whole = {
        who: parts for who, parts in found.items() if all(parts[name] for name in ("training", "encoding", *NAMES))
    }
    return {who: whole[who] for who in sorted(whole, key=lambda who: (who == THEIRS, who))}


def _contestant(line: dict) -> str:
    return f"{OURS}, {line['start']}" if line["implementation"] == OURS else THEIRS


def table(lines: list[dict]) -> str:
    """Return Markdown: what was done, a row for each part, and the ratios of theirs over ours."""
    found = contestants(lines)
    ours = [who for who in found if who != THEIRS]
    job = lines[0]["job"]
    where = f"{job['models']} models of `{job['architecture']}` on `{job['dataset']}`"
    done = f"{where}, {job['steps']:,} steps of {job['batch_size']} images, scored on {job['held_out']:,} others:"
    over = THEIRS in found
    header = ("part", *(f"{who}, s" for who in found), "measured, of theirs", *["theirs over ours"] * over)
    header = header if over else header[:-1]
    rows = []
    for part in (*PARTS, "all"):
        seconds = [sum(parts.values()) if part == "all" else parts[part] for parts in found.values()]
        row = (NAMES.get(part, part), *(_digits(spent) for spent in seconds))
        if over:
            by_ours = [seconds[-1] / spent if spent > 0.005 else None for spent in seconds[: len(ours)]]
            ratio = " / ".join("" if r is None else f"{_digits(r)} x" for r in by_ours)
            row += (_how(lines, part), ratio if part not in ("start", "compiling", "the rest") else "")
        rows.append(row)
    text = [header, ("---",) * len(header), *rows]
    return f"{done}\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in text)


def _how(lines: list[dict], part: str) -> str:
    """Return how many models of theirs were measured, and times what that was taken."""
    found = [line for line in lines if line["implementation"] == THEIRS and line["part"] == part]
    return f"{found[0]['measured']}, times {found[0]['times']}" if found and found[0]["times"] > 1 else ""


def _digits(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 100 else f"{seconds:.1f}" if seconds >= 1 else f"{seconds:.2g}"


@style.styled
def save_figure(lines: list[dict], path: pathlib.Path) -> None:
    """Draw where the time goes: both on one scale, above, and ours alone, below; nothing where one is missing."""
    found = contestants(lines)
    ours = next((who for who in found if who != THEIRS), None)
    if ours is None or THEIRS not in found:
        return
    made = style.figure(9.0, 3.7)
    both, alone = made.subplots(2, 1, height_ratios=(2, 1))
    colours = dict(zip(DRAWN, (*style.QUALITATIVE[:4], style.FAINT), strict=True))
    for axes, names in ((both, (THEIRS, ours)), (alone, (ours,))):
        for row, who in enumerate(names):
            left = 0.0
            for label, parts in DRAWN.items():
                width = sum(found[who][part] for part in parts) / 60
                axes.barh(row, width, left=left, color=colours[label], height=0.66)
                left += width
            axes.text(left, row, f" {left:.0f} min" if left >= 10 else f" {left:.1f} min", va="center")
        axes.set_yticks(range(len(names)), [OURS if who == ours else "PyTorch,\nscikit-learn" for who in names])
        axes.set_ylim(-0.5, len(names) - 0.5)
        axes.set_xlim(0, 1.12 * max(sum(found[who].values()) / 60 for who in names))
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    alone.set_xlabel("minutes; jaxvae again, drawn larger")
    job = lines[0]["job"]
    ratio = sum(found[THEIRS].values()) / sum(found[ours].values())
    both.set_title(f"{job['models']} models trained, scored and drawn: {ratio:.1f} times as fast", loc="left")
    style.legend_above(made, [Patch(color=colours[label], label=label) for label in DRAWN])
    path.parent.mkdir(parents=True, exist_ok=True)
    made.savefig(path, dpi=style.DPI)
