"""Regions over an overview, as SVG in pixels of the overview; and what a click or a drag means."""

from __future__ import annotations

from collections.abc import Sequence

from stedopt_bluesky.acquisition import Region, Spine
from stedopt_bluesky.devices.expert_surveyor import FieldToSurvey
from stedopt_bluesky.plans.regions import fill_rectangle

_LINE = "#00e5ff"
_SELECTED = "#ff4fa3"
# A drag shorter than this, in pixels of the overview, is a click.
_DRAG_PX = 3.0


def regions_svg(
    field: FieldToSurvey,
    regions: Sequence[Region],
    selected: int | None = None,
    dragged: tuple[float, float, float, float] | None = None,
) -> str:
    """Draw regions with their numbers; spines with their axes.

    Parameters
    ----------
    field : FieldToSurvey
        What they lie on.
    regions : sequence of Region
        In the order of imaging.
    selected : int, optional
        Which one is marked, from 0.
    dragged : tuple of float, optional
        Rectangle that is being drawn: two corners (x, y), pixels.
    """
    parts = []
    stroke = max(1.0, max(field.overview.shape) / 400)
    numbered = list(enumerate(regions, start=1))
    # The marked one lies over its neighbours.
    for number, region in sorted(numbered, key=lambda entry: entry[0] - 1 == selected):
        left, top = pixels_of(field, region.x_um - region.size_um / 2,
                              region.y_um - region.size_um / 2)  # fmt: skip
        side = region.size_um * 1000 / field.pixel_size_nm
        colour = _SELECTED if number - 1 == selected else _LINE
        # Those that the run does not come to are faint.
        faint = ' opacity="0.45"' if number > field.wanted and number - 1 != selected else ""
        parts.append(
            f'<rect x="{left:.2f}" y="{top:.2f}" width="{side:.2f}" height="{side:.2f}" '
            f'fill="none" stroke="{colour}" stroke-width="{stroke:.2f}"{faint}/>'
        )
        parts.append(
            f'<text x="{left + stroke:.2f}" y="{top + side / 2:.2f}" fill="{colour}" '
            f'font-size="{max(8.0, side / 3):.1f}" font-weight="bold" stroke="#000000" '
            f'stroke-width="{stroke:.2f}" paint-order="stroke" '
            f'dominant-baseline="central"{faint}>{number}</text>'
        )
        if isinstance(region, Spine):
            x0, y0 = pixels_of(field, region.x_um, region.y_um)
            x1, y1 = pixels_of(field, *region.spot_um(region.size_um / 2))
            parts.append(
                f'<line x1="{x0:.2f}" y1="{y0:.2f}" x2="{x1:.2f}" y2="{y1:.2f}" '
                f'stroke="{colour}" stroke-width="{stroke:.2f}"/>'
            )
    if dragged is not None:
        x0, y0, x1, y1 = dragged
        parts.append(
            f'<rect x="{min(x0, x1):.2f}" y="{min(y0, y1):.2f}" width="{abs(x1 - x0):.2f}" '
            f'height="{abs(y1 - y0):.2f}" fill="none" stroke="#ffffff" '
            f'stroke-dasharray="4 3" stroke-width="{stroke:.2f}"/>'
        )
    return "".join(parts)


def pixels_of(field: FieldToSurvey, x_um: float, y_um: float) -> tuple[float, float]:
    """Where a position in the field lies on its overview, pixels from the upper left corner."""
    height, width = field.overview.shape
    per_um = 1000 / field.pixel_size_nm
    return width / 2 + x_um * per_um, height / 2 + y_um * per_um


def position_of(field: FieldToSurvey, x_px: float, y_px: float) -> tuple[float, float]:
    """Where pixels of an overview lie in the field, µm from its centre."""
    height, width = field.overview.shape
    um = field.pixel_size_nm / 1000
    return (x_px - width / 2) * um, (y_px - height / 2) * um


def region_under(
    field: FieldToSurvey, regions: Sequence[Region], x_px: float, y_px: float
) -> int | None:
    """Which region is under a click, from 0; of several, that whose centre is nearest."""
    x_um, y_um = position_of(field, x_px, y_px)
    away = [max(abs(r.x_um - x_um), abs(r.y_um - y_um)) for r in regions]
    under = [i for i, r in enumerate(regions) if away[i] <= r.size_um / 2]
    return min(under, key=away.__getitem__, default=None)


def added(
    field: FieldToSurvey, regions: Sequence[Region], x_px: float, y_px: float
) -> list[Region]:
    """Add a region around a click, moved so far that it lies inside of the field."""
    x_um, y_um = position_of(field, x_px, y_px)
    room_um = [(side - field.size_um) / 2 for side in field.side_um]
    x_um, y_um = (min(max(at, -most), most) for at, most in zip((x_um, y_um), room_um, strict=True))
    stage_x_um, stage_y_um = field.stage_um
    new = Region(x_um, y_um, field.size_um, stage_x_um=stage_x_um, stage_y_um=stage_y_um)
    return [*regions, new]


def is_drag(x0: float, y0: float, x1: float, y1: float) -> bool:
    """Whether the mouse has moved while it was pressed, pixels."""
    return max(abs(x1 - x0), abs(y1 - y0)) >= _DRAG_PX


def filled(
    field: FieldToSurvey, regions: Sequence[Region], corners: tuple[float, float, float, float]
) -> list[Region]:
    """Add as many regions as a rectangle has place for, none over one that is there.

    Parameters
    ----------
    field : FieldToSurvey
        What they lie on.
    regions : sequence of Region
        Those that are there.
    corners : tuple of float
        Two corners (x, y), pixels; what lies outside of the field is cut off.
    """
    height, width = field.overview.shape
    xs = sorted(min(max(x, 0.0), float(width)) for x in corners[::2])
    ys = sorted(min(max(y, 0.0), float(height)) for y in corners[1::2])
    (x0_um, y0_um), (x1_um, y1_um) = (
        position_of(field, xs[0], ys[0]),
        position_of(field, xs[1], ys[1]),
    )
    laid = fill_rectangle(
        ((x0_um + x1_um) / 2, (y0_um + y1_um) / 2),
        (x1_um - x0_um, y1_um - y0_um),
        field.size_um,
        field.stage_um,
    )
    return [*regions, *(new for new in laid if not any(_overlap(new, r) for r in regions))]


def _overlap(a: Region, b: Region) -> bool:
    # A rounding error is no overlap.
    side_um = (a.size_um + b.size_um) / 2 * (1 - 1e-9)
    return abs(a.x_um - b.x_um) < side_um and abs(a.y_um - b.y_um) < side_um
