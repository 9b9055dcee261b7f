"""The list of plots. A new one is a function of Results in a file by theme, and a line here.

A plot returns a Figure, a dict of them, or None when it does not apply. The first line of its docstring is its
heading in the report and the rest its caption.
"""

from collections.abc import Callable

from matplotlib.figure import Figure

from jaxvae.report.against_hyper import plot_losses, plot_scores
from jaxvae.report.agreement import plot_agreement, plot_udr
from jaxvae.report.curves import plot_score_curves, plot_training_curves
from jaxvae.report.factor_maps import plot_information_maps
from jaxvae.report.generalisation import plot_generalisation
from jaxvae.report.images import plot_label_swaps, plot_reconstructions, plot_traversals
from jaxvae.report.latent_statistics import plot_latent_statistics
from jaxvae.report.latents import plot_kl_map
from jaxvae.report.methods import plot_method_comparison
from jaxvae.report.planes import plot_codes, plot_manifold
from jaxvae.report.responses import plot_responses
from jaxvae.report.trade_offs import plot_rate_distortion, plot_seen_and_unseen, plot_trade_off
from jaxvae.types import Results, Table

_PLOTS = {
    "method_comparison": plot_method_comparison,
    "scores": plot_scores,
    "trade_off": plot_trade_off,
    "losses": plot_losses,
    "rate_distortion": plot_rate_distortion,
    "seen_and_unseen": plot_seen_and_unseen,
    "agreement": plot_agreement,
    "udr": plot_udr,
    "kl_map": plot_kl_map,
    "latent_statistics": plot_latent_statistics,
    "information_maps": plot_information_maps,
    "codes": plot_codes,
    "manifold": plot_manifold,
    "responses": plot_responses,
    "traversals": plot_traversals,
    "reconstructions": plot_reconstructions,
    "label_swaps": plot_label_swaps,
    "generalisation": plot_generalisation,
    "score_curves": plot_score_curves,
    "training_curves": plot_training_curves,
}

PLOTS: Table[Callable[[Results], Figure | dict[str, Figure] | None]] = Table("plot", None, _PLOTS)
