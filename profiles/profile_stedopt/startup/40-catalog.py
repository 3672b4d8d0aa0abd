"""The catalogue, opened when first used: `catalog`, Tiled's client; `db`, databroker 1's face.

Not in RE Manager, where a process beside the worker feeds it; as it does elsewhere where section
`[catalog]` of the configuration names a server.
"""

from stedopt_bluesky.session import fed
from stedopt_bluesky.session.catalogue import CatalogWhenUsed

if is_re_worker_active() or config.catalog.uri:
    _closing.enter_context(fed(config, folder))
if not is_re_worker_active():
    _opened = _closing.enter_context(CatalogWhenUsed(folder))
    catalog, db = _opened.client, _opened.broker
