"""Short names of what is used all the time."""

RE = session.run_engine
folder = session.folder
station = session.station
strategy = session.strategy

excitation, depletion = station.excitation, station.depletion
scanner, microscope, overview = station.scanner, station.microscope, station.overview
