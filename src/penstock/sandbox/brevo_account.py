"""The emulated Brevo account itself: its plan, its keys and what they may do, and who may come from where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from penstock.sandbox.brevo_wire import Answer, RefusedError, Request, cut_page, decode, refuse

if TYPE_CHECKING:
    from penstock.sandbox.brevo_state import BrevoState

Right = Literal["none", "read", "write", "all"]

_KEY_REFUSALS = {
    "invalid": "Key not found",
    "expired": "API Key has expired",
    "deactivated": "API Key is not enabled",
    "unlisted-ip": "Request from an unrecognised IP address 203.0.113.9: add it to the authorised IPs of the account",
}
_NEEDED: dict[str, tuple[Right, ...]] = {"GET": ("read", "write", "all"), "DELETE": ("all",)}


class Key(msgspec.Struct):
    """An API key whose name and rights are known; `rights` are by the first part of a path, `*` for the others.

    `read` is GET, `write` is GET, POST and PUT, `all` also DELETE. `expires` is in seconds since 1970.
    """

    name: str = "sandbox"
    rights: dict[str, Right] = {}
    expires: float | None = None
    active: bool = True

    def may(self, method: str, resource: str) -> bool:
        """Say whether the key may do this."""
        right = self.rights.get(resource, self.rights.get("*", "all"))
        return right in _NEEDED.get(method, ("write", "all"))


class Account(msgspec.Struct):
    """What an account has besides its contacts. `allowed_ips` empty lets everybody come."""

    plan: str = "free"
    credits: int = 300
    enterprise: bool = False
    currency: str = "EUR"
    allowed_ips: list[str] = []
    keys: dict[str, Key] = {}
    test_emails: int = 50


class Sender(msgspec.Struct):
    """One sender of campaigns."""

    id: int
    name: str
    email: str

    def show(self) -> dict[str, Any]:
        """Return the sender as the API shows it."""
        return {"id": self.id, "name": self.name, "email": self.email, "active": True, "ips": []}


def check_key(state: BrevoState, key: str, method: str, resource: str, ip: str) -> Answer | None:
    """Return the refusal of a request whose key or address may not do this.

    A key that nobody registered may do everything, but for one whose text names what is wrong with it.
    """
    if not key:
        return refuse(401, "unauthorized", "authentication not found in headers")
    known = state.account.keys.get(key)
    reason = next((message for mark, message in _KEY_REFUSALS.items() if mark in key), "")
    if known is not None:
        reason = ""
        if not known.active:
            reason = _KEY_REFUSALS["deactivated"]
        elif known.expires is not None and known.expires <= state.world.clock.now():
            reason = _KEY_REFUSALS["expired"]
    if not reason and state.account.allowed_ips and ip not in state.account.allowed_ips:
        reason = _KEY_REFUSALS["unlisted-ip"].replace("203.0.113.9", ip)
    if reason:
        return refuse(401, "unauthorized", reason)
    if not (known.may(method, resource) if known else method == "GET" or "readonly" not in key):
        return refuse(403, "permission_denied", "the API key has no permission for this action")
    return None


def name_of(state: BrevoState, key: str) -> str:
    """Return the name of a key, which webhooks carry as `api_key_name`."""
    known = state.account.keys.get(key)
    return known.name if known else "sandbox"


def get_account(state: BrevoState, _request: Request) -> Answer:
    """GET /account."""
    account = state.account
    street = {"street": "1 Sandbox Street", "zipCode": "00000", "city": "Sandbox", "country": "Nowhere"}
    vertical = {"planCategory": "Marketing", "planType": account.plan, "name": account.plan.title()}
    return Answer(
        200,
        {
            "organization_id": state.organization,
            "user_id": 1,
            "enterprise": account.enterprise,
            "companyName": "Sandbox",
            "email": state.email,
            "firstName": "Sandbox",
            "lastName": "Owner",
            "address": street,
            "plan": [{"type": account.plan, "creditsType": "sendLimit", "credits": account.credits}],
            "planVerticals": [{**vertical, "status": "active", "credits": str(account.credits)}],
            "relay": {
                "enabled": False,
                "data": {"userName": state.email, "relay": "smtp.sandbox.example", "port": 587},
            },
            "marketingAutomation": {"enabled": False},
        },
    )


def list_senders(state: BrevoState, _request: Request) -> Answer:
    """GET /senders."""
    return Answer(200, {"senders": [one.show() for one in state.senders.values()]})


class _Sender(msgspec.Struct):
    name: str
    email: str


def create_sender(state: BrevoState, request: Request) -> Answer:
    """POST /senders."""
    body = decode(request.body, _Sender)
    made = Sender(state.next_id("sender"), body.name, body.email)
    state.senders[made.id] = made
    state.world.wrote("brevo", "senders.create", str(made.id), ())
    return Answer(201, {"id": made.id})


def list_blocked(state: BrevoState, request: Request) -> Answer:
    """GET /smtp/blockedContacts: who opted out of or cannot get transactional email."""
    page = cut_page(list(state.blocked.items()), request, default=50, highest=100)
    rows = [
        {
            "email": email,
            "senderEmail": "",
            "blockedAt": at,
            "reason": {"code": code, "message": "Contact has been blocked"},
        }
        for email, (code, at) in page
    ]
    return Answer(200, {"contacts": rows, "count": len(state.blocked)})


def unblock(state: BrevoState, request: Request) -> Answer:
    """DELETE /smtp/blockedContacts/{email}."""
    if state.blocked.pop(request.path["email"].lower(), None) is None:
        raise RefusedError(404, "document_not_found", "Contact is not blocked")
    state.world.wrote("brevo", "blocked.delete", "", ())
    return Answer(204)
