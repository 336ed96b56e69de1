"""What the contract of 2026-11-20 leaves open about OpenAI: each point can be switched, so that both ways are tried."""

from __future__ import annotations

from typing import Literal

import msgspec


class Quirks(msgspec.Struct, forbid_unknown_fields=True):
    """One way in which the service may behave; the defaults follow the better source.

    `gpt6_sampling`: GPT-6 takes sampling parameters at effort none (else never). `penalties`: penalties and
    `logit_bias` count as sampling (else GPT-5 and newer always refuse them). `retired_status`: what a retired
    model answers with. `string_lengths`: strict schemas take minLength and maxLength. `json_word`: JSON mode
    wants the word JSON in the messages. `queued_seconds`, `running_seconds`: how long a background response
    waits, then works.
    """

    gpt6_sampling: bool = True
    penalties: bool = True
    retired_status: Literal[403, 404] = 404
    string_lengths: bool = True
    json_word: bool = True
    queued_seconds: float = 1.0
    running_seconds: float = 4.0
