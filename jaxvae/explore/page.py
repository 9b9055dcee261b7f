"""The page: sliders, menus and pictures, and what happens when one is touched. Knows Gradio, and no model.

Every frame is worked out from what stands on the page and from nothing else, so that events may come in any order.
Frames pass Gradio's queue by: a hand on a slider sends dozens a second, of which those that come too late are left out.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
import numpy as np

from jaxvae.explore import markup
from jaxvae.explore.desk import MOST_DIALS, MOST_LABELS, Desk, StartedFrom, turned
from jaxvae.explore.views import DECIMALS, REACH
from jaxvae.types import InputError

NOBODY = "—"
MOST_ROWS = 1000
AT_ONCE = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last", "api_visibility": "private"}
IN_TURN = {"show_progress": "hidden", "api_visibility": "private"}
RANGE = {"minimum": -REACH, "maximum": REACH, "step": 10.0**-DECIMALS, "value": 0.0, "buttons": []}


class Bench:
    """One model on the page: its picture, its strip, and everything of it that can be turned."""

    def __init__(self, desk: Desk, name: str):
        """Lay out components, inside a gr.Blocks."""
        self._desk = desk
        room = min(desk.shelf.most_latents, MOST_DIALS)
        with gr.Column(min_width=440, visible=False, elem_id=name) as self.column:
            self.notes = gr.HTML(visible=False)
            with gr.Row():  # side by side where there is room, else one above the other
                with gr.Column(min_width=440):
                    self.view = gr.HTML(elem_id=f"{name}-view")
                with gr.Column(min_width=440, elem_classes="dials"):
                    self._lay_out_dials(desk, name, room)

    def _lay_out_dials(self, desk: Desk, name: str, room: int) -> None:
        self.latents = [gr.Slider(**RANGE, visible=False, elem_id=f"{name}-latent-{n}") for n in range(room)]
        with gr.Accordion("", open=False, visible=False) as self.folder:
            self.folded = [gr.Slider(**RANGE, visible=False) for _ in range(room)]
        with gr.Accordion("labels", open=True, visible=False) as self.told:
            self.labels = [
                gr.Dropdown(visible=False, elem_id=f"{name}-label-{n}")
                for n in range(min(desk.shelf.most_labels, MOST_LABELS))
            ]
        words = "directions of attributes, in steps on top of the latents"
        with gr.Accordion(words, open=True, visible=False) as self.moving:
            self.directions = [
                gr.Slider(**RANGE, visible=False, elem_id=f"{name}-direction-{n}") for n in range(desk.most_directions)
            ]

    @property
    def dials(self) -> list[Any]:
        """All that a frame depends on."""
        return [*self.latents, *self.folded, *self.labels, *self.directions]

    @property
    def everything(self) -> list[Any]:
        """All that changes with the model and with where turning starts, in the order of `renewed`."""
        fixed = [self.column, self.notes, self.view, self.folder, self.told, self.moving]
        return [*fixed, *self.dials]

    def renewed(self, lane: str | None, started: StartedFrom) -> list[Any]:
        """Return what `everything` becomes when a model is put on the bench, or another image under it."""
        if not lane or lane == NOBODY:
            return [gr.update(visible=False), *[gr.skip()] * (len(self.everything) - 1)]
        try:
            dials = self._desk.dials(lane)
            values, labels = self._desk.shown(lane, started)
        except InputError as error:
            raise gr.Error(str(error), duration=None, print_exception=False) from None
        shown = [(name, values[latent]) for latent, name in dials.latents]
        folded = [(name, values[latent]) for latent, name in dials.folded]
        words = f"{len(folded)} latent{'s' * (len(folded) != 1)} below 0.01 nats"
        words += f"; {dials.left_out} more are not shown" * bool(dials.left_out)
        parts = [
            gr.update(visible=True),
            gr.update(value=markup.notes(dials.notes), visible=bool(dials.notes)),
            self.seen(lane, started, turned(dict(enumerate(values)), {}, {}, self._first(lane))),
            gr.update(visible=bool(folded or dials.left_out), label=words),
            gr.update(visible=bool(dials.labels)),
            gr.update(visible=bool(dials.directions)),
            *_set(self.latents, shown),
            *_set(self.folded, folded),
        ]
        for number in range(len(self.labels)):
            if number < len(dials.labels):
                label = dials.labels[number]
                choices = [(called, value) for value, called in enumerate(label.called)]
                parts.append(gr.update(visible=True, label=label.name, choices=choices, value=int(labels[number])))
            else:
                parts.append(gr.update(visible=False))
        return [*parts, *_set(self.directions, [(name, 0.0) for name in dials.directions])]

    def _first(self, lane: str) -> tuple[str, int]:
        dials = self._desk.dials(lane)
        return ("latent", (dials.latents or dials.folded)[0][0])

    def moved(self, place: int, lane: str, started: StartedFrom, *values: Any) -> str:
        """Return the view when the dial at a place of `dials` has been touched."""
        dials, start = self._desk.dials(lane), list(values)
        latents = start[: len(self.latents)], start[len(self.latents) :][: len(self.folded)]
        rest = start[len(self.latents) + len(self.folded) :]
        standing = {
            number: value
            for group, found in ((dials.latents, latents[0]), (dials.folded, latents[1]))
            for (number, _), value in zip(group, found, strict=False)
        }
        labels = dict(zip(range(len(dials.labels)), rest[: len(self.labels)], strict=False))
        steps = dict(zip(range(len(dials.directions)), rest[len(self.labels) :], strict=False))
        return self.seen(lane, started, turned(standing, labels, steps, self._hand(place, dials)))

    def _hand(self, place: int, dials: Any) -> tuple[str, int]:
        for kind, components, group in (
            ("latent", self.latents, dials.latents),
            ("latent", self.folded, dials.folded),
            ("label", self.labels, dials.labels),
            ("direction", self.directions, dials.directions),
        ):
            if place < len(components):
                return (kind, group[place][0] if kind == "latent" else place)
            place -= len(components)
        raise IndexError(place)

    def seen(self, lane: str, started: StartedFrom, now: Any) -> str:
        """Return the view: what the image is, what is decoded, and the strip of what is under the hand."""
        frame, start = self._desk.look(lane, started, now), self._desk.start(lane, started)
        dials = self._desk.dials(lane)
        kind, number = now.hand
        if kind == "latent":
            heading = dict((*dials.latents, *dials.folded))[number]
            unit = "standard deviations of the prior"
        else:
            heading = dials.labels[number].name if kind == "label" else dials.directions[number]
            unit = "its values" if kind == "label" else "steps of one standard deviation"
        captions = frame.captions
        if kind == "label":
            captions = [dials.labels[number].called[int(value)] for value in captions]
        said = (f"image: {start.caption}" if start.caption else "image", "decoded")
        return markup.pair(start.original, frame.picture, said) + markup.strip(
            frame.strip, captions, frame.here, f"{heading}, through {unit}"
        )


def _set(sliders: Sequence[gr.Slider], found: Sequence[tuple[str, float]]) -> list[Any]:
    rounded = [(label, round(float(value), DECIMALS)) for label, value in found[: len(sliders)]]
    shown = [gr.update(visible=True, label=label, value=value) for label, value in rounded]
    return shown + [gr.update(visible=False)] * (len(sliders) - len(shown))


def build(desk: Desk, title: str) -> gr.Blocks:
    """Return the page of a desk."""
    choices = [(choice.title, choice.name) for choice in desk.shelf.choices]
    most = desk.num_images - 1
    with gr.Blocks(title=f"explore {title}", analytics_enabled=False, fill_width=True) as page:
        started = gr.State(desk.first())
        data = desk.shelf.data
        size = "" if data is None else f"{desk.num_images:,} images of {data.shape[0]} x {data.shape[1]}"
        said = "" if data is None else f"{data.name}: {size}, numbered from 0 to {most}"
        gr.HTML(markup.head(title, [said]))
        with gr.Row():
            left = gr.Dropdown(choices, value=choices[0][1], label="lane", elem_id="lane")
            right = gr.Dropdown(
                [NOBODY, *choices], value=NOBODY, label="beside it", elem_id="beside", visible=len(choices) > 1
            )
        with gr.Row(elem_id="starts"):
            gr.HTML(markup.notes(["start from image"]), visible=desk.num_images > 0, min_width=110, elem_id="from")
            number = gr.Number(
                desk.first()[1],
                label="image number",
                precision=0,
                minimum=0,
                maximum=max(most, 0),
                min_width=160,
                container=False,
                visible=desk.num_images > 0,
                elem_id="number",
            )
            another = gr.Button("another one", size="md", min_width=110, visible=desk.num_images > 0, elem_id="another")
            noise = gr.Button("from noise", size="md", min_width=110, elem_id="noise")
            middle = gr.Button("prior's mean", size="md", min_width=110, elem_id="middle")
            back = gr.Button("as it was", size="md", min_width=110, elem_id="back")
        with gr.Row():
            benches = (Bench(desk, "left"), Bench(desk, "right"))
        lanes = (left, right)
        outputs = [started, number, *benches[0].everything, *benches[1].everything]

        def renewed(where: StartedFrom, first: str, second: str) -> list[Any]:
            at = gr.update(value=where[1]) if where[0] == "image" else gr.skip()
            return [where, at, *benches[0].renewed(first, where), *benches[1].renewed(second, where)]

        def at_image(wanted: float | None, first: str, second: str) -> list[Any]:
            if wanted is None or not 0 <= wanted <= most:
                return [gr.skip()] * len(outputs)  # a number that is still being written
            return renewed(("image", int(wanted)), first, second)

        def at_another(first: str, second: str) -> list[Any]:
            return renewed(("image", int(np.random.default_rng().integers(desk.num_images))), first, second)

        def at_noise(first: str, second: str) -> list[Any]:
            return renewed(("noise", int(np.random.default_rng().integers(2**31))), first, second)

        def at_middle(first: str, second: str) -> list[Any]:
            return renewed(("middle", 0), first, second)

        page.load(renewed, [started, *lanes], outputs, **IN_TURN)
        number.input(at_image, [number, *lanes], outputs, **IN_TURN | {"trigger_mode": "always_last"})
        another.click(at_another, [*lanes], outputs, **IN_TURN)
        noise.click(at_noise, [*lanes], outputs, **IN_TURN)
        middle.click(at_middle, [*lanes], outputs, **IN_TURN)
        back.click(renewed, [started, *lanes], outputs, **IN_TURN)
        for bench, lane in zip(benches, lanes, strict=True):
            lane.input(bench.renewed, [lane, started], bench.everything, **IN_TURN)
            for place, dial in enumerate(bench.dials):
                touched = functools.partial(bench.moved, place)
                dial.input(touched, [lane, started, *bench.dials], bench.view, **AT_ONCE)
        if len(choices) > 1 and desk.shelf.columns:
            _table(desk, left, benches[0].renewed, started, benches[0].everything)
    return page


def _table(desk: Desk, lane: gr.Dropdown, renewed: Callable, started: gr.State, outputs: list[Any]) -> None:
    """Lay out the table of lanes, a click on which puts one on the bench."""
    listed = desk.shelf.choices[:MOST_ROWS]
    rows = [[choice.name, *(_cell(choice.facts.get(name)) for name in desk.shelf.columns)] for choice in listed]
    left_out = len(desk.shelf.choices) - len(listed)
    words = "all lanes and their scores; a click on a row takes it"
    words += f" ({left_out} more are in the menu)" * (left_out > 0)
    with gr.Accordion(words, open=False):
        table = gr.Dataframe(
            rows,
            headers=["lane", *(name.replace("_", " ") for name in desk.shelf.columns)],
            interactive=False,
            max_height=400,
            elem_id="lanes",
        )

    def chosen(event: gr.SelectData) -> str:
        return event.row_value[0]

    table.select(chosen, None, lane, **IN_TURN).then(renewed, [lane, started], outputs, **IN_TURN)


def _cell(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value
