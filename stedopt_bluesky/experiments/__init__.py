"""Experiments on strategies: what they would have done on images that were taken already.

A *replay experiment* lets strategies choose among stored images, in many trials, so that all
of them meet the same sample [Durand et al., Nat. Commun. 9:5247, 2018, Fig. 1]; a
*comparison* tells groups of stored runs apart by the paper's statistics.
"""
