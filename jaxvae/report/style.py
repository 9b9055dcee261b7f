"""The one look of every figure: colours, sizes, panels. Knows no Results.

Figures are built with matplotlib's objects, never through pyplot: nothing global is left behind, no display is needed.
"""

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, ScalarFormatter

QUALITATIVE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
"""Okabe and Ito's colour-blind-safe hues without the yellow, which vanishes on white."""
MARKERS = ("o", "s", "^", "D", "v", "P", "*")
DASHES = ("-", (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (1, 3)))  # plain "--" is kept for lanes that diverged
ALARM = "#B00020"
FAINT = "#8A8A8A"
DPI = 150
PADDING = 0.1  # inches around a figure
PANEL = (3.3, 2.7)  # inches
MAX_WIDTH = 13.5  # inches; on a page a wider figure shrinks its letters below those of the text

_RC = {
    "font.family": "sans-serif",
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 12,
    "legend.frameon": False,
    "legend.handlelength": 2.0,
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 2.0,
    "axes.formatter.use_mathtext": True,
    "axes.formatter.limits": (-3, 5),
    "pdf.fonttype": 42,  # letters as letters, which publishers ask for
    "svg.hashsalt": "jaxvae",
}
VECTORS = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
"""Formats that stay sharp at any size, with what is left out of each so that equal figures are equal files."""


def styled(plot: Callable[..., Any]) -> Callable[..., Any]:
    """Run a plot under the house style whatever the user's matplotlibrc says, and leave theirs as it was."""

    @functools.wraps(plot)
    def run(*args: Any, **kwargs: Any) -> Any:
        with matplotlib.style.context(["default", _RC]):
            drawn = plot(*args, **kwargs)
            for made in drawn.values() if isinstance(drawn, dict) else [drawn]:
                if isinstance(made, Figure):
                    _show_as_written(made)
            return drawn

    return run


def _show_as_written(made: Figure) -> None:
    """Let a figure show a $ as one: names come from data, and what stands between two of them may be no formula.

    Numbers along an axis stay as matplotlib writes them, the powers of ten of which are formulas.
    """
    formulas = set()
    for axis in made.findobj(Axis):
        formulas.add(axis.offsetText)
        if isinstance(axis.get_major_formatter(), ScalarFormatter):
            _write_ticks_plainly(axis.get_major_formatter())
        for formatter, ticks in (
            (axis.get_major_formatter(), axis.get_major_ticks()),
            (axis.get_minor_formatter(), axis.get_minor_ticks()),
        ):
            if isinstance(formatter, (ScalarFormatter, LogFormatter)):
                formulas |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    for text in made.findobj(Text):
        if text not in formulas:
            text.set_parse_math(False)


def _write_ticks_plainly(formatter: ScalarFormatter) -> None:
    """Keep formulas for the power of ten beside an axis: of numbers along it each takes a hundredth of a second."""
    offset = formatter.get_offset
    if not formatter.get_useMathText():
        return

    def as_formula() -> str:
        formatter.set_useMathText(True)
        try:
            return offset()
        finally:
            formatter.set_useMathText(False)

    formatter.set_useMathText(False)
    formatter.get_offset = as_formula


class Drawing(Figure):
    """A figure that a notebook shows by itself, as the report would."""

    def _repr_png_(self) -> bytes:
        return as_png(self)


