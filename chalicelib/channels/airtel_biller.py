"""Airtel Money for billers: Airtel asks us first, then tells us that the money has moved.

Its second message names the payment, but neither serial nor amount. So a yes to the question is
remembered as a ``pending`` payment; one whose money never moves expires with time.

Airtel signs nothing. It shows a bearer token that we gave it. Everything is answered with HTTP 200:
what became of it stands in the body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.callers import Intruder, check_bearer, note_failure, note_intruder
from chalicelib.channels.configuration import Configuration
from chalicelib.channels.interface import Channel, Described, Desk, Endpoint, Schema, Stated, texts
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.xml_bodies import XML, UnreadableXml, read_xml, texts_of, written
from chalicelib.domain.errors import MwangaError, Refusal, Refused
from chalicelib.domain.payment import Claim, Payment, Status, claim_hash, payment_id_of
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import searched_phone
from chalicelib.services.ports import Paid, ProviderAnswer, ProviderRequest, RefusalClass

KEY = "airtel_biller"
SECRET = "channels/airtel_biller"  # noqa: S105 - the name of a secret, not a secret

NO, NOT_KNOWN = 400, 503
"""The ``STATUS`` of what is refused, and of what should be sent again."""

_REFERENCE = re.compile(r"[A-Za-z0-9._-]{1,40}")


class NotAgreed(MwangaError):
    """We have not said yes to that payment, or to another one under its reference."""

    code = "not_agreed"


Fields = Mapping[str, str]
Work = Callable[[Fields, Desk], Mapping[str, object]]


# --- the endpoints ----------------------------------------------------------------------------


def validation(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Airtel's question before money moves: yes, or why not.

    Where we cannot tell, the answer is no: a yes would take money that nobody could give back.
    """
    return _answered(request, desk, _agreed, not_known=NO)


