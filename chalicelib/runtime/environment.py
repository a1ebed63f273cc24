"""What the deployment tells the process, read when it is needed and never at import.

Packaging and tests import every module without any of these variables.
"""

from __future__ import annotations

import os


class EnvironmentIncomplete(Exception):
    """A variable that this process needs is not set: the deployment is wrong."""


def _required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise EnvironmentIncomplete(name)
    return value


def table_prefix() -> str:
    """What stands before the plain name of every table, for example ``mwanga-``."""
    return _required("TABLE_PREFIX")


def metrics_namespace() -> str:
    """The namespace of this deployment's metrics: the name of the stack, as its tables have it."""
    return os.environ.get("TABLE_PREFIX", "mwanga-").rstrip("-")


def secret_prefix() -> str:
    """What stands before the plain name of every secret, for example ``mwanga/``."""
    return _required("SECRET_PREFIX")


def payments_queue_url() -> str:
    """The FIFO queue of payments to settle."""
    return _required("PAYMENTS_QUEUE_URL")


def vends_queue_url() -> str:
    """The queue of vends to make."""
    return _required("VENDS_QUEUE_URL")


def messages_queue_url() -> str:
    """The queue of SMS to send."""
    return _required("MESSAGES_QUEUE_URL")


def provider_calls_queue_url() -> str:
    """The queue of payments that their providers must be asked about."""
    return _required("PROVIDER_CALLS_QUEUE_URL")


def moves_queue_url() -> str:
    """The queue of imports and exports to go on with."""
    return _required("MOVES_QUEUE_URL")


def files_bucket() -> str:
    """The bucket of the files that companies move in and out with."""
    return _required("FILES_BUCKET")


def reports_bucket() -> str:
    """The bucket in which reports for finance are kept."""
    return _required("REPORTS_BUCKET")


def sms_gateway() -> str:
    """The key of the SMS gateway; ``log`` where none is configured."""
    return os.environ.get("SMS_GATEWAY") or "log"


def sms_log_url() -> str | None:
    """Where the ``log`` gateway posts each SMS, if anywhere (the local cloud only)."""
    return os.environ.get("SMS_LOG_URL") or None


def staff_pool_id() -> str:
    """The user pool of the staff."""
    return _required("STAFF_POOL_ID")


def staff_client_id() -> str:
    """The client of that pool through which the API checks passwords."""
    return _required("STAFF_CLIENT_ID")


def staff_check_seconds() -> int:
    """After how long a session's roles are looked up anew; 30 seconds where nothing is said."""
    return int(os.environ.get("STAFF_CHECK_SECONDS") or 30)


def function_name() -> str:
    """The name of the function that this process is; ``none`` outside Lambda."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or "none"


def function_version() -> str:
    """The version of the function that this process is; ``none`` outside Lambda."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_VERSION") or "none"


def stage() -> str:
    """The name of the deployment, for log lines; ``local`` where none is set."""
    return os.environ.get("MWANGA_STAGE") or "local"


def release() -> str:
    """The release that runs, for ``/health`` and log lines; ``unreleased`` where none is set."""
    return os.environ.get("MWANGA_RELEASE") or "unreleased"


def serves_routes() -> bool:
    """Whether this function answers HTTP. Workers do not; where nothing is said, all is served."""
    return os.environ.get("SERVES_ROUTES") != "no"
