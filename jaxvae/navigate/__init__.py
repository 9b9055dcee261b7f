"""Attributes in latent spaces: directions that move them, what else those move, and a judge of both. Knows no plot."""

from jaxvae.navigate.attributes import Attributes, attributes_of
from jaxvae.navigate.classifier import Classifier, load_classifier, train_classifier
from jaxvae.navigate.edits import edit
from jaxvae.navigate.keeping import StudyError, load
from jaxvae.navigate.results import Navigation
from jaxvae.navigate.study import study
from jaxvae.navigate.truth import nearest_factors

__all__ = [
    "Attributes",
    "Classifier",
    "Navigation",
    "StudyError",
    "attributes_of",
    "edit",
    "load",
    "load_classifier",
    "nearest_factors",
    "study",
    "train_classifier",
]
