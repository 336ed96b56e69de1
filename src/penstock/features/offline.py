"""The offline scorer: VADER for English, a short list for emoji; elsewhere it says that it does not know.

VADER (C.J. Hutto & E. Gilbert, ICWSM 2014) counts words: it misses sarcasm and topics.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Literal, NamedTuple

Label = Literal["negative", "neutral", "positive", "mixed", "unclear"]

NAME = "vader"
THRESHOLD = 0.05
"""The authors' own: a compound score nearer to zero is neutral."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ENGLISH_WORDS = """
the and is was it i my me we you your they this that these to of in on for with not but have has had are were be been
very so too just would will can could from at as all out what when which they're it's i'm don't didn't never again
really good great bad love nice thanks thank ok product service delivery
"""
_OTHER_WORDS = """
der das und ist war alles gut schlecht nicht kein ein eine ich sehr mit für auf den dem zu es sie wir aber auch nur noch
wie bei im danke het een niet ik zeer van voor maar ook zijn met heel wel goed
slecht le la les est et je pas très bien bon une des du que pour mais avec sur dans ce qui il elle c'est j'ai
el los las muy bueno mal por con para pero una del lo se ha sin os não muito um uma com mas foi na em
bom ruim di che non molto bene buono è per con ma sono ho gli nie jest bardzo się w z ale och är inte jag mycket men
det som på og ikke meget jeg ve bir çok bu için ama değil
"""
_ENGLISH, _OTHER = frozenset(_ENGLISH_WORDS.split()), frozenset(_OTHER_WORDS.split())

_GOOD = frozenset("😀😃😄😁😆😊🙂😍🥰😘🤩😎🤗👍👏🙌💪👌❤♥💕💖💯🎉⭐🌟✨🔥✅🥳😂")
_BAD = frozenset("😡🤬😠👎😞😔😢😭😤🤮🤢💔😒🙁☹😩😫💩❌😑🙄😣😖")
_SMILE, _FROWN = re.compile(r"[:;=][-']?\)+"), re.compile(r"[:;=][-']?\(+")


class Verdict(NamedTuple):
    """What the offline scorer thinks: score −1…1 and label."""

    score: float
    label: Label


UNKNOWN = Verdict(0.0, "unclear")


def score_offline(text: str, language: str | None = None) -> Verdict | None:
    """Score a text; `unclear` where it is not English. None when the extra `offline` is not installed.

    `language` is a code such as `de` or `en-GB`; without it English is recognised by its short words.
    """
    analyser = _load()
    if analyser is None:
        return None
    if not is_english(text, language):
        return UNKNOWN
    compound = float(analyser.polarity_scores(text)["compound"])
    if abs(compound) < THRESHOLD:
        return Verdict(compound, "neutral")
    return Verdict(compound, "positive" if compound > 0 else "negative")


@cache
def _load() -> Any:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        return None
    return SentimentIntensityAnalyzer()


def is_english(text: str, language: str | None = None) -> bool:
    """Tell whether a text is English: by the code when one is given, else by its words."""
    if language:
        return language.lower().partition("-")[0].partition("_")[0] in ("en", "eng", "english")
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    if not words or sum(word.isascii() for word in words) < 0.9 * len(words):
        return False
    english, other = sum(word in _ENGLISH for word in words), sum(word in _OTHER for word in words)
    if english or other:
        return english > other
    lexicon = getattr(_load(), "lexicon", {})
    return any(word in lexicon for word in words)


def score_emoji(text: str) -> Verdict:
    """Judge a text of nothing but emoji and signs: all of one kind, or else `unclear`."""
    good = sum(letter in _GOOD for letter in text) + len(_SMILE.findall(text))
    bad = sum(letter in _BAD for letter in text) + len(_FROWN.findall(text))
    if good and not bad:
        return Verdict(0.5, "positive")
    if bad and not good:
        return Verdict(-0.5, "negative")
    return UNKNOWN
