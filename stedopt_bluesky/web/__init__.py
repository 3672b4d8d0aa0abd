"""Faces of the program on the web; started by ``stedopt serve``."""
