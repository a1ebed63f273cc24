"""Times and sizes that follow from each other, and what they follow from.

Inputs are what the world gives: how long manufacturers and providers may take (their modules state
it), what API Gateway, Lambda and SQS allow, and how long our own calls may take. Everything else is
derived from them here; tests/infra/test_limits.py holds app.py, .chalice/config.json and the
template to it. To change a time-out, change its input and follow the tests.
"""

from __future__ import annotations

from chalicelib.api.workers import MOVE_SPARE, RECONCILE_SPARE
from chalicelib.runtime import aws
from chalicelib.services import collect, refund, vend
from chalicelib.sms import log
from chalicelib.store import connection
from chalicelib.wiring import CHANNELS, MANUFACTURERS, ManufacturerRegistry, ProviderRegistry

# --- what the world gives ----------------------------------------------------------------------

GATEWAY_SECONDS = 29
"""API Gateway gives up on a function after that."""

ACCOUNT_CONCURRENCY = 1000
"""So many functions may run at once in an account and region, unless AWS was asked for more."""

UNRESERVED_MIN = 100
"""Of which Lambda never lets anybody reserve the last hundred."""

VISIBILITY_FACTOR = 6
"""AWS's advice: a message stays hidden for six times the function's time, for throttled batches."""

MEMORY_MB_MIN = 512
"""Below, importing the code takes longer than the work."""

BATCHES = {"settle": 10, "vend": 1, "send_messages": 10, "call_provider": 1, "move": 1}
"""How many messages a worker takes at once."""

MAXIMUM_CONCURRENCY = {"vend": 100, "call_provider": 30, "move": 2}
"""How many of a worker run at once, at most. Manufacturers and providers bear no more; the others
are bounded by what comes in."""

# --- what we may take --------------------------------------------------------------------------

DYNAMODB_SECONDS = (connection.CONNECT_TIMEOUT_SECONDS + connection.READ_TIMEOUT_SECONDS) * (
    1 + connection.RETRIES_MAX
)
"""The longest that one request to DynamoDB takes, repeats included (without the pauses between)."""

AWS_CALL_SECONDS = (aws.CONNECT_TIMEOUT_SECONDS + aws.READ_TIMEOUT_SECONDS) * aws.ATTEMPTS_MAX
"""The same of SQS, Secrets Manager and S3."""

ATTEMPT_SECONDS = connection.CONNECT_TIMEOUT_SECONDS + connection.READ_TIMEOUT_SECONDS
"""One attempt at one request to DynamoDB."""


def longest_vend_seconds() -> int:
    """What the slowest manufacturer may take for one vend."""
    registry = ManufacturerRegistry(MANUFACTURERS, _no_secrets, with_demos=True)
    return max(manufacturer.timeout_seconds for manufacturer in registry.all())


def longest_provider_call_seconds() -> int:
    """What the slowest payment provider may take for one call."""
    registry = ProviderRegistry(CHANNELS, _no_secrets)
    keys = [path.rsplit(".", 1)[-1] for path in CHANNELS]
    providers = [registry.get(key) for key in keys]
    return max(provider.timeout_seconds for provider in providers if provider is not None)


def _no_secrets(name: str) -> dict[str, str]:
    raise LookupError(name)


def longest_page_seconds() -> int:
    """What the slowest provider may take for one page of its list of payments."""
    registry = ProviderRegistry(CHANNELS, _no_secrets)
    providers = [registry.get(key) for key in registry.listing()]
    return max(provider.timeout_seconds for provider in providers if provider is not None)


# --- what follows ------------------------------------------------------------------------------


def timeout_seconds_min() -> dict[str, int]:
    """The least time that each function needs.

    Each must bear a bad moment of AWS: one request that is answered at its last attempt only, the
    others at their first. Around the call of a vendor or provider there are a look-up and a lease
    before it, its answer written down and a message sent after it.
    """
    around_a_call = 3 * ATTEMPT_SECONDS + DYNAMODB_SECONDS
    return {
        "api_handler": 3 * ATTEMPT_SECONDS + DYNAMODB_SECONDS,
        "settle": 3 * ATTEMPT_SECONDS + DYNAMODB_SECONDS,
        "vend": around_a_call + longest_vend_seconds(),
        "call_provider": around_a_call + longest_provider_call_seconds(),
        "send_messages": ATTEMPT_SECONDS + DYNAMODB_SECONDS + log.SECONDS_MAX,
        "sweep": 3 * ATTEMPT_SECONDS + DYNAMODB_SECONDS,
        "move": 2 * int(MOVE_SPARE.total_seconds()),
        "reconcile": 2 * int(RECONCILE_SPARE.total_seconds()),
        "check_manufacturer": DYNAMODB_SECONDS + longest_vend_seconds(),
        "sync_tariffs": DYNAMODB_SECONDS + longest_vend_seconds(),
    }


def taken_up_seconds() -> dict[str, int]:
    """What must be left of a worker's time for it to take up the longest call: the call, and the
    margin of its lease. A worker that has just started must be able to take up any."""
    return {
        "vend": longest_vend_seconds() + int(vend.LEASE_MARGIN.total_seconds()),
        "call_provider": longest_provider_call_seconds()
        + int(max(refund.LEASE_MARGIN, collect.MARGIN).total_seconds()),
    }


def visibility_seconds_min(timeout_seconds: int) -> int:
    """How long a message stays hidden at least whose worker has that time-out."""
    return VISIBILITY_FACTOR * timeout_seconds


def concurrency_left() -> int:
    """What is left of the account's concurrency for the API, settling and messages while all
    bounded workers are at their bound."""
    return ACCOUNT_CONCURRENCY - UNRESERVED_MIN - sum(MAXIMUM_CONCURRENCY.values())
