"""Sites, tariffs, appliances, settings, and the cache that payments read them through."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction

import pytest

from chalicelib.domain.allocation import OwnArrears
from chalicelib.domain.plan import Every
from chalicelib.domain.tariff import AccessRate, Rate, Tariff
from chalicelib.services.ports import (
    Appliance,
    ApplianceKind,
    ConditionFailed,
    DefaultPlan,
    InUse,
    InvalidCursor,
    NameTaken,
    Settings,
    SettingsChange,
    Site,
    SiteKind,
    TryAgain,
    VersionConflict,
)
from chalicelib.store.appliances import DynamoAppliances
from chalicelib.store.catalogue import KEPT_FOR, DynamoCatalogue
from chalicelib.store.pauses import DynamoPauses
from chalicelib.store.settings import DynamoSettings
from chalicelib.store.sites import DynamoSites
from chalicelib.store.tariffs import DynamoTariffs
from tests.integration.store.examples import LONG_AGO, NOW
from tests.integration.store.faults import READ_TIMEOUT, dynamodb_answers
from tests.integration.store.ledger_of_requests import LedgerOfRequests

pytestmark = pytest.mark.usefixtures("cloud")

CLUSTER, MINI_GRID, VILLAGE = SiteKind.CLUSTER, SiteKind.MINI_GRID, SiteKind.VILLAGE
RATE = Rate(LONG_AGO, Fraction(10_000), AccessRate(15_000, 7), 500)
CHEAPER = Rate(NOW, Fraction(27_001, 3))


@pytest.fixture
def sites() -> DynamoSites:
    """Two clusters, a mini-grid in the first, a village in it."""
    sites = DynamoSites()
    sites.create(CLUSTER, "Kisumu")
    sites.create(CLUSTER, "Homa Bay")
    sites.create(MINI_GRID, "Lake shore", 1)
    sites.create(VILLAGE, "Dunga", 1)
    return sites


def site(sites: DynamoSites, kind: SiteKind, site_id: int) -> Site:
    found = sites.get(kind, site_id)
    assert found
    return found


# --- sites ---------------------------------------------------------------------------------------


def test_sites_are_numbered_by_kind(sites: DynamoSites) -> None:
    assert sites.get(CLUSTER, 2) == Site(CLUSTER, 2, "Homa Bay")
    assert sites.get(VILLAGE, 1) == Site(VILLAGE, 1, "Dunga", 1)
    assert sites.get(VILLAGE, 2) is None


def test_a_name_is_taken_once_per_kind(sites: DynamoSites) -> None:
    with pytest.raises(NameTaken):
        sites.create(CLUSTER, "  KISUMU ")
    assert sites.create(VILLAGE, "Kisumu", 1).name == "Kisumu"


def test_a_site_needs_its_parent(sites: DynamoSites) -> None:
    with pytest.raises(ConditionFailed) as caught:
        sites.create(MINI_GRID, "Nowhere", 77)
    assert caught.value.what == "parent"
    assert sites.create(MINI_GRID, "Nowhere", 2), "the refused one holds no name"


def test_sites_are_listed_by_kind_in_pages(sites: DynamoSites) -> None:
    first = sites.list(CLUSTER, 1, None)
    second = sites.list(CLUSTER, 1, first.next)
    assert [s.name for s in (*first.items, *second.items)] == ["Kisumu", "Homa Bay"]
    assert second.next is None
    assert [s.name for s in sites.list(VILLAGE, 10, None).items] == ["Dunga"]


def test_sites_are_listed_by_number(sites: DynamoSites) -> None:
    made = [sites.create(CLUSTER, f"Cluster {count}").site_id for count in range(10)]
    listed = [site.site_id for site in sites.list(CLUSTER, 100, None).items]
    assert listed == sorted(listed) and set(made) <= set(listed)


def test_a_cursor_of_another_list_is_refused(sites: DynamoSites) -> None:
    cursor = sites.list(CLUSTER, 1, None).next
    with pytest.raises(InvalidCursor):
        DynamoTariffs().list(1, cursor)


def test_a_renamed_site_gives_its_name_back(sites: DynamoSites) -> None:
    village = site(sites, VILLAGE, 1)
    sites.update(village, replace(village, name="Usoma"))
    assert site(sites, VILLAGE, 1).name == "Usoma"
    assert sites.create(VILLAGE, "Dunga", 1).site_id == 2
    with pytest.raises(NameTaken):
        sites.create(VILLAGE, "usoma", 1)


def test_a_site_may_change_the_case_of_its_name(sites: DynamoSites) -> None:
    village = site(sites, VILLAGE, 1)
    sites.update(village, replace(village, name="DUNGA"))
    assert site(sites, VILLAGE, 1).name == "DUNGA"


def test_a_site_cannot_take_anothers_name(sites: DynamoSites) -> None:
    kisumu = site(sites, CLUSTER, 1)
    with pytest.raises(NameTaken):
        sites.update(kisumu, replace(kisumu, name="homa bay"))
    assert sites.get(CLUSTER, 1) == kisumu


def test_a_site_moves_to_another_parent_and_frees_the_first(sites: DynamoSites) -> None:
    grid = site(sites, MINI_GRID, 1)
    sites.update(grid, replace(grid, parent_id=2))
    sites.delete(site(sites, CLUSTER, 1))
    with pytest.raises(InUse):
        sites.delete(site(sites, CLUSTER, 2))


def test_a_site_does_not_move_to_a_parent_that_is_not_there(sites: DynamoSites) -> None:
    grid = site(sites, MINI_GRID, 1)
    with pytest.raises(ConditionFailed) as caught:
        sites.update(grid, replace(grid, parent_id=77))
    assert caught.value.what == "parent"


def test_of_two_renamings_the_second_is_told(sites: DynamoSites) -> None:
    village = site(sites, VILLAGE, 1)
    sites.update(village, replace(village, name="Usoma"))
    with pytest.raises(VersionConflict):
        sites.update(village, replace(village, name="Nanga"))


def test_a_renamed_site_keeps_what_belongs_to_it(sites: DynamoSites) -> None:
    grid = site(sites, MINI_GRID, 1)
    sites.update(grid, replace(grid, name="Shore"))
    with pytest.raises(InUse):
        sites.delete(site(sites, MINI_GRID, 1))


def test_sites_are_deleted_from_below(sites: DynamoSites) -> None:
    for kind in (CLUSTER, MINI_GRID):
        with pytest.raises(InUse):
            sites.delete(site(sites, kind, 1))
    for kind in (VILLAGE, MINI_GRID, CLUSTER):
        sites.delete(site(sites, kind, 1))
        assert sites.get(kind, 1) is None
    assert sites.create(CLUSTER, "Kisumu").site_id == 3, "the name is free, the number is not"


def test_a_site_that_is_gone_is_not_deleted_twice(sites: DynamoSites) -> None:
    village = site(sites, VILLAGE, 1)
    sites.delete(village)
    with pytest.raises(VersionConflict):
        sites.delete(village)
    sites.delete(site(sites, MINI_GRID, 1))


# --- tariffs -------------------------------------------------------------------------------------


def test_tariffs_are_numbered_and_come_back_exactly() -> None:
    tariffs = DynamoTariffs()
    assert tariffs.create("Homes", RATE) == Tariff(1, "Homes", (RATE,))
    shops = tariffs.create("Shops", CHEAPER)
    assert tariffs.get(2) == shops == Tariff(2, "Shops", (CHEAPER,))
    assert tariffs.get(3) is None


def test_tariffs_are_listed_by_id_in_pages() -> None:
    tariffs = DynamoTariffs()
    for number in range(1, 12):
        tariffs.create(f"Tariff {number}", RATE)
    first = tariffs.list(10, None)
    second = tariffs.list(10, first.next)
    assert [t.tariff_id for t in first.items] == list(range(1, 11))
    assert [t.tariff_id for t in second.items] == [11]
    assert second.next is None


def test_a_cursor_with_a_text_for_a_number_is_refused() -> None:
    tariffs = DynamoTariffs()
    with pytest.raises(InvalidCursor):
        tariffs.list(1, "WyJ0YXJpZmZzIiwieCJd")  # ["tariffs","x"]


def test_the_name_of_a_tariff_is_taken_once() -> None:
    tariffs = DynamoTariffs()
    homes = tariffs.create("Homes", RATE)
    shops = tariffs.create("Shops", RATE)
    with pytest.raises(NameTaken):
        tariffs.create("HOMES", RATE)
    with pytest.raises(NameTaken):
        tariffs.update(shops, replace(shops, name="homes"))
    tariffs.update(homes, replace(homes, name="Houses"))
    assert tariffs.create("Homes", RATE).name == "Homes"


def test_no_rate_is_lost_between_two_who_change_a_tariff() -> None:
    tariffs = DynamoTariffs()
    before = tariffs.create("Homes", RATE)
    after = replace(before, rates=(RATE, CHEAPER))
    tariffs.update(before, after)
    with pytest.raises(VersionConflict):
        tariffs.update(
            before, replace(before, rates=(RATE, replace(CHEAPER, effective_from=LONG_AGO)))
        )
    assert tariffs.get(1) == after


# --- appliances ----------------------------------------------------------------------------------


def test_appliances_come_back_with_their_default_plans() -> None:
    appliances = DynamoAppliances()
    plan = DefaultPlan(Every.MONTH, 30, down_payment_minor=20_000, instalments=12)
    television = appliances.create("TV", ApplianceKind.APPLIANCE, 2_450_000, plan)
    lamp = appliances.create("SHS 50", ApplianceKind.SHS, 7_000_000, None)
    assert television == Appliance(1, "TV", ApplianceKind.APPLIANCE, 2_450_000, plan)
    assert appliances.get(1) == television
    assert appliances.get(9) is None
    assert list(appliances.list(10, None).items) == [television, lamp]
    assert appliances.list(1, None).next is not None


def test_the_name_of_an_appliance_is_taken_once() -> None:
    appliances = DynamoAppliances()
    appliances.create("TV", ApplianceKind.APPLIANCE, 1, None)
    with pytest.raises(NameTaken):
        appliances.create("tv", ApplianceKind.SHS, 1, None)


# --- settings ------------------------------------------------------------------------------------

TANZANIA = Settings(
    company="Nuru",
    country="TZ",
    currency="TZS",
    currency_decimals=0,
    time_zone="Africa/Dar_es_Salaam",
    languages=("sw", "en"),
    own_arrears=OwnArrears.ACTIVATION,
    grace_days=0,
    late_payment_hours=0,
)


def change_to(revision: int) -> SettingsChange:
    return SettingsChange(revision, NOW, "admin@example.org", {"grace_days": {"before": 0}})


def test_settings_are_the_defaults_until_they_are_saved() -> None:
    settings = DynamoSettings()
    assert settings.get() == Settings()
    written = settings.save(TANZANIA, change_to(1))
    assert written == replace(TANZANIA, revision=1)
    assert settings.get() == written


def test_of_two_who_save_settings_the_second_is_told() -> None:
    settings = DynamoSettings()
    first = settings.save(TANZANIA, change_to(1))
    with pytest.raises(VersionConflict):
        settings.save(TANZANIA, change_to(1))
    second = settings.save(replace(first, grace_days=3), change_to(2))
    with pytest.raises(VersionConflict):
        settings.save(replace(first, grace_days=5), change_to(2))
    assert settings.get() == second


def test_money_is_fixed_for_good_with_the_first_payment(ledger: LedgerOfRequests) -> None:
    settings = DynamoSettings()
    assert not settings.money_is_fixed()
    settings.fix_money()
    settings.save(TANZANIA, change_to(1))
    assert settings.money_is_fixed()
    ledger.clear()
    settings.fix_money()
    assert ledger.count == 0, "a process asks once"


def test_a_second_process_finds_money_fixed() -> None:
    DynamoSettings().fix_money()
    later = DynamoSettings()
    later.fix_money()
    assert later.money_is_fixed()


# --- the cache -----------------------------------------------------------------------------------


class SetClock:
    """A clock that a test sets."""

    moment = NOW

    def now(self) -> datetime:
        return self.moment

    def pass_by(self, by: timedelta) -> None:
        self.moment += by


@pytest.fixture
def clock() -> SetClock:
    """It is now."""
    return SetClock()


@pytest.fixture
def catalogue(clock: SetClock) -> DynamoCatalogue:
    """A cache with nothing in it."""
    return DynamoCatalogue(DynamoSettings(), DynamoPauses(), clock)


def test_settings_are_read_again_after_half_a_minute(
    catalogue: DynamoCatalogue, clock: SetClock, ledger: LedgerOfRequests
) -> None:
    assert catalogue.settings() == Settings()
    DynamoSettings().save(TANZANIA, change_to(1))
    ledger.clear()
    clock.pass_by(KEPT_FOR - timedelta(microseconds=1))
    assert catalogue.settings() == Settings()
    assert ledger.count == 0
    clock.pass_by(timedelta(microseconds=1))
    assert catalogue.settings() == replace(TANZANIA, revision=1)


def test_all_tariffs_asked_for_are_read_in_one_request_and_kept(
    catalogue: DynamoCatalogue, ledger: LedgerOfRequests
) -> None:
    homes, shops = (DynamoTariffs().create(name, RATE) for name in ("Homes", "Shops"))
    ledger.clear()
    assert catalogue.tariffs([2, 1, 2, 77]) == {1: homes, 2: shops}
    assert ledger.operations == ["BatchGetItem"]
    assert catalogue.tariffs([1]) == {1: homes}
    assert catalogue.tariffs([]) == {}
    assert ledger.count == 1


def test_a_changed_tariff_is_in_force_after_half_a_minute(
    catalogue: DynamoCatalogue, clock: SetClock
) -> None:
    tariffs = DynamoTariffs()
    before = tariffs.create("Homes", RATE)
    assert catalogue.tariffs([1]) == {1: before}
    after = replace(before, rates=(RATE, CHEAPER))
    tariffs.update(before, after)
    assert catalogue.tariffs([1]) == {1: before}
    clock.pass_by(KEPT_FOR)
    assert catalogue.tariffs([1]) == {1: after}


def test_a_new_tariff_is_there_at_once_though_it_was_asked_for_before(
    catalogue: DynamoCatalogue,
) -> None:
    assert catalogue.tariffs([1]) == {}
    homes = DynamoTariffs().create("Homes", RATE)
    assert catalogue.tariffs([1]) == {1: homes}


def test_a_stale_tariff_is_not_used_when_it_cannot_be_read_again(
    catalogue: DynamoCatalogue, clock: SetClock
) -> None:
    DynamoTariffs().create("Homes", RATE)
    catalogue.tariffs([1])
    clock.pass_by(KEPT_FOR)
    with dynamodb_answers(READ_TIMEOUT), pytest.raises(TryAgain):
        catalogue.tariffs([1])


def test_what_is_forgotten_is_read_anew(catalogue: DynamoCatalogue) -> None:
    catalogue.settings()
    DynamoSettings().save(TANZANIA, change_to(1))
    catalogue.forget()
    assert catalogue.settings().company == "Nuru"
