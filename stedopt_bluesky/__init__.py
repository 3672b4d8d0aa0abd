"""Optimise a STED microscope's imaging parameters while it images, on Bluesky."""

__version__ = "0.1.0"
