"""name-segment: Name a group of customers after what its members have in common and others have not.

What customers wrote is material: a word that only one or two of them use never gets into the name.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from pydantic import Field

from penstock.base.errors import InputError, OutputError
from penstock.features.minimise import minimise
from penstock.operations.declare import Asker, Fields, ModelChoice, Operation
from penstock.operations.fence import FENCE_RULE, fence
from penstock.operations.parameters import Wishes
from penstock.operations.talk import Talk, Turn, build_ask, read_json, read_text, repair
from penstock.runtime.ask import Answer, Ask

LONGEST_NAME, LONGEST_SENTENCE = 40, 240
_MANY = 3
"""Members who must use a word before the name may: what fewer say could be about a person, or planted."""
_COPIED = 4
"""Words in a row that count as copied."""
_WORD = re.compile(r"[^\W\d_]+")
_LINK = re.compile(r"(?i)://|www\.|[\n\r\t<>{}]")
_PROTECTED = "The material stands between marks that begin with <group-. " + FENCE_RULE.partition(". ")[2]
_ORDER = f"""\
You name groups of customers for a marketing team. You get members of one group, members of the groups most like it,
and words that are frequent in the group and rare elsewhere. Answer with:
- name: two to four words for what the members have in common and the others have not, at most {LONGEST_NAME} characters
- description: one sentence about the members
- difference: one sentence on what sets them apart from the others
Say only what several members show. Judge nobody; mention no person, place of residence, health, religion, politics,
ethnicity or sex life, and nothing that only one member says."""
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Two to four words."},
        "description": {"type": "string", "description": "One sentence about the members."},
        "difference": {"type": "string", "description": "One sentence on what sets them apart."},
    },
    "required": ["name", "description", "difference"],
    "additionalProperties": False,
}


class Input(Fields):
    """Who belongs to the group, and who does not."""

    members: list[str] = Field(min_length=1, max_length=50)
    """Descriptions of customers in the group, without personal data."""
    others: list[str] = Field(default=[], max_length=50)
    """Descriptions of customers in the groups most like it."""
    words: list[str] = Field(default=[], max_length=30)
    """Words that are frequent in the group and rare elsewhere."""
    taken: list[str] = Field(default=[], max_length=255)
    """Names that other groups have."""
    language: str = "en"
    """Language of the answer, as a code."""


class Output(Fields):
    """What the group is called."""

    name: str
    """A short name."""
    description: str
    """One sentence about the members."""
    difference: str
    """One sentence on what sets them apart."""
    model: str
    """The model that answered."""


async def run(asker: Asker, input: Input, choice: ModelChoice) -> Output:
    """Name the group; raises `OutputError` when the name cannot be used after one repair."""
    return (await OPERATION.perform(asker, input, choice)).output


def prepare(input: Input, choice: ModelChoice) -> Ask:
    """Say what would be sent."""
    taken = "These names are taken: " + ", ".join(sorted(input.taken)) + "." if input.taken else ""
    orders = "\n\n".join(
        part for part in (_ORDER, taken, f"Answer in this language: {input.language}.", _PROTECTED) if part
    )
    shown = {"members": input.members, "others": input.others, "words": input.words}
    return build_ask(
        operation=OPERATION.name,
        version=OPERATION.version,
        choice=choice,
        talk=Talk(orders, (Turn("user", fence(msgspec.json.encode(shown).decode(), "group")),), _SCHEMA),
        wishes=Wishes(max_tokens=400),
        likely_output_tokens=90,
    )


def read(input: Input, answer: Answer) -> Output:
    """Hold the name against what may be said of a group; raises `OutputError`."""
    text = read_text(answer.content)
    value = read_json(text, _SCHEMA)
    said = {field: " ".join(str(value[field]).split()) for field in ("name", "description", "difference")}
    problem = _find_fault(input, said)
    if problem:
        error = OutputError(problem, code="output.bad-name")
        error.text = text
        raise error
    return Output(**said, model=answer.model)


def _find_fault(input: Input, said: dict[str, str]) -> str:
    """Return why a name cannot be used, empty where it can."""
    for field, text in said.items():
        most = LONGEST_NAME if field == "name" else LONGEST_SENTENCE
        if not 2 <= len(text) <= most:
            return f"{field}: between 2 and {most} characters are wanted"
        if _LINK.search(text) or _is_personal(text):
            return f"{field}: it holds a link, markup or personal data"
    if said["name"].casefold() in {one.casefold() for one in input.taken}:
        return "name: another group has it"
    members = [_split(text) for text in input.members]
    rare = [word for word in _split(said["name"]) if _is_rare(word, members, input.words)]
    if rare:
        return f"name: {rare[0]!r} is said of one or two members only"
    for field in ("description", "difference"):
        if copied := _find_copied(_split(said[field]), members, input.words):
            return f"{field}: {copied!r} is copied from one or two members"
    return ""


def _is_personal(text: str) -> bool:
    try:
        return minimise(text) != text
    except InputError:
        return True


def _split(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _is_rare(word: str, members: list[list[str]], words: list[str]) -> bool:
    """Tell whether a word comes from so few members that it says nothing of the group."""
    number = sum(word in one for one in members)
    return 0 < number < min(_MANY, len(members)) and word not in {one.casefold() for one in words}


def _find_copied(said: list[str], members: list[list[str]], words: list[str]) -> str:
    """Return words in a row, one of them rare, that only one or two members have; empty where there are none."""
    runs = [{tuple(one[at : at + _COPIED]) for at in range(len(one) - _COPIED + 1)} for one in members]
    for at in range(len(said) - _COPIED + 1):
        part = tuple(said[at : at + _COPIED])
        is_few = 0 < sum(part in run for run in runs) < min(_MANY, len(members))
        if is_few and any(_is_rare(word, members, words) for word in part):
            return " ".join(part)
    return ""


OPERATION = Operation(
    module=__name__,
    version=1,
    input=Input,
    output=Output,
    prepare=prepare,
    read=read,
    repair=repair,
    example={
        "members": ["buys: running shoes, socks\norders: 10 to under 20", "buys: running shoes\norders: 5 to under 10"],
        "others": ["buys: sandals\norders: 1"],
        "words": ["running"],
    },
)
