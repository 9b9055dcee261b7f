"""What JSON from a file must look like, said by parts that are put together. Knows no file.

A part takes a value and what to call it, and raises `Wrong` where the value is something else.
"""

import math
from collections.abc import Callable, Container, Mapping
from typing import Any

Part = Callable[[Any, str], None]


class Wrong(Exception):  # noqa: N818  always caught, and told with the name of the file
    """A value is not what it must be; says which, what it is, and what it must be."""


def wrong(value: Any, called: str, words: str) -> Wrong:
    """Return the error that says what a value is and what it must be."""
    shown = ascii(value)
    return Wrong(f"{called or 'it'} is {shown if len(shown) <= 60 else f'{shown[:57]}...'}, expected {words}")


def text(value: Any, called: str) -> None:
    """Any text."""
    if not isinstance(value, str):
        raise wrong(value, called, "text")


def number(value: Any, called: str) -> None:
    """Any finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise wrong(value, called, "a finite number")


def seconds(value: Any, called: str) -> None:
    """A finite number from 0."""
    number(value, called)
    if value < 0:
        raise wrong(value, called, "seconds from 0")


def whole(least: int) -> Part:
    """A whole number from `least`."""

    def part(value: Any, called: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise wrong(value, called, f"a whole number from {least}")

    return part


def one_of(names: Container[str]) -> Part:
    """One of some names."""

    def part(value: Any, called: str) -> None:
        if not isinstance(value, str) or value not in names:
            raise wrong(value, called, f"one of {', '.join(names)}")

    return part


def either(*parts: Part) -> Part:
    """What one of some parts takes; the error is that of the last."""

    def part(value: Any, called: str) -> None:
        for option in parts[:-1]:
            try:
                return option(value, called)
            except Wrong:
                continue
        return parts[-1](value, called)

    return part


def null(value: Any, called: str) -> None:
    """Nothing."""
    if value is not None:
        raise wrong(value, called, "null")


def listed(item: Part, least: int = 0) -> Part:
    """A list of at least so many values, each of one kind."""

    def part(value: Any, called: str) -> None:
        if not isinstance(value, list) or len(value) < least:
            raise wrong(value, called, f"a list of at least {least}" if least else "a list")
        for place, one in enumerate(value):
            item(one, f"{called}[{place}]")

    return part


def mapping(item: Part) -> Part:
    """A dictionary with any keys, its values of one kind."""

    def part(value: Any, called: str) -> None:
        if not isinstance(value, dict):
            raise wrong(value, called, "a dictionary")
        for key, one in value.items():
            item(one, f"{called}[{key!a}]")

    return part


def record(required: Mapping[str, Part], optional: Mapping[str, Part] = {}, others: Part | None = None) -> Part:
    """A dictionary with all of `required`, perhaps some of `optional`, and `others` by any name (None: no others)."""

    def part(value: Any, called: str) -> None:
        if not isinstance(value, dict):
            raise wrong(value, called, "a dictionary")
        inside = f"{called}." if called else ""
        for key in required:
            if key not in value:
                raise Wrong(f"{called or 'it'} lacks {key!r}")
        for key, one in value.items():
            kind = required.get(key) or optional.get(key) or others
            if kind is None:
                raise Wrong(f"{called or 'it'} has {ascii(key)[:60]}, which is unknown to this version")
            kind(one, inside + (key if key in required or key in optional else ascii(key)[1:-1][:60]))

    return part


def anything(value: Any, called: str) -> None:
    """Whatever it is."""