def process(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Airtel's word that the money has moved for a payment to which we said yes.

    A second one for another transaction is recorded and answered with success: sending it once
    more would change nothing, a person must look.
    """
    return _answered(request, desk, _paid)


def enquiry(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """What became of a payment, by our own name for it."""
    return _answered(request, desk, _told)


def _answered(
    request: ProviderRequest, desk: Desk, work: Work, not_known: int = NOT_KNOWN
) -> ProviderAnswer:
    """The answer to any of Airtel's messages."""
    try:
        check_bearer(request, _secret(desk).texts("tokens"))
        return _answer(200, work(texts_of(read_xml(request.body)), desk))
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _answer(401, {"MESSAGE": "Unauthorized"})
    except Refused as refused:
        return _answer(NO, {"MESSAGE": refused.code})
    except (Unreadable, UnreadableXml, UnusableAmount, NotAgreed) as wrong:
        note_failure(wrong, KEY, desk)
        return _answer(NO, {"MESSAGE": wrong.code})
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _answer(not_known, {"MESSAGE": "try_again"})


def _answer(status: int, content: Mapping[str, object]) -> ProviderAnswer:
    return ProviderAnswer(200, written("COMMAND", {"STATUS": status, **content}), content_type=XML)


def _described(*fields: str, answered: tuple[str, ...] = ()) -> Described:
    answer: Schema = texts("STATUS", "MESSAGE", optional=answered, open_ended=False)
    return Described(
        proof="A bearer token that we gave to the provider.",
        proof_headers={"Authorization": "`Bearer` and the token."},
        body=texts(*fields),
        answers={200: answer},
        media_type="text/xml",
    )


CHANNEL = Channel(
    key=KEY,
    name="Airtel Money (biller)",
    refusal_class=RefusalClass.ASKS_FIRST,
    endpoints=(
        Endpoint(
            "airtel_biller_validation",
            "POST",
            "/payments/airtel_biller/validation",
            validation,
            _described("REFERENCE", "REFERENCE1", "AMOUNT", "CUSTOMERMSISDN"),
        ),
        Endpoint(
            "airtel_biller_process",
            "POST",
            "/payments/airtel_biller/process",
            process,
            _described("REFERENCE1", "REFERENCE2", answered=("TXNID",)),
        ),
        Endpoint(
            "airtel_biller_enquiry",
            "POST",
            "/payments/airtel_biller/enquiry",
            enquiry,
            _described("TXNID", answered=("REF",)),
        ),
    ),
    stated=Stated(
        countries="Tanzania, Uganda and others",
        direction="asks us, then tells us",
        caller="a bearer token of ours",
        repeated="`REFERENCE1`; `REFERENCE2` names the money",
        serial="`REFERENCE`",
        amounts="major units, as a text",
        retries="not documented",
        reversal="none",
        confirmed="statements only; Airtel may ask us",
        unverified=(
            "the form of every message: no public document describes it",
            "whether a `process` that we answer with an error is repeated",
            "what `REF` of an enquiry should name",
        ),
    ),
)


# --- the question -------------------------------------------------------------------------------


def _agreed(fields: Fields, desk: Desk) -> Mapping[str, object]:
    """Say yes, and remember to what; once for each reference.

    Raises:
        Refused: see there.
        NotAgreed: the reference is taken: by another payment, or by one that has ended.
        Unreadable, UnusableAmount, TryAgain, OutcomeUnknown: see there.
    """
    claim = _claim(fields, desk)
    payment_id = payment_id_of(claim.source, claim.transaction)
    known = desk.payment(payment_id)
    if known is None or known.status is Status.REFUSED:
        refusal = desk.question(claim)
        if refusal is not None:
            raise Refused(refusal)
        known = _started(claim, desk)
    if known.status is not Status.PENDING or known.claim_hash != claim_hash(claim):
        raise NotAgreed("REFERENCE1 is taken")
    return {"MESSAGE": "Success"}


def _started(claim: Claim, desk: Desk) -> Payment:
    """The payment to which we say yes; or the one that stands under its reference already."""
    try:
        started = desk.start(claim)
    except ReferenceConflict as conflict:  # Airtel asks twice at once, or asks again after our no
        known = desk.payment(payment_id_of(claim.source, claim.transaction))
        if known is None:
            raise NotAgreed("REFERENCE1 is taken") from conflict
        return known
    if isinstance(started, Refusal):
        raise Refused(started)
    return started


def _claim(fields: Fields, desk: Desk) -> Claim:
    """What is asked about.

    Raises:
        Unreadable, UnusableAmount: see there.
    """
    currency = _secret(desk).currency()
    reference = _reference(fields, "REFERENCE1")
    return Claim(
        channel=KEY,
        source=KEY,
        transaction=reference,
        reference=reference,
        serial_number=claimed_serial(fields.get("REFERENCE", "")),
        amount_minor=amount_minor(fields.get("AMOUNT"), currency),
        currency=currency.code,
        payer_phone=searched_phone(fields.get("CUSTOMERMSISDN", ""), desk.settings().country),
        proven=False,
    )


# --- the money ----------------------------------------------------------------------------------


def _paid(fields: Fields, desk: Desk) -> Mapping[str, object]:
    """The money has moved for the payment that the first reference names.

    Raises:
        NotAgreed: we have not said yes to it.
        Unreadable, TryAgain, OutcomeUnknown: see there.
    """
    receipt = _reference(fields, "REFERENCE2")
    payment_id = payment_id_of(KEY, _reference(fields, "REFERENCE1"))
    agreed = desk.payment(payment_id)
    if agreed is None or agreed.status is Status.REFUSED:
        raise NotAgreed(payment_id)
    paid = Paid(receipt, agreed.amount_minor, agreed.currency, proven=False)
    try:
        desk.paid(payment_id, paid)
    except ReferenceConflict as conflict:
        note_failure(conflict, KEY, desk)
    return {"MESSAGE": "Success", "TXNID": payment_id}


def _told(fields: Fields, desk: Desk) -> Mapping[str, object]:
    """What became of a payment.

    Raises:
        NotAgreed: we know none of that id here.
    """
    source, _, reference = fields.get("TXNID", "").partition("-")
    if source != KEY or _REFERENCE.fullmatch(reference) is None:
        raise NotAgreed("TXNID")
    payment = desk.payment(payment_id_of(KEY, reference))
    if payment is None:
        raise NotAgreed("TXNID")
    return {"MESSAGE": _outcome(payment), "REF": payment.reference}


def _outcome(payment: Payment) -> str:
    """Whether the money is with us. Where it is, it is a success, whatever we do with it."""
    if payment.receipt is not None:
        return "Success"
    return "Failed" if payment.status in (Status.REFUSED, Status.EXPIRED) else "Pending"


# --- what is said -------------------------------------------------------------------------------


def _secret(desk: Desk) -> Configuration:
    return Configuration(SECRET, desk.secret(SECRET))


def _reference(fields: Fields, name: str) -> str:
    """One of Airtel's ids.

    Raises:
        Unreadable: it is none.
    """
    reference = fields.get(name, "")
    if _REFERENCE.fullmatch(reference) is None:
        raise Unreadable(name)
    return reference
