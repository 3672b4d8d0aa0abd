"""Laser power calibrations from a CSV file of measured points."""

from __future__ import annotations

from pathlib import Path

from stedopt_bluesky.config.calibration_file import CalibrationFileError, read_points
from stedopt_bluesky.imspector.calibration import PowerCalibration

__all__ = ["CalibrationFileError", "read_calibrations"]


def read_calibrations(path: str | Path) -> dict[str, PowerCalibration]:
    """Read the calibration of each laser in a CSV file.

    Powers between the points are interpolated piecewise linearly. A monotone cubic would be
    smoother, but it has no inverse in closed form and assumes a slope at each point that
    nobody measured; on straight lines percent and power undo each other to the last digits,
    nothing overshoots, and the points are all that a start document needs to hold.

    Parameters
    ----------
    path : str or Path
        See :func:`stedopt_bluesky.config.calibration_file.read_points`.

    Returns
    -------
    dict of str to PowerCalibration
        By laser, in the order of the file: ``"excitation"``, or a wavelength as ``"640"``.

    Raises
    ------
    CalibrationFileError
        One line with the file, the line in it, the column, the value and what is allowed.
    """
    return {laser: PowerCalibration(*points) for laser, points in read_points(path).items()}
