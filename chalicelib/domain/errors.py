"""What can be wrong with a request or a rule, one type per thing.

Every error has a stable ``code``; the edge turns codes into HTTP answers.
"""

from __future__ import annotations

from enum import StrEnum


class Refusal(StrEnum):
    """Why a payment is refused, in the order in which the checks are made."""

    PAUSED = "paused"
    INVALID_AMOUNT = "invalid_amount"
    WRONG_CURRENCY = "wrong_currency"
    UNKNOWN_DEVICE = "unknown_device"
    DEVICE_UNASSIGNED = "device_unassigned"
    NO_TARIFF = "no_tariff"
    NO_PLAN = "no_plan"
    NOTHING_TO_PAY = "nothing_to_pay"
    TOO_SMALL = "too_small"


class MwangaError(Exception):
    """Base of every error that our own code raises on purpose."""

    code = "error"

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.code)
        self.detail = detail or self.code


class Refused(MwangaError):
    """The payment is refused; no money may move (or, where it has, it must go back)."""

    def __init__(self, refusal: Refusal, detail: str = "") -> None:
        self.refusal = refusal
        self.code = refusal.value
        super().__init__(detail or refusal.value)


class FieldError(MwangaError):
    """One field of a request cannot be accepted. ``field`` is a dotted path."""

    code = "invalid"

    def __init__(self, field: str, message: str, code: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.code = code


class InvalidSerial(FieldError):
    """The text cannot be a serial number."""

    def __init__(self, field: str = "serial_number") -> None:
        super().__init__(field, "1 to 40 of A-Z 0-9 . _ / (spaces and dashes are ignored)")


class InvalidAmount(FieldError):
    """The text is not an amount of the company's currency, or is not above zero, or too large."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(field, message, code="invalid_amount")


class InvalidPlan(FieldError):
    """The terms of a plan contradict each other."""


class AccountFull(MwangaError):
    """An account holds at most 100 devices and 50 open plans."""

    code = "account_full"


class DeviceHasOpenPlan(MwangaError):
    """The device's plan must end before the device can be sold or moved."""

    code = "device_has_open_plan"


class InvariantBroken(MwangaError):
    """Money would be lost, doubled or invented: nothing may be written. Always a bug."""

    code = "invariant_broken"
