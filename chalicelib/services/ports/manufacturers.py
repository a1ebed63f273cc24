"""What a manufacturer is, and what its module offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Vend
from chalicelib.services.ports.records import Device

if TYPE_CHECKING:
    from typing_extensions import TypeIs


class RecoveryClass(StrEnum):
    """What may be done after an uncertain answer of a manufacturer."""

    REPEATABLE = "repeatable"
    SEARCHABLE = "searchable"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Manufacturer:
    """What one manufacturer module states about itself, as data.

    ``rules`` maps what it vends to its step and limit; ``local`` manufacturers compute tokens
    (``Issuer``), the others are called (``Vendor``). ``timeout_seconds`` bounds one call.
    """

    key: str
    manufacturer_id: int
    name: str
    kind: Kind
    recovery: RecoveryClass
    rules: Mapping[VendKind, VendRules]
    local: bool
    timeout_seconds: int = 0
    technical_required: bool = False


class VendRefused(MwangaError):
    """The manufacturer definitely vended nothing, and said why. ``code`` is its own."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class VendorUnreachable(MwangaError):
    """The manufacturer was certainly not reached, so it may be asked again."""

    code = "vendor_unreachable"


class VendUncertain(MwangaError):
    """Nobody knows whether the manufacturer vended. Never a blind second vend."""

    code = "vend_uncertain"


@dataclass(frozen=True, slots=True)
class Issued:
    """A token computed locally: ``count`` is the counter after it."""

    value: str
    count: int


class Issuer(Protocol):
    """A manufacturer whose tokens are computed here, inside the settlement. Pure."""

    manufacturer: Manufacturer

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Step and limit for that very device (its value divider counts)."""

    def issue(self, device: Device, kind: VendKind, units: Fraction | None, count: int) -> Issued:
        """The token that follows ``count``. The same input always gives the same token."""

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """Check what an operator entered and seal its secrets: what to store, and the counter.

        Raises:
            FieldError: with a path below ``technical``.
        """


class Vendor(Protocol):
    """A manufacturer that is called over the network."""

    manufacturer: Manufacturer

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Step and limit for that device."""

    def vend(self, payment_id: str, vend: Vend) -> str | None:
        """Ask for one token; one network call, no retry inside. ``None`` for a remote top-up.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain: see there.
            SecretMissing: the credentials are not configured; nothing was sent.
        """

    def look_up(self, payment_id: str, vend: Vend) -> str | None:
        """Find out what became of an uncertain vend (searchable manufacturers only).

        Raises:
            VendRefused: it is surely absent. VendUncertain: it cannot be told.
        """

    def token(self, text: str) -> str:
        """The token that a person typed in, in the form this manufacturer issues.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """As ``Issuer.seal``; the counter is 0 where there is none."""


def issues_tokens(module: Issuer | Vendor) -> TypeIs[Issuer]:
    """Whether the module computes its tokens here; otherwise its manufacturer is called."""
    return module.manufacturer.local


class Manufacturers(Protocol):
    """The registry."""

    def all(self) -> Sequence[Manufacturer]:
        """What every known manufacturer states, by id."""

    def get(self, key: str) -> Issuer | Vendor:
        """The module of that key.

        Raises:
            KeyError: unknown.
        """
