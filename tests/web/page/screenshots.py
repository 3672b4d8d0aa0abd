"""Pictures of the page: `make screenshots` refreshes those of the documentation."""

import io
import os
import time
from pathlib import Path

from PIL import Image

_SIZE = (1200, 900)  # width, height, pixels
_COLOURS = 128
# A figure is drawn anew when its window gets another size, s.
_DRAWN_S = 1.0


def keep(driver, name):
    """Save what a browser shows as ``NAME.png``, few colours, and return its path.

    The folder is ``screenshots``, or what STEDOPT_SCREENSHOTS names. What is shown gets a size of
    1200 × 900 pixels.
    """
    around = driver.execute_script(
        "return [window.outerWidth - window.innerWidth, window.outerHeight - window.innerHeight]"
    )
    driver.set_window_size(_SIZE[0] + around[0], _SIZE[1] + around[1])
    time.sleep(_DRAWN_S)
    folder = Path(os.environ.get("STEDOPT_SCREENSHOTS", "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    with Image.open(io.BytesIO(driver.get_screenshot_as_png())) as shown:
        few = shown.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        few.save(path, optimize=True)
    return path
