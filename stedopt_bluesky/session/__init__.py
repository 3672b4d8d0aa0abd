"""The one place where things are wired: a configuration becomes a session to image with.

Heavy rooms (Bluesky, the twin, the catalogue) are imported when a session is
opened, not with this package: a microscope that does not answer is reported at once.
"""

from stedopt_bluesky.session.cataloguing import catalog_key, check_catalog, fed, target_of
from stedopt_bluesky.session.decisions import (
    make_choose,
    objectives_of,
    weights_of,
)
from stedopt_bluesky.session.going_on import Continuation, continuation_of, go_on
from stedopt_bluesky.session.hardware import connect_application, make_instrument
from stedopt_bluesky.session.networks import (
    Networks,
    check_complete,
    networks_of,
    open_networks,
)
from stedopt_bluesky.session.opening import Session, open_session
from stedopt_bluesky.session.paths import with_absolute_paths
from stedopt_bluesky.session.prior import prior_observations
from stedopt_bluesky.session.station import make_station
from stedopt_bluesky.session.stored import (
    config_of,
    light_of,
    places_left,
    prior_of,
    reduced_from,
    stage_origin_of,
)
from stedopt_bluesky.session.strategies import Observation, make_strategy

__all__ = [
    "Continuation",
    "Networks",
    "Observation",
    "Session",
    "catalog_key",
    "check_catalog",
    "check_complete",
    "config_of",
    "connect_application",
    "continuation_of",
    "fed",
    "go_on",
    "light_of",
    "make_choose",
    "make_instrument",
    "make_station",
    "make_strategy",
    "networks_of",
    "objectives_of",
    "open_networks",
    "open_session",
    "places_left",
    "prior_observations",
    "prior_of",
    "reduced_from",
    "stage_origin_of",
    "target_of",
    "weights_of",
    "with_absolute_paths",
]
