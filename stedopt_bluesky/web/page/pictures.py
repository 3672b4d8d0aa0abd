"""Images as pictures that a browser shows: PNG in a data URI."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

# A figure of plotly before there is one: without its logo, whose parts have names of their own.
NOTHING_DRAWN: dict[str, Any] = {"data": [], "layout": {}, "config": {"displaylogo": False}}

# Of zlib: more takes longer than the browser saves.
_COMPRESSION = 1


def picture(image: npt.NDArray[Any], high: float, colours: str = "hot", low: float = 0.0) -> str:
    """Draw an image pixel by pixel.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        Any numbers; NaN becomes transparent.
    high, low : float
        Ends of the scale of brightness.
    colours : str
        Name of a colour map of matplotlib.

    Returns
    -------
    str
        ``data:image/png;base64,...``
    """
    from matplotlib import colormaps
    from PIL import Image

    values = np.asarray(image)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        return _uri(Image.fromarray(coloured(values, high, colours, low), "RGBA"))
    # By a palette: a third of the time, and a quarter of the bytes.
    steps = np.clip((values - low) * (255 / (high - low)), 0, 255).astype(np.uint8)
    drawn = Image.fromarray(steps, "P")
    drawn.putpalette((colormaps[colours](np.arange(256))[:, :3] * 255).astype(np.uint8).tobytes())
    return _uri(drawn)


def blended(
    image: npt.NDArray[Any],
    high: float,
    mask: npt.NDArray[np.bool_],
    rgb: tuple[int, int, int],
    share: float = 0.35,
) -> str:
    """Draw an image (Y, X), and in part a colour where a mask is true."""
    from PIL import Image

    drawn = coloured(image, high)
    drawn[mask, :3] = ((1 - share) * drawn[mask, :3] + share * np.array(rgb)).astype(np.uint8)
    return _uri(Image.fromarray(drawn, "RGBA"))


def coloured(
    image: npt.NDArray[Any], high: float, colours: str = "hot", low: float = 0.0
) -> npt.NDArray[np.uint8]:
    """Colours of an image's pixels, (Y, X, 4); NaN is transparent."""
    from matplotlib import colormaps

    values = np.asarray(image, np.float64)
    unknown = ~np.isfinite(values)
    scaled = np.clip((np.where(unknown, low, values) - low) / (high - low), 0, 1)
    table = (colormaps[colours](np.arange(256)) * 255).astype(np.uint8)
    rgba: npt.NDArray[np.uint8] = table[(scaled * 255).astype(np.uint8)]
    rgba[unknown] = 0
    return rgba


def _uri(picture: Any) -> str:
    out = io.BytesIO()
    picture.save(out, "PNG", compress_level=_COMPRESSION)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
