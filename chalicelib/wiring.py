"""Wiring: the one module that knows concrete classes.

Each part is built once per process, on first use, so that a cold start pays only for what its
function needs. Channels, manufacturers and SMS gateways are named here by dotted path and loaded
when they are first asked for: a new one is one line in a registry below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from chalicelib.runtime import environment
from chalicelib.runtime.clock import SystemClock
from chalicelib.runtime.journal import StandardOutputJournal
from chalicelib.services.ports import FileFormat, SecretMissing

if TYPE_CHECKING:
    from chalicelib.channels.interface import Channel
    from chalicelib.runtime.secrets import Secrets
    from chalicelib.services.accept import Accept
    from chalicelib.services.account_view import ViewAccounts
    from chalicelib.services.agents import KeepAgents
    from chalicelib.services.appliances import KeepAppliances
    from chalicelib.services.ask_provider import AskProvider
    from chalicelib.services.breaker import Breaker
    from chalicelib.services.changes import ListChanges
    from chalicelib.services.check_manufacturers import CheckManufacturers
    from chalicelib.services.collect import Collect
    from chalicelib.services.company import KeepCompany
    from chalicelib.services.credit import RefundCredit
    from chalicelib.services.customer_statements import ShowStatements
    from chalicelib.services.customers import KeepCustomers
    from chalicelib.services.desk import Desk
    from chalicelib.services.device_actions import ActOnDevices
    from chalicelib.services.devices import KeepDevices
    from chalicelib.services.erasure import EraseCustomers
    from chalicelib.services.field_registrations import RegisterFromField
    from chalicelib.services.find_missing import FindMissing
    from chalicelib.services.find_payments import FindPayments
    from chalicelib.services.find_plans import FindPlans
    from chalicelib.services.notify import Notify
    from chalicelib.services.pauses import KeepPauses
    from chalicelib.services.personal_data import TellPersonalData
    from chalicelib.services.plan_changes import ChangePlans
    from chalicelib.services.plans import SellPlans
    from chalicelib.services.portfolio.exports import MoveOut
    from chalicelib.services.portfolio.imports import MoveIn
    from chalicelib.services.ports import (
        Accounts,
        Agents,
        Appliances,
        BusyDevices,
        Catalogue,
        Changes,
        Circuits,
        Clock,
        Customers,
        Devices,
        Entries,
        Exports,
        FieldRegistrations,
        Files,
        Holdings,
        Imports,
        Issuer,
        Journal,
        Manufacturer,
        Marks,
        Messages,
        PausesStore,
        Payments,
        Provider,
        Providers,
        Queues,
        Reconciliations,
        Registry,
        Reports,
        Sessions,
        SettingsStore,
        Sites,
        SmsGateway,
        Tariffs,
        Vendor,
        WholeTables,
        WrongTriesStore,
    )
    from chalicelib.services.reconcile import Reconcile
    from chalicelib.services.refund import GiveBack
    from chalicelib.services.register import Register
    from chalicelib.services.replacement import ReplaceDevices
    from chalicelib.services.reports.make import MakeReports
    from chalicelib.services.resolve import Resolve
    from chalicelib.services.review import ReviewRegistrations
    from chalicelib.services.settle import Settle
    from chalicelib.services.sites import KeepSites
    from chalicelib.services.staff import Identities, LogIn
    from chalicelib.services.statements import Statements
    from chalicelib.services.sweep import Sweep
    from chalicelib.services.switch import SwitchDevices
    from chalicelib.services.sync_tariffs import SyncTariffs
    from chalicelib.services.take_listed import TakeListed
    from chalicelib.services.tariffs import KeepTariffs
    from chalicelib.services.unlock import Unlock
    from chalicelib.services.vend import VendTokens
    from chalicelib.services.watch_open import WatchOpen

CHANNELS = (
    "chalicelib.channels.direct",
    "chalicelib.channels.daraja",
    "chalicelib.channels.daraja_stk",
    "chalicelib.channels.vodacom_tz",
    "chalicelib.channels.airtel_tz",
    "chalicelib.channels.airtel_biller",
    "chalicelib.channels.airtel",
    "chalicelib.channels.mtn_momo",
    "chalicelib.channels.vodacom_mz",
    "chalicelib.channels.vodacom_mz_c2b",
    "chalicelib.channels.paystack",
    "chalicelib.channels.flutterwave_v3",
    "chalicelib.channels.flutterwave_v4",
    "chalicelib.channels.pesapal",
    "chalicelib.channels.mesomb",
    "chalicelib.channels.wave_money",
    "chalicelib.channels.swifta",
    "chalicelib.channels.wavecom",
    "chalicelib.channels.sms_parser",
    "chalicelib.channels.imported",
    "chalicelib.channels.cash",
    "chalicelib.channels.agent",
)
"""The payment channels. Each module offers ``CHANNEL``, and ``make(secrets)`` where its provider
can be asked something."""

MANUFACTURERS = (
    "chalicelib.manufacturers.openpaygo",
    "chalicelib.manufacturers.calin",
    "chalicelib.manufacturers.calin_smart",
    "chalicelib.manufacturers.sparkmeter",
    "chalicelib.manufacturers.angaza",
    "chalicelib.manufacturers.gomelong",
    "chalicelib.manufacturers.gomelong_v1",
    "chalicelib.manufacturers.stron",
    "chalicelib.manufacturers.stron_v3",
    "chalicelib.manufacturers.microstar",
    "chalicelib.manufacturers.steama",
    "chalicelib.manufacturers.sunking",
    "chalicelib.manufacturers.spark_shs",
    "chalicelib.manufacturers.daly_bms",
    "chalicelib.manufacturers.chint",
    "chalicelib.manufacturers.demo",
)
"""The manufacturers' modules. Each offers ``MANUFACTURERS`` (data) and ``make(key, secrets)``."""

