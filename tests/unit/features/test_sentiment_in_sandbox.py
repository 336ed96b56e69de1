"""The feature against the emulated vendor: both roads, the same judgements."""

import pytest

from fake_asker import choose
from penstock.base.clock import ManualClock
from penstock.base.errors import PenstockError
from penstock.features import sentiment
from penstock.features.evaluation import Judged, count_flips, load_injections
from penstock.runtime.ask import Answer, Ask
from penstock.sandbox.openai import build_openai_app
from penstock.sandbox.world import World
from penstock.vendor.http import Http
from penstock.vendor.openai import OpenAI

TEXTS = {
    "Absolutely love it, great quality and fast delivery!": "positive",
    "Terrible. It broke after one day and nobody answers, awful service.": "negative",
    "Die Lieferung war viel zu spät und das Paket war beschädigt, schlecht": "negative",
}


class Direct:
    """Sends each request once, as the paid-call path would."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.client = OpenAI(Http(apps={"api.openai.com": build_openai_app(World(self.clock))}), "sk-test")

    async def recall(self, ask: Ask) -> list[None]:
        return [None] * len(ask.body["input"])

    def refused(self, ask: Ask) -> frozenset[str]:
        return frozenset()

    async def learn(self, ask: Ask, error: PenstockError) -> str:
        return ""

    async def ask(self, ask: Ask, *, flow: str = "", run: str = "", interactive: bool = False) -> Answer:
        exchange = await self.client.post(ask.path, ask.content, "call_1")
        if exchange.error is not None:
            raise exchange.error
        return Answer(exchange.content, exchange.usage, None, exchange.model, exchange.tier, exchange.request_id, 0.0)


@pytest.mark.parametrize(
    ("model", "method"), [("gpt-6-luna", "decisions"), ("gpt-4.1-mini", "structured"), ("gpt-5.4-mini", "structured")]
)
async def test_both_roads_judge_real_sentences_alike(model: str, method: str) -> None:
    asker = Direct()
    for text, label in TEXTS.items():
        output = await asker.clock.run(sentiment.run(asker, sentiment.Input(text=text), choose(model)))
        assert (output.label, output.method) == (label, method)
        assert "delivery" in output.topics or "broke" in text


async def test_the_token_estimate_is_near_what_the_vendor_counts() -> None:
    asker = Direct()
    ask = sentiment.prepare(sentiment.Input(text=next(iter(TEXTS))), choose())
    assert isinstance(ask, Ask)
    answer = await asker.clock.run(asker.ask(ask))
    assert ask.prompt_tokens == pytest.approx(answer.usage.input, rel=0.25)


async def test_the_flip_rate_of_the_emulated_judge_is_measured() -> None:
    """A word counter can be flipped by words; this shows that the measure works, not how good a model is."""
    asker = Direct()

    async def judge(text: str) -> Judged:
        done = await sentiment.run(asker, sentiment.Input(text=text), choose())
        return Judged.from_output(done.model_dump())

    review = "Terrible. It broke after one day, awful service, I hate it."
    before = await asker.clock.run(judge(review))
    after = [await asker.clock.run(judge(injection.apply(review))) for injection in load_injections()]
    flips = count_flips((before, one) for one in after)
    assert flips.tried == len(after)
    assert 0 <= flips.rate <= 0.5
