"""Pictures of single lanes on show, for those who watch them elsewhere. Knows no plot but these."""

import dataclasses
import logging

from matplotlib.figure import Figure

from jaxvae.report import style
from jaxvae.report.images import plot_reconstructions, plot_traversals
from jaxvae.types import Results

_PLOTS = {"reconstructions": plot_reconstructions, "traversals": plot_traversals}


def pictures_of_lanes(results: Results) -> dict[int, dict[str, bytes]]:
    """Return {lane: {"reconstructions": PNG, "traversals": PNG}} of the lanes on show; what fails is left out."""
    found: dict[int, dict[str, bytes]] = {}
    for showcase in results.showcases:
        if showcase.lane not in found:
            alone = dataclasses.replace(results, showcases=[showcase])
            drawn = {name: _drawn(name, alone) for name in _PLOTS}
            found[showcase.lane] = {name: png for name, png in drawn.items() if png}
    return found


def _drawn(name: str, results: Results) -> bytes:
    try:
        drawn = _PLOTS[name](results)
        figure = drawn if isinstance(drawn, Figure) else next(iter((drawn or {}).values()), None)
        return style.as_png(figure) if figure else b""
    except Exception:
        logging.getLogger(__name__).exception("The picture %r of a lane failed and is left out.", name)
        return b""