SMS_GATEWAYS = {
    "log": "chalicelib.sms.log",
}
"""The SMS gateways by key. Each module offers ``make()``."""


class ManufacturerRegistry:
    """The manufacturers' modules, each made when it is first asked for; those of devices that are
    not real only ``with_demos``."""

    def __init__(
        self,
        paths: Sequence[str],
        secrets: Callable[[str], Mapping[str, Any]],
        *,
        with_demos: bool,
    ) -> None:
        self._paths = paths
        self._secrets = secrets
        self._with_demos = with_demos
        self._made: dict[str, Issuer | Vendor] = {}

    @cached_property
    def _modules(self) -> dict[str, Any]:
        """The module of every key. Modules load their libraries only when they work."""
        modules = [import_module(path) for path in self._paths]
        return {
            m.key: module
            for module in modules
            for m in module.MANUFACTURERS
            if self._with_demos or not m.demo
        }

    def all(self) -> Sequence[Manufacturer]:
        """What every known manufacturer states, by id."""
        stated = {m.key: m for module in self._modules.values() for m in module.MANUFACTURERS}
        known = [stated[key] for key in self._modules]
        return sorted(known, key=lambda m: m.manufacturer_id)

    def get(self, key: str) -> Issuer | Vendor:
        """The module of that key.

        Raises:
            KeyError: unknown.
        """
        if key not in self._made:
            made: Issuer | Vendor = self._modules[key].make(key, self._secrets)
            self._made[key] = made
        return self._made[key]


