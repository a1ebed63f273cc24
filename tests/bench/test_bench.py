"""What the core costs, each figure beside a floor that is measured in the same run.

Run with ``make bench``. Nothing here fails because a machine is slow: it prints, it does not
judge. The aims stand beside the figures.
"""

from __future__ import annotations

import io
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import MappingProxyType
from typing import Any

import botocore.client
import pytest
from moto import mock_aws

from chalicelib.runtime import aws
from chalicelib.store import connection
from chalicelib.wiring import Wiring
from infra.package import build
from tests.integration.company import SHS, Company, FixedClock, claim, plan
from tests.integration.conftest import Cloud, forget_clients, installed
from tests.integration.vendor import FakeCalin

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / "build" / "compiled"
PAYMENTS = 150
IMPORTS = 9
FLOOR_IMPORTS = "import chalice, boto3, pydantic, pynamodb.models"
COLD_STARTS = {
    "the API, first payment": (
        {"SERVES_ROUTES": "yes"},
        "import app; app.wiring.accept",
        "import chalice.app, pydantic, pynamodb.models",
    ),
    "a worker, settling": (
        {"SERVES_ROUTES": "no"},
        "import app; app.wiring.settle",
        "import chalice.app, pynamodb.models",
    ),
    "a worker, vending": (
        {"SERVES_ROUTES": "no"},
        "import app; app.wiring.vend",
        "import chalice.app, pynamodb.models",
    ),
}
"""What is imported before the first request is worked on, in the function of that environment, and
the packages that nobody could do it without. Boto3 is not among them: it is not deployed."""

Call = tuple[str, dict[str, Any]]


def test_settling_against_the_same_calls_made_by_hand() -> None:
    ours_ms, calls = _settle_many()
    floor_ms = _by_hand(calls)
    _say("settle, per payment", f"{ours_ms:.2f} ms", f"{floor_ms:.2f} ms", ours_ms / floor_ms, 1.3)


def test_cold_import_against_the_packages_it_stands_on() -> None:
    floor_ms = _imported(FLOOR_IMPORTS)
    for routes, who in {"yes": "the API", "no": "workers"}.items():
        ours_ms = _imported("import app", {"SERVES_ROUTES": routes})
        ratio = ours_ms / floor_ms
        _say(f"import app, {who}", f"{ours_ms:.0f} ms", f"{floor_ms:.0f} ms", ratio, 1.25)


@pytest.mark.parametrize("what", COLD_STARTS)
def test_cold_start_up_to_the_first_request(what: str) -> None:
    environment, ours, floor = COLD_STARTS[what]
    ours_ms, floor_ms = _imported(ours, environment), _imported(floor)
    _say(what, f"{ours_ms:.0f} ms", f"{floor_ms:.0f} ms", ours_ms / floor_ms, 1.5)


def test_size_of_the_package() -> None:
    package = build()
    files = (package.code, package.layer)
    sizes = {file.name: file.stat().st_size / 2**20 for file in files}
    whole = sum(sizes.values())
    parts = ", ".join(f"{name} {size:.1f}" for name, size in sorted(sizes.items()))
    print(f"\n{'package, zipped':<24} {whole:.1f} MB   (aim: at most 30 MB; {parts})")


def test_peak_memory_of_a_worker() -> None:
    ours, floor = _peak_megabytes(_WORKER), _peak_megabytes(FLOOR_IMPORTS)
    print(f"\n{'peak memory of a worker':<24} {ours:.0f} MB   floor {floor:.0f} MB (aim: 160 MB)")


def _say(what: str, ours: str, floor: str, ratio: float, aim: float) -> None:
    print(f"\n{what:<24} {ours:>10}   floor {floor:>10}   {ratio:.2f} x   (aim: {aim} x)")


# --- settling ---------------------------------------------------------------------------------


@contextmanager
def _company() -> Iterator[tuple[Cloud, Company]]:
    """The same company every time, with as many payments waiting to be settled."""
    with mock_aws(), FakeCalin() as calin:
        forget_clients()
        cloud = installed()
        calin.put_secrets(cloud)
        company = Company(Wiring(FixedClock()))
        company.customer(
            company.meter(),
            company.shs(plan_id="p-shs"),
            plans=(
                plan("p-tv", 3000),
                plan("p-shs", 36400, instalments=52, serial_number=SHS),
            ),
        )
        with redirect_stdout(io.StringIO()):
            for number in range(PAYMENTS):
                company.wiring.accept.accept(claim(SHS, 100, f"T{number}"), money_moved=True)
            yield cloud, company
    forget_clients()


def _settle_many() -> tuple[float, list[Call]]:
    """Settle all of them; the median per payment in milliseconds, and the calls that were made."""
    calls: list[Call] = []
    with _company() as (cloud, company):
        messages = [message["body"] for message in cloud.take("payments")]
        settle = company.wiring.settle
        settle.settle(**messages.pop(0))  # the first one fills the caches
        with _recorded(calls):
            times = [_worked(lambda body=body: settle.settle(**body)) for body in messages]
    return statistics.median(times), calls


def _by_hand(calls: list[Call]) -> float:
    """The same requests in the same order on the same data, through bare botocore clients."""
    with _company() as (cloud, company):
        messages = [message["body"] for message in cloud.take("payments")]
        company.wiring.settle.settle(**messages.pop(0))
        clients = {"SendMessage": aws.client("sqs")}
        dynamodb = connection.connection().client
        per_payment = len(calls) // len(messages)
        times = []
        for start in range(0, len(calls), per_payment):
            group = calls[start : start + per_payment]
            times.append(
                _worked(
                    lambda group=group: [
                        _CALL(clients.get(operation, dynamodb), operation, arguments)
                        for operation, arguments in group
                    ]
                )
            )
    return statistics.median(times)


_CALL: Callable[[Any, str, Any], Any] = botocore.client.BaseClient._make_api_call


@contextmanager
def _recorded(calls: list[Call]) -> Iterator[None]:
    def noted(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        calls.append((operation, arguments))
        return _CALL(client, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
        yield


def _worked(work: Callable[[], object]) -> float:
    """The processor time that this process spends on it, the emulator's included: milliseconds."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


# --- imports and memory -----------------------------------------------------------------------


def _imported(statement: str, variables: Mapping[str, str] = MappingProxyType({})) -> float:
    """The processor time that the statement takes in a new process, above an empty one: median,
    milliseconds. What else the machine does shows less in it than in the time that passes.

    Both sides run from compiled files, as the packages of a venv do: those of ours are kept
    outside the sources, so that no run leaves any behind.
    """

    def process(code: str) -> float:
        command = [sys.executable, "-c", code]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=ROOT, check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        return seconds * 1000

    environment = {**os.environ, **variables, "PYTHONPYCACHEPREFIX": str(COMPILED)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    process(statement)
    empty = statistics.median(process("pass") for _ in range(IMPORTS))
    return statistics.median(process(statement) for _ in range(IMPORTS)) - empty


_WORKER = """
import app
from chalicelib.wiring import wiring
wiring.settle, wiring.vend, wiring.notify, wiring.resolve, wiring.sweep, wiring.channels
wiring.manufacturers.all()
from chalicelib.store import connection
from chalicelib.runtime import aws
connection.connection().client, aws.client("sqs"), aws.client("secretsmanager")
import cryptography.hazmat.primitives.ciphers.aead, openpaygo, urllib3
"""


def _peak_megabytes(code: str) -> float:
    """The largest resident size of a process that runs the code.

    Read from the kernel, because ``getrusage`` also counts what the process was before ``exec``.
    """
    report = "\nprint(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return int(done.stdout.split()[-2]) / 1024
