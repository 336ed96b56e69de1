"""People for the lists that a campaign names, while the emulated Brevo account inside this process has no lists."""

from __future__ import annotations

from penstock.data.brevo_campaigns import Campaign
from penstock.vendors import Vendors

FIRST_NAMES = ("Anna", "Ben", "Chloé", "Dario", "Emre", "Freya", "Goran", "Hanna", "")
PEOPLE = 200


def fill_sandbox(vendors: Vendors, campaign: Campaign) -> None:
    """Make the lists that a campaign goes to, with invented people: some without a name, one in twenty blocklisted."""
    account = vendors.account
    if account is None or account.lists:
        return
    for name in campaign.recipients.lists:
        made = account.add_list(str(name))
        for number in range(PEOPLE):
            first_name = FIRST_NAMES[number % len(FIRST_NAMES)]
            account.add_contact(
                f"person{number}.list{made.id}@example.com",
                {"FIRSTNAME": first_name} if first_name else {},
                lists=[made.id],
                email_blacklisted=number % 20 == 19,
            )
