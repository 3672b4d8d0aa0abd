"""Digital twin of a STED microscope under Imspector, with SpecPy's own surface.

Used in place of ``specpy``: `TwinApplication` instead of ``specpy.get_application()``, and
the constants under the vendor's names.
"""

from stedopt_bluesky.imspector.api import MeasurementResult, MeasurementSignal
from stedopt_bluesky.imspector.api import ValueTreeRoot as ValueTree
from stedopt_bluesky.twin.application import TwinApplication
from stedopt_bluesky.twin.samples import make_sample, sample_from_image

__all__ = [
    "MeasurementResult",
    "MeasurementSignal",
    "TwinApplication",
    "ValueTree",
    "make_sample",
    "sample_from_image",
]
