"""The page: a person chooses in a browser, on this computer, by a link that works once."""
