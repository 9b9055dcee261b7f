"""Scores of trained sweeps: encode the data once per lane, run the metrics, put some lanes on show. Knows no plot."""

from jaxvae.evaluate.choosing import choose_metrics
from jaxvae.evaluate.encoding import encode
from jaxvae.evaluate.reopened import evaluation_set, from_table
from jaxvae.evaluate.responses import respond
from jaxvae.evaluate.scoring import evaluate, rescore, watch
from jaxvae.evaluate.showcases import information

__all__ = [
    "choose_metrics",
    "encode",
    "evaluate",
    "evaluation_set",
    "from_table",
    "information",
    "rescore",
    "respond",
    "watch",
]