def as_png(made: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file."""
    return _as_bytes(made, "png")


def as_vector(made: Figure, kind: str) -> bytes:
    """Return a figure as the bytes of a file of one of VECTORS: the same ones whenever it is drawn."""
    return _as_bytes(made, kind, metadata=VECTORS[kind])


@styled
def _as_bytes(made: Figure, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    engine, dpi = made.get_layout_engine(), made.get_dpi()
    made.set_dpi(DPI)
    try:
        # What savefig does for "tight", but without drawing everything once only to lay it out.
        if engine is not None:
            engine.execute(made)
            made.set_layout_engine("none")
        whole = made.get_tightbbox().padded(PADDING)
        made.savefig(file, format=kind, dpi=DPI, bbox_inches=whole, **options)
    finally:
        made.set_dpi(dpi)
        made.set_layout_engine(engine)
    return file.getvalue()


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that draws itself with Agg."""
    made = Drawing(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    made.get_layout_engine().set(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.03)
    return made


def grid_shape(num_panels: int, panel_width: float = PANEL[0]) -> tuple[int, int]:
    """Choose rows and columns for small multiples: no wider than text stays legible, rows evenly filled."""
    most = min(4, max(1, int(MAX_WIDTH / panel_width)))
    rows = -(-num_panels // most)
    return rows, -(-num_panels // rows)


def panels(num_panels: int, *, extra_width: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Return a figure of small multiples and its axes, with room (inches) beside them for a colour scale."""
    rows, columns = grid_shape(num_panels)
    made = figure(PANEL[0] * columns + extra_width, PANEL[1] * rows)
    return made, [made.add_subplot(rows, columns, index + 1) for index in range(num_panels)]


def sequential() -> Colormap:
    """Return the map for ordered numbers: viridis without its palest end, which vanishes on white."""
    viridis = matplotlib.colormaps["viridis"]
    return LinearSegmentedColormap.from_list("trimmed_viridis", viridis(np.linspace(0.0, 0.88, 256)))


def heat() -> Colormap:
    """Return the map for amounts from nothing to much: paper white to deep blue; what is missing is grey."""
    blues = matplotlib.colormaps["YlGnBu"](np.linspace(0.0, 1.0, 256))
    blues[0] = (1.0, 1.0, 1.0, 1.0)
    return LinearSegmentedColormap.from_list("paper_to_blue", blues).with_extremes(bad="#DDDDDD")


def share() -> Colormap:
    """Return the map for parts of a whole: white at nothing, evenly darker to 1; what is missing is grey."""
    blues = ["white", *matplotlib.colormaps["YlGnBu"](np.linspace(0.15, 1.0, 12))]
    return LinearSegmentedColormap.from_list("white_to_blue", blues).with_extremes(bad="#DDDDDD")


def diverging() -> Colormap:
    """Return the map for numbers of either sign: red over paper white to blue; what is missing is grey."""
    return matplotlib.colormaps["RdBu"].with_extremes(bad="#DDDDDD")


def shade(colour: Any, index: int, total: int) -> tuple[float, ...]:
    """Lighten a colour step by step, so that variants of one family look related; the last is the full colour."""
    amount = 0.0 if total < 2 else 0.55 * (total - 1 - index) / (total - 1)
    return tuple(channel + (1.0 - channel) * amount for channel in to_rgb(colour))


def thin(items: Sequence[Any], limit: int) -> list[int]:
    """Choose at most `limit` evenly spread indices of a sequence, the first always among them."""
    stride = max(1, -(-len(items) // limit))
    return list(range(0, len(items), stride))


def legend_above(made: Figure, handles: list[Any]) -> None:
    """Put one legend for all panels over the figure, in as many columns as its labels let fit, and make room for it."""
    if not handles:
        return
    entry = 0.65 + 0.09 * max(len(handle.get_label()) for handle in handles)  # inches, at the size set above
    columns = max(1, min(len(handles), int(made.get_figwidth() / entry)))
    made.set_figheight(made.get_figheight() + 0.15 + 0.25 * -(-len(handles) // columns))
    made.legend(handles=handles, loc="outside upper center", ncols=columns)


def note_below(made: Figure, words: str) -> None:
    """Write a line under a figure, and make room for it; nothing where there is nothing to say."""
    if words:
        made.set_figheight(made.get_figheight() + 0.3)
        made.supxlabel(words, x=0.01, ha="left", fontsize=11, color=FAINT)


def slant_labels(axes: Axes) -> None:
    """Turn the tick labels under an axes so that long ones do not run into each other."""
    for label in axes.get_xticklabels():
        label.set(rotation=40, ha="right", rotation_mode="anchor")
