"""Compiles the identifiers of a mapping: what is read from a record is hashed or checked at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

from penstock.base.errors import MappingError
from penstock.events import automap
from penstock.events.contract import Contract
from penstock.events.draft import Draft
from penstock.events.identifiers import HASHERS, hash_name, hash_phone, take_hashed
from penstock.events.lookup import Get, compile_record
from penstock.events.mapping_file import Plan
from penstock.events.values import CLEAR

Step = Callable[[Mapping[str, Any], Draft], None]
Take = Callable[[Any], str]

_SILENT = frozenset({"identifier.empty", "event.empty", "event.no-device"})


def compile_people(plan: Plan, contract: Contract) -> list[Step]:
    """Return one step per identifier that the mapping, or automapping, may find."""
    most = contract.limits["values_per_list"].value
    steps: list[Step] = []
    for target, one in contract.user.items():
        sources: list[tuple[str, Get, Take]] = []
        if one.hashed:
            take: Take = (
                partial(hash_phone, calling_code=plan.phone_country_code) if one.kind == "phone" else HASHERS[one.kind]
            )
            sources += _sources(plan, one.input, take) + _sources(plan, f"{one.input}_sha256", take_hashed)
        else:
            sources += _sources(plan, one.input, CLEAR[one.kind])
            if plan.automap and not one.many and one.input in automap.NAMES:
                sources.append((one.input, partial(automap.find_blank, one.input), CLEAR[one.kind]))
        if not sources:
            continue
        if one.hashed:
            steps.append(_hashed_step(target, sources, most, guards=one.kind != "name"))
        elif one.many:
            steps.append(_list_step(target, sources, most))
        else:
            steps.append(_single_step(target, sources))
    return steps


def _sources(plan: Plan, field: str, take: Take) -> list[tuple[str, Get, Take]]:
    expression = plan.fields.get(field)
    return [] if expression is None else [(field, compile_record(expression), take)]


def _hashed_step(target: str, sources: list[tuple[str, Get, Take]], most: int, *, guards: bool) -> Step:
    """Hash up to `most` valid, unique values, in order (vendor's rule); values hashed elsewhere come after.

    With `guards` the clear value must not stand elsewhere in the event. Names are not looked for,
    as Rose is a product too; nor are short ids, as customer 42 may buy product 42.
    """
    if len(sources) == 1:
        field, get, take = sources[0]
        return _one_hashed_step(target, field, get, take, most, guards=guards and take is not take_hashed)

    def step(record: Mapping[str, Any], draft: Draft) -> None:
        found: list[str] = []
        for field, get, take in sources:
            value = get(record)
            for one in value if isinstance(value, list) else (value,):
                if one is None or one == "":
                    continue
                try:
                    digest = take(one)
                except MappingError as error:
                    _note(draft, field, error)
                    continue
                if digest not in found and len(found) < most:
                    found.append(digest)
                    draft.traces.setdefault(str(digest), field)
                if guards and take is not take_hashed and digest != one and len(text := str(one)) > 5:
                    draft.clear.append(text)
        if found:
            draft.user[target] = tuple(found)

    return step


def _one_hashed_step(target: str, field: str, get: Get, take: Take, most: int, *, guards: bool) -> Step:
    """Hash what one field holds, which nearly always is one text; the same names come again and again."""
    take_text = lru_cache(maxsize=4096)(take) if take is hash_name else take

    def step(record: Mapping[str, Any], draft: Draft) -> None:
        value = get(record)
        if value is None or value == "":
            return
        if type(value) is str:
            try:
                digest = take_text(value)
            except MappingError as error:
                _note(draft, field, error)
                return
            draft.user[target] = (digest,)
            draft.traces[str(digest)] = field
            if guards and len(value) > 5 and digest != value:
                draft.clear.append(value)
            return
        found: list[str] = []
        for one in value if type(value) is list else (value,):
            if one is None or one == "":
                continue
            try:
                digest = take(one)
            except MappingError as error:
                _note(draft, field, error)
                continue
            if digest not in found and len(found) < most:
                found.append(digest)
                draft.traces[str(digest)] = field
            if guards and digest != one and len(text := str(one)) > 5:
                draft.clear.append(text)
        if found:
            draft.user[target] = tuple(found)

    return step


def _list_step(target: str, sources: list[tuple[str, Get, Take]], most: int) -> Step:
    """Check up to `most` unique values of one field that is sent in clear text."""
    ((field, get, take),) = sources
    take_text = lru_cache(maxsize=4096)(take)

    def step(record: Mapping[str, Any], draft: Draft) -> None:
        value = get(record)
        if type(value) is str and value:
            try:
                draft.user[target] = (take_text(value),)
            except MappingError as error:
                _note(draft, field, error)
            return
        found: list[str] = []
        if value is not None:
            for one in value if isinstance(value, list) else (value,):
                if one is None or one == "":
                    continue
                try:
                    text = take(one)
                except MappingError as error:
                    _note(draft, field, error)
                    continue
                if text not in found and len(found) < most:
                    found.append(text)
        if found:
            draft.user[target] = tuple(found)

    return step


def _single_step(target: str, sources: list[tuple[str, Get, Take]]) -> Step:
    def step(record: Mapping[str, Any], draft: Draft) -> None:
        for field, get, take in sources:
            value = get(record)
            if isinstance(value, list):
                value = value[0] if value else None
            if value is None or value == "":
                continue
            try:
                draft.user[target] = take(value)
            except MappingError as error:
                _note(draft, field, error)
                continue
            return

    return step


def _note(draft: Draft, field: str, error: MappingError) -> None:
    """Warn of a value that is left out, unless it stands for nothing."""
    if error.code not in _SILENT:
        draft.warn(field, error)
