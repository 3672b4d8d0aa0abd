"""ophyd devices: lasers, scanner, microscope, and the two places where somebody decides."""
