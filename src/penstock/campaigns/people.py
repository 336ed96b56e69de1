"""People for the lists that a campaign names, in the emulated Brevo account inside this process."""

from __future__ import annotations

from penstock.data.brevo_campaigns import Campaign
from penstock.vendors import Vendors

FIRST_NAMES = ("Anna", "Ben", "Chloé", "Dario", "Emre", "Freya", "Goran", "Hanna", "")
PEOPLE = 200


def fill_sandbox(vendors: Vendors, campaign: Campaign) -> None:
    """Make the lists that a campaign goes to, with invented people: some without a name, one in twenty blocklisted.

    An account with lists of people's own stays as it is.
    """
    account = vendors.account
    if account is None or (account.lists and not account.invented):
        return
    known = {one.name for one in account.lists.values()}
    for name in map(str, campaign.recipients.lists):
        if name in known or name.isdecimal():
            continue
        account.invented.append(f"the list {name}")
        made = account.add_list(name)
        for number in range(PEOPLE):
            first_name = FIRST_NAMES[number % len(FIRST_NAMES)]
            account.add_contact(
                f"person{number}.list{made.id}@example.com",
                {"FIRSTNAME": first_name} if first_name else {},
                lists=[made.id],
                email_blacklisted=number % 20 == 19,
            )
