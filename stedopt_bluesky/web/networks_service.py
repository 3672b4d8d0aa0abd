"""Networks over HTTP: images in, scores out; clouds of options in, the one to take out.

``POST /`` speaks the JSON of the published program; ``/quality`` and ``/preference`` take the same,
or ``.npy`` files, which are much faster. One request at a time is computed, in a thread of its own,
so that others are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from stedopt_bluesky.acquisition import invalid_reason
from stedopt_bluesky.image_files import published_counts
from stedopt_bluesky.web.bodies import read_body
from stedopt_bluesky.web.keys import is_allowed
from stedopt_bluesky.web.payloads import (
    PayloadError,
    images_of,
    matrix,
    npy_bytes,
    options_of,
    read_json,
    read_npy,
)

if TYPE_CHECKING:
    from stedopt_bluesky.networks.preference import PreferenceScorer
    from stedopt_bluesky.networks.rater import QualityRater, Rated
    from stedopt_bluesky.networks.weights import Weights

NPY = "application/x-npy"
# Requests that are read, wait or are computed; with bodies of 64 MiB they hold 1 GiB.
MAX_REQUESTS = 16
MAX_BODY_BYTES = 64 * 2**20
# Who may be asked by anybody: it says nothing but that the service lives.
OPEN_PATHS = frozenset({"/health"})


@dataclass(frozen=True)
class Offer:
    """What is served.

    Parameters
    ----------
    quality : QualityRater or None
        Scores images.
    preference : PreferenceScorer or None
        Picks options.
    key : str
        That requests must bring.
    max_body_bytes : int
        Largest body of a request.
    """

    quality: QualityRater | None
    preference: PreferenceScorer | None
    key: str
    max_body_bytes: int = MAX_BODY_BYTES


def networks_app(offer: Offer) -> Starlette:
    """Make the application; it is run by any ASGI server."""
    service = _Service(offer)

    async def check_key(request: Request, call_next: Any) -> Response:
        if request.url.path not in OPEN_PATHS and not is_allowed(request.headers, offer.key):
            # What was sent is not read, so that the connection cannot be used again.
            headers = {"www-authenticate": "Apikey", "connection": "close"}
            return _error(401, "the API key is missing or wrong", headers)
        response: Response = await call_next(request)
        return response

    return Starlette(
        routes=[
            Route("/", service.published, methods=["POST"]),
            Route("/quality", service.quality, methods=["POST"]),
            Route("/preference", service.preference, methods=["POST"]),
            Route("/networks", service.networks),
            Route("/health", _health),
        ],
        middleware=[Middleware(BaseHTTPMiddleware, dispatch=check_key)],
        exception_handlers={
            HTTPException: _http_error,  # type: ignore[dict-item]
            PayloadError: _payload_error,  # type: ignore[dict-item]
            Exception: _unforeseen,
        },
        lifespan=service.lifespan,
    )


class _Service:
    """The routes, and the thread that computes."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._requests = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="networks")

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self._worker.shutdown(wait=True, cancel_futures=True)

    async def published(self, request: Request) -> Response:
        """Answer the published program's requests: an image, or pairs of objectives."""

        def answer(body: bytes) -> Response:
            asked = read_json(body)
            if ("img" in asked) == ("pair_set" in asked):
                raise PayloadError("the JSON object needs either img or pair_set")
            if "img" in asked:
                return _score(self._rate_json(asked))
            return JSONResponse({"good_pair": self._pick_json(asked)[0]})

        return await self._compute(request, answer)

    async def quality(self, request: Request) -> Response:
        """Score images: JSON as above, or a .npy file of one or several."""
        as_npy, maps = _is_npy(request), _wants_npy(request)

        def answer(body: bytes) -> Response:
            if not as_npy:
                rated = self._rate_json(read_json(body))
                return _maps([rated], single=True) if maps else _score(rated)
            array = read_npy(body)
            found = self._rater.rate(images_of(array))
            if maps:
                return _maps(found, single=array.ndim == 2)
            scores = [_or_none(rated.score) for rated in found]
            reasons = [invalid_reason(rated.score) for rated in found]
            return JSONResponse(
                {"scores": scores, **({"reasons": reasons} if any(reasons) else {})}
            )

        return await self._compute(request, answer)

    async def preference(self, request: Request) -> Response:
        """Pick an option: JSON as above, or a .npy file of a cloud."""
        as_npy = _is_npy(request)

        def answer(body: bytes) -> Response:
            if not as_npy:
                return JSONResponse({"good_pair": self._pick_json(read_json(body))[0]})
            index, scores = self._pick(read_npy(body))
            return JSONResponse({"index": index, "scores": [_or_none(s) for s in scores]})

        return await self._compute(request, answer)

    async def networks(self, _request: Request) -> Response:
        """Say which networks answer."""
        offered = {"quality": self._offer.quality, "preference": self._offer.preference}
        told = {kind: one and _told(one.weights) for kind, one in offered.items()}
        return JSONResponse(told)

    async def _compute(self, request: Request, answer: Callable[[bytes], Response]) -> Response:
        """Read a body, and have the worker answer it when its turn comes."""
        if self._requests >= MAX_REQUESTS:
            raise HTTPException(
                503, "too many requests wait", headers={"retry-after": "1", "connection": "close"}
            )
        self._requests += 1
        try:
            body = await read_body(request, self._offer.max_body_bytes)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._worker, answer, body)
        finally:
            self._requests -= 1

    @property
    def _rater(self) -> QualityRater:
        if self._offer.quality is None:
            raise HTTPException(404, "no quality network is served: start with --quality NAME")
        return self._offer.quality

    @property
    def _scorer(self) -> PreferenceScorer:
        if self._offer.preference is None:
            raise HTTPException(
                404, "no preference network is served: start with --preference NAME"
            )
        return self._offer.preference

    def _rate_json(self, asked: Mapping[str, Any]) -> Rated:
        rater = self._rater
        if "img" not in asked or "img-type" not in asked:
            raise PayloadError('the JSON object needs "img" and "img-type"')
        image = published_counts(matrix(asked["img"], asked["img-type"], "img"))
        return rater.rate([image])[0]

    def _pick_json(self, asked: Mapping[str, Any]) -> tuple[int, np.ndarray]:
        if "pair_set" not in asked or "type" not in asked:
            raise PayloadError('the JSON object needs "pair_set" and "type"')
        return self._pick(matrix(asked["pair_set"], asked["type"], "pair_set"))

    def _pick(self, array: np.ndarray) -> tuple[int, np.ndarray]:
        scorer = self._scorer
        names = tuple(objective.name for objective in scorer.objectives)
        scores = scorer.scores(options_of(array, names))
        if np.isnan(scores).all():
            raise PayloadError("no option is on offer: each has a value that is NaN")
        return int(np.nanargmax(scores)), scores


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _score(rated: Rated) -> Response:
    if math.isnan(rated.score):
        return JSONResponse({"score": None, "reason": invalid_reason(rated.score)})
    return JSONResponse({"score": rated.score})


