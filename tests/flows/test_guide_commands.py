"""Every command of the guides runs as it is written there, page by page, each page in a sandbox of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock.cli.main import execute
from processes import clean_environment

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT, ROOT / "docs", ROOT / "docs" / "how-to", ROOT / "docs" / "concepts", *(ROOT / "examples").iterdir())

ENDLESS = ("serve", "worker", "mcp", "sandbox", "demo")
"""Commands that go on until somebody ends them, or speak to one that does; `demo` has a test of its own."""
ASKED = {"campaigns approve": "--yes", "forget": "--yes"}
"""Questions that the person before the screen answers."""
CODES = {
    "plan examples/": {0, 2},
    "plan flow.yaml": {0, 2},
    "events check": {3},
    "events send": {3},
    "run examples/conversions": {3},
}
"""What ends with another code than 0 and is told so: attributes are missing, some orders give no event."""

REVIEWS = (
    "text,rating\nLovely jacket, thank you!,5\nAwful and torn. Terrible.,1\nIt came late and I am sad.,2\nGreat!,4\n"
)
FILES: dict[str, dict[str, str]] = {
    "how-to/embeddings.md": {"texts.txt": "Late.\nLovely.\n", "texts.json": '["Late.", "Lovely."]'},
    "how-to/evaluate.md": {"texts.txt": "1\t2.0\tLovely.\n2\t-2.5\tAwful.\n3\t1.5\tGreat.\n", "reviews.csv": REVIEWS},
    "how-to/personal-data.md": {"texts.txt": "1\t2.0\tLovely.\n2\t-2.5\tAwful.\n3\t1.5\tGreat.\n"},
    "how-to/feedback.md": {"export.csv": "ReviewID,Comment,Mail\n1,Late again.,anna@example.com\n"},
    "how-to/operations.md": {"letter.txt": "It came late.", "order.schema.json": '{"type": "object"}'},
    "how-to/structured-output.md": {"order.schema.json": '{"type": "object"}'},
    "how-to/write-content.md": {
        "results.csv": "source,version,angle,delivered,clicked\nspring,A,benefit,1000,31\nspring,B,question,1000,20\n"
    },
}
"""What a page takes for granted that its reader has."""


def find_commands(page: Path) -> list[str]:
    """Return each line of a code block that calls penstock and comes to an end."""
    text = page.read_text(encoding="utf-8")
    lines = re.findall(r"^(?: {4}|\$ )?((?:[a-z]+ [^`\n]*\| )?penstock +[a-z].*)$", _code(text), re.MULTILINE)
    return [line for line in lines if _comes_to_an_end(line)]


def _code(text: str) -> str:
    """Keep indented blocks and what stands between fences that say `sh`, or nothing."""
    kept, inside = [], ""
    for line in text.splitlines():
        if line.startswith("```"):
            inside = "" if inside else (line.strip("`") or "plain")
        elif (inside in ("sh", "plain")) or (not inside and line.startswith("    ")):
            kept.append(line)
    return re.sub(r"\\\n\s*", "", "\n".join(kept))  # a backslash at the end: the line goes on


def _comes_to_an_end(line: str) -> bool:
    first = line.rpartition("| penstock ")[2].removeprefix("penstock ").split()[0]
    return first not in ENDLESS and not re.search(r"--follow|--sandbox-url|--http|…|BATCH", line)


PAGES = {
    page.relative_to(ROOT).as_posix().removeprefix("docs/"): page
    for folder in FOLDERS
    for page in sorted(folder.glob("*.md"))
    if find_commands(page)
}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder with the examples, where the example of feedback and that of orders lie open as well."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for name in ("conversions", "voice", "feedback"):
        shutil.copytree(ROOT / "examples" / name, tmp_path, dirs_exist_ok=True)
    (tmp_path / "penstock.toml").write_text("sandbox = true\n", encoding="utf-8")
    kept, here = dict(os.environ), Path.cwd()
    os.environ.clear()
    os.environ.update(clean_environment())
    os.chdir(tmp_path)
    try:
        yield tmp_path
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(kept)


def complete(line: str, newest_run: Callable[[], str]) -> str:
    """Put in what a person puts in: answers to questions, and the id of a run."""
    for command, answer in ASKED.items():
        if line.startswith(f"penstock {command} "):
            line = line.partition("  #")[0] + " " + answer
    return re.sub(r"\bRUN\b", lambda _: newest_run(), line)


def run_line(line: str, folder: Path) -> int:
    """Run a line here, or in a shell where it takes one."""
    if not re.search(r"[|&$]", line.partition("  #")[0]):
        return execute(shlex.split(line, comments=True)[1:])
    script = f'penstock() {{ "{sys.executable}" -m penstock "$@"; }}\n{line}'
    more = {"KEY": "sk-a-key-of-nobody", "PENSTOCK_VAULT_KEY": "A" * 43 + "="}
    ended = subprocess.run(["sh", "-c", script], env=clean_environment(**more), cwd=folder, timeout=60, check=False)
    return ended.returncode


LONG = {
    *("how-to/images-and-audio.md", "how-to/visuals.md", "examples/visuals/README.md"),
    *(
        "README.md",
        "how-to/intelligence.md",
        "how-to/segments.md",
        "how-to/predictions.md",
        "examples/segments/README.md",
        "examples/predictions/README.md",
    ),
}
"""Pages that draw pictures, or write to hundreds of contacts at the vendor's pace."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in PAGES])
def test_the_commands_of_a_page_run(name: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path, text in FILES.get(name, {}).items():
        (folder / path).write_text(text, encoding="utf-8")

    def newest_run() -> str:
        execute(["run", "flow.yaml", "--apply-schema"])
        capfd.readouterr()
        execute(["runs", "list", "--json"])
        return str(re.findall(r"run_\w+", capfd.readouterr().out)[0])

    for line in find_commands(PAGES[name]):
        if name == "how-to/intelligence.md" and "run examples/predictions" in line:
            continue  # 900 contacts at the vendor's pace; the page of predictions runs it
        code = run_line(complete(line, newest_run), folder)
        said = capfd.readouterr()
        plain = " ".join(line.split()[1:])
        allowed = next((codes for start, codes in CODES.items() if plain.startswith(start)), {0})
        assert code in allowed, f"{line}\n{said.out[-1500:]}{said.err[-1500:]}"
        assert "Traceback" not in said.out + said.err, line
