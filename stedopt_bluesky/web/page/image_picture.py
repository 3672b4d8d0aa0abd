"""The images of a region as one picture for the page."""

from __future__ import annotations

import base64
import io
from typing import Any

from stedopt_bluesky.reports.image_panels import brightest, draw_image
from stedopt_bluesky.web.page.run_images import SHOWN, Images

_TITLES = dict(zip(SHOWN, ("confocal 1", "STED", "confocal 2"), strict=True))
_DPI = 100
_SIDE_INCH = 3.2


def image_picture(images: Images, size_um: float) -> bytes:
    """Draw the images of a region, each with a scale bar and a colour bar.

    Parameters
    ----------
    images : mapping of name to ndarray, shape (Y, X)
        Photon counts; a row for each channel. The two confocal images of a channel have one scale
        of brightness, so that bleaching is seen.
    size_um : float
        Side of the region, µm.

    Returns
    -------
    bytes
        A PNG.
    """
    from matplotlib.figure import Figure

    names = list(images)
    lines = [names[n : n + len(SHOWN)] for n in range(0, len(names), len(SHOWN))]
    size = _SIDE_INCH * len(SHOWN), 0.9 * _SIDE_INCH * len(lines)
    figure: Any = Figure(figsize=size, layout="constrained", dpi=_DPI)
    grid = figure.subplots(len(lines), len(SHOWN), squeeze=False)
    for axes, line in zip(grid, lines, strict=True):
        confocal = [images[name] for name in line if "confocal" in name]
        for ax, name in zip(axes, line, strict=True):
            high = brightest(*confocal) if "confocal" in name else None
            draw_image(ax, images[name], size_um, high)
            channel, _, shot = name.rpartition("_")
            ax.set_title(f"{channel} {_TITLES[shot]}".strip(), fontsize=9)
    out = io.BytesIO()
    figure.savefig(out, format="png")
    return out.getvalue()


def data_uri(png: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
