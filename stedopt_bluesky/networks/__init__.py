"""The networks: one rates STED images (FCN), one picks a trade-off (SNN), as published.

The only room that imports torch. What needs no torch (`weights`, `datasets`, `mask`)
can be used without its seconds of import; `rater` and `preference` put networks to work, the
`..._training` modules make them. Shipped weights lie in ``shipped/``.
"""
