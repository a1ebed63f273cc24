"""What the company has already of what a file names: places, tariffs and what is sold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from chalicelib.domain.tariff import Tariff
from chalicelib.services.names import folded
from chalicelib.services.portfolio.things import Things
from chalicelib.services.ports import (
    Appliance,
    Appliances,
    Holdings,
    Site,
    SiteKind,
    Sites,
    Tariffs,
)

PARENT_KIND = {SiteKind.MINI_GRID: SiteKind.CLUSTER, SiteKind.VILLAGE: SiteKind.MINI_GRID}

T = TypeVar("T", Site, Tariff, Appliance)


@dataclass(frozen=True, slots=True)
class Known:
    """Places, tariffs and appliances by their names, as names are compared."""

    sites: Mapping[tuple[SiteKind, str], Site] = field(default_factory=dict)
    tariffs: Mapping[str, Tariff] = field(default_factory=dict)
    appliances: Mapping[str, Appliance] = field(default_factory=dict)

    def site(self, kind: SiteKind, name: str) -> Site | None:
        """The site of that name."""
        return self.sites.get((kind, folded(name)))

    def tariff(self, name: str) -> Tariff | None:
        """The tariff of that name."""
        return self.tariffs.get(folded(name))

    def appliance(self, name: str) -> Appliance | None:
        """The appliance of that name."""
        return self.appliances.get(folded(name))


class LookUp:
    """Looks up what is known of what a file names. Names are read consistently: what was made a
    moment ago is found."""

    def __init__(
        self, *, holdings: Holdings, sites: Sites, tariffs: Tariffs, appliances: Appliances
    ) -> None:
        self._holdings = holdings
        self._sites = sites
        self._tariffs = tariffs
        self._appliances = appliances

    def known(self, things: Things) -> Known:
        """What the company has of everything that these things name.

        Raises:
            TryAgain: the store cannot tell now.
        """
        sites = {
            (kind, name): site
            for kind in SiteKind
            for name, site in self._of_kind(kind, _site_names(things, kind)).items()
        }
        tariffs = {t.name for t in things.tariffs} | {d.tariff for d in things.devices if d.tariff}
        appliances = {a.name for a in things.appliances}
        appliances |= {d.appliance for d in things.devices if d.appliance}
        appliances |= {p.appliance for p in things.plans if p.appliance}
        return Known(
            sites,
            self._named("tariff", tariffs, self._tariffs.get),
            self._named("appliance", appliances, self._appliances.get),
        )

    def _of_kind(self, kind: SiteKind, names: Iterable[str]) -> Mapping[str, Site]:
        return self._named(kind.value, names, lambda site_id: self._sites.get(kind, site_id))

    def _named(
        self, in_list: str, names: Iterable[str], get: Callable[[int], T | None]
    ) -> Mapping[str, T]:
        ids = self._holdings.named(in_list, names)
        found = {name: get(its_id) for name, its_id in ids.items()}
        return {name: item for name, item in found.items() if item is not None}


def _site_names(things: Things, kind: SiteKind) -> set[str]:
    """The sites of a kind that are named: as themselves, as parents, or as where things are."""
    names = {site.name for site in things.sites if site.kind is kind}
    names |= {s.parent for s in things.sites if s.parent and PARENT_KIND[s.kind] is kind}
    if kind is SiteKind.VILLAGE:
        names |= {customer.village for customer in things.customers}
        names |= {device.village for device in things.devices if device.village}
    return names
