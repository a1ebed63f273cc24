"""A worker dies while it writes a part of an import: run again, every row is in, and in once."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from chalicelib.domain.books import check_books
from chalicelib.services.entries import posting_of
from chalicelib.services.ports import FileFormat, Import, ImportState
from chalicelib.wiring import Wiring
from tests.integration.api.moving import EXAMPLE
from tests.integration.company import FixedClock
from tests.integration.conftest import Cloud
from tests.integration.crash.deaths import KILLED, Death, run

ROWS = 15


@pytest.fixture
def moving(cloud: Cloud, clock: FixedClock) -> Import:
    """The example, checked and accepted; its first part is queued."""
    key = base64.b64encode(b"k" * 32).decode()
    cloud.put_secret("device-keys", {"current": "k1", "keys": {"k1": key}})
    move_in = Wiring(clock).move_in
    content = EXAMPLE.read_bytes()
    moving = move_in.start(content, "text/csv", FileFormat.PORTFOLIO, actor="admin@example.org")
    move_in.check(moving.import_id)
    return move_in.begin_to_write(moving.import_id, actor="admin@example.org")


def writing(clock: FixedClock, import_id: str, part: int) -> Callable[[], None]:
    """A worker that writes that part."""
    return lambda: Wiring(clock).move_in.write(import_id, part)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize(
    "death",
    [Death("after", "TransactWriteItems", nth=nth) for nth in range(1, 7)]
    + [Death("before", "TransactWriteItems"), Death("after", "UpdateItem")],
    ids=lambda death: f"{death.when} {death.operation} {death.nth}",
)
def test_wherever_it_dies_the_same_part_again_completes_it(
    clock: FixedClock, moving: Import, part: int, death: Death
) -> None:
    import_id = moving.import_id
    if part == 1:
        assert run(writing(clock, import_id, 0)) == 0
    assert run(writing(clock, import_id, part), death) == KILLED
    for again in (0, 1, 1):
        assert run(writing(clock, import_id, again)) == 0

    wiring = Wiring(clock)
    done = wiring.move_in.get(import_id)
    assert (done.state, done.written_rows, done.failed_rows) == (ImportState.DONE, ROWS, 0)
    people = wiring.registry.customers(limit=10).items
    names = sorted(person.name for person in people)
    assert names == ["Asha", "Baraka", "Chausiku"]
    for person in people:
        account = wiring.accounts.get(person.customer_id)
        assert account is not None
        entries = wiring.entries.of_customer(person.customer_id)
        assert check_books(account, map(posting_of, entries)) == []
        assert len(account.devices) == 1
        assert account.credit_minor == (2000 if person.name == "Asha" else 0)
        assert len(account.plans) == (0 if person.name == "Chausiku" else 1)
