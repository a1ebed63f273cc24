"""Starts a local cloud: ``python -m infra.local.up``.

Emulator, fakes and proxy run detached until :mod:`infra.local.down`. All they write, and every
secret, is in one state folder; several clouds can run side by side, each in a folder of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from infra.local import processes, providers, vendors
from infra.local.adapt import LocalAddresses
from infra.local.deploy import Deployed, DeploymentFailed, deploy
from infra.local.load import Generated, LoadingFailed, fill_secrets, fill_staff, fill_tables
from infra.local.processes import HOST, NotReady, ProcessEnded, PromisedPorts
from infra.local.providers import PROVIDERS
from infra.local.proxy import BASE_PATH, path_of
from infra.local.vendors import VENDORS
from infra.package import REGION, ROOT, PackageError, build

STATE = ROOT / ".local"
"""The state folder of ``make up``."""

Stack = dict[str, Any]

_PROCESSES = {"emulator", "fakes", "proxy"}

_PREFERRED_EMULATOR_PORT = 4566
_PREFERRED_PROXY_PORT = 8080
_PREFERRED_CONTROL_PORT = 9001

_FAKES = (*VENDORS, *PROVIDERS)


def running_stack(state: Path = STATE) -> Stack | None:
    """The content of ``stack.json``, if that cloud runs whole; else nothing."""
    file = state / "stack.json"
    if not file.exists() or set(processes.running(state)) != _PROCESSES:
        return None
    stack: Stack = json.loads(file.read_text(encoding="utf-8"))
    return stack


def start(state: Path = STATE, *, enforce_roles: bool = False) -> Stack:
    """Starts a local cloud and answers what is in its ``stack.json``.

    One that runs already is left as it is; remains of one that broke down are removed first.

    Args:
        state: the folder for all that the cloud writes; :func:`stop` removes it.
        enforce_roles: whether a function may do only what its role allows, as on AWS. Callers
            from outside then need the credentials ``test``/``test``; without it, any will do.

    Raises:
        PackageError, DeploymentFailed, LoadingFailed, ProcessEnded, NotReady: it could not be
            started. What was started is stopped; the logs stay.
    """
    state = state.resolve()
    running = running_stack(state)
    if running:
        return running
    stop(state)
    try:
        return _start(state, enforce_roles)
    except BaseException:
        processes.stop_all(state)
        raise


def stop(state: Path = STATE) -> list[str]:
    """Stops a local cloud and removes its state folder; answers what was running."""
    state = state.resolve()
    if not processes.is_state(state):
        return []
    stopped = processes.stop_all(state)
    shutil.rmtree(state)
    return stopped


def _start(state: Path, enforce_roles: bool) -> Stack:
    state.mkdir(parents=True, exist_ok=True)
    state.chmod(0o700)
    generated = Generated()
    with PromisedPorts() as promised:
        return _start_on(_choose_ports(promised), state, generated, enforce_roles)


def _start_on(
    ports: dict[str, int], state: Path, generated: Generated, enforce_roles: bool
) -> Stack:
    start_emulator(state, ports["emulator"], enforce_roles=enforce_roles)
    _start_fakes(state, ports, generated)
    package = build()
    endpoint = _address(ports["emulator"])
    wait_for_emulator(endpoint, state)
    sms_log_url = f"{_address(ports['control'])}/sms"
    deployed = deploy(package, endpoint, LocalAddresses(sms_log_url))
    fill_secrets(endpoint, generated, fake_urls(ports), _api_url(ports))
    fill_staff(endpoint, deployed.ids["StaffPool"], generated)
    fill_tables(endpoint, state)
    _start_proxy(state, ports, deployed)
    stack = _describe(ports, generated, deployed)
    processes.wait_until(lambda: _answers(f"{stack['base_url']}/health"), "the API", state)
    _write_private(state / "stack.json", stack)
    return stack


def _choose_ports(promised: PromisedPorts) -> dict[str, int]:
    """A port for each server: the usual one where it is free, else any."""
    preferred = {
        "emulator": _PREFERRED_EMULATOR_PORT,
        "proxy": _PREFERRED_PROXY_PORT,
        "control": _PREFERRED_CONTROL_PORT,
        **{key: _PREFERRED_CONTROL_PORT + 1 + place for place, key in enumerate(_FAKES)},
    }
    return {name: promised.choose(port) for name, port in preferred.items()}


def start_emulator(state: Path, port: int, *, enforce_roles: bool) -> str:
    """Starts the emulator alone, with nothing in it; answers its address, at which it may not
    listen yet. What it may do is in :func:`start`."""
    environment = processes.environment(
        state,
        GATEWAY_PORT=str(port),
        BIND_HOST=HOST,  # by default it listens on every address
        MINISTACK_HOST=HOST,  # in the addresses of queues
        MINISTACK_REGION=REGION,
        AUTH="true" if enforce_roles else "false",
        IOT_MTLS_ENABLED="0",  # would take a fixed port
        DOCKER_HOST=f"unix://{state}/no-docker",  # it would tidy up among the user's containers
        STATE_DIR=str(state / "emulator"),
        S3_DATA_DIR=str(state / "emulator" / "s3"),
    )
    command = [sys.executable, str(ROOT / "infra" / "local" / "emulator.py")]
    processes.start("emulator", command, environment, state)
    return _address(port)


def wait_for_emulator(endpoint: str, state: Path) -> None:
    """Waits until the emulator listens.

    Raises:
        NotReady, ProcessEnded: it does not.
    """
    processes.wait_until(lambda: _answers(f"{endpoint}/_ministack/ready"), "the emulator", state)


def _start_fakes(state: Path, ports: dict[str, int], generated: Generated) -> None:
    _write_private(state / "fakes.json", fakes_settings(state, ports, generated))
    _start_module("fakes", "infra.local.fakes", [str(state / "fakes.json")], state)


def fakes_settings(state: Path, ports: dict[str, int], generated: Generated) -> dict[str, Any]:
    """What the fakes are to know: where they listen, and what they accept."""
    return {
        "control_port": ports["control"],
        "sms_log": str(state / "messages.log"),
        "vendors": {
            key: {"port": ports[key], **credentials}
            for key, credentials in generated.vendors.items()
        },
        "providers": {
            key: {
                "port": ports[key],
                **given,
                "public_url": _api_url(ports),
                **{
                    name: f"{_api_url(ports)}{path}"
                    for name, path in providers.paths(key, given).items()
                },
            }
            for key, given in generated.providers.items()
        },
    }


def _start_proxy(state: Path, ports: dict[str, int], deployed: Deployed) -> None:
    upstream_path = path_of(deployed.ids["RestAPI"])
    arguments = [str(ports["proxy"]), str(ports["emulator"]), upstream_path]
    _start_module("proxy", "infra.local.proxy", arguments, state)


def _start_module(name: str, module: str, arguments: list[str], state: Path) -> None:
    environment = processes.environment(state, PYTHONPATH=str(ROOT))
    processes.start(name, [sys.executable, "-m", module, *arguments], environment, state)


def _describe(ports: dict[str, int], generated: Generated, deployed: Deployed) -> Stack:
    """What tools and tests need to know of this cloud: the content of ``stack.json``."""
    first, second = (
        {"partner": name, "secret": secret} for name, secret in generated.partners.items()
    )
    return {
        "base_url": _api_url(ports),
        "app_url": _address(ports["proxy"]),
        "aws_endpoint": _address(ports["emulator"]),
        "region": REGION,
        "staff": generated.staff,
        "staff_pool": deployed.ids["StaffPool"],
        "direct": {**first, "second": second},
        "channels": {
            "sms_parser": {"gateway_secret": generated.sms_gateway_secret},
            **{key: _channel(key, given) for key, given in generated.providers.items()},
        },
        "fakes": {
            "control": f"{_address(ports['control'])}/_control",
            **fake_urls(ports),
        },
        "tables": deployed.tables,
        "queues": deployed.queues,
        "functions": deployed.functions,
    }


def _channel(key: str, given: Mapping[str, str]) -> dict[str, str]:
    """What callers need to know of a channel: the paths of our API, and what its provider gave to
    the company. Private keys are the provider's own."""
    paths = providers.paths(key, given)
    return {
        "checkout_path": f"/payments/{key}/checkouts",
        **{name: text for name, text in given.items() if not name.endswith("private_key")},
        **{f"{name.removesuffix('_url')}_path": path for name, path in paths.items()},
    }