class ProviderRegistry:
    """The providers that can be asked something: those of the channels that offer ``make``."""

    def __init__(self, paths: Sequence[str], secrets: Callable[[str], Mapping[str, Any]]) -> None:
        self._paths = paths
        self._secrets = secrets
        self._made: dict[str, Provider | None] = {}

    @cached_property
    def _modules(self) -> dict[str, Any]:
        modules = [import_module(path) for path in self._paths]
        return {module.CHANNEL.key: module for module in modules}

    def get(self, channel: str) -> Provider | None:
        """The provider of that channel; ``None`` where it offers no calls."""
        if channel not in self._made:
            make = getattr(self._modules.get(channel), "make", None)
            self._made[channel] = make(self._secrets) if make else None
        return self._made[channel]

    def listing(self) -> Sequence[str]:
        """The channels whose providers can be asked for all that was paid to us."""
        return [key for key, module in self._modules.items() if module.CHANNEL.lists_payments]

    def can_refund(self, channel: str) -> bool:
        """Whether money of that channel can go back through its provider."""
        module = self._modules.get(channel)
        return module is not None and bool(module.CHANNEL.can_refund)


class Wiring:
    """The parts of the system, each built once, on first use."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.release = environment.release()
        self.journal: Journal = StandardOutputJournal(
            environment.metrics_namespace(),
            stage=environment.stage(),
            function=environment.function_name(),
            release=self.release,
        )

    # --- the store ---------------------------------------------------------------------------

    @cached_property
    def payments(self) -> Payments:
        """Payments and their settlement; each step that one takes is told."""
        from chalicelib.services.told_payments import ToldPayments
        from chalicelib.store.payments import DynamoPayments

        return ToldPayments(DynamoPayments(), self.journal)

    @cached_property
    def accounts(self) -> Accounts:
        """Accounts and their changes."""
        from chalicelib.store.accounts import DynamoAccounts

        return DynamoAccounts()

    @cached_property
    def devices(self) -> Devices:
        """Devices by serial number."""
        from chalicelib.store.devices import DynamoDevices

        return DynamoDevices()

    @cached_property
    def customers(self) -> Customers:
        """Customers by id."""
        from chalicelib.store.customers import DynamoCustomers

        return DynamoCustomers()

    @cached_property
    def messages(self) -> Messages:
        """The SMS."""
        from chalicelib.store.messages import DynamoMessages

        return DynamoMessages()

    @cached_property
    def catalogue(self) -> Catalogue:
        """Reference data, cached."""
        from chalicelib.store.catalogue import DynamoCatalogue

        return DynamoCatalogue(self.settings_store, self.pauses_store, self.clock)

    @cached_property
    def pauses_store(self) -> PausesStore:
        """What is paused, not cached."""
        from chalicelib.store.pauses import DynamoPauses

        return DynamoPauses()

    @cached_property
    def settings_store(self) -> SettingsStore:
        """The company's settings, not cached."""
        from chalicelib.store.settings import DynamoSettings

        return DynamoSettings()

    @cached_property
    def registry(self) -> Registry:
        """Customers, devices and numbers, as the registration writes them."""
        from chalicelib.store.customers import DynamoRegistry

        return DynamoRegistry()

    @cached_property
    def field_registrations(self) -> FieldRegistrations:
        """Registrations that field staff posted."""
        from chalicelib.store.registrations import DynamoFieldRegistrations

        return DynamoFieldRegistrations()

    @cached_property
    def sites(self) -> Sites:
        """Clusters, mini-grids and villages."""
        from chalicelib.store.sites import DynamoSites

        return DynamoSites()

    @cached_property
    def tariffs(self) -> Tariffs:
        """Tariffs, not cached."""
        from chalicelib.store.tariffs import DynamoTariffs

        return DynamoTariffs()

    @cached_property
    def appliances(self) -> Appliances:
        """What is sold on plans."""
        from chalicelib.store.appliances import DynamoAppliances

        return DynamoAppliances()

    @cached_property
    def marks(self) -> Marks:
        """How far something was read."""
        from chalicelib.store.marks import DynamoMarks

        return DynamoMarks()

    @cached_property
    def agents(self) -> Agents:
        """How agents stand."""
        from chalicelib.store.agents import DynamoAgents

        return DynamoAgents()

    @cached_property
    def identities(self) -> Identities:
        """Who the staff are."""
        from chalicelib.identity.cognito import CognitoIdentities

        return CognitoIdentities()

    @cached_property
    def wrong_tries(self) -> WrongTriesStore:
        """Wrong tries at logging in."""
        from chalicelib.store.staff import DynamoWrongTries

        return DynamoWrongTries()

    @cached_property
    def sessions(self) -> Sessions:
        """Who is logged in."""
        from chalicelib.store.staff import DynamoSessions

        return DynamoSessions()

    @cached_property
    def changes(self) -> Changes:
        """Who changed what, of all that is no account."""
        from chalicelib.store.changes import DynamoChanges

        return DynamoChanges()

    @cached_property
    def entries(self) -> Entries:
        """Changes of accounts that are not payments."""
        from chalicelib.store.reconciliations import DynamoEntries

        return DynamoEntries()

    @cached_property
    def reconciliations(self) -> Reconciliations:
        """The reports of the proof of the books."""
        from chalicelib.store.reconciliations import DynamoReconciliations

        return DynamoReconciliations()

    @cached_property
    def queues(self) -> Queues:
        """The five queues."""
        from chalicelib.store.queues import SqsQueues

        return SqsQueues()

    @cached_property
    def holdings(self) -> Holdings:
        """What the company has, many things at once."""
        from chalicelib.store.holdings import DynamoHoldings

        return DynamoHoldings()

    @cached_property
    def files(self) -> Files:
        """The files that companies move in and out with."""
        from chalicelib.store.files import S3Files

        return S3Files()

    @cached_property
    def report_files(self) -> Files:
        """The reports that are kept."""
        from chalicelib.store.files import S3Files

        return S3Files(environment.reports_bucket)

    @cached_property
    def reports(self) -> Reports:
        """Reports, by id."""
        from chalicelib.store.reports import DynamoReports

        return DynamoReports()

    @cached_property
    def whole_tables(self) -> WholeTables:
        """All payments and entries, for workers."""
        from chalicelib.store.whole_tables import DynamoWholeTables

        return DynamoWholeTables()

    @cached_property
    def imports(self) -> Imports:
        """Imports, by id."""
        from chalicelib.store.moves import DynamoImports

        return DynamoImports()

    @cached_property
    def exports(self) -> Exports:
        """Exports, by id."""
        from chalicelib.store.moves import DynamoExports

        return DynamoExports()

    @cached_property
    def circuits(self) -> Circuits:
        """The circuit breakers of the manufacturers."""
        from chalicelib.store.vending import DynamoCircuits

        return DynamoCircuits()

    @cached_property
    def busy_devices(self) -> BusyDevices:
        """The devices with a vend in flight."""
        from chalicelib.store.vending import DynamoBusyDevices

        return DynamoBusyDevices()

    # --- vendors and secrets -------------------------------------------------------------------

    @cached_property
    def secrets(self) -> Secrets:
        """The deployment's secrets."""
        from chalicelib.runtime.secrets import Secrets

        return Secrets(self.clock, SecretMissing)

    @cached_property
    def manufacturers(self) -> ManufacturerRegistry:
        """The manufacturers' modules."""
        return ManufacturerRegistry(
            MANUFACTURERS,
            lambda name: self.secrets.get(name),
            with_demos=environment.stage() != "production",
        )

    @cached_property
    def channels(self) -> Sequence[Channel]:
        """What every channel states about itself."""
        return [import_module(path).CHANNEL for path in CHANNELS]

    @cached_property
    def providers(self) -> Providers:
        """The payment providers that can be asked something."""
        return ProviderRegistry(CHANNELS, lambda name: self.secrets.get(name))

    @cached_property
    def sms_gateway(self) -> SmsGateway:
        """The SMS gateway of this deployment."""
        gateway: SmsGateway = import_module(SMS_GATEWAYS[environment.sms_gateway()]).make()
        return gateway

    # --- the services --------------------------------------------------------------------------

    @cached_property
    def accept(self) -> Accept:
        """Accepts payments."""
        from chalicelib.services.accept import Accept

        return Accept(
            payments=self.payments,
            accounts=self.accounts,
            devices=self.devices,
            customers=self.customers,
            catalogue=self.catalogue,
            settings_store=self.settings_store,
            manufacturers=self.manufacturers,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def desk(self) -> Desk:
        """What the channels see of the system."""
        from chalicelib.services.desk import Desk

        return Desk(
            accept=self.accept,
            collect=self.collect,
            give_back=self.give_back,
            payments=self.payments,
            catalogue=self.catalogue,
            secrets=lambda name: self.secrets.get(name),
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def settle(self) -> Settle:
        """Settles payments."""
        from chalicelib.services.settle import Settle

        return Settle(
            payments=self.payments,
            devices=self.devices,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            providers=self.providers,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def vend(self) -> VendTokens:
        """Takes up vends."""
        from chalicelib.services.vend import VendTokens

        return VendTokens(
            payments=self.payments,
            accounts=self.accounts,
            devices=self.devices,
            busy_devices=self.busy_devices,
            manufacturers=self.manufacturers,
            breaker=self.breaker,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def breaker(self) -> Breaker:
        """Knows which manufacturers may be called."""
        from chalicelib.services.breaker import Breaker

        return Breaker(
            circuits=self.circuits,
            catalogue=self.catalogue,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def collect(self) -> Collect:
        """Follows payments that we start."""
        from chalicelib.services.collect import Collect

        return Collect(
            payments=self.payments,
            catalogue=self.catalogue,
            providers=self.providers,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def give_back(self) -> GiveBack:
        """Gives money back."""
        from chalicelib.services.refund import GiveBack

        return GiveBack(
            payments=self.payments,
            accounts=self.accounts,
            providers=self.providers,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def ask_provider(self) -> AskProvider:
        """Asks providers about payments."""
        from chalicelib.services.ask_provider import AskProvider

        return AskProvider(
            payments=self.payments,
            collect=self.collect,
            give_back=self.give_back,
            journal=self.journal,
        )

    @cached_property
    def notify(self) -> Notify:
        """Sends the SMS."""
        from chalicelib.services.notify import Notify
        from chalicelib.sms.templates import compose

        return Notify(
            messages=self.messages,
            catalogue=self.catalogue,
            gateway=self.sms_gateway,
            compose=compose,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def sweep(self) -> Sweep:
        """Finds what waits too long."""
        from chalicelib.services.sweep import Sweep

        return Sweep(
            payments=self.payments,
            catalogue=self.catalogue,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def keep_pauses(self) -> KeepPauses:
        """Pauses channels and manufacturers."""
        from chalicelib.services.pauses import KeepPauses

        return KeepPauses(
            pauses_store=self.pauses_store,
            channels=lambda: {channel.key: channel.refusal_class for channel in self.channels},
            manufacturers=self.manufacturers,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def watch_open(self) -> WatchOpen:
        """Tells how open payments stand."""
        from chalicelib.services.watch_open import WatchOpen

        return WatchOpen(payments=self.payments, clock=self.clock, journal=self.journal)

    @cached_property
    def switch(self) -> SwitchDevices:
        """Switches devices off when their paid time is over."""
        from chalicelib.services.switch import SwitchDevices

        return SwitchDevices(
            devices=self.devices,
            accounts=self.accounts,
            manufacturers=self.manufacturers,
            breaker=self.breaker,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def replace_devices(self) -> ReplaceDevices:
        """Puts one device in the place of another."""
        from chalicelib.services.replacement import ReplaceDevices

        return ReplaceDevices(
            devices=self.devices,
            accounts=self.accounts,
            payments=self.payments,
            registry=self.registry,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            unlock=self.unlock,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def check_manufacturers(self) -> CheckManufacturers:
        """Asks manufacturers something harmless."""
        from chalicelib.services.check_manufacturers import CheckManufacturers

        return CheckManufacturers(manufacturers=self.manufacturers, journal=self.journal)

    @cached_property
    def sync_tariffs(self) -> SyncTariffs:
        """Tells manufacturers our tariffs."""
        from chalicelib.services.sync_tariffs import SyncTariffs

        return SyncTariffs(
            tariffs=self.tariffs,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def reconcile(self) -> Reconcile:
        """Proves the books."""
        from chalicelib.services.reconcile import Reconcile

        return Reconcile(
            accounts=self.accounts,
            entries=self.entries,
            payments=self.payments,
            registry=self.registry,
            reconciliations=self.reconciliations,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def resolve(self) -> Resolve:
        """The ways out of held."""
        from chalicelib.services.resolve import Resolve

        return Resolve(
            payments=self.payments,
            accounts=self.accounts,
            devices=self.devices,
            manufacturers=self.manufacturers,
            providers=self.providers,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    # --- registration and set-up ---------------------------------------------------------------

    @cached_property
    def register(self) -> Register:
        """Registers customers with their devices."""
        from chalicelib.services.register import Register

        return Register(
            keep_customers=self.keep_customers,
            show_device=self.keep_devices.view_of,
            customers=self.customers,
            devices=self.devices,
            accounts=self.accounts,
            sites=self.sites,
            tariffs=self.tariffs,
            appliances=self.appliances,
            registry=self.registry,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            unlock=self.unlock,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def from_field(self) -> RegisterFromField:
        """Takes the forms of the registration app."""
        from chalicelib.services.field_registrations import RegisterFromField

        return RegisterFromField(
            register=self.register,
            field_registrations=self.field_registrations,
            appliances=self.appliances,
            manufacturers=self.manufacturers,
            catalogue=self.catalogue,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def review(self) -> ReviewRegistrations:
        """What the office does about registrations from the field."""
        from chalicelib.services.review import ReviewRegistrations

        return ReviewRegistrations(
            register=self.register,
            from_field=self.from_field,
            field_registrations=self.field_registrations,
            keep_customers=self.keep_customers,
            show_device=self.keep_devices.view,
            manufacturers=self.manufacturers,
            catalogue=self.catalogue,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def unlock(self) -> Unlock:
        """Unlocks devices by entries."""
        from chalicelib.services.unlock import Unlock

        return Unlock(
            manufacturers=self.manufacturers,
            catalogue=self.catalogue,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def act_on_devices(self) -> ActOnDevices:
        """What operators do about devices."""
        from chalicelib.services.device_actions import ActOnDevices

        return ActOnDevices(
            devices=self.devices,
            accounts=self.accounts,
            payments=self.payments,
            messages=self.messages,
            registry=self.registry,
            manufacturers=self.manufacturers,
            unlock=self.unlock,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def keep_customers(self) -> KeepCustomers:
        """Customers without a device, and changes of customers."""
        from chalicelib.services.customers import KeepCustomers

        return KeepCustomers(
            customers=self.customers,
            registry=self.registry,
            sites=self.sites,
            catalogue=self.catalogue,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def erase_customers(self) -> EraseCustomers:
        """Takes out of all that is stored who a customer was."""
        from chalicelib.services.erasure import EraseCustomers

        return EraseCustomers(
            customers=self.customers,
            accounts=self.accounts,
            view_accounts=self.view_accounts,
            payments=self.payments,
            messages=self.messages,
            field_registrations=self.field_registrations,
            registry=self.registry,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def tell_personal_data(self) -> TellPersonalData:
        """Everything that is kept about one customer."""
        from chalicelib.services.personal_data import TellPersonalData

        return TellPersonalData(
            customers=self.customers,
            view_accounts=self.view_accounts,
            devices=self.devices,
            show_device=self.keep_devices.view_of,
            entries=self.entries,
            changes=self.changes,
            field_registrations=self.field_registrations,
            payments=self.payments,
            messages=self.messages,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def list_changes(self) -> ListChanges:
        """Who changed something."""
        from chalicelib.services.changes import ListChanges

        return ListChanges(changes=self.changes)

    @cached_property
    def keep_devices(self) -> KeepDevices:
        """Devices: who owns them, under which tariff."""
        from chalicelib.services.devices import KeepDevices

        return KeepDevices(
            devices=self.devices,
            accounts=self.accounts,
            customers=self.customers,
            tariffs=self.tariffs,
            registry=self.registry,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def sell_plans(self) -> SellPlans:
        """Sells appliances and devices on plans."""
        from chalicelib.services.plans import SellPlans

        return SellPlans(
            accounts=self.accounts,
            devices=self.devices,
            customers=self.customers,
            appliances=self.appliances,
            registry=self.registry,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            unlock=self.unlock,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def change_plans(self) -> ChangePlans:
        """Changes and ends plans."""
        from chalicelib.services.plan_changes import ChangePlans

        return ChangePlans(
            accounts=self.accounts,
            devices=self.devices,
            registry=self.registry,
            unlock=self.unlock,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def refund_credit(self) -> RefundCredit:
        """Gives credit back."""
        from chalicelib.services.credit import RefundCredit

        return RefundCredit(
            accounts=self.accounts,
            customers=self.customers,
            registry=self.registry,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def view_accounts(self) -> ViewAccounts:
        """What a customer owes and has."""
        from chalicelib.services.account_view import ViewAccounts

        return ViewAccounts(
            accounts=self.accounts,
            customers=self.customers,
            catalogue=self.catalogue,
            clock=self.clock,
        )

    @cached_property
    def keep_sites(self) -> KeepSites:
        """Clusters, mini-grids and villages."""
        from chalicelib.services.sites import KeepSites

        return KeepSites(sites=self.sites, clock=self.clock)

    @cached_property
    def keep_tariffs(self) -> KeepTariffs:
        """Tariffs with their histories."""
        from chalicelib.services.tariffs import KeepTariffs

        return KeepTariffs(tariffs=self.tariffs, clock=self.clock)

    @cached_property
    def keep_appliances(self) -> KeepAppliances:
        """What is sold on plans."""
        from chalicelib.services.appliances import KeepAppliances

        return KeepAppliances(
            appliances=self.appliances, manufacturers=self.manufacturers, clock=self.clock
        )

    @cached_property
    def take_listed(self) -> TakeListed:
        """Brings in what stands in lists."""
        from chalicelib.services.take_listed import TakeListed

        return TakeListed(
            accept=self.accept,
            collect=self.collect,
            payments=self.payments,
            journal=self.journal,
        )

    @cached_property
    def find_missing(self) -> FindMissing:
        """Reads the providers' lists."""
        from chalicelib.services.find_missing import FindMissing

        return FindMissing(
            providers=self.providers,
            marks=self.marks,
            take_listed=self.take_listed,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def statements(self) -> Statements:
        """Compares statements."""
        from chalicelib.services.statements import Statements

        return Statements(
            forms={channel.key: channel.statement for channel in self.channels},
            files=self.files,
            payments=self.payments,
            settings_store=self.settings_store,
            take_listed=self.take_listed,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def find_plans(self) -> FindPlans:
        """Plans by id."""
        from chalicelib.services.find_plans import FindPlans

        return FindPlans(accounts=self.accounts)

    @cached_property
    def keep_agents(self) -> KeepAgents:
        """Agents, and what they sell."""
        from chalicelib.services.agents import KeepAgents

        return KeepAgents(
            accept=self.accept,
            agents=self.agents,
            payments=self.payments,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def keep_company(self) -> KeepCompany:
        """The company's settings."""
        from chalicelib.services.company import KeepCompany

        return KeepCompany(
            settings_store=self.settings_store, clock=self.clock, journal=self.journal
        )

    @cached_property
    def find_payments(self) -> FindPayments:
        """Payments and their SMS, for people."""
        from chalicelib.services.find_payments import FindPayments

        return FindPayments(
            payments=self.payments,
            devices=self.devices,
            messages=self.messages,
            keep_customers=self.keep_customers,
            sources=self._sources,
        )

    def _sources(self) -> Sequence[str]:
        """The pots into which money can fall: of every channel that is in use."""
        found: dict[str, None] = {}
        for channel in self.channels:
            with suppress(SecretMissing):
                pots = [channel.key]
                if channel.pots is not None:
                    pots = list(channel.pots(self.secrets.get(channel.secret)))
                found.update(dict.fromkeys(pots))
        return list(found)

    @cached_property
    def move_in(self) -> MoveIn:
        """Takes portfolios in."""
        from chalicelib.services.portfolio.check import CheckPortfolio
        from chalicelib.services.portfolio.imports import MoveIn, portfolio_reader
        from chalicelib.services.portfolio.known import LookUp
        from chalicelib.services.portfolio.mpm import read_mpm
        from chalicelib.services.portfolio.write import WritePortfolio

        look_up = LookUp(
            holdings=self.holdings,
            sites=self.sites,
            tariffs=self.tariffs,
            appliances=self.appliances,
        )
        return MoveIn(
            imports=self.imports,
            files=self.files,
            check_portfolio=CheckPortfolio(
                look_up=look_up,
                holdings=self.holdings,
                catalogue=self.catalogue,
                manufacturers=self.manufacturers,
                clock=self.clock,
            ),
            write_portfolio=WritePortfolio(
                look_up=look_up,
                keep_sites=self.keep_sites,
                keep_tariffs=self.keep_tariffs,
                keep_appliances=self.keep_appliances,
                keep_customers=self.keep_customers,
                register=self.register,
                sell_plans=self.sell_plans,
                accounts=self.accounts,
                entries=self.entries,
                registry=self.registry,
                catalogue=self.catalogue,
                clock=self.clock,
            ),
            readers={FileFormat.PORTFOLIO: portfolio_reader, FileFormat.MPM: read_mpm},
            catalogue=self.catalogue,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def move_out(self) -> MoveOut:
        """Takes everything out."""
        from chalicelib.services.portfolio.exports import MoveOut

        return MoveOut(
            exports=self.exports,
            files=self.files,
            holdings=self.holdings,
            registry=self.registry,
            sites=self.sites,
            tariffs=self.tariffs,
            appliances=self.appliances,
            catalogue=self.catalogue,
            manufacturers=self.manufacturers,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def make_reports(self) -> MakeReports:
        """Makes reports for finance."""
        from chalicelib.services.reports.make import MakeReports

        return MakeReports(
            reports=self.reports,
            whole_tables=self.whole_tables,
            reconciliations=self.reconciliations,
            files=self.report_files,
            row_files=self.files,
            settings_store=self.settings_store,
            queues=self.queues,
            clock=self.clock,
            journal=self.journal,
        )

    @cached_property
    def show_statements(self) -> ShowStatements:
        """Shows customers' statements."""
        from chalicelib.services.customer_statements import ShowStatements

        return ShowStatements(
            accounts=self.accounts,
            customers=self.customers,
            entries=self.entries,
            payments=self.payments,
            settings_store=self.settings_store,
            clock=self.clock,
        )

    @cached_property
    def log_in(self) -> LogIn:
        """Log-ins and sessions."""
        from chalicelib.services.staff import LogIn
        from chalicelib.services.wrong_tries import SlowDown

        slow_down = SlowDown(wrong_tries=self.wrong_tries, clock=self.clock, journal=self.journal)
        return LogIn(
            identities=self.identities,
            slow_down=slow_down,
            sessions=self.sessions,
            check_every=timedelta(seconds=environment.staff_check_seconds()),
            clock=self.clock,
            journal=self.journal,
        )


wiring = Wiring()
"""The parts of this process."""
