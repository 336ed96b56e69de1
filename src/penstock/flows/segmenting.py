"""Segments as the source of a flow: one record a customer, made once for the same customers and day.

Descriptions are embedded once and for all; what is bought counts for the run. Centres stay where they are from run to
run, unless somebody wishes otherwise.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from penstock.base.clock import Clock
from penstock.base.types import Finding, Money, Record, Source
from penstock.features.segment_book import About, Name, Segment, SegmentBook, Version, Wished
from penstock.flows.made import FREE, Means
from penstock.flows.model import Flow
from penstock.flows.segment_options import SegmentsPart
from penstock.flows.segment_past import read_past
from penstock.flows.sinking import ListPart
from penstock.runtime.call import Estimate
from penstock.runtime.store import Store

if TYPE_CHECKING:
    from penstock.features.clustering.customers import Customers
    from penstock.features.clustering.model import Segmentation
    from penstock.features.segment_names import Nameless
    from penstock.features.segments import Grouped, Told
    from penstock.flows.segment_people import People, Reader

_DAY = 86_400
_LIKELY = 8
"""Segments that naming is estimated for, where their number is found out."""


class SegmentMaker:
    """Makes segments; `name` is under which they are kept, `made_as` where the records of the last run are."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        flow: Flow,
        part: SegmentsPart,
        source: Source,
        means: Means,
        *,
        name: str,
        made_as: str,
    ) -> None:
        self._store = store
        self._clock = clock
        self._flow = flow
        self._part = part
        self._source = source
        self._caller, self._choose, self._joins = means
        self._made_as = made_as
        self.book = SegmentBook(store, name)
        self._reader: Reader | None = None
        self._people: People | None = None

    @property
    def as_of(self) -> float:
        """The moment that customers are described at: the day begins (UTC)."""
        return self._clock.now() // _DAY * _DAY

    def describe(self) -> str:
        return f"segments of {self._source.describe()}"

    async def fingerprint(self) -> str:
        """Name the customers, the options, the day, the model and what people wish."""
        people, wished = await self._read(), await self.book.wished()
        model = self._choose("embedding").model.id
        return f"{people.digest}\n{self._part.model_dump_json()}\n{self.as_of}\n{model}\n{wished.number}"

    async def estimate(self) -> Estimate:
        """Say what the descriptions that are not held, and the names, are going to cost."""
        from penstock.flows.segment_vectors import estimate_vectors

        people = await self._read()
        choice = self._choose("embedding")
        vectors = await estimate_vectors(self._caller, choice, people.texts, self._part.dimensions)
        return _add(vectors, await self._estimate_names(people.texts))

    def example(self) -> Record:
        """Return a record with every field, and with those that go along."""
        people = self._people
        kept = dict.fromkeys((*self._part.keep, *(people.kept[0] if people is not None and people.kept else ())), "")
        fields = {"segment": "s1", "name": "example", "description": "", "difference": "", "distance": 0.5}
        more = {"outlier": False, "before": "s1", "moved": False, "as_of": "2026-01-01", "model": "", "version": 1}
        return Record("example", {**kept, "customer": "example", **fields, **more})

    async def make(self, run: str) -> AsyncIterator[Record]:
        """Embed, group, name; without a run nothing is bought and nothing kept."""
        from penstock.flows.segment_vectors import Vectors

        people = await self._read()
        newest, wished = await self.book.newest(), await self.book.wished()
        recipe = self._recipe()
        if newest is not None and newest.recipe != recipe:
            wished = wished._replace(wish="anew")
        before, gone = await read_past(self._store, self._made_as, people.keys)
        with tempfile.TemporaryDirectory(prefix="penstock-segments-") as folder:
            vectors = Vectors(self._caller, self._choose("embedding"), self._part.dimensions, Path(folder))
            matrix = await vectors.collect(people.texts, people.places, flow=self._flow.name, run=run)
            work = asyncio.to_thread(self._group, people, matrix, newest, wished, before)
            grouped, told, names, nameless = await self._clock.outside(work)
            del matrix
        if run and self._part.names == "model" and nameless:
            names = names | await self._ask_names(nameless, names, run)
        names = _take_given(names, wished)
        about = self._tell(people, grouped, told, names, before, newest)
        if run:
            await self.book.add(recipe, grouped.segmentation.to_bytes(), about, wished)
        version = newest.number + 1 if newest is not None else 1
        for record in self._records(people, grouped, told, names, before, version):
            yield record
        if "brevo" not in self._part.customers:  # there, who is gone has no lists any more
            for record in gone:
                yield record

    async def advise(self) -> list[Finding]:
        """Say how the segments stand, and which of them the lists of the flow leave out."""
        newest = await self.book.newest()
        if newest is None:
            return [Finding("segments", "ok", f"found in this run; k: {self._part.k}")]
        about = newest.about
        one = next((trial for trial in about.trials if trial.segments == len(about.segments)), None)
        message = f"{len(about.segments)} segments, version {about.version}"
        if one is not None:
            message += (
                f"; silhouette {one.silhouette:.2f}, halves agree {one.agreement:.2f}, smallest {one.smallest:.1%}"
            )
        if about.suggested not in (None, len(about.segments)):
            message += f"; {about.suggested} would be suggested"
        found = [Finding("segments", "ok", message, "`penstock segments show` compares numbers of segments.")]
        if about.drift is not None and about.drift.verdict != "steady":
            told = "; ".join((about.drift.verdict, *about.drift.reasons))
            found.append(Finding("segments", "warn", told, "`penstock segments refresh` lets them follow."))
        return found + self._look_at_lists({segment.id for segment in about.segments})

    def _look_at_lists(self, ids: set[str]) -> list[Finding]:
        families = [
            (name, {str(option) for option in part.options})
            for target in self._flow.targets
            for name, part in target.part.lists.items()
            if isinstance(part, ListPart)
        ]
        return [
            Finding(
                "segments",
                "warn",
                f"the list {name} has no option for {', '.join(sorted(ids - options))}",
                "Add them to its `options`.",
            )
            for name, options in families
            if ids & options and ids - options
        ]

    async def close(self) -> None:
        await self._source.close()

    async def _read(self) -> People:
        if self._people is None:
            from penstock.flows.segment_people import Reader

            self._reader = Reader(self._store, self._flow, self._part, self._joins)
            self._people = await self._reader.read(self._source, self.as_of)
        return self._people

    def _recipe(self) -> str:
        from penstock.features.segments import hash_recipe

        part = self._part
        told = part.model_dump(include={"describe", "behaviour", "share", "weights", "k", "dimensions"})
        return hash_recipe([told, self._choose("embedding").model.id])

    def _group(
        self, people: People, matrix: Any, newest: Version | None, wished: Wished, before: Sequence[str]
    ) -> tuple[Grouped, Told, dict[str, Name], list[Nameless]]:
        """Find where everybody belongs and what is said of it; all the reckoning, in a thread."""
        from penstock.features import segments
        from penstock.features.clustering.model import Segmentation

        old = Segmentation.from_bytes(newest.model) if newest is not None else None
        is_anew = old is None or wished.wish == "anew"
        customers = self._customers(people, matrix, None if is_anew else old)
        grouped = segments.group(customers, self._part.count, old, wished.wish, before)
        if grouped.drift is not None and grouped.drift.verdict == "drifted" and self._part.drifted == "anew":
            drift = grouped.drift
            customers = self._customers(people, matrix, None)
            grouped = segments.group(customers, self._part.count, old, "anew", before)._replace(drift=drift)
        texts = people.describe()
        told = segments.tell(grouped, customers, texts, people.columns, self.as_of, self._part.map)
        names = segments.name_plainly(grouped.segmentation.ids, told)
        nameless = self._keep_names(names, grouped, told, texts, newest, wished)
        return grouped, told, names, nameless

    def _customers(self, people: People, matrix: Any, old: Segmentation | None) -> Customers:
        from penstock.features.clustering.customers import Customers
        from penstock.features.segments import build_behaviour

        labels = self._reader.behaviour if self._reader is not None else []
        columns = {label: people.columns[label] for label in labels}
        scale = old.space.behaviour if old is not None else None
        behaviour = build_behaviour(columns, self.as_of, self._part.share, self._part.weights, scale)
        return Customers(matrix, self._choose("embedding").model.id, people.keys, behaviour)

    def _keep_names(
        self,
        names: dict[str, Name],
        grouped: Grouped,
        told: Told,
        texts: Sequence[str],
        newest: Version | None,
        wished: Wished,
    ) -> list[Nameless]:
        """Keep the names of before that are still meant; return the segments that a model is to name."""
        from penstock.features.segment_names import FEWEST, Nameless
        from penstock.features.segments import is_still_meant, mark

        old = {one.id: one.name for one in newest.about.segments if one.name.by != "person"} if newest else {}
        segments = grouped.places.segments
        wanted = []

        def marks_of(at: int) -> set[str]:
            return {mark(texts[row]) for row in (segments == at).nonzero()[0].tolist()}

        for at, one in enumerate(grouped.segmentation.ids):
            was = old.get(one)
            if self._part.names == "model" and was is not None and is_still_meant(was, marks_of(at)):
                names[one] = was
            elif self._part.names == "terms" and was is not None and grouped.way == "placed" and was.by == "terms":
                names[one] = was  # what it is made of has not moved
            elif one not in wished.names and told.profiles[at].customers >= FEWEST:
                shown = told.examples[at]
                rows = (shown.members, shown.held_back, shown.outside)
                members, held_back, outside = ([texts[row] for row in part.tolist()] for part in rows)
                words = [term.word for term in told.words[at]]
                wanted.append(Nameless(one, members, held_back, outside, words))
        return wanted

    async def _ask_names(self, nameless: Sequence[Nameless], names: Mapping[str, Name], run: str) -> dict[str, Name]:
        from penstock.features.segment_names import Told, name_segments

        told = Told(self._caller, self._choose("chat"), self._part.language, self._flow.name, run)
        return await name_segments(told, nameless, names)

    async def _estimate_names(self, texts: Sequence[str]) -> Estimate:
        """Say what naming costs where all names are new; kept names cost nothing."""
        from penstock.features import naming
        from penstock.features.segment_names import TESTED, Nameless, write_input
        from penstock.operations import classify

        newest, wished = await self.book.newest(), await self.book.wished()
        is_new = newest is None or newest.recipe != self._recipe() or wished.wish == "anew"
        if self._part.names != "model" or not is_new or not texts:
            return FREE
        count, choice = self._part.count or _LIKELY, self._choose("chat")
        one = Nameless("s1", list(texts[:12]), [], list(texts[12:24]), [])
        labels = {f"s{at}": "name of a few words. One sentence about the members of it." for at in range(max(count, 2))}
        asked = naming.OPERATION.prepare(write_input(one, self._part.language), choice)
        tested = classify.OPERATION.prepare(classify.Input(text=texts[0], labels=labels), choice)
        likely, most = 0, 0
        for ask, times in ((asked, count), (tested, count * TESTED)):
            found = self._caller.estimate(ask) if not isinstance(ask, (naming.Output, classify.Output)) else FREE
            if found.likely is None or found.most is None:
                return Estimate(None, None)
            likely, most = likely + times * found.likely, most + times * found.most
        return Estimate(likely, most)

    def _tell(
        self,
        people: People,
        grouped: Grouped,
        told: Told,
        names: Mapping[str, Name],
        before: Sequence[str],
        newest: Version | None,
    ) -> About:
        from penstock.features import segments

        ids, places = grouped.segmentation.ids, grouped.places
        compared = grouped if grouped.way == "found" or newest is None else newest.about
        outliers = Counter(places.segments[told.outliers].tolist())
        now = ["" if at < 0 else ids[at] for at in places.segments.tolist()]
        both = [(was, one) for was, one in zip(before, now, strict=True) if was and one]
        return About(
            name=self.book.name,
            at=self._clock.now(),
            way=grouped.way,
            embedding=grouped.segmentation.embedding,
            customers=len(now),
            without=places.unplaced - people.left_out,
            left_out=people.left_out,
            outliers=len(told.outliers),
            changed=sum(was != one for was, one in both),
            stayed=sum(was == one for was, one in both),
            weights={field: round(part, 4) for field, part in grouped.segmentation.weights().items()},
            segments=[
                Segment(
                    one,
                    names[one],
                    told.profiles[at].customers,
                    round(told.profiles[at].share, 4),
                    outliers[at],
                    segments.to_words(told.words[at]),
                    segments.to_differences(told.profiles[at]),
                )
                for at, one in enumerate(ids)
            ],
            trials=compared.trials,
            suggested=compared.suggested,
            drift=segments.to_moved(grouped.drift),
            retired=grouped.retired,
            picture=told.picture,
        )

    def _records(
        self,
        people: People,
        grouped: Grouped,
        told: Told,
        names: Mapping[str, Name],
        before: Sequence[str],
        version: int,
    ) -> Iterator[Record]:
        ids, far = grouped.segmentation.ids, set(told.outliers.tolist())
        day = datetime.fromtimestamp(self.as_of, UTC).date().isoformat()
        same = {"as_of": day, "model": grouped.segmentation.embedding, "version": version}
        places = zip(grouped.places.segments.tolist(), grouped.places.distances.tolist(), strict=True)
        for row, (at, distance) in enumerate(places):
            one = ids[at] if at >= 0 else None
            name = names[one] if one is not None else Name("")
            said = {"segment": one, "name": name.name, "description": name.description, "difference": name.difference}
            moved = bool(before[row] and one and before[row] != one)
            where = {
                "distance": None if one is None else round(distance, 4),
                "outlier": row in far,
                "before": before[row] or None,
                "moved": moved,
            }
            data = {**people.kept[row], "customer": people.keys[row], **said, **where, **same}
            yield Record(people.keys[row], data, people.wheres[row])


def _take_given(names: Mapping[str, Name], wished: Wished) -> dict[str, Name]:
    """Put the names that people gave over the others; of two alike the later is told apart by its id."""
    given = {one: name for one, name in wished.names.items() if one in names}
    taken = {name.casefold() for name in given.values()}
    final = {}
    for one, name in names.items():
        if one in given:
            final[one] = msgspec.structs.replace(name, name=given[one], by="person")
            continue
        is_taken = name.name.casefold() in taken
        final[one] = msgspec.structs.replace(name, name=f"{name.name} ({one})") if is_taken else name
        taken.add(final[one].name.casefold())
    return final


def _add(one: Estimate, other: Estimate) -> Estimate:
    def both(some: Money | None, more: Money | None) -> Money | None:
        return None if some is None or more is None else some + more

    return Estimate(both(one.likely, other.likely), both(one.most, other.most))
