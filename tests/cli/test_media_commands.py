"""Pictures and sound from the shell: files in by path, files out where they are wished."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.sandbox.sound import Speech, encode_speech


@pytest.mark.slow
def test_pictures_and_sound_are_written_where_they_are_wished_and_never_over_a_file(
    penstock: Callable[..., Any], tmp_path: Path
) -> None:
    picture, sound = tmp_path / "kettle.png", tmp_path / "speech.mp3"
    drawn = penstock(
        "generate-image", "A kettle", "--quality", "low", "--copies", "2", "--save", str(picture), "--sandbox"
    )
    assert drawn.code == 0, drawn.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "kettle-2.png").is_file()
    edited = penstock("edit-image", "Blue", "--images", str(picture), "--images", str(picture), "--format", "webp",
                      "--save", str(tmp_path / "blue.webp"), "--json", "--sandbox")  # fmt: skip
    assert json.loads(edited.out)["output"]["images"][0]["path"] == str(tmp_path / "blue.webp")
    spoken = penstock("speak", "Your parcel is on its way.", "--save", str(sound), "--sandbox")
    assert spoken.code == 0, spoken.err
    heard = json.loads(penstock("transcribe", "--recording", str(sound), "--json", "--sandbox").out)
    assert heard["output"]["text"] == "Your parcel is on its way."


def test_subtitles_get_a_name_with_their_ending(penstock: Callable[..., Any], tmp_path: Path) -> None:
    sound, subtitles = tmp_path / "speech.wav", tmp_path / "speech.srt"
    penstock("speak", "Good morning.", "--format", "wav", "--save", str(sound), "--sandbox")
    heard = penstock("transcribe", "--recording", str(sound), "--format", "srt", "--model", "whisper-1",
                     "--save", str(subtitles), "--sandbox")  # fmt: skip
    assert heard.code == 0, heard.err
    assert "00:00:00,000 -->" in subtitles.read_text()
    assert "whisper-1 ends in" in heard.err


def test_a_file_that_is_not_there_is_named(penstock: Callable[..., Any]) -> None:
    ended = penstock("transcribe", "--recording", "nothing.mp3", "--sandbox")
    assert ended.code == 2
    assert "recording: there is no file 'nothing.mp3'" in ended.err


def test_a_dry_run_shows_the_files_and_the_price(penstock: Callable[..., Any], tmp_path: Path) -> None:
    picture = tmp_path / "kettle.png"
    penstock("generate-image", "A kettle", "--quality", "low", "--save", str(picture), "--sandbox")
    shown = json.loads(penstock("edit-image", "Blue", "--images", str(picture), "--dry-run", "--sandbox").out)
    assert shown["files"] == [f"image: kettle.png ({picture.stat().st_size:,} bytes)"]
    assert shown["most_dollars"] > 0
    assert 0 < shown["likely_dollars"] < shown["most_dollars"]


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("-",), ("--recording", "-")])
def test_a_recording_can_come_from_standard_input(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    sound = encode_speech(Speech("Good morning.", 1.0), "mp3")
    command = [sys.executable, "-m", "penstock", "transcribe", *arguments, "--json", "--sandbox"]
    ended = subprocess.run(command, cwd=tmp_path, input=sound, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["output"]["text"] == "Good morning."
