"""The map of how much each latent of each lane says. Knows no images, no scores."""

import numpy as np
from matplotlib.figure import Figure

from jaxvae.report import reading, style, wording
from jaxvae.types import Results

MAX_LABELS = 40
MAX_ROWS = 1_000  # of lanes; a figure has about so many rows of pixels
MAX_COLUMNS = 16  # of latents, unless more are active
ACTIVE = 0.01  # nats; what Burda et al. 2016 call an active unit, measured on the KL here


@style.styled
def plot_kl_map(results: Results) -> Figure | None:
    """KL of each latent.

    A row is a lane, a column a latent, the most informative at the left; the colour is its KL in nats from N(0, 1),
    whatever prior the objective has, or from a hierarchy's own, averaged over the evaluation set. White is a latent
    that was switched off. The numbers at the right count the latents above 0.01 nats. Read downwards: a stronger prior
    term switches latents off. Of more than 1,000 lanes, 1,000 have a row, evenly through settings and seeds.
    """
    table = np.asarray(results.kl_per_latent, float)
    if table.size == 0 or not np.isfinite(table).any():
        return None
    place = {id(lane): index for index, lane in enumerate(results.lanes)}
    lanes = reading.spread_out(reading.ordered(results), MAX_ROWS)
    table = table[[place[id(lane)] for lane in lanes]]
    table = -np.sort(-table, axis=1)  # NaN goes last

    num_off = _num_off(table)
    table = table[:, : table.shape[1] - num_off]

    rows, columns = table.shape
    made = style.figure(min(12.0, max(6.0, 3.6 + 0.42 * columns)), min(9.5, max(2.6, 1.3 + 0.3 * rows)))
    axes = made.add_subplot()
    healthy = table[[index for index, lane in enumerate(lanes) if reading.is_ok(lane)]]
    top = np.nanmax(healthy if np.isfinite(healthy).any() else table)
    image = axes.imshow(table, aspect="auto", cmap=style.heat(), vmin=0, vmax=max(top, ACTIVE), interpolation="nearest")
    axes.grid(False)
    more = f"; {num_off} more are off in every lane" if num_off else ""
    axes.set_xlabel(f"latent, sorted by KL within each lane{more}")
    axes.set_ylabel("lane")
    style.note_below(made, wording.left_out(rows, len(results.lanes), "lanes, evenly through the sweep"))
    shown = style.thin(range(columns), 15)
    axes.set_xticks(shown, [str(index + 1) for index in shown])
    axes.tick_params(length=0)
    axes.spines[:].set(visible=True, color="#CCCCCC")  # a frame, or white cells would look like no cells
    for index in range(1, rows):
        if reading.family(lanes[index]) != reading.family(lanes[index - 1]):
            axes.axhline(index - 0.5, color="#222222", linewidth=1.2)

    places, labels, counts, alarms = _labels(results, lanes, _active(table))
    size = 11 if len(places) <= 24 else 9
    axes.set_yticks(places, labels, fontsize=size)
    for label, alarm in zip(axes.get_yticklabels(), alarms, strict=True):
        label.set_color(style.ALARM if alarm else "#222222")
    right = axes.secondary_yaxis("right")
    right.set_yticks(places, counts, fontsize=size)
    right.tick_params(length=0)
    right.spines["right"].set_visible(False)
    right.set_ylabel("active latents")
    bar = made.colorbar(image, ax=axes, shrink=min(1.0, 4.0 / made.get_figheight()), pad=0.03)
    bar.set_label("KL (nats)")
    bar.outline.set_visible(False)
    bar.ax.grid(False)
    return made


def _labels(
    results: Results, lanes: list[reading.Lane], active: list[int | None]
) -> tuple[list[float], list[str], list[str], list[bool]]:
    """Return where labels stand, the names of lanes, their active latents, and which names are in alarm.

    More lanes than names can stand beside are named by blocks of equal setting.
    """
    if len(lanes) <= MAX_LABELS:
        alarms = [not reading.is_ok(lane) for lane in lanes]
        names = [wording.lane_label(results, lane) for lane in lanes]
        names = [f"× {name}" if alarm else name for name, alarm in zip(names, alarms, strict=True)]
        return list(range(len(lanes))), names, [_extent([number]) for number in active], alarms
    row = {id(lane): index for index, lane in enumerate(lanes)}
    shown = [(group, [row[id(lane)] for lane in group.lanes if id(lane) in row]) for group in reading.groups(results)]
    shown = [(group, rows) for group, rows in shown if rows]
    blocks = []
    for group, rows in (shown[index] for index in style.thin(shown, MAX_LABELS)):
        lost = sum(not reading.is_ok(lane) for lane in group.lanes)
        name = wording.group_label(results, group) + (f" ({lost} ×)" if lost else "")
        blocks.append(((rows[0] + rows[-1]) / 2, name, _extent(active[rows[0] : rows[-1] + 1]), lost > 0))
    return tuple(map(list, zip(*blocks, strict=True)))


def _num_off(table: np.ndarray) -> int:
    """Count the columns at the right that a wide map can do without: off in every lane, but for two that show it."""
    used = int((np.nan_to_num(table) > ACTIVE).any(axis=0).sum())
    return max(0, table.shape[1] - max(used + 2, MAX_COLUMNS))


def _active(table: np.ndarray) -> list[int | None]:
    """Count the active latents of each lane; None where its KL is unknown."""
    return [int(np.sum(row > ACTIVE)) if np.isfinite(row).any() else None for row in table]


def _extent(counts: list[int | None]) -> str:
    known = [number for number in counts if number is not None]
    if not known:
        return wording.MISSING
    return f"{min(known)}–{max(known)}" if min(known) < max(known) else str(known[0])
