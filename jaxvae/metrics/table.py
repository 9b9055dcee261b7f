"""The table of metrics. A new one is a function in a file of its own and a line here."""

from jaxvae.metrics.active_units import count_active_units
from jaxvae.metrics.beta_vae import beta_vae_score
from jaxvae.metrics.clustering import cluster_accuracy
from jaxvae.metrics.dci import dci_scores
from jaxvae.metrics.dependence import gaussian_total_correlation, mutual_information_score
from jaxvae.metrics.explicitness import explicitness_score
from jaxvae.metrics.factor_vae import factor_vae_score
from jaxvae.metrics.infomec import infomec_scores
from jaxvae.metrics.irs import interventional_robustness
from jaxvae.metrics.knn import neighbour_accuracy
from jaxvae.metrics.linear_probe import linear_probe_accuracy
from jaxvae.metrics.mig import mutual_information_gap
from jaxvae.metrics.mig_sampled import sampled_mutual_information_gap
from jaxvae.metrics.modularity import modularity_score
from jaxvae.metrics.sap import separated_attribute_predictability
from jaxvae.metrics.silhouette import mean_silhouette
from jaxvae.metrics.tad import total_auroc_difference
from jaxvae.metrics.udr import unsupervised_disentanglement_ranking
from jaxvae.types import Metric, Table

_METRICS = {
    "beta_vae": Metric(
        beta_vae_score, ("beta_vae",), needs_factors=True, reference="Higgins et al. 2017", fixes_factors=True
    ),
    "factor_vae": Metric(
        factor_vae_score, ("factor_vae",), needs_factors=True, reference="Kim & Mnih 2018", fixes_factors=True
    ),
    "mig": Metric(
        mutual_information_gap, ("mig",), needs_factors=True, reference="Chen et al. 2018", takes_numbers=True
    ),
    "mig_sampled": Metric(
        sampled_mutual_information_gap,
        ("mig_sampled",),
        needs_factors=True,
        reference="Chen et al. 2018",
        needs_logvar=True,
        fixes_factors=True,
    ),
    "dci": Metric(
        dci_scores,
        ("dci_disentanglement", "dci_completeness", "dci_informativeness"),
        needs_factors=True,
        reference="Eastwood & Williams 2018",
    ),
    "sap": Metric(
        separated_attribute_predictability,
        ("sap", "sap_continuous"),
        needs_factors=True,
        reference="Kumar et al. 2018",
        takes_numbers=True,
    ),
    "modularity": Metric(
        modularity_score, ("modularity",), needs_factors=True, reference="Ridgeway & Mozer 2018", takes_numbers=True
    ),
    "explicitness": Metric(
        explicitness_score, ("explicitness",), needs_factors=True, reference="Ridgeway & Mozer 2018"
    ),
    "irs": Metric(
        interventional_robustness, ("irs",), needs_factors=True, reference="Suter et al. 2019", takes_numbers=True
    ),
    "tad": Metric(
        total_auroc_difference,
        ("tad", "tad_attributes"),
        needs_factors=True,
        reference="Yeats et al. 2022",
        takes_numbers=True,
        needs_binary=True,
    ),
    "neighbours": Metric(
        neighbour_accuracy, ("knn_accuracy",), needs_factors=True, reference="Cover & Hart 1967", of_labels=True
    ),
    "linear_probe": Metric(
        linear_probe_accuracy, ("linear_probe",), needs_factors=True, reference="Alain & Bengio 2016", of_labels=True
    ),
    "silhouette": Metric(
        mean_silhouette, ("silhouette",), needs_factors=True, reference="Rousseeuw 1987", of_labels=True
    ),
    "gaussian_tc": Metric(
        gaussian_total_correlation,
        ("gaussian_tc",),
        needs_factors=False,
        reference="Watanabe 1960",
        less_is_better=True,
    ),
    "mutual_information": Metric(
        mutual_information_score,
        ("mutual_information",),
        needs_factors=False,
        reference="Locatello et al. 2019",
        less_is_better=True,
    ),
    "active_units": Metric(count_active_units, ("active_units",), needs_factors=False, reference="Burda et al. 2016"),
    "infomec": Metric(infomec_scores, ("infom", "infoe", "infoc"), needs_factors=True, reference="Hsu et al. 2023"),
    "udr": Metric(
        unsupervised_disentanglement_ranking,
        ("udr_spearman", "udr_lasso"),
        needs_factors=False,
        reference="Duan et al. 2020",
        of_siblings=True,
    ),
    "cluster_accuracy": Metric(
        cluster_accuracy, ("cluster_accuracy",), needs_factors=False, reference="Xie et al. 2016", of_clusters=True
    ),
}


METRICS: Table[Metric] = Table("metric", Metric, _METRICS)


def missing_input(name: str, has_factors: bool, has_logvar: bool, has_binary: bool = True) -> str | None:
    """Return what a metric of METRICS needs that is not there, in words; None where nothing is missing.

    Args:
        name: of the metric.
        has_factors: whether there are factors.
        has_logvar: whether there are log-variances.
        has_binary: whether one of the factors has two values.
    """
    metric = METRICS[name]
    if metric.needs_factors and not has_factors:
        return "factors"
    if metric.needs_binary and not has_binary:
        return "factors of two values"
    return "log-variances" if metric.needs_logvar and not has_logvar else None
