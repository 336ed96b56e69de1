"""An answer as it comes: who listens to it, how it is asked for, and where a text that is given out must end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from penstock.runtime.ask import Ask
from penstock.vendor.openai import Exchange, OpenAI
from penstock.vendor.openai_stream import hear

Listen = Callable[[str], None]
"""Hears each piece of the visible text as it comes."""

STREAM_PARAMETERS = ("stream", "stream_options", "stream_options.include_usage")
"""What a request has only because it is streamed; a server that refuses it is asked without."""
HALF_HEARD = (
    "What came so far was given out, so it is not asked again by itself: run it once more to buy a whole answer. "
    "The one that broke off may have been billed; until that is known its money counts as held."
)
_CHAT = "/chat/completions"
_STREAMED = ("/responses", _CHAT)
_encoder = msgspec.json.Encoder(order="sorted")


class Speech:
    """What of one answer was said so far; many may listen, each hears all of it."""

    def __init__(self) -> None:
        self._said: list[str] = []
        self._listeners: list[Listen] = []

    @property
    def has_begun(self) -> bool:
        """Tell whether anybody heard something, which cannot be taken back."""
        return bool(self._said)

    def join(self, listen: Listen) -> None:
        """Hear what was said so far, then what comes."""
        for piece in self._said:
            listen(piece)
        self._listeners.append(listen)

    def say(self, piece: str) -> None:
        """Give a piece to everybody who listens."""
        self._said.append(piece)
        for listen in self._listeners:
            listen(piece)


def can_stream(ask: Ask) -> bool:
    """Tell whether a request is one that answers with pieces of text."""
    return ask.path in _STREAMED and ask.method == "POST" and not ask.files


async def send_streamed(
    client: OpenAI, ask: Ask, call_id: str, speech: Speech, refused: frozenset[str], timeout: float | None
) -> Exchange:
    """Send a request so that its answer comes in pieces; `refused` are the parameters that are left out.

    The answer is the same as the one of the request without streaming, so it has the same address.
    """
    body = {**ask.body, "stream": True}
    if ask.path == _CHAT and refused.isdisjoint(STREAM_PARAMETERS):
        body["stream_options"] = {"include_usage": True}
    async with client.stream(ask.path, _encoder.encode(body), call_id, timeout) as incoming:
        return await hear(incoming, speech.say, is_chat=ask.path == _CHAT)


class Speaker:
    """Gives out the text of an answer up to the first of some texts at which it ends, whatever pieces it comes in."""

    def __init__(self, listen: Listen, stops: Sequence[str] = ()) -> None:
        self._listen = listen
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self._is_over = False
        self.has_spoken = False

    def hear(self, piece: str) -> None:
        """Take in a piece and give out what certainly belongs to the answer."""
        if self._is_over:
            return
        self._held += piece
        found = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=len(self._held) + 1)
        maybe = self._begin_of_stop()
        self._give(min(found, maybe))
        self._is_over = found <= maybe

    def begin(self) -> None:
        """Forget what was held back: another answer begins, and nothing of the one before was given out."""
        self._held, self._is_over = "", False

    def end(self) -> None:
        """Give out what was held back: nothing follows that could make it a text to end at."""
        found = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=len(self._held))
        if not self._is_over:
            self._give(found)
        self._is_over = True

    def say(self, text: str) -> None:
        """Give out a text as it is."""
        if text:
            self.has_spoken = True
            self._listen(text)

    def _give(self, size: int) -> None:
        given, self._held = self._held[:size], self._held[size:]
        self.say(given)

    def _begin_of_stop(self) -> int:
        """Return where a text to end at may have begun that is not complete yet."""
        longest = max(map(len, self._stops), default=0)
        for at in range(max(0, len(self._held) - longest + 1), len(self._held)):
            rest = self._held[at:]
            if any(stop.startswith(rest) for stop in self._stops):
                return at
        return len(self._held)
