"""Swifta: a cashier asks the company about a meter, takes the money, then tells the company of it.

Swifta only calls, with a bearer token and a ``cipher``: the hex MD5 of a word, the timestamp, the
amount, and another word. Two calls make a payment:

1. validation ``{meter_number, amount, timestamp, cipher}``: HTTP 200 and ``{success: 1, amount,
   cipher, timestamp, transaction_id, customer}`` lets the cashier take the money, anything else
   does not;
2. transaction ``{transaction_id, transaction_reference, amount, timestamp, cipher}``: it was paid.
   The meter is not named again.

Amounts are whole units of the currency, with decimals where there are some.

Nothing happens here by itself: a test, or a person with curl, has it done through the control
addresses. Assumption, to be confirmed with the vendor: in the cipher, the amount is written as in
the message.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

from infra.local.fakes.callers import WITH_CHANGES, Caller, Talk, changed
from infra.local.fakes.controls import control
from infra.local.fakes.fake import Answer, Settings
from infra.local.fakes.faults import Faults
from infra.local.fakes.reading import TEXT, Fields, just, optional
from infra.local.fakes.wishes import AMOUNT, TIMES

_PAY: Fields = {
    "meter_number": TEXT,
    "amount": AMOUNT,
    "confirm": optional(just(True, False)),
    "reference": optional(TEXT),
    "times": TIMES,
}
_VALIDATE: Fields = {"meter_number": TEXT, "amount": AMOUNT, **WITH_CHANGES}
_TRANSACT: Fields = {
    "transaction_id": TEXT,
    "amount": AMOUNT,
    "reference": optional(TEXT),
    **WITH_CHANGES,
}
_VALIDATED = {"success", "amount", "cipher", "timestamp", "transaction_id", "customer"}


class Swifta(Caller):
    """The provider's side.

    Settings: the ``token``, ``words_first`` and ``words_last`` of the cipher, ``validation_url``
    and ``transaction_url``.
    """

    key = "swifta"
    paths: Mapping[str, str] = {
        "validation_url": "/payments/swifta/validation",
        "transaction_url": "/payments/swifta/transaction",
    }

    def __init__(self, settings: Settings, faults: Faults) -> None:
        self._settings = settings

    def controls(self) -> Mapping[str, Callable[[Any], Answer]]:
        """See :class:`~infra.local.fakes.fake.Provider`.

        ``pay``: somebody wants to pay, and does where the company does not refuse; with ``confirm``
        false the cashier takes the money, and the company is never told. ``validate`` and
        ``transact``: one of the calls alone.
        """
        return {
            "pay": control(_PAY, self._pay),
            "validate": control(_VALIDATE, self._validate),
            "transact": control(_TRANSACT, self._transact),
        }

    def _pay(self, wish: Mapping[str, Any]) -> Answer:
        talk = Talk()
        amount = wish["amount"]
        status, said = self._send_validation(talk, {}, wish["meter_number"], amount)
        transaction_id = _validated(status, said)
        if transaction_id is None:
            return talk.answer(paid=False)
        reference = wish.get("reference", _reference())
        if wish.get("confirm", True):
            message = self._transaction({}, transaction_id, amount, reference)
            for _ in range(wish.get("times", 1)):
                self._send(talk, "transaction", message, {})
        return talk.answer(
            paid=True, transaction_id=transaction_id, transaction_reference=reference
        )

    def _validate(self, wish: Mapping[str, Any]) -> Answer:
        talk = Talk()
        for _ in range(wish.get("times", 1)):
            status, said = self._send_validation(talk, wish, wish["meter_number"], wish["amount"])
        return talk.answer(transaction_id=_validated(status, said))

    def _transact(self, wish: Mapping[str, Any]) -> Answer:
        talk = Talk()
        reference = wish.get("reference", _reference())
        message = self._transaction(wish, wish["transaction_id"], wish["amount"], reference)
        for _ in range(wish.get("times", 1)):
            self._send(talk, "transaction", message, wish)
        return talk.answer(transaction_reference=reference)

    def _send_validation(
        self, talk: Talk, wish: Mapping[str, Any], meter_number: str, amount: Any
    ) -> tuple[int | None, str]:
        message = self._with_cipher({"meter_number": meter_number, "amount": amount}, wish)
        return self._send(talk, "validation", message, wish)

    def _transaction(
        self, wish: Mapping[str, Any], transaction_id: str, amount: Any, reference: str
    ) -> dict[str, Any]:
        message = {
            "transaction_id": transaction_id,
            "transaction_reference": reference,
            "amount": amount,
        }
        return self._with_cipher(message, wish)

    def _with_cipher(self, message: Mapping[str, Any], wish: Mapping[str, Any]) -> dict[str, Any]:
        """The message as it is wished; its cipher is right unless another one is wished."""
        now = {"timestamp": int(time.time())}
        fields = changed({**message, **now}, wish)
        words = (self._settings["words_first"], self._settings["words_last"])
        right = cipher_of(fields.get("timestamp", ""), fields.get("amount", ""), words)
        return changed({**fields, "cipher": right}, wish)

    def _send(
        self, talk: Talk, name: str, message: Mapping[str, Any], wish: Mapping[str, Any]
    ) -> tuple[int | None, str]:
        headers = {
            "Content-Type": "application/json",
            "Authorization": f"Bearer {wish.get('token', self._settings['token'])}",
        }
        return talk.call(name, self._settings[f"{name}_url"], json.dumps(message).encode(), headers)


def made_up() -> dict[str, str]:
    """What company and provider agreed on, made up."""
    return {
        "token": secrets.token_urlsafe(32),
        "words_first": "Inensus",
        "words_last": "Swifta",
        "currency": "KES",
    }


def secret(given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the channel's secret. Nobody calls ``base_url``."""
    return {
        "tokens": [given["token"]],
        "words": [given["words_first"], given["words_last"]],
        "addresses": ["127.0.0.1"],
        "currency": given["currency"],
    }


def cipher_of(moment: Any, amount: Any, words: tuple[str, str]) -> str:
    """The ``cipher`` of a message with that timestamp and amount."""
    text = f"{words[0]}{moment}{amount}{words[1]}"
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - the vendor's choice


def _reference() -> str:
    return f"SW{secrets.randbelow(10**10):010}"


def _validated(status: int | None, said: str) -> str | None:
    """The company's id of the payment, where it wants the payment and says all that it must."""
    try:
        answer = json.loads(said)
    except ValueError:
        return None
    if status != 200 or not isinstance(answer, dict) or not set(answer) >= _VALIDATED:
        return None
    return str(answer["transaction_id"]) if answer["success"] == 1 else None
