"""The catalogue of a session, opened when it is first used and taking in its runs as they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stedopt_bluesky.records.catalog import Catalog
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.ingest import Ingester


class WhenUsed:
    """Something that is opened by whoever first uses it; private names do not count as use.

    Parameters
    ----------
    get : callable
        Returns it, opened.
    what : str
        What it is, shown until then.
    """

    def __init__(self, get: Callable[[], Any], what: str) -> None:
        self._get = get
        self._what = what

    def __getattr__(self, name: str) -> Any:
        # Shells look for _repr_html_ and the like of everything that they show.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._get(), name)

    def __getitem__(self, key: Any) -> Any:
        return self._get()[key]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Search, where it is a broker: ``db(sample="actin")``."""
        return self._get()(*args, **kwargs)

    def __len__(self) -> int:
        return len(self._get())

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Any]:
        return iter(self._get())

    def __contains__(self, key: object) -> bool:
        return key in self._get()

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(self._get())})

    def __repr__(self) -> str:
        return f"<{self._what}>"


class CatalogWhenUsed:
    """Catalogue of a folder: not opened before it is used, closed with the ``with`` block.

    Each use takes in the runs that have ended since the last one.

    Parameters
    ----------
    folder : CatalogFolder
        Whose.
    """

    def __init__(self, folder: CatalogFolder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._ingester: Ingester | None = None
        self._broker: Any = None
        self.client = WhenUsed(self._client, f"Tiled's client of {folder.path}")
        self.broker = WhenUsed(self._as_broker, f"databroker's face of {folder.path}")

    def __enter__(self) -> CatalogWhenUsed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_open(self) -> bool:
        """Whether it has been used."""
        return self._catalog is not None

    def close(self) -> None:
        """Close; other programs can open it then. The next use opens it again."""
        with self._lock:
            if self._catalog is not None:
                self._catalog.close()
            self._catalog = self._ingester = self._broker = None

    def _client(self) -> Any:
        return self._filled().client

    def _as_broker(self) -> Any:
        catalog = self._filled()
        if self._broker is None:
            self._broker = catalog.broker
        return self._broker

    def _filled(self) -> Catalog:
        """Open it, or take in what is new.

        Raises
        ------
        CatalogError
            When another program has it open.
        """
        from stedopt_bluesky.records.catalog import Catalog

        with self._lock:
            if self._catalog is None:
                catalog = Catalog(self._folder)
                catalog.open()
                self._catalog = catalog
            if self._ingester is None:
                self._ingester = self._catalog.ingester()
            self._ingester.step()
            return self._catalog
