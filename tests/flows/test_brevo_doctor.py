"""What `penstock doctor` says of the account that flows write to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from shop import Shop, in_shop


async def test_the_doctor_notices_an_attribute_that_a_flow_writes_and_that_is_gone(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Any) -> None:
        before = {finding.name: finding for finding in await workspace.check()}
        assert before["Brevo webhooks"].verdict == "ok"
        assert not any(name.startswith("flow ") for name in before)
        assert (await shop.run(workspace)).exit_code == 0
        healthy = {finding.name: finding for finding in await workspace.check()}
        assert healthy["flow feedback"].verdict == "ok"
        workspace.vendors.account.drop_attribute("SENTIMENT_SCORE")
        workspace.clock.advance(3600)
        bad = [finding for finding in await workspace.check() if finding.name.startswith("flow feedback")]
        assert [finding.verdict for finding in bad] == ["fail"]
        assert "SENTIMENT_SCORE" in bad[0].name + bad[0].message
        assert bad[0].fix

    await in_shop(shop, work)


async def test_a_flow_file_that_was_moved_or_broken_does_not_stop_the_doctor(tmp_path: Path) -> None:
    shop = Shop(tmp_path)

    async def work(workspace: Any) -> None:
        await shop.run(workspace)
        shop.path.write_text("name: feedback\nsource: {}\n")
        found = {finding.name: finding for finding in await workspace.check()}
        assert found["flow feedback"].verdict == "warn"
        shop.path.unlink()
        assert not any(finding.name.startswith("flow ") for finding in await workspace.check())

    await in_shop(shop, work)
