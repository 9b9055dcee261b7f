"""What every page is made of: one file that needs nothing else, to be mailed, archived and opened offline.

Knows no results and no matplotlib. Every string that is not written here goes through `html.escape`: flags, names and
reasons are other people's text.
"""

import base64
import io
import itertools
import json
import os
import pathlib
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from PIL import Image

from jaxvae.arguments import as_path
from jaxvae.report import style, tables
from jaxvae.workdir.tables import write_text

PIXELS_PER_CSS_PIXEL = style.DPI / 96  # a CSS inch has 96 pixels
TEMPLATE = pathlib.Path(__file__).with_name("page.html")
QUALITY = 82  # of JPEG
PNG = b"\x89PNG"

Section = tuple[str, str, str]
"""Its anchor, its heading as text, and its content as HTML."""


def write(path: str | os.PathLike[str], title: str, head: str, sections: Iterable[Section]) -> pathlib.Path:
    """Write a page, atomically: a title, a head of HTML, a table of contents, sections that fold."""
    found = list(sections)
    links = " ".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in found)
    body = "\n".join(
        f'<section id="{name}">\n<details class="part" open>\n<summary><h2>{escape(heading)}</h2></summary>\n'
        f"{content}\n</details>\n</section>"
        for name, heading, content in found
    )
    page = string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(title), head=head + f'\n<nav aria-label="Contents">{links}</nav>', sections=body
    )
    path = as_path("the page", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


def head(
    lines: Sequence[str | tuple[str, str]],
    facts: Iterable[tuple[str, str]],
    lost: Iterable[str] = (),
    notes: Iterable[str] = (),
) -> str:
    """Return what stands under a title.

    Args:
        lines: a paragraph each; of a pair the first stands out and says what the second is about.
        facts: names and values.
        lost: those lines that are to be red.
        notes: lines of less weight, after the others.
    """
    lost, words = set(lost), ""
    for line in lines:
        lead, text = ("", line) if isinstance(line, str) else (f"<b>{escape(line[0])}.</b> ", line[1])
        words += f"<p{tables.css_class('lost' if line in lost else '')}>{lead}{escape(text)}</p>"
    words += "".join(map(note, notes))
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts)
    return f'<div class="summary">{words}</div>\n<dl class="facts">{listed}</dl>'


def figure(
    pictures: Mapping[str, bytes], caption: str, *, photographs: bool = False, anchors: Sequence[str] = ()
) -> str:
    """Return a figure.

    Args:
        pictures: what each PNG shows -> its bytes; WebP and GIF, which may move, are taken as they are.
        caption: of all of them.
        photographs: keep them as JPEG, a fifth of the size.
        anchors: by which each of them can be linked to; () for none.
    """
    content = ""
    for (alt, png), anchor in itertools.zip_longest(pictures.items(), anchors):
        named = f' id="{escape(anchor)}"' if anchor else ""
        content += f'<div class="picture"{named}>{_image(alt, png, photographs)}</div>\n'
    said = f"<figcaption>{escape(caption)}</figcaption>\n" if caption else ""
    return f"<figure>\n{content}{said}</figure>"


def _image(alt: str, png: bytes, photograph: bool) -> str:
    if not png.startswith(PNG):
        return _moving_image(alt, png)
    kind, data = ("jpeg", _as_jpeg(png)) if photograph else ("png", png)
    picture = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(alt)}"{_size(png)} src="data:image/{kind};base64,{picture}">'


def _moving_image(alt: str, data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as opened:
        (width, height), kind = opened.size, opened.format.lower()
    picture = base64.b64encode(data).decode("ascii")
    return f'<img alt="{escape(alt)}" width="{width}" height="{height}" src="data:image/{kind};base64,{picture}">'


def _as_jpeg(png: bytes) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(file, format="JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def _size(png: bytes) -> str:
    """Return the width and height at which letters are as large as the text around, in every figure alike."""
    width, height = (int.from_bytes(png[start : start + 4], "big") for start in (16, 20))  # of the header chunk, IHDR
    return f' width="{round(width / PIXELS_PER_CSS_PIXEL)}" height="{round(height / PIXELS_PER_CSS_PIXEL)}"'


def pairs(found: Mapping[str, Any]) -> str:
    """Return a table of names and what they stand for."""
    rows = "".join(
        f'<tr><th scope="row">{escape(str(k))}</th><td>{escape(plain(v))}</td></tr>' for k, v in found.items()
    )
    return f'<div class="scroll"><table class="pairs"><tbody>{rows}</tbody></table></div>'


def note(words: str) -> str:
    """Return a sentence or two of explanation."""
    return f'<p class="note">{escape(words)}</p>'


def paragraph(words: str) -> str:
    """Return a sentence or two of what was found."""
    return f"<p>{escape(words)}</p>"


def explanation(docstring: str | None, otherwise: str = "") -> tuple[str, str]:
    """Return the heading and the caption that a plot's docstring gives, or another text where Python dropped it."""
    heading, _, caption = (docstring or otherwise).strip().partition("\n")
    return heading.rstrip("."), " ".join(caption.split())


def first_sentence(text: str) -> str:
    """Return the first sentence of a text."""
    return re.split(r"(?<=[.!?])\s", text.strip(), maxsplit=1)[0]


def plain(value: Any) -> str:
    """Write a value as text: JSON, unless it is text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
