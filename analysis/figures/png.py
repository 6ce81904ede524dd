"""PNG files of figures.

Pillow tries five filters on each row of pixels, which takes three times as long as to compress it.
Figures have large areas of one colour, so that their files are as small without any filter.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np
import numpy.typing as npt

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COMPRESSION = 3  # of 9; more saves little and takes long
_BITS, _RGB = 8, 2
_INCHES_PER_METRE = 100 / 2.54


def png(pixels: npt.NDArray[np.uint8], dpi: float) -> bytes:
    """Write pixels as a file.

    Args:
        pixels: Red, green, blue, perhaps more, which is left out; shape (height, width, 3 or more).
        dpi: Pixels per inch.

    Source: Portable Network Graphics Specification (Third Edition), W3C (2025).
    """
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # each begins with its filter: 0, none
    rows[:, 1:].reshape(height, width, 3)[...] = pixels[..., :3]
    per_metre = round(dpi * _INCHES_PER_METRE)
    return b"".join(
        (
            _SIGNATURE,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, _BITS, _RGB, 0, 0, 0)),
            _chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)),
            _chunk(b"IDAT", zlib.compress(rows.data, _COMPRESSION)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
