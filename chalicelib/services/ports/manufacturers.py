"""What a manufacturer is, and what its module offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.domain.account import Kind
from chalicelib.domain.allocation import VendKind, VendRules
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.money import Currency
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

    ``technical_required``: its devices have technical fields, and a vend needs those of its
    device. ``absolute``: it is told until when a device is to run, not for how many days more, so
    the last word must be the latest date. ``one_at_a_time``: its purchases are told apart by
    device, amount and time alone, so a device has one vend in flight at most. ``switched``: its
    devices run until they are told to stop, so they are looked at when their paid time ends.
    ``tells_serials``: it can be asked whether a serial number is known to it. ``checkable``: it
    can be asked something that sells nothing; ``checked_by_device``: about a device only.
    ``keeps_tariffs``: it has tariffs of its own, and can be told ours.
    ``absent_after_seconds``: so long after a call, a vend that a search does not find was surely
    not made (searchable manufacturers). ``demo``: its devices are not real.

    For people to read: ``authentication`` is how it knows us, ``remote`` says that what it sells
    reaches the device without a token, ``unverified`` is what nobody has confirmed with it yet.
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
    absolute: bool = False
    one_at_a_time: bool = False
    absent_after_seconds: int = 0
    switched: bool = False
    tells_serials: bool = False
    checkable: bool = False
    checked_by_device: bool = False
    keeps_tariffs: bool = False
    demo: bool = False
    authentication: str = "none: computed here"
    remote: bool = False
    unverified: tuple[str, ...] = ()

    def lacks(self, technical: Mapping[str, Any]) -> bool:
        """Whether a device needs technical fields for its vends and these are none."""
        return self.technical_required and not technical


class VendRefused(MwangaError):
    """The manufacturer definitely vended nothing, and said why. ``code`` is its own."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(detail or code)
        self.code = code


class SealBroken(MwangaError):
    """A sealed secret was changed, belongs to another device, or was never one."""

    code = "seal_broken"


class VendorUnreachable(MwangaError):
    """The manufacturer was certainly not reached, so it may be asked again."""

    code = "vendor_unreachable"


class VendUncertain(MwangaError):
    """Nobody knows whether the manufacturer vended. Never a blind second vend.

    ``seen`` is what was read of the device before the call, where a search needs it: it becomes
    the vend's ``reference``.
    """

    code = "vend_uncertain"

    def __init__(self, detail: str = "", seen: str | None = None) -> None:
        super().__init__(detail)
        self.seen = seen


class VendorSilent(VendUncertain):
    """No whole answer came, or one that only a broken server gives.

    It counts against the manufacturer in its circuit. Any other uncertain answer came from one
    that works, whatever it may mean.
    """

    code = "vendor_silent"


class VendAbsent(MwangaError):
    """A search was answered, and what it looked for is not there (yet)."""

    code = "vend_absent"


@dataclass(frozen=True, slots=True)
class VendOrder:
    """What a manufacturer is asked for: one vend of one payment.

    ``currency`` is that of ``vend.cost_minor``, for manufacturers that take money. ``technical``
    is what is stored of the device, where the manufacturer states that a vend needs it.
    ``known_tokens`` are those that this device was given before, ``known_references`` what the
    manufacturer calls its other sales to this owner (in a search only): a purchase that brought
    one of them is not the one that is looked for.
    """

    payment_id: str
    vend: Vend
    currency: Currency
    technical: Mapping[str, Any] = field(default_factory=dict)
    known_tokens: frozenset[str] = frozenset()
    known_references: frozenset[str] = frozenset()

    @property
    def external_id(self) -> str:
        """Our name for this vend where a manufacturer takes one: no two vends have the same."""
        return f"{self.payment_id}.{self.vend.number}"


