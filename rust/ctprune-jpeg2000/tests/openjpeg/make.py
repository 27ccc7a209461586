"""Make the HTJ2K streams of the tests: needs imagecodecs, whose encoder is OpenJPH."""

from pathlib import Path

import imagecodecs
import numpy as np


def picture(rows: int, columns: int, precision: int, signed: bool) -> np.ndarray:
    """The same as Picture::new in codec.rs."""
    low = -(1 << (precision - 1)) if signed else 0
    span = 1 << precision
    seed = 1
    samples = []
    for at in range(rows * columns):
        seed = (seed * 1_664_525 + 1_013_904_223) & 0xFFFFFFFF
        y, x = divmod(at, columns)
        inside = (y - 20) ** 2 + (x - 25) ** 2 < 300
        shape = 6 * span // 10 if inside else (x + y) * span // 400
        value = [0, span - 1][at % 2] if at % 97 < 2 else shape + (seed >> 16) % (span // 16 + 1)
        samples.append(low + min(value, span - 1))
    kind = ("i" if signed else "u") + ("1" if precision <= 8 else "2")
    return np.array(samples, kind).reshape(rows, columns)


here = Path(__file__).parent
for name, shape, options in [
    ("ht", (43, 39, 12, False), {}),
    ("ht_signed", (70, 131, 16, True), {}),
    ("ht_bytes", (5, 66, 8, False), {}),
    ("ht_one_row", (1, 9, 16, False), {}),
    ("ht_lossy", (70, 131, 16, False), {"reversible": False, "level": 0.001}),
]:
    options = {"reversible": True} | options
    (here / f"{name}.j2c").write_bytes(imagecodecs.htj2k_encode(picture(*shape), **options))
