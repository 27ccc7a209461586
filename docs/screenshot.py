"""Take the README's picture of the demo's report: `make screenshot`."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

from PIL import Image
from tests.browser import open_browser, show

WIDTH, HEIGHT = 1280, 1062


def take(report: Path, picture: Path) -> None:
    """Write the top of a report as PNG of few colors."""
    with open_browser() as browser:
        show(browser, scheme="light", width=WIDTH, height=HEIGHT)
        browser.get(report.resolve().as_uri())
        browser.execute_script("document.documentElement.style.scrollbarWidth = 'none'")
        browser.execute_async_script(
            "const done = arguments[0];"
            "Promise.all([...document.images].slice(0, 48).map(i => i.decode())).then(() => done())"
        )
        shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    image = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    picture.parent.mkdir(parents=True, exist_ok=True)
    image.quantize(128, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
