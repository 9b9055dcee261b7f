"""Models, images and directions at hand: what a page asks for by names, kept once it is worked out. Knows no page."""

import threading
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxvae import latents
from jaxvae.evaluate.encoding import check_labels
from jaxvae.explore import views
from jaxvae.explore.shelf import Shelf
from jaxvae.explore.views import Directions, Frame, Known, Prior, Start, Turned
from jaxvae.navigate.results import Navigation
from jaxvae.saved.model import Model
from jaxvae.types import InputError, look_up

MOST_OPEN = 8
"""Models that are kept in memory."""
MOST_DIALS = 24
"""Latents that can be turned: of more, those of the largest KL."""
MOST_LABELS, MOST_DIRECTIONS = 12, 40

StartedFrom = tuple[str, int]
"""Where turning starts: ("image", its number), ("noise", a number that draws it) or ("middle", 0)."""


class Label(NamedTuple):
    """A label that a model is told."""

    name: str
    called: tuple[str, ...]  # what the values 0 … size-1 are called


class Dials(NamedTuple):
    """What can be turned of a model, in the order in which it is shown."""

    latents: tuple[tuple[int, str], ...]  # number and name
    folded: tuple[tuple[int, str], ...]  # those that say nothing
    left_out: int  # latents for which there is no room
    labels: tuple[Label, ...]
    directions: tuple[str, ...]
    notes: tuple[str, ...]


class _Opened(NamedTuple):
    model: Model
    prior: Prior
    known: Known | None
    directions: Directions | None
    dials: Dials
    has_images: bool
    starts: dict[StartedFrom, Start]


class Desk:
    """Everything that a page shows.

    Attributes:
        shelf: what there is to choose from.
        num_images: how many images there are to start from, 0 for none.
        most_directions: how many directions there can be of any model.
    """

    def __init__(self, shelf: Shelf, study: Navigation | None = None):
        self.shelf, self._study = shelf, study
        self._choices = {choice.name: choice for choice in shelf.choices}
        self._open: dict[str, _Opened] = {}
        self._lock = threading.Lock()  # several events of a page come at once
        self.num_images = 0 if shelf.data is None else len(shelf.data)
        self.most_directions = 0 if study is None else min(len(study.attributes), MOST_DIRECTIONS)

    def first(self) -> StartedFrom:
        """Return where a page begins."""
        return ("image", self.num_images // 2) if self.num_images else ("middle", 0)

    def warm_up(self) -> None:
        """Open the first model and decode once, so that nobody waits for a page to compile.

        Raises:
            InputError: it cannot be opened.
        """
        lane = self.shelf.choices[0].name
        self.look(lane, self.first(), turned({}, {}, {}, ("latent", 0)))

    def dials(self, lane: str) -> Dials:
        """Return what can be turned of a model.

        Raises:
            InputError: there is no such model, or it cannot be opened.
        """
        return self._opened(lane).dials

    def start(self, lane: str, started: StartedFrom) -> Start:
        """Return where turning starts; of a model that the images do not fit, in the middle.

        Raises:
            InputError: there is no such image.
        """
        opened = self._opened(lane)
        if started not in opened.starts:
            if len(opened.starts) > 64:
                opened.starts.clear()
            opened.starts[started] = self._start(opened, *started)
        return opened.starts[started]

    def _start(self, opened: _Opened, kind: str, number: int) -> Start:
        if kind == "image" and opened.has_images:
            if not 0 <= number < self.num_images:
                raise InputError(f"there is no image {number}; give 0 to {self.num_images - 1}")
            return views.from_image(opened.model, self.shelf.data, number)
        return views.from_noise(opened.model, number) if kind == "noise" else views.from_middle(opened.model)

    def shown(self, lane: str, started: StartedFrom) -> tuple[np.ndarray, np.ndarray | None]:
        """Return where latents f32[D] and labels i32[K] stand at the start."""
        start = self.start(lane, started)
        return views.shown(start, self._opened(lane).prior), start.labels

    def look(self, lane: str, started: StartedFrom, turned: Turned) -> Frame:
        """Return what is seen."""
        opened = self._opened(lane)
        return views.look(opened.model, self.start(lane, started), turned, opened.prior, opened.directions)

    def _opened(self, lane: str) -> _Opened:
        with self._lock:
            if lane not in self._open:
                opened = self._made(lane)
                while len(self._open) >= MOST_OPEN:
                    self._open.pop(next(iter(self._open)))
                self._open[lane] = opened
            return self._open[lane]

    def _made(self, lane: str) -> _Opened:
        model = look_up("model", lane, self._choices).open()
        data, notes = self.shelf.data, [self.shelf.note]
        num = latents.number_scored(model.program)
        if data is not None:
            try:
                _check_fit(model, data)
            except InputError as error:
                data = None
                notes.append(f"No images: {error}")
        known = None if data is None else views.look_at(model, data)
        shown, folded = views.order(known, num)
        names = () if data is None else data.factor_names
        dials = [(latent, views.name_of(latent, known, names)) for latent in (*shown, *folded)]
        room = min(len(shown), MOST_DIALS)
        kept = dials[:room], dials[len(shown) :][: MOST_DIALS - room]
        directions = None if self._study is None else views.directions_of(self._study, lane, num)
        if self._study is not None and directions is None:
            notes.append(f"No directions: the study knows {', '.join(self._study.models)}, and no {lane}")
        if directions is not None and len(directions.names) > MOST_DIRECTIONS:
            directions = Directions(directions.names[:MOST_DIRECTIONS], directions.shifts[:MOST_DIRECTIONS])
        about = Dials(
            *map(tuple, kept),
            num - sum(map(len, kept)),
            tuple(_labels(model, data))[:MOST_LABELS],
            () if directions is None else directions.names,
            tuple(filter(None, notes)),
        )
        return _Opened(model, views.prior_of(model), known, directions, about, data is not None, {})


def _check_fit(model: Model, data) -> None:
    if data.shape != model.program.image_shape:
        raise InputError(f"{data.name} has images of shape {data.shape}, the model takes {model.program.image_shape}")
    if model.label_sizes:
        check_labels(model.program, data)


def _labels(model: Model, data) -> list[Label]:
    sizes = model.label_sizes
    if data is None:
        return [Label(f"label {column}", tuple(map(str, range(size)))) for column, size in enumerate(sizes)]
    found = []
    for column, size in enumerate(sizes):
        called = list(map(str, data.values_of(column)))
        called += map(str, range(len(called), size))  # values that a model was told of and these images lack
        found.append(Label(data.factor_names[column].replace("_", " "), tuple(called)))
    return found


def turned(
    latents: Mapping[int, float], labels: Mapping[int, int], directions: Mapping[int, float], hand: tuple[str, int]
) -> Turned:
    """Return what was turned, without what a page has no number for."""
    return Turned(
        {n: float(v) for n, v in latents.items() if v is not None},
        {n: int(v) for n, v in labels.items() if v is not None},
        {n: float(v) for n, v in directions.items() if v},
        hand,
    )
