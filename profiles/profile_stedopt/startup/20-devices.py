"""The devices by name."""

from bluesky.utils import ProgressBarManager

station = session.station
strategy = session.strategy

excitation, depletion = station.excitation, station.depletion
scanner, microscope, overview = station.scanner, station.microscope, station.overview
stage, detection, pinhole = station.stage, station.detections[0], station.pinhole

# By these labels `%wa` lists them.
for _label, _devices in {
    "lasers": (excitation, depletion),
    "positioners": (scanner, stage, pinhole),
    "detectors": (detection,),
}.items():
    for _device in _devices:
        _device._ophyd_labels_ = {_label}

# While a plan waits for a scan, a bar shows how far it is; a queue has no terminal to show it on.
if not is_re_worker_active():
    RE.waiting_hook = ProgressBarManager()
