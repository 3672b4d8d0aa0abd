"""Specimens of several dyes: what lies under the objective, label by label."""

from __future__ import annotations

from stedopt_bluesky.twin.calcium import CalciumActivity
from stedopt_bluesky.twin.dendrite import make_dendrites, make_receptors
from stedopt_bluesky.twin.fluorophores import FLUOROPHORES, Fluorophore
from stedopt_bluesky.twin.labels import Label
from stedopt_bluesky.twin.samples import MAP_PIXEL_SIZE_M, Sample

DENDRITES = "dendrites"
INDICATOR = "GCaMP6s"


def dendrites_with_indicator(
    seed: int, field_m: float, cells: int, dye: Fluorophore
) -> tuple[Label, Label]:
    """Make living dendrites: receptors of the spines with a dye, Ca²⁺ with an indicator.

    Parameters
    ----------
    seed : int
        Same seed, same dendrites and same responses, bit for bit.
    field_m : float
        Side of the square field, in m.
    cells : int
        Dendrites that cross it, each of a cell of its own.
    dye : Fluorophore
        Of the receptors.

    Raises
    ------
    ValueError
        As `stedopt_bluesky.twin.dendrite.make_dendrites`.
    """
    dendrites = make_dendrites(seed, field_m, cells)
    receptors = make_receptors(dendrites, seed, round(field_m / MAP_PIXEL_SIZE_M), MAP_PIXEL_SIZE_M)
    cytosol = Sample(DENDRITES, "cytosol", dendrites.indicator, dendrites.pixel_size_m)
    return (
        Label(Sample(DENDRITES, "receptors of spines", receptors), dye),
        Label(cytosol, FLUOROPHORES[INDICATOR], CalciumActivity(dendrites, seed)),
    )
