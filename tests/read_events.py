"""Event files of TensorBoard read back, with checksums held to."""

import struct


def events(file):
    """Return the events of a file."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    content, start, found = file.read_bytes(), 0, []
    while start < len(content):
        length, checksum = struct.unpack_from("<QI", content, start)
        assert checksum == masked_crc32c(content[start : start + 8])
        event = content[start + 12 : start + 12 + length]
        assert struct.unpack_from("<I", content, start + 12 + length) == (masked_crc32c(event),)
        found.append(Event.FromString(event))
        start += 16 + length
    return found


def scalars(file):
    """Return {"step": …, tag: value, …} of each event that has a step."""
    return [
        {"step": event.step} | {value.tag: value.simple_value for value in event.summary.value}
        for event in events(file)
        if event.step
    ]
