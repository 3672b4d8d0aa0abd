"""Bluesky plans: how a run goes."""

from stedopt_bluesky.plans.optimize import optimize_sted

__all__ = ["optimize_sted"]
