"""Checks of written texts that need no model: each has a name, a verdict and what was found.

An `error` keeps a text from being returned as good; a `warning` is shown to whoever approves; `unknown` says that a
check could not be made. Lengths are shown as what a mailbox displays, never as a score.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

from penstock.features.writing.figures import find_unsupported
from penstock.features.writing.languages import SURE, base_of, guess_language, score_reading
from penstock.operations.declare import Fields
from penstock.vendor.brevo_template import Tag, count_tags, find_bare, find_broken, find_unknown, read_tags

Verdict = Literal["ok", "warning", "error", "unknown"]

DISPLAYED = (30, 60)
"""Characters of a subject that narrow and wide lists of mails show."""
HARD_TO_READ = 30.0
"""Reading ease below which a text is said to be hard: Flesch's own word for it is very difficult."""
NAME_LENGTH = 8
"""Characters that a value of a contact takes, where nothing tells."""
MOST_CAPITALS = 0.5
MOST_EMOJI = 2

_SHOUT = re.compile(r"[!?]{2,}|\.{4,}|…{2,}|[$€£%]{2,}")
_MARKUP = re.compile(r"<[/!?]?[A-Za-z][^<>]*>|<!--|&(?:#\d+|#x[0-9a-f]+|[a-z]+);", re.IGNORECASE)
_DEFAULT = re.compile(r"\|\s*default\s*[:(]\s*['\"]([^'\"]*)")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_PHRASES: dict[str, tuple[str, ...]] = {
    "en": (
        "100% free", "act now", "buy direct", "cash bonus", "click here", "congratulations", "double your",
        "earn money", "for free", "guaranteed", "increase sales", "limited time only", "lowest price", "make money",
        "no obligation", "no risk", "once in a lifetime", "order now", "risk-free", "special promotion",
        "this is not spam", "urgent", "winner", "you have been selected",
    ),
    "de": (
        "100% gratis", "bargeld", "garantiert", "geld verdienen", "gewinner", "hier klicken", "jetzt zugreifen",
        "kostenlos", "klicken sie hier", "nur heute", "ohne risiko", "sie wurden ausgewählt", "unverbindlich",
    ),
    "fr": (
        "100% gratuit", "agissez maintenant", "argent facile", "cliquez ici", "félicitations", "garanti", "gratuit",
        "sans engagement", "sans risque",
    ),
    "es": (
        "100% gratis", "actúe ahora", "dinero fácil", "felicidades", "garantizado", "gratis", "haga clic aquí",
        "sin compromiso", "sin riesgo",
    ),
    "it": (
        "100% gratis", "agisci ora", "clicca qui", "congratulazioni", "garantito", "gratis", "senza impegno",
        "senza rischi",
    ),
    "nl": ("100% gratis", "gefeliciteerd", "gegarandeerd", "gratis", "handel nu", "klik hier", "zonder risico"),
    "pt": (
        "100% grátis", "aja agora", "clique aqui", "dinheiro fácil", "garantido", "grátis", "parabéns",
        "sem compromisso",
    ),
}  # fmt: skip
"""Phrases that filters of unwanted mail and readers know too well, by language."""


class Check(Fields):
    """What one check found."""

    name: str
    """Name of the check."""
    verdict: Verdict
    """ok, warning, error, or unknown where it could not be made."""
    found: str = ""
    """What was found, in words."""


def has_errors(checks: Iterable[Check]) -> bool:
    """Tell whether a text must not be used."""
    return any(check.verdict == "error" for check in checks)


def _say(name: str, problems: Collection[str], verdict: Verdict = "error") -> Check:
    shown = "; ".join(list(problems)[:8])
    return Check(name=name, verdict=verdict if problems else "ok", found=shown)


def check_placeholders(texts: Iterable[str], wanted: Collection[str]) -> Check:
    """Compare the tags of all texts together with those that the brief asks for, byte for byte."""
    told = count_tags(tag for text in texts for tag in read_tags(text))
    asked = count_tags(tag for text in wanted for tag in read_tags(text))
    lost = [f"{text} is missing" for text in (asked - told).elements()]
    return _say("placeholders", [*lost, *(f"{text} is not in the brief" for text in (told - asked).elements())])


def check_tags(text: str, attributes: Collection[str]) -> list[Check]:
    """Check that the tags of a text can be rendered: nothing broken or unknown, personal fields with a default."""
    tags = read_tags(text)
    broken = [f"{tag.text[:60]} cannot be rendered" for tag in find_broken(tags)]
    old = [f"{tag.text} is the old template language" for tag in tags if tag.kind == "old"]
    missing = [f"{tag.text} names something that is not there" for tag in _unknown(tags, attributes)]
    bare = [f"{tag.text} has no default" for tag in find_bare(tags)]
    return [_say("tags", [*broken, *old, *missing]), _say("defaults", bare, "warning")]


