"""Airtel Money Tanzania: a customer has paid our business number, and Airtel tells us.

The money has moved when we hear of it, so nothing can be refused: what has no valid serial is given
back by a command of ours (``ROLLBACK``), in full. Airtel signs nothing. It shows who it is by a
secret part of the path, its address, and a user with a password in the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.asking import SECONDS_MAX, note_of, send
from chalicelib.channels.callers import (
    Intruder,
    check_address,
    check_path,
    is_one_of,
    note_failure,
    note_intruder,
)
from chalicelib.channels.configuration import WEB_ADDRESS, Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    shown,
    texts,
)
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.xml_bodies import XML, UnreadableXml, child_of, read_xml, texts_of, written
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Claim, Payment, Refund
from chalicelib.runtime.one_call import Answer
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import searched_phone
from chalicelib.services.ports import (
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    RecoveryClass,
    RefundTaken,
    RefusalClass,
)

KEY = "airtel_tz"
SECRET = "channels/airtel_tz"  # noqa: S105 - the name of a secret, not a secret

DONE, ALREADY_DONE = "200", "409"
"""What a rollback is answered that has given the money back, now or before."""

_BUSINESS_NUMBER = re.compile(r"[A-Za-z0-9]{1,20}")
_TRANSACTION = re.compile(r"[A-Za-z0-9._-]{1,40}")
_NO = re.compile(r"4[0-9]{2}")
_SHOWN_LENGTH_MAX = 60


class WrongPassword(Intruder):
    """User or password are missing, or none of the live ones."""

    code = "wrong_password"


class WrongBusinessNumber(MwangaError):
    """The money is said to have fallen into a pot that is not ours."""

    code = "wrong_business_number"


# --- the endpoint -----------------------------------------------------------------------------


def payment(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Airtel's word that money has moved. It is stored whatever its serial.

    A transaction that comes again with another amount or serial is recorded and answered with
    success: sending it once more would change nothing, a person must look.
    """
    told: Mapping[str, str] = {}
    try:
        secret = Configuration(SECRET, desk.secret(SECRET))
        check_path(request, secret.texts("path_secrets"))
        check_address(request, secret.networks())
        fields = texts_of(read_xml(request.body))
        _check_password(fields, secret)
        told = fields
        desk.accept(_claim(told, secret), money_moved=True)
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _answer(intruder.status, told, "Rejected")
    except ReferenceConflict as conflict:
        note_failure(conflict, KEY, desk)
    except (Unreadable, UnreadableXml, UnusableAmount, WrongBusinessNumber) as wrong:
        note_failure(wrong, KEY, desk)
        return _answer(400, told, "Rejected")
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _answer(503, told, "Try again")
    return _answer(200, told, "Received")


def make(secrets: Callable[[str], Mapping[str, Any]]) -> AirtelProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return AirtelProvider(secrets)


_FIELDS = ("APIUser", "APIPassword", "BusinessNumber", "TransID", "Amount", "ReferenceField")
_FIELDS_OPTIONAL = ("INTERFACEID", "Msisdn", "TRID")
_ANSWER = texts(
    *("TYPE", "TXNID", "TXNSTATUS", "ReferenceField", "MESSAGE", "TransID", "Msisdn"),
    open_ended=False,
)

CHANNEL = Channel(
    key=KEY,
    name="Airtel Money Tanzania",
    refusal_class=RefusalClass.TOLD_AFTER,
    pots=lambda content: (_source(Configuration(SECRET, content)),),
    endpoints=(
        Endpoint(
            "airtel_tz_payment",
            "POST",
            "/payments/airtel_tz/{path_secret}",
            payment,
            Described(
                proof="An unguessable part of the path, an address of the provider's, and a user "
                "with a password in the message.",
                body=texts(*_FIELDS, optional=_FIELDS_OPTIONAL),
                answers=dict.fromkeys((200, 400, 401, 403, 404, 503), _ANSWER),
                media_type="text/xml",
            ),
        ),
    ),
    stated=Stated(
        countries="Tanzania",
        direction="tells us afterwards",
        caller="secret path, list of addresses, user and password in the message",
        repeated="`TransID`",
        serial="`ReferenceField`",
        amounts="shillings, as a text",
        retries="not documented",
        reversal="ROLLBACK, whole; an unclear answer comes to a person",
        confirmed="statements only",
        unverified=(
            "what a ROLLBACK is answered, and whether a second one is harmless",
            "what `TRID` of a ROLLBACK may hold",
            "whether a report that we answer with an error is repeated",
        ),
    ),
    can_refund=True,
)


