"""Scatter plots of one quantity of a lane against another: what a better code costs. Knows no training."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from jaxvae.report import reading, style, wording
from jaxvae.report.encoding import Encoding, Look
from jaxvae.types import Results

RATE = "rate: KL (nats per image)"
MAX_PANELS = 8
MANY = 300  # marks; more are smaller and in no order, or those of one setting would hide all others
LEAST_MARK = 5  # square points
DISTORTION = "distortion: reconstruction (nats per image)"


@style.styled
def plot_rate_distortion(results: Results) -> Figure | None:
    """Rate and distortion.

    Each mark is a lane: how many nats its code spends on an image (KL to the lane's own prior, to the right) and how
    badly the image is rebuilt (negative log likelihood, upwards). Along a grey diagonal their sum, the negative ELBO,
    is the same; nearer to the lower left is better. A stronger prior term moves lanes up and to the left.
    """
    if not {"kl", "reconstruction"} <= set(reading.losses(results)) or not _is_a_cloud(results):
        return None
    encoding = Encoding(results)
    made = style.figure(7.6, 5.4)
    axes = made.add_subplot()
    marks(axes, encoding, "kl", "reconstruction", size=80)
    axes.set_xlabel(RATE)
    axes.set_ylabel(DISTORTION)
    axes.grid(False)
    axes.margins(0.08)
    healthy = filter(reading.is_ok, results.lanes)
    places = [[reading.number(lane, name) for name in ("kl", "reconstruction")] for lane in healthy]
    _equal_elbo(axes, np.array([place for place in places if np.isfinite(place).all()]))
    key(made, [axes], encoding)
    return made


@style.styled
def plot_trade_off(results: Results) -> Figure | None:
    """Disentanglement and reconstruction.

    Each mark is a lane. Up is a more disentangled code, of labelled data one that keeps classes apart; left is a better
    reconstruction: the upper left corner is where one wants to be. A slope down to the left shows disentanglement
    bought with blurred images. Of many scores the eight best known are drawn.
    """
    names = reading.by_weight(results, reading.disentanglement_scores(results))[:MAX_PANELS]
    if not names or "reconstruction" not in reading.losses(results) or not _is_a_cloud(results):
        return None
    encoding = Encoding(results)
    made, panels = style.panels(len(names), extra_width=1.0)
    for axes, name in zip(panels, names, strict=True):
        marks(axes, encoding, "reconstruction", name, size=45)
        axes.set_title(wording.short_title(name), loc="left")
        axes.set_xlabel("reconstruction (nats)")
        axes.margins(0.08)
        axes.locator_params(axis="x", nbins=5)
    key(made, panels, encoding)
    return made


@style.styled
def plot_seen_and_unseen(results: Results) -> Figure | None:
    """Seen and unseen images.

    Each mark is a lane that was trained on a part of the evaluation set: how it does on images that it has seen (to the
    right), and on as many that it has not (upwards). On the grey diagonal it does equally well on both. Reconstruction
    and KL are in nats per image: above the diagonal unseen images are rebuilt worse, or cost more. The probe is how
    often a linear classifier tells a factor from the code, fitted to seen images alone: below it, what is read off some
    combinations holds less for others.
    """
    found = reading.apart(results)
    names = [name for name in ("reconstruction", "kl", "probe") if {f"{name}_seen", f"{name}_unseen"} <= set(found)]
    if not names or not _is_a_cloud(results):
        return None
    encoding = Encoding(results)
    made, panels = style.panels(len(names), extra_width=1.0)
    for axes, name in zip(panels, names, strict=True):
        marks(axes, encoding, f"{name}_seen", f"{name}_unseen", size=60)
        axes.margins(0.08)
        both = [reading.number(lane, f"{name}{e}") for lane in results.lanes for e in ("_seen", "_unseen")]
        ends = [np.nanmin(both), np.nanmax(both)]
        axes.plot(ends, ends, color="#D5D5D5", linewidth=1, zorder=1)
        axes.set_title(wording.short_title(name), loc="left")
        axes.set_xlabel("seen images")
        axes.set_ylabel("unseen images")
        axes.locator_params(nbins=5)
    key(made, panels, encoding)
    return made


def _is_a_cloud(results: Results) -> bool:
    """Tell whether there are lanes to compare: the table says a single one's numbers better than a lonely dot."""
    return sum(map(reading.is_ok, results.lanes)) > 1


def marks(axes: Axes, encoding: Encoding, across: str, up: str, *, size: float) -> None:
    """Draw a mark for each healthy lane at two of its columns."""
    lanes = [lane for lane in reversed(reading.ordered(encoding.results)) if reading.is_ok(lane)]
    if len(lanes) > MANY:
        _many_marks(axes, encoding, lanes, (across, up), max(LEAST_MARK, size * MANY / len(lanes)))
        return
    alike: dict[Look, list[tuple[float, float]]] = {}
    for lane in lanes:
        place = reading.number(lane, across), reading.number(lane, up)
        alike.setdefault(encoding.look(lane), []).append(place)
    for look, places in alike.items():
        style_of = {"s": size, "color": [look.colour], "marker": look.marker, "edgecolor": "white", "linewidth": 0.6}
        axes.scatter(*zip(*places, strict=True), zorder=3, **style_of)


def _many_marks(
    axes: Axes, encoding: Encoding, lanes: list[reading.Lane], columns: tuple[str, str], size: float
) -> None:
    """Draw a small mark for each lane, markers one after the other and colours in no order."""
    alike: dict[str, list[tuple[float, float, tuple[float, ...]]]] = {}
    for index in np.random.default_rng(0).permutation(len(lanes)):
        lane, look = lanes[index], encoding.look(lanes[index])
        place = tuple(reading.number(lane, name) for name in columns)
        alike.setdefault(look.marker, []).append((*place, to_rgb(look.colour)))
    for marker, places in alike.items():
        x, y, colours = zip(*places, strict=True)
        axes.scatter(x, y, s=size, color=colours, marker=marker, alpha=0.7, linewidth=0, zorder=3)


def key(made: Figure, axes: list[Axes], encoding: Encoding) -> None:
    """Explain the marks: colours beside the panels, families above them."""
    encoding.add_scale(made, axes)
    style.legend_above(made, encoding.handles())


def _clearance(axes: Axes, lanes: np.ndarray, x: float, total: float) -> float:
    """Return how far, in parts of the panel, a point of a diagonal keeps from the nearest lane."""
    panel = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())])
    return float(np.min(np.linalg.norm((lanes - (x, total - x)) / panel, axis=1)))