def _maps(found: list[Rated], *, single: bool) -> Response:
    """Score maps as float32; NaN everywhere for an image without a score."""
    maps = [
        np.full(rated.map.shape, np.nan, np.float32) if math.isnan(rated.score) else rated.map
        for rated in found
    ]
    array = maps[0] if single else np.stack(maps) if maps else np.empty((0, 0, 0), np.float32)
    return Response(npy_bytes(array), media_type=NPY)


def _told(weights: Weights) -> dict[str, Any]:
    info = weights.info
    return {
        **weights.identity,
        "structure": info.structure,
        "pixel_size_nm": info.pixel_size_nm,
        "objectives": [asdict(objective) for objective in info.objectives],
        "licence": info.licence,
    }


def _is_npy(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == NPY


def _wants_npy(request: Request) -> bool:
    kinds = request.headers.get("accept", "").lower().split(",")
    return NPY in {kind.partition(";")[0].strip() for kind in kinds}


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    line = " ".join(message.split())
    return JSONResponse({"error": line}, status, dict(headers) if headers else None)


async def _http_error(_request: Request, error: HTTPException) -> Response:
    return _error(error.status_code, error.detail, error.headers)


async def _payload_error(_request: Request, error: PayloadError) -> Response:
    return _error(422, str(error))


async def _unforeseen(_request: Request, _error_: Exception) -> Response:
    return _error(500, "the service failed at this request; its own log says how")
