"""The catalogue, opened when first used: `catalog`, Tiled's client; `db`, databroker 1's face.

Not in RE Manager: one process at a time can have it, and a queue would keep it from all others.
"""

from stedopt_bluesky.session.catalogue import CatalogWhenUsed

if not is_re_worker_active():
    _opened = _closing.enter_context(CatalogWhenUsed(folder))
    catalog, db = _opened.client, _opened.broker
