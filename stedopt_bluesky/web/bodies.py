"""Bodies of requests, read with a limit on their size and on the time they take."""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

# A body of 64 MiB takes so long at 1 MB/s; who is slower holds a place that others need.
BODY_TIMEOUT_S = 60.0


async def read_body(request: Request, limit: int) -> bytes:
    """Read the body of a request; never more than the limit is kept.

    Parameters
    ----------
    request : Request
        Whose body has not been read.
    limit : int
        In bytes.

    Raises
    ------
    HTTPException
        413 when it is larger, 408 when it takes too long, 415 when it is compressed, 400 when
        its sender goes away.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "the body is compressed: send it as it is")
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdigit() and int(told[:20]) > limit:
        raise _too_large(limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the body took longer than {BODY_TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "the connection ended before the body did") from None
    return b"".join(parts)


def _too_large(limit: int) -> HTTPException:
    # What is left of the body is not read: the connection cannot be used again.
    return HTTPException(
        413, f"the body is larger than {limit:,} bytes", headers={"connection": "close"}
    )
