"""TensorBoard's event files, by tensorboardX: a folder, and so a run, for each lane. Knows no training.

tensorboardX makes the events and their checksums. Its writers have a thread and an open file each, and lose what they
have not written when they are killed; a sweep may have thousands of lanes, so events are added to files here.
"""

import datetime
import io
import pathlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from jaxvae import files
from jaxvae.loggers import growing
from jaxvae.loggers.base import Final, Watched

HISTORY, SCORES = "events.out.tfevents.0000000000.history", "events.out.tfevents.0000000001.scores"
"""TensorBoard reads the files of a folder in this order, each to its end."""

_LENGTH, _CHECKSUM = struct.Struct("<Q"), struct.Struct("<I")


class TensorBoard:
    """Scalars called as in history.csv, final scores as final/…, pictures, and the lane's numbers as HPARAMS."""

    needs = "tensorboardX"

    def __init__(self, folder: pathlib.Path, sweep: Watched):
        self._lanes = {lane.number: lane for lane in sweep.lanes}
        self._folders = {lane.number: folder / lane.name for lane in sweep.lanes}

    def begin(self, saved: Mapping[int, int]) -> dict[int, int]:
        """See Logger."""
        last = {}
        for number, folder in self._folders.items():
            files.make_folder(folder)
            last[number] = growing.cut_back(folder / HISTORY, _records, saved.get(number, 0))
            if not last[number]:
                files.remove(folder / HISTORY)
                growing.append(folder / HISTORY, _head() + _hypers(self._lanes[number].hypers))
        return last

    def rows(self, rows: Sequence[Mapping[str, float]]) -> None:
        """See Logger."""
        events: dict[int, bytes] = {}
        for row in rows:
            values = {name: value for name, value in row.items() if name not in ("lane", "step")}
            events[row["lane"]] = events.get(row["lane"], b"") + _scalars(row["step"], values)
        for lane, content in events.items():
            growing.append(self._folders[lane] / HISTORY, content)

    def finish(self, finals: Sequence[Final]) -> None:
        """See Logger."""
        for final in finals:
            content = _head() + _scalars(final.step, {f"final/{name}": v for name, v in final.scores.items()})
            content += b"".join(_picture(final.step, name, png) for name, png in final.pictures.items())
            files.replace(self._folders[final.lane] / SCORES, content)

    def close(self) -> None:
        """See Logger."""


def _record(**fields: Any) -> bytes:
    """Return an event as it stands in a file: its length, its bytes, a checksum of either."""
    from tensorboardX.proto import event_pb2
    from tensorboardX.record_writer import masked_crc32c

    now = datetime.datetime.now(datetime.UTC).timestamp()
    event = event_pb2.Event(wall_time=now, **fields).SerializeToString()
    length = _LENGTH.pack(len(event))
    return b"".join(part + _CHECKSUM.pack(masked_crc32c(part)) for part in (length, event))


def _head() -> bytes:
    return _record(file_version="brain.Event:2")


def _hypers(hypers: Mapping[str, Any]) -> bytes:
    from tensorboardX import summary

    _, session, _ = summary.hparams(dict(hypers), {})
    return _record(summary=session)


def _scalars(step: int, values: Mapping[str, float]) -> bytes:
    from tensorboardX.proto.summary_pb2 import Summary

    told = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
    return _record(step=step, summary=Summary(value=told))


def _picture(step: int, name: str, png: bytes) -> bytes:
    from tensorboardX.proto.summary_pb2 import Summary

    with Image.open(io.BytesIO(png)) as picture:
        width, height = picture.size
    image = Summary.Image(height=height, width=width, colorspace=len(picture.getbands()), encoded_image_string=png)
    return _record(step=step, summary=Summary(value=[Summary.Value(tag=name, image=image)]))


def _records(content: bytes) -> Iterator[tuple[int, int]]:
    from tensorboardX.proto import event_pb2

    start = 0
    while start + 12 <= len(content):
        (length,) = _LENGTH.unpack_from(content, start)
        end = start + 12 + length + 4
        if end > len(content):
            return
        try:
            step = event_pb2.Event.FromString(content[start + 12 : end - 4]).step
        except Exception:  # damaged from here on, whatever protobuf calls it
            return
        yield step, end
        start = end
