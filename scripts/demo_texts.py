"""Fetches real texts for `make demo`: 3,708 product-review snippets that people rated, from an MIT-licensed package.

They come in the source distribution of vaderSentiment (C.J. Hutto and E. Gilbert, ICWSM 2014), which pip downloads.
Without a network the demo runs on the small example, and this script says so.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE = "vaderSentiment==3.3.2"
ARCHIVE = "additional_resources/hutto_ICWSM_2014.tar.gz"
TEXTS = "amazonReviewSnippets_GroundTruth.txt"


def main(folder: Path) -> None:
    """Put `texts.txt` into the folder, unless it is there already."""
    target = folder / "texts.txt"
    if target.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
         "--dest", str(folder), PACKAGE], capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = sorted(folder.glob("vader*3.3.2.tar.gz"))
    if done.returncode or not found:
        print(
            "The real texts could not be fetched with pip; the demo runs on the small example instead.", file=sys.stderr
        )
        return
    target.write_bytes(_unpack(_unpack(found[0].read_bytes(), ARCHIVE), TEXTS))
    print(f"Fetched 3,708 review snippets (MIT licence, part of {PACKAGE}) into {target}.", file=sys.stderr)


def _unpack(archive: bytes, ending: str) -> bytes:
    """Return the file of a packed archive whose name ends so."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        member = next(one for one in tar if one.name.endswith(ending))
        content = tar.extractfile(member)
        if content is None:
            raise FileNotFoundError(ending)
        return content.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
