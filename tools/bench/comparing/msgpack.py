"""As much of MessagePack (its old form, without bin and ext) as serf's RPC speaks."""

import struct


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return struct.pack(">BQ", 0xCF, value)
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return struct.pack(">BH", 0xDA, len(value)) + value
    if isinstance(value, (list, tuple)):
        return struct.pack(">BH", 0xDC, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BH", 0xDE, len(value)) + b"".join(
        pack(key) + pack(item) for key, item in value.items())


_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
            0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_LENGTHS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I",
            0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}


def unpack(read):
    """The next value; `read(n)` returns exactly n bytes."""
    tag = read(1)[0]
    if tag <= 0x7F:
        return tag
    if tag >= 0xE0:
        return tag - 256
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
    if tag in _NUMBERS:
        form = _NUMBERS[tag]
        return struct.unpack(form, read(struct.calcsize(form)))[0]
    if tag in _LENGTHS:
        form = _LENGTHS[tag]
        size = struct.unpack(form, read(struct.calcsize(form)))[0]
        kind = "map" if tag >= 0xDE else "list" if tag in (0xDC, 0xDD) else "text"
    elif tag <= 0x8F:
        kind, size = "map", tag & 15
    elif tag <= 0x9F:
        kind, size = "list", tag & 15
    elif tag <= 0xBF:
        kind, size = "text", tag & 31
    else:
        raise ValueError(f"MessagePack tag {tag:#x}")
    if kind == "text":
        return read(size).decode(errors="replace")
    if kind == "list":
        return [unpack(read) for _ in range(size)]
    return {unpack(read): unpack(read) for _ in range(size)}
