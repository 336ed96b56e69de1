"""The folder of `penstock demo`: flow, settings, contacts and feedback, from the example or from real texts."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import penstock
from penstock.base.errors import DefectError, FixError, InputError
from penstock.features.evaluation import read_examples

FIRST_DAY = date(2025, 1, 1)
DAYS_APART = 10
MARK = "# Made by `penstock demo`, which writes this folder anew each time."
CREATE = "    create-contacts: true\n"


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but an earlier demo; raises `FixError`."""
    settings = folder / "penstock.toml"
    is_own = settings.is_file() and settings.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    if folder.exists() and any(folder.iterdir()) and not is_own:
        raise FixError(
            f"the folder {folder} is not empty and not a demo's",
            code="demo.folder-in-use",
            hint="Name another one with --folder.",
        )


def write_folder(folder: Path, texts: Path | None, live: bool) -> str:
    """Write flow, contacts, feedback and settings; an earlier demo's sandbox is emptied. Returns what was made."""
    example = find_example()
    folder.mkdir(parents=True, exist_ok=True)
    for old in (folder / ".penstock").glob("sandbox*"):
        old.unlink()
    if texts is None:
        for name in ("contacts.csv", "feedback.csv"):
            shutil.copyfile(example / name, folder / name)
        told = f"{folder}: {len(read_rows(folder / 'feedback.csv'))} invented texts in five languages."
    else:
        told = f"{folder}: {_write_texts(folder, texts)}"
    flow = (example / "flow.yaml").read_text(encoding="utf-8")
    if live:  # the account does not know the example's contacts
        flow = flow.replace("    attributes:\n", f"{CREATE}    attributes:\n", 1)
    (folder / "flow.yaml").write_text(flow, encoding="utf-8")
    settings = "" if live else 'sandbox = true\n\n[openai]\ntier = "Launch"\n'
    (folder / "penstock.toml").write_text(f"{MARK}\n{settings}", encoding="utf-8")
    return told


def find_example() -> Path:
    """Return the folder of the example flow: inside the installed package, or beside the source."""
    package = Path(penstock.__file__).parent
    for root in (package, package.parents[1]):
        if (root / "examples" / "feedback" / "flow.yaml").is_file():
            return root / "examples" / "feedback"
    raise DefectError("the example flow is missing from this installation", code="demo.no-example")


def _write_texts(folder: Path, texts: Path) -> str:
    """Turn rated snippets into contacts (one per review) and feedback (one per snippet)."""
    emails: dict[str, str] = {}
    counts: dict[str, int] = {}
    rows = []
    for example in read_examples(texts):
        review = example.key.rpartition("_")[0] or example.key
        email = emails.setdefault(review, f"review-{len(emails) + 1:03d}@example.com")
        counts[email] = counts.get(email, 0) + 1
        day = FIRST_DAY + timedelta(days=DAYS_APART * counts[email])
        rows.append((example.key, email, day.isoformat(), example.text))
    if not rows:
        raise InputError(f"{texts} holds no texts", code="evaluation.nothing-judged")
    write_rows(folder / "contacts.csv", ("email", "language", "plan"), [(one, "en", "basic") for one in counts])
    write_rows(folder / "feedback.csv", ("id", "email", "date", "text"), rows)
    return (
        f"{len(rows):,} real texts from {len(emails):,} reviews. Each review stands for a contact "
        f"(review-001@example.com …); the dates are made up, {DAYS_APART} days from one text to the next."
    )


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Read a CSV file."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
