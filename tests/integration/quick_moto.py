"""Makes requests to moto a good deal faster, with the same answers. A test compares both ways.

Left out is what nobody looks at, and what comes out the same each time:

- For each attribute of each item moto tries the ten types of DynamoDB's protocol under several
  possible names each. Its items have them under the protocol's own names already, so they are
  written out as they are. (Bytes would not do; nothing here stores any.)
- Moto finds out of each request which service it is for, and reads it as any of them might be
  written. One whose address says that it is for DynamoDB is handed over as what it is.
- For each request moto lists the methods of the class that answers it, botocore tells at length
  who is asking, and signs. Moto checks no signature.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest
from botocore.signers import RequestSigner
from botocore.useragent import UserAgentString
from moto.core import DEFAULT_ACCOUNT_ID, responses
from moto.core.botocore_stubber import BotocoreStubber
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.responses import DynamoHandler

Write = Callable[[Any, Any, Any, Any, str], None]

_thoroughly: Write = BaseJSONSerializer._serialize_type_structure


def _as_it_is(self: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if shape.name == "AttributeValue" and type(value) is dict:
        self._default_serialize(serialized, value, shape, key)
    else:
        _thoroughly(self, serialized, value, shape, key)


_TOLD_BY_ITS_ADDRESS = "https://dynamodb."
_in_any_form = BotocoreStubber.process_request


def _as_what_it_is(stubber: BotocoreStubber, request: AWSPreparedRequest) -> Any:
    if not request.url.startswith(_TOLD_BY_ITS_ADDRESS):
        return _in_any_form(stubber, request)
    answering = DynamoHandler()
    answering.headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    answering.querystring, answering.uri_match, answering.response_headers = {}, {}, {}
    answering.region = request.url.split(".", 2)[1]
    answering.current_account = DEFAULT_ACCOUNT_ID
    answering.parse_parameters(
        SimpleNamespace(
            method=request.method,
            content_type=answering.headers["content-type"],
            headers=answering.headers,
            values={},
            data=request.body,
            path="/",
        )
    )
    return answering.call_action()


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


_signing = RequestSigner.handler


def _sign_where_it_matters(self: Any, request: Any, **more: Any) -> Any:
    """Moto reads in a signature which service is asked, where the address does not say it."""
    if not request.url.startswith(_TOLD_BY_ITS_ADDRESS):
        return _signing(self, request=request, **more)
    return None


_SHORTCUTS = (
    patch.object(BotocoreStubber, "process_request", _as_what_it_is),
    patch.object(BaseJSONSerializer, "_serialize_type_structure", _as_it_is),
    *(
        patch.object(responses, name, cache(getattr(responses, name)))
        for name in ("method_names_from_class", "camelcase_to_underscores")
    ),
    patch.object(UserAgentString, "to_string", lambda self: "a test"),
    patch.object(RequestSigner, "handler", _sign_where_it_matters),
)


def quicken() -> None:
    """From now on."""
    for shortcut in _SHORTCUTS:
        shortcut.start()


def slow_down() -> None:
    """As moto and botocore came."""
    for shortcut in _SHORTCUTS:
        shortcut.stop()
