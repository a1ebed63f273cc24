"""A small company in the emulated AWS, made through the store as the registration would make it.

Prices are 100 per kWh; sums are written in major units and turned into minor ones by ``kes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

from chalicelib.domain.account import Account, DeviceAccount, Kind, Tenure
from chalicelib.domain.payment import Claim
from chalicelib.domain.plan import Plan, Terms, make_plan
from chalicelib.domain.tariff import AccessRate, Rate
from chalicelib.services.ports import (
    Customer,
    Device,
    Entry,
    Registration,
    SettingsChange,
    SiteKind,
)
from chalicelib.store.customers import DynamoRegistry
from chalicelib.store.sites import DynamoSites
from chalicelib.store.tariffs import DynamoTariffs
from chalicelib.wiring import Wiring

NOW = datetime(2026, 3, 10, 9, 0, tzinfo=UTC)
TODAY = date(2026, 3, 10)
KEY = "bc41ec9530f6dac86b1a29ab82edc5fb"
STARTING_CODE = 516959010
METER, SHS, BIKE = "47001", "SHS1", "BIKE1"
AT_SPARKMETER = "0a1b2c3d-0000-4000-8000-000000000001"

ORDINARY = {Kind.METER: "calin", Kind.SHS: "openpaygo", Kind.E_BIKE: "openpaygo_ebike"}
"""Who makes a device of which nothing else is said."""

TECHNICAL: Mapping[str, Mapping[str, object]] = {
    "openpaygo": {"secret_key": KEY, "starting_code": STARTING_CODE, "count": 1},
    "openpaygo_ebike": {"secret_key": KEY, "starting_code": STARTING_CODE, "count": 1},
    "sparkmeter": {"customer_id": AT_SPARKMETER},
    "steama": {"customer_id": 777},
}
"""What the manufacturers that need something of a device are told."""


class FixedClock:
    """Stands still until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now

    def now(self) -> datetime:
        """The moment at which it stands."""
        return self._now

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self._now += by


def kes(major: int | str) -> int:
    """An amount in minor units."""
    return int(Fraction(major) * 100)


def plan(
    plan_id: str,
    total: int,
    *,
    instalments: int = 10,
    first_due: date = TODAY + timedelta(days=3),
    paid: int = 0,
    serial_number: str | None = None,
) -> Plan:
    """A weekly plan, sold long ago."""
    terms = Terms(
        total_minor=kes(total),
        every="week",
        first_due=first_due,
        instalments=instalments,
        already_paid_minor=kes(paid),
    )
    sold_at = NOW - timedelta(days=90)
    return make_plan(
        terms, plan_id=plan_id, name="TV", sold_at=sold_at, serial_number=serial_number
    )


class Company:
    """Sites, a tariff, and customers with devices, registered one by one."""

    def __init__(
        self, wiring: Wiring, village_id: int | None = None, tariff_id: int | None = None
    ) -> None:
        """Found it, unless its village and its tariff are there already."""
        self.wiring = wiring
        self.registry = DynamoRegistry()
        self._made_by: dict[str, str] = {}
        self.village_id = village_id or self._village()
        self.tariff_id = tariff_id or self.tariff("Home", fee=None)

    def choose(self, **choices: object) -> None:
        """Change settings of the company."""
        store = self.wiring.settings_store
        before = store.get()
        change = SettingsChange(before.revision + 1, NOW, "company", {})
        store.save(replace(before, **choices), change)

    def _village(self) -> int:
        self.choose(languages=("en",))
        sites = DynamoSites()
        cluster = sites.create(SiteKind.CLUSTER, "West")
        mini_grid = sites.create(SiteKind.MINI_GRID, "Lake", cluster.site_id)
        return sites.create(SiteKind.VILLAGE, "Kisumu", mini_grid.site_id).site_id

    def tariff(self, name: str, fee: int | None, price: int = 100) -> int:
        """A tariff made long ago; ``fee`` every seven days."""
        access_rate = AccessRate(kes(fee), 7) if fee else None
        rate = Rate(NOW - timedelta(days=400), Fraction(kes(price)), access_rate)
        return DynamoTariffs().create(name, rate).tariff_id

    def customer(
        self,
        *devices: DeviceAccount,
        plans: tuple[Plan, ...] = (),
        credit: int = 0,
        phone: str = "+254700000001",
    ) -> str:
        """A customer with those device records, as one registration per device; the id."""
        number = self.registry.next_number("customer")
        customer = Customer(f"C{number}", number, "Asha", "Mushi", phone, self.village_id)
        account = Account(customer.customer_id, credit_minor=kes(credit), plans=plans)
        for position, record in enumerate(devices):
            account = account.with_device(record).next_version()
            self.registry.register(
                Registration(
                    customer=customer,
                    new_customer=position == 0,
                    device=self._device(record, customer.customer_id),
                    account=account,
                    entry=Entry(
                        customer.customer_id, account.version, "registered", NOW, "test", "test"
                    ),
                )
            )
        return customer.customer_id

    def meter(
        self,
        serial_number: str = METER,
        tariff_id: int | None = None,
        manufacturer: str | None = None,
    ) -> DeviceAccount:
        """A meter under the ordinary tariff since 30 days ago."""
        tenure = Tenure(tariff_id or self.tariff_id, NOW - timedelta(days=30))
        record = DeviceAccount(serial_number, Kind.METER, tenures=(tenure,))
        return self._made(record, manufacturer)

    def shs(
        self,
        serial_number: str = SHS,
        plan_id: str | None = None,
        manufacturer: str | None = None,
    ) -> DeviceAccount:
        """A solar home system that has had no token yet."""
        counter = 1 if manufacturer is None else None
        record = DeviceAccount(serial_number, Kind.SHS, plan_id=plan_id, counter=counter)
        return self._made(record, manufacturer)

    def e_bike(
        self,
        serial_number: str = BIKE,
        plan_id: str | None = None,
        manufacturer: str | None = None,
    ) -> DeviceAccount:
        """An e-bike that has had no token yet."""
        counter = 1 if manufacturer is None else None
        record = DeviceAccount(serial_number, Kind.E_BIKE, plan_id=plan_id, counter=counter)
        return self._made(record, manufacturer)

    def _made(self, record: DeviceAccount, manufacturer: str | None) -> DeviceAccount:
        self._made_by[record.serial_number] = manufacturer or ORDINARY[record.kind]
        return record

    def _device(self, record: DeviceAccount, customer_id: str) -> Device:
        manufacturer = self._made_by.get(record.serial_number, ORDINARY[record.kind])
        device = Device(
            serial_number=record.serial_number,
            kind=record.kind,
            manufacturer=manufacturer,
            village_id=self.village_id,
            registered_on=TODAY - timedelta(days=30),
            customer_id=customer_id,
            tariff_id=record.tenures[-1].tariff_id if record.tenures else None,
        )
        if manufacturer not in TECHNICAL:
            return device
        module = self.wiring.manufacturers.get(manufacturer)
        sealed, _ = module.seal(record.serial_number, TECHNICAL[manufacturer])
        return replace(device, technical=sealed)


def claim(
    serial_number: str, amount: int | str, transaction: str = "T1", **changes: object
) -> Claim:
    """What a provider says: that sum was paid for that device."""
    base = Claim(
        channel="imported",
        source="mpesa_ke.600966",
        transaction=transaction,
        reference=transaction,
        serial_number=serial_number,
        amount_minor=kes(amount),
        currency="KES",
    )
    return replace(base, **changes)  # type: ignore[arg-type]