def _api_url(ports: dict[str, int]) -> str:
    return f"{_address(ports['proxy'])}{BASE_PATH}"


def fake_urls(ports: dict[str, int]) -> dict[str, str]:
    """The base address of each fake that has a port, by its key."""
    schemes = {
        **{key: providers.scheme(key) for key in PROVIDERS},
        **{key: vendors.scheme(key) for key in VENDORS},
    }
    return {key: f"{_address(ports[key], schemes[key])}/{key}" for key in _FAKES if key in ports}


def _address(port: int, scheme: str = "http") -> str:
    return f"{scheme}://{HOST}:{port}"


def _answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urlopen(url, timeout=30) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False


def _write_private(file: Path, content: Any) -> None:
    """Writes JSON that only the user may read, whole or not at all."""
    draft = file.with_suffix(".draft")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    draft.replace(file)


def main() -> None:
    """Starts the cloud of this clone, or says that it is up."""
    parser = argparse.ArgumentParser(description="Start the local cloud.")
    parser.add_argument("--state", type=Path, default=STATE, help="its state folder")
    state = parser.parse_args().state
    begun = time.monotonic()
    was_running = running_stack(state) is not None
    try:
        stack = start(state)
    except (DeploymentFailed, LoadingFailed, NotReady, PackageError, ProcessEnded) as error:
        sys.exit(f"The local cloud could not be started: {error}")
    told = "is up already" if was_running else f"is up after {time.monotonic() - begun:.0f} s"
    print(f"The local cloud {told}.")
    print(f"  API    {stack['base_url']}")
    print(f"  office {stack['base_url']}/office (who may log in is in stack.json)")
    print(f"  AWS    {stack['aws_endpoint']} (any credentials)")
    print(f"  SMS    {state / 'messages.log'}")
    print(f"  all    {state / 'stack.json'}, stop it with `make down`")


if __name__ == "__main__":
    main()