@dataclass(frozen=True, slots=True)
class Sold:
    """What a manufacturer has sold.

    ``value`` is the token, ``None`` for a remote top-up; ``before`` are tokens that must be typed
    in before it, in that order. ``reference`` is the manufacturer's own name for the sale,
    ``units`` what it says it gave, where it says so. ``delivered`` is false while the device does
    not have it yet: ``look_up`` tells when it does.
    """

    value: str | None = None
    reference: str | None = None
    units: Fraction | None = None
    delivered: bool = True
    before: tuple[str, ...] = ()


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

    def reveal(self, device: Device) -> Mapping[str, Any]:
        """What was entered for a device, secrets in the open: what ``seal`` takes, less a count.

        Raises:
            SecretMissing: the key that sealed them is not there now.
            SealBroken: they do not open.
        """


class Vendor(Protocol):
    """A manufacturer that is called over the network."""

    manufacturer: Manufacturer

    def rules(self, device: Device, kind: VendKind) -> VendRules:
        """Step and limit for that device."""

    def vend(self, order: VendOrder) -> Sold:
        """Ask for one vend; one network call, no retry inside.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, VendorSilent: see there.
            SecretMissing: the credentials are not configured; nothing was sent.
        """

    def look_up(self, order: VendOrder) -> Sold:
        """Find out what became of a vend that was called (searchable manufacturers only).

        ``vend.reference`` is what the manufacturer called it, if it said so; ``vend.called_at``
        is when it was called.

        Raises:
            VendAbsent: the manufacturer knows of no such sale (yet).
            VendRefused: it says that nothing was given, for good.
            VendorUnreachable, VendUncertain, VendorSilent, SecretMissing: it cannot be told now.
        """

    def token(self, text: str | None) -> str | None:
        """The token that a person typed in, in the form this manufacturer issues.

        ``None`` for a remote top-up, which has none.

        Raises:
            FieldError: it cannot be a token of this manufacturer.
        """

    def seal(
        self, serial_number: str, technical: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], int]:
        """As ``Issuer.seal``; the counter is 0 where there is none."""

    def reveal(self, device: Device) -> Mapping[str, Any]:
        """As ``Issuer.reveal``."""


class Switcher(Vendor, Protocol):
    """A vendor whose devices run until they are switched off (``switched``)."""

    def switch(self, serial_number: str, *, on: bool) -> bool:
        """Switch the device on or off, which may be repeated; whether it is seen to be so.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, VendorSilent, SecretMissing: as
                ``vend``.
        """


class Directory(Vendor, Protocol):
    """A vendor that can be asked whether a serial number is known to it (``tells_serials``)."""

    def knows(self, serial_number: str) -> bool:
        """Whether the vendor has a device of that serial number for us. Asking has no effect.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, SecretMissing: it cannot be told now.
        """


class TariffKept(StrEnum):
    """What became of one tariff at a manufacturer."""

    ADDED = "added"
    CHANGED = "changed"
    SAME = "same"


class TariffKeeper(Vendor, Protocol):
    """A vendor that keeps tariffs of its own (``keeps_tariffs``)."""

    def keep_tariffs(self, prices: Mapping[str, str]) -> Mapping[str, TariffKept]:
        """Have those tariffs there with those prices of a kWh (decimal texts in major units).

        Those that are there beside them stay. To repeat it changes nothing more.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, SecretMissing: a part of it is done.
        """


def keeps_tariffs(module: Issuer | Vendor) -> TypeIs[TariffKeeper]:
    """Whether the module's manufacturer can be told our tariffs."""
    return module.manufacturer.keeps_tariffs


class Checkable(Vendor, Protocol):
    """A vendor that can be asked something that sells nothing (``checkable``)."""

    def check(self, serial_number: str) -> None:
        """Ask it, with our credentials, about that device where it needs one.

        A session that was kept from before does not count.

        Raises:
            VendRefused, VendorUnreachable, VendUncertain, SecretMissing: what is wrong.
        """


def can_be_checked(module: Issuer | Vendor) -> TypeIs[Checkable]:
    """Whether the module's manufacturer can be asked something that sells nothing."""
    return module.manufacturer.checkable


def tells_serials(module: Issuer | Vendor) -> TypeIs[Directory]:
    """Whether the module's manufacturer can be asked for serial numbers."""
    return module.manufacturer.tells_serials


def is_switched(module: Issuer | Vendor) -> TypeIs[Switcher]:
    """Whether the module's devices run until they are switched off."""
    return module.manufacturer.switched


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
