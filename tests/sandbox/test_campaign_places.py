"""Where the pictures of campaigns are put for Brevo to fetch, and what a file of pictures needs."""

from __future__ import annotations

import pytest

from penstock.base.errors import SettingsError, StoppedError
from penstock.campaigns.pictures import SANDBOX_SITE, make_publish
from penstock.workspace import Workspace


async def publish(folder, name="a.png", content=b"picture", **settings):
    overrides = {name.replace("_", "."): value for name, value in settings.items()}
    async with Workspace.open(folder, overrides=overrides, environ={}) as workspace:
        return await make_publish(workspace.vendors)(name, content), workspace.vendors.account


async def test_without_a_place_it_is_said_which_settings_are_missing(tmp_path):
    for settings in ({}, {"images_url": "https://shop.example/mail"}, {"images_folder": str(tmp_path)}):
        with pytest.raises(SettingsError) as caught:
            await publish(tmp_path, **settings)
        assert caught.value.code == "settings.missing"
        assert "PENSTOCK_IMAGES_FOLDER" in caught.value.hint


async def test_a_picture_is_put_into_the_folder_of_the_web_server(tmp_path):
    place = tmp_path / "www" / "mail"
    url, _ = await publish(tmp_path, images_folder=str(place), images_url="https://shop.example/mail/")
    assert url == "https://shop.example/mail/a.png"
    assert {file.name: file.read_bytes() for file in place.iterdir()} == {"a.png": b"picture"}


async def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoppedError) as caught:
        await publish(tmp_path, images_folder=str(tmp_path / "file"), images_url="https://shop.example/mail")
    assert caught.value.code == "images.not-written"


async def test_the_sandbox_is_told_what_stands_at_an_address(tmp_path):
    url, account = await publish(tmp_path, sandbox=True)
    assert url == f"{SANDBOX_SITE}/a.png"
    assert account.hosted[url] == b"picture"
