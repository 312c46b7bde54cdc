"""Handing a conversation over to a person: a ticket, posted to a webhook; and the audit of what was said."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
import uuid
from typing import TYPE_CHECKING, Any, Final

from illumo_flow import Node

from examples.multi_agent.chat_bot.agents import answered
from examples.multi_agent.errors import DeliveryError
from examples.multi_agent.posting import check_url, direct_opener

if TYPE_CHECKING:
    from collections.abc import Mapping

TIMEOUT_S: Final = 5.0
MOST_TURNS: Final = 20
HANDED_OVER: Final = "I hand this over to a colleague, who will write to you."
NOBODY: Final = "Nobody could be reached. Please ask again later."


class HandoffNode(Node):
    """Makes a ticket of the conversation and posts it; tried again by its policy, under the same ticket id.

    Without a webhook the ticket is only made. Returns `ticket`: `{id, posted, turns}`.
    """

    def __init__(self, webhook: str | None, *, timeout_s: float = TIMEOUT_S) -> None:
        """Raises ExampleError for a webhook that is no URL."""
        super().__init__(
            name="human_support",
            inputs={"chat": "$ctx.chat"},
            outputs={"ticket": "$ctx.chat.ticket"},
            allow_context_access=True,
        )
        if webhook is not None:
            check_url("--webhook", webhook)
        self._webhook, self._timeout_s = webhook, timeout_s
        self._opener = direct_opener()

    def run(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Hand over. Raises DeliveryError where the webhook does not take it."""
        context = self.request_context()
        # Kept from the first attempt on: whoever gets a ticket twice can tell.
        ticket_id = context.setdefault("ticket_id", uuid.uuid4().hex)
        history = payload["history"]
        if self._webhook is not None:
            self._post(ticket_id, {"id": ticket_id, "history": history})
        return {"ticket": {"id": ticket_id, "posted": self._webhook is not None, "turns": len(history)}}

    def _post(self, ticket_id: str, ticket: Mapping[str, Any]) -> None:
        headers = {"Content-Type": "application/json", "Idempotency-Key": ticket_id}
        request = urllib.request.Request(str(self._webhook), json.dumps(ticket).encode(), headers)  # noqa: S310 (checked)
        try:
            with self._opener.open(request, timeout=self._timeout_s):
                return
        except urllib.error.HTTPError as error:
            error.close()
            raise DeliveryError(f"the webhook answered {error.code}; see --webhook") from None
        except (OSError, http.client.HTTPException):
            raise DeliveryError("the webhook did not answer; see --webhook") from None


class AuditNode(Node):
    """Adds what the bot says to the history and keeps the last `most_turns` of it.

    Returns `history`, and `audit`: `{turns, left_out, escalated}`.
    """

    def __init__(self, most_turns: int = MOST_TURNS) -> None:
        super().__init__(
            name="audit",
            inputs={"chat": "$ctx.chat"},
            outputs={"history": "$ctx.chat.history", "audit": "$ctx.chat.audit"},
            allow_context_access=True,
        )
        self._most_turns = most_turns

    def run(self, payload: object) -> dict[str, Any]:  # noqa: ARG002 (a router hands on its own input)
        """Audit."""
        context = self.request_context()
        chat = context["chat"]
        history = [*chat["history"], *({"role": "bot", "message": said} for said in said_by_bot(context))]
        kept = history[-self._most_turns :]
        audit = {"turns": len(kept), "left_out": len(history) - len(kept), "escalated": bool(chat.get("ticket"))}
        return {"history": kept, "audit": audit}


def said_by_bot(context: Mapping[str, Any]) -> list[str]:
    """Return what the bot says: its greeting, and the answer, or whether a person goes on."""
    chat = context["chat"]
    reply = chat["answer"] if answered(context) else HANDED_OVER if chat.get("ticket") else NOBODY
    return [said for said in (chat.get("greeting"), reply) if said]
