"""The Chalice app without routes: what every function has, and loads in no time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chalice.app import Chalice

if TYPE_CHECKING:
    from chalicelib.wiring import Wiring


def bare_app(wiring: Wiring) -> Chalice:
    """An app that names each call, of whatever trigger, on every line that is written in it."""
    app = Chalice(app_name="mwanga", configure_logs=False)
    app.register_middleware(_named_in_the_journal(wiring), event_type="all")
    return app


def _named_in_the_journal(wiring: Wiring) -> Callable[[Any, Callable[[Any], Any]], Any]:
    """Put Lambda's own id of a call on every line that is written in it.

    At the API ``request_id`` becomes that of API Gateway, which callers are told.
    """

    def middleware(event: Any, respond: Callable[[Any], Any]) -> Any:
        context = getattr(event, "lambda_context", None) or getattr(event, "context", None)
        call_id = str(getattr(context, "aws_request_id", ""))
        with wiring.journal.about(invocation_id=call_id, request_id=call_id):
            return respond(event)

    return middleware