def _answer(status: int, told: Mapping[str, str], message: str) -> ProviderAnswer:
    """What Airtel is answered: its own names of the payment, and what became of it."""
    transaction, serial, phone = (
        shown(told.get(name, ""), _SHOWN_LENGTH_MAX)
        for name in ("TransID", "ReferenceField", "Msisdn")
    )
    fields = {
        "TYPE": "CMPRRES",
        "TXNID": transaction,
        "TXNSTATUS": status,
        "ReferenceField": serial,
        "MESSAGE": message,
        "TransID": transaction,
        "Msisdn": phone,
    }
    return ProviderAnswer(status, written("Response", fields), content_type=XML)


# --- what is said -----------------------------------------------------------------------------


def _check_password(told: Mapping[str, str], secret: Configuration) -> None:
    """That the message names one of the users, with a live password of theirs.

    Raises:
        WrongPassword: it does not.
    """
    users = secret.part("users")
    user, password = told.get("APIUser", ""), told.get("APIPassword", "")
    fits = [
        is_one_of(user, [name]) & is_one_of(password, users.texts(name)) for name in users.names()
    ]
    if not any(fits):
        raise WrongPassword


def _source(secret: Configuration) -> str:
    """The pot into which the money falls."""
    return f"{KEY}.{_business_number(secret)}"


def _business_number(secret: Configuration) -> str:
    return secret.text("business_number", _BUSINESS_NUMBER)


def _claim(told: Mapping[str, str], secret: Configuration) -> Claim:
    """What Airtel says of the payment.

    Raises:
        WrongBusinessNumber, Unreadable, UnusableAmount: see there.
    """
    business_number = _business_number(secret)
    if told.get("BusinessNumber") != business_number:
        raise WrongBusinessNumber
    transaction = told.get("TransID", "")
    if _TRANSACTION.fullmatch(transaction) is None:
        raise Unreadable("TransID")
    currency = secret.currency()
    return Claim(
        channel=KEY,
        source=_source(secret),
        transaction=transaction,
        reference=transaction,
        serial_number=claimed_serial(told.get("ReferenceField", "")),
        amount_minor=amount_minor(told.get("Amount"), currency),
        currency=currency.code,
        payer_phone=searched_phone(told.get("Msisdn", ""), "TZ"),
        known_as={"trid": shown(told.get("TRID", ""), _SHOWN_LENGTH_MAX)},
        proven=False,
    )


# --- what we ask ----------------------------------------------------------------------------------


class AirtelProvider:
    """Commands Airtel to give a payment back.

    The command names Airtel's transaction, but nobody has written down that a second one for it
    is harmless. So an unclear answer is for a person.
    """

    timeout_seconds: int = SECONDS_MAX
    refund_recovery: RecoveryClass = RecoveryClass.OPAQUE
    refund_absent_after_seconds: int = 0
    full_refunds_only: bool = True

    def __init__(self, secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._secrets = secrets

    def verify(self, payment: Payment) -> Paid | None:
        """Airtel cannot be asked about a payment.

        Raises:
            ProviderUncertain: always.
        """
        raise ProviderUncertain("Airtel cannot be asked")

    def refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Command the rollback of a whole payment.

        Raises:
            ProviderRefused: not the whole of it (nothing was sent), or an answer that says no.
            ProviderUnreachable, ProviderUncertain, SecretMissing: see there.
        """
        if refund.amount_minor != payment.amount_minor:
            raise ProviderRefused("full_refunds_only")
        command = {
            "TYPE": "ROLLBACK",
            "TXNID": payment.reference,
            "TRID": note_of(payment, refund),
            "MESSAGE": "No such device",
        }
        answer = send(
            "POST",
            Configuration(SECRET, self._secrets(SECRET)).text("rollback_url", WEB_ADDRESS),
            {"Content-Type": XML, "Accept": "text/xml, application/xml"},
            written("COMMAND", command).encode(),
        )
        return _taken(answer)

    def look_up_refund(self, payment: Payment, refund: Refund) -> RefundTaken:
        """Airtel cannot be asked about a rollback.

        Raises:
            ProviderUncertain: always.
        """
        raise ProviderUncertain("Airtel cannot be asked")


def _taken(answer: Answer) -> RefundTaken:
    """What the answer to a rollback means.

    Raises:
        ProviderRefused: it is a clear no.
        ProviderUncertain: nothing follows from it.
    """
    is_success = 200 <= answer.status < 300
    if not is_success and not 400 <= answer.status < 500:
        raise ProviderUncertain(f"HTTP status {answer.status}")
    status = _transaction_status(answer)
    if status == ALREADY_DONE or (is_success and status == DONE):
        return RefundTaken(done=True)
    if _NO.fullmatch(status):
        raise ProviderRefused(f"rollback_{status}")
    raise ProviderUncertain(f"HTTP status {answer.status}: no clear answer to a rollback")


def _transaction_status(answer: Answer) -> str:
    """What an answer says became of the transaction; empty where it does not say so."""
    try:
        status = child_of(read_xml(answer.body), "TXNSTATUS")
    except UnreadableXml:
        return ""
    return "" if status is None else (status.text or "").strip()
