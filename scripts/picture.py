"""Draws docs/pictures/demo.svg from a real run of `penstock demo` in a new folder."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

TARGET = Path(__file__).parents[1] / "docs" / "pictures" / "demo.svg"
HEADS = ("1.", "2.", "3.", "4.", "5.", "All in all", "Try next", "Brevo, before")


def main(texts: str) -> None:
    """Run the demo, on rated texts where a file is named, and draw what it says on stdout."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("penstock")), "demo", "--folder", "penstock-demo"]
        command += ["--texts", str(Path(texts).resolve())] if texts else []
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    lines = done.stdout.partition("\nTry next")[0].splitlines()
    console = Console(record=True, width=104, file=Path("/dev/null").open("w", encoding="utf-8"))  # noqa: SIM115
    console.print(Text("$ penstock demo", style="bold green"))
    for line in lines:
        console.print(_paint(line), soft_wrap=False)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    drawn = console.export_svg(title="penstock demo", theme=MONOKAI, unique_id="demo")
    TARGET.write_text(_without_fonts(drawn), encoding="utf-8")
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes")


def _without_fonts(drawn: str) -> str:
    """Take out what would be loaded from another host: the reader's own monospaced font will do."""
    return re.sub(r"@font-face \{.*?\}\s*|<!--.*?-->", "", drawn, flags=re.DOTALL)


def _paint(line: str) -> Text:
    if line.startswith(HEADS):
        return Text(line, style="bold")
    text = Text(line)
    text.highlight_regex(r"\bpositive \+\d\.\d\d", "green")
    text.highlight_regex(r"\bnegative -\d\.\d\d", "red")
    text.highlight_regex(r"^  [a-z]+ ", "dim")
    text.highlight_regex(r"\$\d[\d.,]*", "bold cyan")
    return text


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