def _unknown(tags: list[Tag], attributes: Collection[str]) -> list[Tag]:
    """Without a list of attributes only other names are judged."""
    known = attributes or {name for tag in tags for name in tag.attributes}
    return [tag for tag in find_unknown(tags, known) if tag.kind != "old"]


def check_facts(text: str, brief: str) -> Check:
    """Check that numbers, prices, dates, codes and addresses stand in the brief."""
    return _say("facts", [f"{one} is not in the brief" for one in find_unsupported(text, brief)])


def check_language(text: str, language: str, others: Collection[str] = ()) -> Check:
    """Check that a text is in the wished language."""
    guess = guess_language(_plain(text), language, others)
    if guess is None:
        return Check(name="language", verdict="unknown", found="too short, an unknown language, or no extra `content`")
    if guess.language == base_of(language) or guess.probability < SURE:
        return Check(name="language", verdict="ok", found=f"{guess.language} {guess.probability:.2f}")
    return _say("language", [f"reads as {guess.language} ({guess.probability:.2f}), not {language}"])


def check_length(text: str, most: int | None) -> Check:
    """Show what a mailbox displays of a subject; longer than the brief allows is an error."""
    text = _as_displayed(text)
    length = len(text)
    shown = "; ".join(f"{size}: {text if length <= size else text[: size - 1] + '…'}" for size in DISPLAYED)
    if most is not None and length > most:
        return Check(name="length", verdict="error", found=f"{length} characters, at most {most} are wished; {shown}")
    return Check(name="length", verdict="ok", found=f"{length} characters; {shown}")


def _as_displayed(text: str) -> str:
    """Put something of usual length where a mailbox shows a value: the default, else the length of a name."""
    for tag in reversed(read_tags(text)):
        default = _DEFAULT.search(tag.text)
        value = "" if tag.kind == "block" else default[1] if default else "X" * NAME_LENGTH
        text = f"{text[: tag.start]}{value}{text[tag.end :]}"
    return text


def check_style(text: str, language: str, brief: str) -> list[Check]:
    """Check capitals, punctuation, emoji and worn phrases: warnings, because a brand may want them."""
    plain = _plain(text)
    words = re.findall(r"[^\W\d_]{2,}", plain)
    known = set(re.findall(r"[^\W\d_]{2,}", brief))
    loud = [word for word in words if len(word) > 3 and word.isupper() and word not in known]
    letters = [letter for letter in plain if letter.isalpha()]
    share = sum(letter.isupper() for letter in letters) / (len(letters) or 1)
    if len(letters) >= 10 and share > MOST_CAPITALS:
        loud.append(f"{share:.0%} of the letters are capitals")
    emoji = [letter for letter in plain if unicodedata.category(letter) == "So"]
    phrases = _PHRASES.get(base_of(language), ())
    return [
        _say("capitals", loud, "warning"),
        _say("punctuation", _SHOUT.findall(plain), "warning"),
        _say("emoji", [f"{len(emoji)} emoji"] if len(emoji) > MOST_EMOJI else [], "warning"),
        _say("phrases", find_phrases(plain, phrases), "warning"),
    ]


def check_forbidden(text: str, forbidden: Iterable[str]) -> Check:
    """Check that none of the brand's forbidden words and phrases occurs, however it is written."""
    return _say("forbidden", [f"{phrase!r} must not occur" for phrase in find_phrases(text, forbidden)])


def find_phrases(text: str, phrases: Iterable[str]) -> list[str]:
    """List the phrases that occur in a text as whole words, whatever their case, accents and blanks."""
    folded = f" {_fold(text)} "
    return [phrase for phrase in phrases if (wanted := _fold(phrase)) and f" {wanted} " in folded]


def _fold(text: str) -> str:
    bare = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    return " ".join(re.findall(r"\w+|%", _CONTROL.sub("", bare).casefold()))


def check_markup(texts: Mapping[str, str]) -> Check:
    """Check that texts are plain: no markup, no entities, no hidden characters, no line break in one-line parts."""
    found = []
    for name, text in texts.items():
        found += [f"{name} holds {match[0][:40]}" for match in _MARKUP.finditer(text)]
        found += [f"{name} holds a hidden character"] if _CONTROL.search(text) else []
        found += [f"{name} has a line break"] if "\n" in text and name != "body" else []
        found += [] if text.strip() else [f"{name} is empty"]
    return _say("plain text", found)


def check_reading(text: str, language: str) -> Check:
    """Say how hard a text is to read; below 30 is a warning."""
    score = score_reading(_plain(text), language)
    if score is None:
        return Check(name="reading", verdict="unknown", found="too short, an unknown language, or no extra `content`")
    return Check(name="reading", verdict="warning" if score < HARD_TO_READ else "ok", found=f"reading ease {score:g}")


def _plain(text: str) -> str:
    """Return a text without its tags, as far as it is read."""
    for tag in reversed(read_tags(text)):
        text = f"{text[: tag.start]} {text[tag.end :]}"
    return text
