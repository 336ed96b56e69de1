"""The closed list of topics that feedback may be sorted into, and what may never be on it.

Topics about health, religion, politics, sex life, union membership or ethnicity would
make profiles of special categories of personal data (GDPR Art. 9; CJEU C-184/20).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache

DEFAULT_TOPICS: Mapping[str, str] = {
    "delivery": "shipping speed, courier, tracking, lost or late parcels",
    "product quality": "material, defects, durability, whether it works",
    "price": "price, value for money, discounts, fees",
    "customer service": "staff, support, answers, friendliness, waiting times",
    "returns": "returns, exchanges, refunds, warranty",
    "packaging": "box, wrapping, damage in transit",
    "website": "website, app, search, checkout, account",
    "payment": "payment methods, invoice, double charges",
    "availability": "stock, range, sold out, waiting lists",
    "fit and size": "size, fit, measurements, colour as shown",
}
"""What shops are usually told about, with what each topic covers."""

MAX_TOPICS = 40
MAX_TOPIC_LENGTH = 60
MAX_COVERS_LENGTH = 300

# Beginnings of words; `word$` is the whole word. In en de fr es it pt nl pl sv da fi cs tr ru, then zh ja ko ar.
_SPECIAL: Mapping[str, str] = {
    "health": (
        "health$ healthcare medical medicin$ medicine disease illness sickness diagnos disab disorder pregnan allerg "
        "therap patients$ symptom cancer diabet depress hiv$ gesundheit krank behinder schwanger sante$ maladie "
        "handicap grossesse salud enferm embaraz discapac salute malatt gravidanz saude doenc gravidez gezondheid ziek "
        "zwanger zdrow chorob ciaz halsa sjukdom sygdom sundhed terveys sairau zdrav nemoc saglik hastal здоров болезн "
        "健康 疾病 病気 妊娠 건강 질병 صحة مرض"
    ),
    "religion": (
        "religi relig church christian catholi muslim islam jewish judai hindu buddhis atheis faith$ belief$ beliefs$ "
        "kirche glaube$ eglise croyance iglesia chiesa igreja kerk$ geloof wiara$ koscio religios uskon "
        "nabozenst dini$ inanc религ вера$ церк 宗教 信仰 종교 دين$ الدين ديانة"
    ),
    "politics": (
        "politi$ politic politik politiq polity partei$ parteien vote$ voter voting wahlen$ election ideolog "
        "party$membership siyas poliit политик 政治 政党 정치 سياسة سياسي"
    ),
    "sex life": (
        "sex$ sexe$ sexu sexo$ seks seksu sessual orientation$ lgbt gay$ lesb homosex bisex transgend gender$identity "
        "секс 性的 性生活 性取向 성생활 성적 جنسي"
    ),
    "union membership": (
        "union$ unions$ unionmember tradeunion trade$union labour$union labor$union gewerkschaft syndicat syndical "
        "sindic sindacat vakbond vakvereniging zwiazki$zawod zwiazek$zawod fackfor fagforen ammattiliit odbor sendika "
        "профсоюз 工会 労働組合 노동조합 نقابة"
    ),
    "ethnicity": (
        "ethni race$ races$ racial racis rassis rasse$ etnic etni etnia etnie ethnie raza$ razza raca$ nationalit "
        "nazionalit nacionalid skin$colo hautfarbe migra$ migrant immigra einwander  minderheit etnisk "
        "irk$ etnik этнич раса$ национальн 民族 人種 种族 인종 민족 عرق عرقي"
    ),
}

_PLAIN = str.maketrans("ıłø", "ilo")


def find_special_category(topic: str) -> str | None:
    """Return the special category that a topic touches, judged by its words; None where it touches none."""
    line = " " + " ".join(re.findall(r"\w+", _strip_accents(topic.casefold()))) + " "
    for category, pattern in _patterns().items():
        if pattern.search(line):
            return category
    return None


def _strip_accents(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text.translate(_PLAIN))
    return "".join(letter for letter in bare if not unicodedata.combining(letter))


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    return {category: re.compile("|".join(map(_to_pattern, stems.split()))) for category, stems in _SPECIAL.items()}


def _to_pattern(stem: str) -> str:
    bare = _strip_accents(stem)
    if ord(stem[0]) >= 0x2E80:  # scripts without blanks: anywhere
        return bare
    whole = bare.endswith("$")
    return " " + bare.removesuffix("$").replace("$", " ") + (" " if whole else "")


def check_topics(topics: Mapping[str, str]) -> dict[str, str]:
    """Return the topics tidied; raises `ValueError` for one that is empty, too long, double or special."""
    return dict(_tidy(tuple(topics.items())))


@lru_cache(maxsize=64)
def _tidy(topics: tuple[tuple[str, str], ...]) -> dict[str, str]:
    if len(topics) > MAX_TOPICS:
        raise ValueError(f"{len(topics)} topics; at most {MAX_TOPICS} are allowed")
    tidy: dict[str, str] = {}
    for key, text in topics:
        name, covers = " ".join(key.split()), " ".join(text.split())
        if not name or not name.isprintable() or len(name) > MAX_TOPIC_LENGTH or len(covers) > MAX_COVERS_LENGTH:
            raise ValueError(
                f"a topic is 1 to {MAX_TOPIC_LENGTH} printable characters, what it covers at most {MAX_COVERS_LENGTH}"
            )
        if name.casefold() in map(str.casefold, tidy):
            raise ValueError(f"topic {name!r} is there twice")
        category = find_special_category(name) or find_special_category(covers)
        if category:
            raise ValueError(
                f"topic {name!r} is about {category}, a special category of personal data (GDPR Art. 9) that "
                "feedback must never be sorted by; name what the product or service is like instead"
            )
        tidy[name] = covers
    return tidy
