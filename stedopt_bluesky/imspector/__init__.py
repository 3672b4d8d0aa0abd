"""Imspector, the Abberior microscope's program, through SpecPy."""