def _equal_elbo(axes: Axes, lanes: np.ndarray) -> None:
    """Draw diagonals of equal ELBO under the marks `lanes` [L, 2], each named where it keeps clear of them."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    step = _round_step((right + top - left - bottom) / 6)
    for total in np.arange(np.ceil((left + bottom) / step), (right + top) / step) * step:
        # The line kl + nll = total enters at the top or on the left and leaves at the bottom or on the right.
        start, end = max(left, total - top), min(right, total - bottom)
        if (end - start) / (right - left) < 0.08:
            continue
        axes.plot([start, end], [total - start, total - end], color="#D5D5D5", linewidth=1, zorder=1)
        text = f"ELBO {-total:g}".replace("-", "−")
        if (end - start) / (right - left) > 0.3:
            look = {"fontsize": 10, "color": style.FAINT, "va": "bottom", "zorder": 1}
            slant = {"rotation": -45, "rotation_mode": "anchor", "transform_rotates_text": True}
            span = 0.16 * (right - left)
            places = [x for x in np.linspace(start, end - span, 9) if x > left + 0.02 * (right - left)]
            x = max(places, key=lambda x: _clearance(axes, lanes, x + span / 2, total))
            axes.text(x, total - x, text, **look, **slant)
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _round_step(rough: float) -> float:
    """Round up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(rough))
    return float(next(step * power for step in (1, 2, 5, 10) if step * power >= rough))
