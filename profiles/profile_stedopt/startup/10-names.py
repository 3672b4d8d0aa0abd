"""Short names of what is used all the time."""

from bluesky.utils import ProgressBarManager

RE = session.run_engine
folder = session.folder
station = session.station
strategy = session.strategy

excitation, depletion = station.excitation, station.depletion
scanner, microscope, overview = station.scanner, station.microscope, station.overview
stage, detection, pinhole = station.stage, station.detections[0], station.pinhole

# While a plan waits for a scan, a bar shows how far it is.
RE.waiting_hook = ProgressBarManager()
