"""Who chooses: articulators of preference map a cloud of options to one of them."""
