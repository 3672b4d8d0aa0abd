"""Tiled's databases: kept from one start to the next, whoever fills them."""

import pytest

from stedopt_bluesky.records import Catalog, CatalogFolder
from stedopt_bluesky.records.tiled_server import (
    is_filled,
    is_there,
    mark_filled,
    prepare_storage,
    serve,
)


def put(folder, key):
    context, client = serve(folder)
    try:
        client.create_container(key)
    finally:
        context.close()


def keys(folder):
    context, client = serve(folder)
    try:
        return list(client)
    finally:
        context.close()


def test_what_a_server_was_given_from_elsewhere_is_there_after_it_starts_again(folder):
    """No journal of this folder has it: nothing could bring it back."""
    assert not is_there(folder)
    prepare_storage(folder)
    assert is_there(folder)
    assert not is_filled(folder)
    put(folder, "elsewhere")
    prepare_storage(folder)
    assert keys(folder) == ["elsewhere"]
    with Catalog(folder):
        assert is_filled(folder)
    prepare_storage(folder)
    assert keys(folder) == ["elsewhere"]


@pytest.mark.parametrize("filled", [False, True])
def test_databases_of_another_place_are_made_anew(folder, filled):
    prepare_storage(folder)
    put(folder, "old")
    if filled:
        mark_filled(folder)
    moved = CatalogFolder.open(folder.path.rename(folder.path.with_name("moved")))
    assert not is_there(moved)
    assert not is_filled(moved)
    prepare_storage(moved)
    assert is_there(moved)
    assert not is_filled(moved)
    assert keys(moved) == []
