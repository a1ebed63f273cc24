"""The Chalice app: every trigger of the system, one line each.

Routes come from ``chalicelib.api``, in the one function that serves them. Queues and schedules are
declared here and not in blueprints, because a blueprint's event handler is loaded by Lambda
without this module, and so without its middleware (aws/chalice #1566).
"""

from typing import Any

from chalice.app import Chalice, CloudWatchEvent, Rate, SQSEvent

from chalicelib.api import workers
from chalicelib.api.bare import bare_app
from chalicelib.runtime import environment
from chalicelib.wiring import wiring


def _app() -> Chalice:
    """The app, with its routes where they are served: a worker does not wait for them to load."""
    if not environment.serves_routes():
        return bare_app(wiring)
    from chalicelib.api.application import create_app

    return create_app(wiring)


app = _app()


@app.on_sqs_message(queue="payments.fifo", batch_size=10, name="settle")
def settle(event: SQSEvent) -> dict[str, Any]:
    """Settle the payments of one batch."""
    return workers.settle(event, wiring)


@app.on_sqs_message(queue="vends", batch_size=1, maximum_concurrency=100, name="vend")
def vend(event: SQSEvent) -> dict[str, Any]:
    """Make one call to one manufacturer."""
    return workers.vend(event, wiring)


@app.on_sqs_message(queue="messages", batch_size=10, name="send_messages")
def send_messages(event: SQSEvent) -> dict[str, Any]:
    """Send the SMS of one batch."""
    return workers.send_messages(event, wiring)


@app.on_sqs_message(
    queue="provider-calls", batch_size=1, maximum_concurrency=30, name="call_provider"
)
def call_provider(event: SQSEvent) -> dict[str, Any]:
    """Ask a payment provider about one payment."""
    return workers.call_provider(event, wiring)


@app.on_sqs_message(queue="moves", batch_size=1, maximum_concurrency=2, name="move")
def move(event: SQSEvent) -> dict[str, Any]:
    """Make one step of an import or export."""
    return workers.move(event, wiring)


@app.schedule(Rate(1, unit=Rate.MINUTES), name="sweep")
def sweep(event: CloudWatchEvent) -> None:
    """Queue again what has waited too long."""
    workers.sweep(wiring)


@app.schedule(Rate(5, unit=Rate.MINUTES), name="reconcile")
def reconcile(event: CloudWatchEvent) -> None:
    """Go on with the proof of the books, or start it where a day has passed."""
    workers.reconcile(event, wiring)


@app.lambda_function(name="check_manufacturer")
def check_manufacturer(event: dict[str, Any], context: Any) -> dict[str, str]:
    """Ask a manufacturer something harmless: invoked by hand, from the console."""
    return workers.check_manufacturer(event, wiring)


@app.lambda_function(name="sync_tariffs")
def sync_tariffs(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Tell a manufacturer our tariffs: invoked by hand, from the console."""
    return workers.sync_tariffs(event, wiring)
