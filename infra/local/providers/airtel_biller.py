"""Airtel's biller API: Airtel asks the company before it takes the payer's money, then tells it.

Airtel only calls, with a bearer token; each call and each answer is XML, a root with flat elements:

1. validation ``COMMAND{TYPE, CUSTOMERMSISDN, MERCHANTMSISDN, AMOUNT, REFERENCE, REFERENCE1}``,
   where ``REFERENCE`` is the serial number and ``REFERENCE1`` Airtel's id: ``STATUS`` 200 lets the
   payer pay, anything else does not;
2. process ``COMMAND{REFERENCE1, REFERENCE2}``: it was paid; ``REFERENCE2`` is Airtel's final id.
   The answer has ``STATUS``, ``MESSAGE`` and ``TXNID``, the company's id;
3. enquiry ``COMMAND{TXNID}``: what became of it. ``STATUS`` 200, ``MESSAGE`` Success, Failed or
   Pending, and ``REF``.

The company answers HTTP 200 always. Amounts are whole units of the currency.

Nothing happens here by itself: a test, or a person with curl, has it done through the control
addresses. Assumptions, to be confirmed with the vendor: the ``TYPE`` of a validation, that the root
of an answer may have any name, and that ``application/xml`` is what is sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any
from xml.etree.ElementTree import Element, ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from infra.local.fakes.callers import WITH_CHANGES, Caller, Talk, changed
from infra.local.fakes.controls import control
from infra.local.fakes.fake import Answer, Settings
from infra.local.fakes.faults import Faults
from infra.local.fakes.reading import TEXT, Fields, just, optional
from infra.local.fakes.wishes import AMOUNT, TIMES

TYPE = "VALIDATE"
PAYER = "733000001"
"""Who pays, where nothing else is said: national, without a leading zero."""
MERCHANT = "733999999"

_SUCCESS = "200"

_PAY: Fields = {
    "reference": TEXT,
    "amount": AMOUNT,
    "msisdn": optional(TEXT),
    "process": optional(just(True, False)),
    "times": TIMES,
}
_VALIDATE: Fields = {
    "reference": TEXT,
    "amount": AMOUNT,
    "msisdn": optional(TEXT),
    "reference1": optional(TEXT),
    **WITH_CHANGES,
}
_PROCESS: Fields = {"reference1": TEXT, "reference2": optional(TEXT), **WITH_CHANGES}
_ENQUIRE: Fields = {"txnid": TEXT, **WITH_CHANGES}


class AirtelBiller(Caller):
    """The provider's side.

    Settings: the ``token``, ``validation_url``, ``process_url`` and ``enquiry_url``.
    """

    key = "airtel_biller"
    paths: Mapping[str, str] = {
        "validation_url": "/payments/airtel_biller/validation",
        "process_url": "/payments/airtel_biller/process",
        "enquiry_url": "/payments/airtel_biller/enquiry",
    }

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody wants to pay, and does where the company does not refuse; with ``process``
        false the company is never told of it. ``validate``, ``process`` and ``enquire``: one of the
        calls alone. ``said`` in their answers is what the company's last answer says.
        """
        return {
            "pay": control(_PAY, self._pay),
            "validate": control(_VALIDATE, self._validate),
            "process": control(_PROCESS, self._process),
            "enquire": control(_ENQUIRE, self._enquire),
        }

    def _pay(self, wish: Mapping[str, Any]) -> Answer:
        talk = Talk()
        names = {"reference1": _id(), "reference2": _id()}
        said = self._send(talk, "validation", _validation(wish, names["reference1"]), {})
        if said.get("STATUS") != _SUCCESS:
            return talk.answer(paid=False, said=said, **names)
        if wish.get("process", True):
            message = {name.upper(): value for name, value in names.items()}
            for _ in range(wish.get("times", 1)):
                said = self._send(talk, "process", message, {})
        return talk.answer(paid=True, said=said, **names)

    def _validate(self, wish: Mapping[str, Any]) -> Answer:
        reference1 = wish.get("reference1", _id())
        return self._one_call("validation", _validation(wish, reference1), wish)

    def _process(self, wish: Mapping[str, Any]) -> Answer:
        message = {
            "REFERENCE1": wish["reference1"],
            "REFERENCE2": wish.get("reference2", _id()),
        }
        return self._one_call("process", message, wish)

    def _enquire(self, wish: Mapping[str, Any]) -> Answer:
        return self._one_call("enquiry", {"TXNID": wish["txnid"]}, wish)

    def _one_call(self, name: str, message: Mapping[str, Any], wish: Mapping[str, Any]) -> Answer:
        """The same call as often as wished; tells what was sent, and what the last answer says."""
        talk = Talk()
        for _ in range(wish.get("times", 1)):
            said = self._send(talk, name, message, wish)
        return talk.answer(said=said, sent=changed(message, wish))

    def _send(
        self, talk: Talk, name: str, message: Mapping[str, Any], wish: Mapping[str, Any]
    ) -> dict[str, str]:
        """One call; what the answer says, if it is as documented."""
        headers = {
            "Content-Type": "application/xml",
            "Authorization": f"Bearer {wish.get('token', self._settings['token'])}",
        }
        body = _xml(changed(message, wish))
        status, said = talk.call(name, self._settings[f"{name}_url"], body, headers)
        return _flat(said) if status == 200 else {}


def made_up() -> dict[str, str]:
    """What company and provider agreed on, made up."""
    return {"token": secrets.token_urlsafe(32), "currency": "KES"}


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret. Nobody calls ``base_url``."""
    return {"tokens": [given["token"]], "currency": given["currency"]}


def _id() -> str:
    """An id as Airtel's are, made up."""
    day, minute, number = (secrets.randbelow(10**digits) for digits in (6, 4, 5))
    return f"MP{day:06}.{minute:04}.A{number:05}"


def _validation(wish: Mapping[str, Any], reference1: str) -> dict[str, Any]:
    return {
        "TYPE": TYPE,
        "CUSTOMERMSISDN": wish.get("msisdn", PAYER),
        "MERCHANTMSISDN": MERCHANT,
        "AMOUNT": wish["amount"],
        "REFERENCE": wish["reference"],
        "REFERENCE1": reference1,
    }


def _xml(message: Mapping[str, Any]) -> bytes:
    """A message as XML."""
    elements = (f"<{name}>{escape(str(value))}</{name}>" for name, value in message.items())
    return f'<?xml version="1.0" encoding="UTF-8"?><COMMAND>{"".join(elements)}</COMMAND>'.encode()


def _flat(text: str) -> dict[str, str]:
    """The elements of an answer; none, where it cannot be read."""
    try:
        root: Element = fromstring(text.encode(), forbid_dtd=True)
    except (ParseError, DefusedXmlException):
        return {}
    return {element.tag: (element.text or "").strip() for element in root}
