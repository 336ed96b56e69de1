"""The only way out for text that may hold keys or personal data: logs, errors, traces, dry runs."""

from __future__ import annotations

import hashlib
import re
from typing import Any

_SECRETS: list[str] = []

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\b(?:sk|xkeysib|xsmtpsib|whsec)[-_][A-Za-z0-9_\-]{8,}"), "[key]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=\-]{8,}"), r"\1 [key]"),
    (re.compile(r"(?i)(://[^/\s:@]+):[^@\s/]+@"), r"\1:[password]@"),
    # each begins where nothing of its own kind stands before it: a long text is read once, not once per letter
    (re.compile(r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9._%+\-]+@[A-Za-z0-9.\-]{1,255}\.[A-Za-z]{2,63}"), "[email]"),
    # a day of these years is when something ends or begins, not a number to call or a day of birth
    (re.compile(r"(?<![\w.])(?!20[2-4]\d-\d\d-\d\d(?![\w\-()/]| ?\d))\+?\d[\d \-()/]{7,60}\d(?![\w.])"), "[number]"),
)

_SECRET_NAMES = re.compile(r"(?i)(authorization|api[-_]?key|token|secret|password|cookie)")


def register_secret(value: str) -> None:
    """Remember a secret so that `redact` removes it wherever it turns up."""
    if len(value) >= 6 and value not in _SECRETS:
        _SECRETS.append(value)
        _SECRETS.sort(key=len, reverse=True)  # of two that begin alike, the rest of the longer one must not stay


def redact(text: str) -> str:
    """Return `text` without known secrets, key-like strings, passwords in URLs, emails and long numbers."""
    for secret in _SECRETS:
        text = text.replace(secret, "[key]")
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def redact_value(value: Any, name: str = "") -> Any:
    """Redact a JSON-like value, whole where its field name says that it is a secret."""
    if isinstance(value, str):
        return "[key]" if name and _SECRET_NAMES.search(name) else redact(value)
    if isinstance(value, dict):
        return {key: redact_value(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact_value(item, name) for item in value]
    return value


def mask_key(value: str) -> str:
    """Show enough of a key to tell two apart: its first letters and a fingerprint."""
    digest = hashlib.sha256(value.encode()).hexdigest()[:6]
    return f"{value[:3]}…{digest}"


def fingerprint(value: str) -> str:
    """Return a short stable mark of a value that must not be shown, such as an email address."""
    return hashlib.blake2b(value.encode(), digest_size=6).hexdigest()
