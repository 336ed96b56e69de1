"""The kinds of bad answers of OpenAI, Azure and compatible servers: our code for each, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from penstock.base.errors import AccessError, PenstockError, QuotaError, RejectedError


class Meaning(NamedTuple):
    """What one kind of bad answer is called, what the host did, and what to do now."""

    kind: type[PenstockError]
    code: str
    what: str
    hint: str


QUOTA: Mapping[str, Meaning] = {
    "credit_balance_exhausted": Meaning(
        QuotaError,
        "openai.credit-exhausted",
        "the prepaid credit is used up",
        "Add credit under Billing on the vendor's platform, then run the same command again.",
    ),
    "organization_spend_limit_exceeded": Meaning(
        QuotaError,
        "openai.organization-spend-limit",
        "the organisation's own monthly spend limit is reached",
        "Raise the organisation's limit under Limits, or wait until the month turns; then run the same command again.",
    ),
    "project_spend_limit_exceeded": Meaning(
        QuotaError,
        "openai.project-spend-limit",
        "the project's own monthly spend limit is reached",
        "Raise the project's limit in its settings, use another project, or wait until the month turns.",
    ),
    "organization_usage_limit_exceeded": Meaning(
        QuotaError,
        "openai.usage-limit",
        "the usage limit that OpenAI set for the organisation is reached",
        "Ask OpenAI for a higher usage limit (Limits page); the organisation itself cannot raise it.",
    ),
}
OLD_QUOTA = Meaning(
    QuotaError,
    "openai.quota-exhausted",
    "the quota is used up",
    "Look at Billing (credit) and Limits (monthly limits) on the vendor's platform, then run the same command again.",
)
OLD_QUOTA_CODES = ("insufficient_quota", "billing_hard_limit_reached")

WRONG_KEY = Meaning(
    AccessError,
    "openai.key-refused",
    "refused the key",
    "Set a valid key of this endpoint (OPENAI_API_KEY, or the connection's secret); then `penstock connections test`.",
)
NOT_ALLOWED = Meaning(
    AccessError,
    "openai.not-allowed",
    "does not allow this",
    "The key lacks a permission: give it the scope in the project's key settings, or use a key that has it.",
)
GATEWAY = Meaning(
    AccessError,
    "openai.gateway",
    "refused the call before any API saw it",
    "A gateway, proxy or firewall answered instead of the API: check the base URL, the proxy and its rules.",
)
ACCESS = (
    (
        re.compile(r"(?i)\bip\b|ip_not|allow.?list"),
        Meaning(
            AccessError,
            "openai.ip-not-allowed",
            "does not take calls from this machine's address",
            "Add this machine's IP address to the organisation's or project's allow-list, or call from a listed one.",
        ),
    ),
    (
        re.compile(r"(?i)\bproject|_project"),
        Meaning(
            AccessError,
            "openai.wrong-project",
            "refused the project",
            "The key does not belong to this project: correct or remove `project` of the connection (openai.project).",
        ),
    ),
    (
        re.compile(r"(?i)organi[sz]ation"),
        Meaning(
            AccessError,
            "openai.wrong-organization",
            "refused the organisation",
            "The key's owner is no member: correct or remove `organization` of the connection (openai.organization).",
        ),
    ),
    (
        re.compile(r"(?i)country|region|territory"),
        Meaning(
            AccessError,
            "openai.country",
            "does not serve this country or region",
            "Call from a supported country, or use a regional host that the organisation is allowed to use.",
        ),
    ),
)

REJECTS = "rejected the request"
DEPLOYMENT = Meaning(
    RejectedError,
    "openai.deployment-missing",
    REJECTS,
    "Azure has no such deployment: create it, or correct `models` of the connection (deployment to model).",
)
MODEL = Meaning(
    RejectedError,
    "openai.model-not-found",
    REJECTS,
    "Its name is wrong, it is retired, or the project is not granted it; `penstock models` tells what replaces it.",
)
OBJECT = Meaning(
    RejectedError, "openai.not-found", REJECTS, "The object is gone, or belongs to another project; check its id."
)
ENDPOINT = Meaning(
    RejectedError, "openai.endpoint-missing", REJECTS, "This server has no such endpoint; check the base URL."
)
BLOCKED = Meaning(
    RejectedError,
    "openai.blocked",
    REJECTS,
    "The vendor's safety rules refuse this content; change it, a repetition does not help.",
)
FAULTS: Mapping[str, Meaning] = {
    "context_length_exceeded": Meaning(
        RejectedError, "openai.too-long", REJECTS, "Shorten the text or use a model with a longer context."
    ),
    "moderation_blocked": BLOCKED,
    "content_policy_violation": BLOCKED,
    "content_filter": BLOCKED,
    "413": Meaning(RejectedError, "openai.too-large", REJECTS, "Send a smaller file or fewer texts at once."),
    "422": Meaning(
        RejectedError,
        "openai.not-processable",
        REJECTS,
        "It was tried twice; change the input or the parameters named in the message.",
    ),
}
TIER = Meaning(
    RejectedError,
    "openai.tier-not-allowed",
    REJECTS,
    "The project may not use this tier with this model: set the tier `default`.",
)
REJECTED = Meaning(
    RejectedError, "openai.rejected", REJECTS, "Change the input or the parameters named in the message."
)
