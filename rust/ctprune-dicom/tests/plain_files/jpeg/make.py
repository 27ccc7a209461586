"""Write the tiny JPEG files beside this script and, as `.gray`, the values that Pillow reads from them.

Run by hand, with Pillow: `python make.py`. Made with Pillow 13.0.0 and its libjpeg-turbo 3.2.0.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
COLUMNS, ROWS = 21, 13


def gradient(columns: int, rows: int) -> Image.Image:
    """Colors that differ in both directions, with an edge."""
    y, x = np.mgrid[:rows, :columns]
    red = 255 * x // max(columns - 1, 1)
    green = 255 * y // max(rows - 1, 1)
    blue = 255 * ((x + y) % 7 > 3)
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))


def write(name: str, picture: Image.Image, **options: object) -> None:
    path = HERE / f"{name}.jpg"
    picture.save(path, quality=90, optimize=True, **options)
    path.with_suffix(".gray").write_bytes(Image.open(path).convert("L").tobytes())


if __name__ == "__main__":
    color = gradient(COLUMNS, ROWS)
    write("gray", color.convert("L"))
    write("gray_progressive", color.convert("L"), progressive=True)
    write("color_444", color, subsampling="4:4:4")
    write("color_422", color, subsampling="4:2:2")
    write("color_420", color, subsampling="4:2:0")
    write("color_420_progressive", color, subsampling="4:2:0", progressive=True)
    write("color_420_restart", color, subsampling="4:2:0", restart_marker_blocks=1)
    write("color_rgb", color, subsampling="4:4:4", keep_rgb=True)
    write("color_420_one_pixel", gradient(1, 1), subsampling="4:2:0")
    write("inks", color.convert("CMYK"), subsampling="4:4:4")
