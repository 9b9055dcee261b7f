"""Disentanglement scores: pure functions of codes and factors, never of a model, all listed in METRICS."""

from jaxvae.metrics.clustering import cluster_accuracy
from jaxvae.metrics.scoring import score, score_lanes, score_siblings, sibling_points
from jaxvae.metrics.table import METRICS, missing_input

__all__ = ["METRICS", "cluster_accuracy", "missing_input", "score", "score_lanes", "score_siblings", "sibling_points"]
