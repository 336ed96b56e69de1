"""The emulated Conversations endpoints, and input items in the form in which they are listed."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from penstock.sandbox.openai_replies import list_body
from penstock.sandbox.openai_requests import ApiError
from penstock.sandbox.openai_routes import Call, Done, Route, Service, act, answer_json
from penstock.sandbox.openai_shapes import check_items, check_shape

Item = dict[str, Any]


def as_items(given: Any, suffix: str) -> list[Item]:
    """Return an input as items with ids, statuses and content parts; references to other items are left out."""
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [_as_item(item, f"{suffix}i{at}") for at, item in enumerate(items) if item.get("type") != "item_reference"]


def _as_item(item: Item, suffix: str) -> Item:
    kind = item.get("type") or "message"
    prefix = {"message": "msg", "function_call": "fc", "function_call_output": "fco", "reasoning": "rs"}
    named = {"id": f"{prefix.get(kind, 'item')}_{suffix}", "status": "completed", **item, "type": kind}
    if kind != "message":
        return named
    content = item["content"]
    if isinstance(content, str):
        is_own = item["role"] == "assistant"
        part: Item = {"type": "output_text", "annotations": [], "logprobs": []} if is_own else {"type": "input_text"}
        content = [{**part, "text": content}]
    return {**named, "content": [_with_detail(part) for part in content]}


def _with_detail(part: Item) -> Item:
    return {"detail": "auto", **part} if part.get("type") == "input_image" else part


def page_of(items: list[Item], call: Call) -> dict[str, Any]:
    """Return a page of a list as the query asks: `order` (newest first unless `asc`), `after`, `limit`."""
    limit = call.asked("limit", "20")
    if not limit.isdigit() or not 1 <= int(limit) <= 100:
        raise ApiError(400, "Invalid 'limit': expected an integer from 1 to 100.", code="invalid_value", param="limit")
    ordered = items if call.asked("order", "desc") == "asc" else items[::-1]
    after = call.asked("after")
    if after:
        places = [at for at, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise ApiError(404, f"No object with id '{after}' is in this list.", param="after")
        ordered = ordered[places[0] + 1 :]
    return list_body(ordered[: int(limit)], has_more=len(ordered) > int(limit))


class Conversations:
    """Keeps the conversations of one emulated service."""

    def __init__(self, service: Service, *, keep: int = 10_000) -> None:
        self._clock = service.world.clock
        self._kept: OrderedDict[str, tuple[dict[str, Any], list[Item]]] = OrderedDict()
        self._keep = keep

    def routes(self) -> list[Route]:
        """Return the endpoints of conversations and their items."""
        one, items = "/v1/conversations/{id}", "/v1/conversations/{id}/items"
        return [
            Route("POST", "/v1/conversations", "conversations.create", act(self.create)),
            Route("GET", one, "conversations.retrieve", self.retrieve),
            Route("POST", one, "conversations.update", act(self.update)),
            Route("DELETE", one, "conversations.delete", act(self.delete)),
            Route("GET", items, "conversations.items", self.list_items),
            Route("POST", items, "conversations.items.create", act(self.create_items)),
            Route("GET", f"{items}/{{item}}", "conversations.items.retrieve", self.retrieve_item),
            Route("DELETE", f"{items}/{{item}}", "conversations.items.delete", act(self.delete_item)),
        ]

    def items_of(self, identity: str) -> list[Item]:
        """Return the items of a conversation, oldest first."""
        return list(self._find(identity)[1])

    def append(self, identity: str, items: list[Item]) -> None:
        """Add items at the end; a conversation that was deleted meanwhile stays deleted."""
        if identity in self._kept:
            self._kept[identity][1].extend(items)

    def create(self, call: Call) -> Done:
        """Begin a conversation, perhaps with items."""
        body = check_shape("conversations", call.read_json() if call.content else {})
        check_items(body.get("items"), "items")
        identity = self._clock.new_id("conv")
        head = {"id": identity, "object": "conversation", "created_at": int(self._clock.now())}
        head["metadata"] = body.get("metadata") or {}
        self._kept[identity] = (head, as_items(body.get("items") or [], identity.removeprefix("conv_")))
        if len(self._kept) > self._keep:
            self._kept.popitem(last=False)
        return answer_json(head)

    def retrieve(self, call: Call) -> Done:
        """Return a conversation without its items."""
        return answer_json(self._find(call.names["id"])[0])

    def update(self, call: Call) -> Done:
        """Replace the metadata of a conversation."""
        body = check_shape("conversations", call.read_json())
        head, _ = self._find(call.names["id"])
        head["metadata"] = body.get("metadata") or {}
        return answer_json(head)

    def delete(self, call: Call) -> Done:
        """Forget a conversation."""
        self._find(call.names["id"])
        del self._kept[call.names["id"]]
        return answer_json({"id": call.names["id"], "object": "conversation.deleted", "deleted": True})

    def list_items(self, call: Call) -> Done:
        """List the items of a conversation."""
        return answer_json(page_of(self._find(call.names["id"])[1], call))

    def create_items(self, call: Call) -> Done:
        """Add up to 20 items."""
        body = check_shape("conversations.items", call.read_json())
        check_items(body["items"], "items")
        _, items = self._find(call.names["id"])
        added = as_items(body["items"], self._clock.new_id("item").removeprefix("item_"))
        items.extend(added)
        return answer_json(list_body(added))

    def retrieve_item(self, call: Call) -> Done:
        """Return one item."""
        return answer_json(self._item(call))

    def delete_item(self, call: Call) -> Done:
        """Remove one item; the answer is the conversation."""
        head, items = self._find(call.names["id"])
        items.remove(self._item(call))
        return answer_json(head)

    def _item(self, call: Call) -> Item:
        for item in self._find(call.names["id"])[1]:
            if item["id"] == call.names["item"]:
                return item
        raise ApiError(404, f"Item with id '{call.names['item']}' not found.", param="item_id")

    def _find(self, identity: str) -> tuple[dict[str, Any], list[Item]]:
        if identity not in self._kept:
            raise ApiError(404, f"Conversation with id '{identity}' not found.", param="conversation")
        return self._kept[identity]
