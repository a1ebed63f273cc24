"""Vodacom Mozambique's C2B: M-Pesa asks the company before it takes money, then tells it.

M-Pesa only calls, with a bearer token; everything is JSON. Amounts are texts with two decimals, in
whole units of the currency.

1. validate ``{request_id, reference, amount}``, where ``reference`` is the serial number: HTTP 200
   and the ``response_code`` 0 let the payer pay, anything else does not. A refusal is HTTP 400 and
   ``{response_code, response_desc, data: {message, success: false}}``;
2. process ``{request_id, transaction_id, reference, amount, msisdn?}``: it was paid, with the same
   ``request_id``; ``transaction_id`` is M-Pesa's receipt;
3. query ``{transaction_id}`` or ``{request_id}``: what became of it.

Nothing happens here by itself: a test, or a person with curl, has it done through the control
addresses. The real names of the fields are not public: these are assumptions, to be confirmed with
the vendor, as are that codes are texts and what a repeated process is answered.
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any
from uuid import uuid4

from infra.local.fakes.callers import WITH_CHANGES, Caller, Talk, changed
from infra.local.fakes.controls import control
from infra.local.fakes.fake import Answer, Settings
from infra.local.fakes.faults import Faults
from infra.local.fakes.reading import TEXT, Fields, Unacceptable, just, optional
from infra.local.fakes.wishes import AMOUNT, TIMES

_SUCCESS = "0"

_PAY: Fields = {
    "reference": TEXT,
    "amount": AMOUNT,
    "msisdn": optional(TEXT),
    "request_id": optional(TEXT),
    "transaction_id": optional(TEXT),
    "process": optional(just(True, False)),
    "times": TIMES,
}
_VALIDATE: Fields = {
    "reference": TEXT,
    "amount": AMOUNT,
    "request_id": optional(TEXT),
    **WITH_CHANGES,
}
_PROCESS: Fields = {
    "reference": TEXT,
    "amount": AMOUNT,
    "msisdn": optional(TEXT),
    "request_id": optional(TEXT),
    "transaction_id": optional(TEXT),
    **WITH_CHANGES,
}
_QUERY: Fields = {
    "transaction_id": optional(TEXT),
    "request_id": optional(TEXT),
    **WITH_CHANGES,
}


class VodacomMzC2b(Caller):
    """The provider's side.

    Settings: the ``token``, ``validate_url``, ``process_url`` and ``query_url``.
    """

    key = "vodacom_mz_c2b"
    paths: Mapping[str, str] = {
        "validate_url": "/payments/vodacom_mz_c2b/validate",
        "process_url": "/payments/vodacom_mz_c2b/process",
        "query_url": "/payments/vodacom_mz_c2b/status",
    }

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody wants to pay, and does where the company does not refuse; with ``process``
        false the company is never told of it. ``validate``, ``process`` and ``query``: one of the
        calls alone.
        """
        return {
            "pay": control(_PAY, self._pay),
            "validate": control(_VALIDATE, self._validate),
            "process": control(_PROCESS, self._process),
            "query": control(_QUERY, self._query),
        }

    def _pay(self, wish: Mapping[str, Any]) -> Answer:
        talk = Talk()
        message = _payment(wish)
        names = {name: message[name] for name in ("request_id", "transaction_id")}
        code = self._send(talk, "validate", _question(message), {})
        if code != _SUCCESS:
            return talk.answer(paid=False, response_code=code, **names)
        if wish.get("process", True):
            for _ in range(wish.get("times", 1)):
                code = self._send(talk, "process", message, {})
        return talk.answer(paid=True, response_code=code, **names)

    def _validate(self, wish: Mapping[str, Any]) -> Answer:
        return self._one_call("validate", _question(_payment(wish)), wish)

    def _process(self, wish: Mapping[str, Any]) -> Answer:
        return self._one_call("process", _payment(wish), wish)

    def _query(self, wish: Mapping[str, Any]) -> Answer:
        names = {name: wish[name] for name in ("transaction_id", "request_id") if name in wish}
        if len(names) != 1:
            raise Unacceptable("either the transaction_id or the request_id must be named", 422)
        return self._one_call("query", names, wish)

    def _one_call(self, name: str, message: Mapping[str, Any], wish: Mapping[str, Any]) -> Answer:
        """The same call as often as wished; tells the ids, and what the last answer says."""
        talk = Talk()
        for _ in range(wish.get("times", 1)):
            code = self._send(talk, name, message, wish)
        ids = ("request_id", "transaction_id")
        names = {key: value for key, value in changed(message, wish).items() if key in ids}
        return talk.answer(response_code=code, **names)

    def _send(
        self, talk: Talk, name: str, message: Mapping[str, Any], wish: Mapping[str, Any]
    ) -> str | None:
        """One call; the code of the answer, if it is as documented.

        A code of success counts with HTTP 200 only, and any other with HTTP 400 and its reason.
        """
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {wish.get('token', self._settings['token'])}",
        }
        body = json.dumps(changed(message, wish)).encode()
        status, said = talk.call(name, self._settings[f"{name}_url"], body, headers)
        return _code(status, said)


def made_up() -> dict[str, str]:
    """What company and provider agreed on, made up."""
    return {"token": secrets.token_urlsafe(32), "currency": "KES"}


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret. Nobody calls ``base_url``."""
    return {"tokens": [given["token"]], "currency": given["currency"]}


def _payment(wish: Mapping[str, Any]) -> dict[str, Any]:
    """The message of a payment, with ids made up where none are wished."""
    receipt = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(10))
    payer = {"msisdn": wish["msisdn"]} if "msisdn" in wish else {}
    return {
        "request_id": wish.get("request_id", str(uuid4())),
        "transaction_id": wish.get("transaction_id", receipt),
        "reference": wish["reference"],
        "amount": f"{Decimal(str(wish['amount'])):.2f}",
        **payer,
    }


def _question(message: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked before such a payment."""
    return {name: message[name] for name in ("request_id", "reference", "amount")}


def _code(status: int | None, said: str) -> str | None:
    """The code of an answer; ``None``: the answer is not as documented."""
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    if not isinstance(answer, dict) or not isinstance(answer.get("response_desc"), str):
        return None
    code, data = answer.get("response_code"), answer.get("data")
    if status == 200:
        return code if isinstance(code, str) else None
    refused = isinstance(data, dict) and data.get("success") is False and data.get("message")
    return code if status == 400 and refused and isinstance(code, str) and code != "0" else None
