"""Deploys, rolls back and removes an installation: ``python -m infra.deploy <what> --stage NAME``.

``deploy`` packages, checks, uploads, shows what CloudFormation would change, asks, changes it, and
asks the API over HTTPS whether it is well. ``rollback`` does the same with the release before.
``destroy`` removes the stack and says what it leaves. All are described in docs/deploy.md.

With an endpoint, all of it happens on a local emulator of AWS instead, with the differences of
:mod:`infra.local.adapt`.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml
from botocore.exceptions import BotoCoreError, ClientError

from infra.deployment import changes, kept
from infra.deployment.checks import ChecksFailed, check
from infra.deployment.kept import AmbiguousPool, BeingDeleted
from infra.deployment.releases import NoRelease, Releases, former, release_of
from infra.deployment.smoke import SmokeTestFailed, smoke_test
from infra.deployment.stacks import ChangeSet, DeploymentFailed, Stack
from infra.deployment.target import NoTarget, Target, target_of
from infra.local.adapt import LocalAddresses, adapt
from infra.local.proxy import path_of
from infra.package import ROOT, Package, PackageError, build, load_template

Template = dict[str, Any]

_HALF_MADE = "ROLLBACK_COMPLETE"
"""What a first deployment that failed leaves: a stack that can only be removed."""


_REMOVE_FIRST = "Remove it first (make destroy); the stack's events name what stood in the way."
_GO_ON = "CloudFormation console → the stack → Stack actions → Continue update rollback."
STUCK = {
    "DELETE_FAILED": _REMOVE_FIRST,
    "ROLLBACK_FAILED": _REMOVE_FIRST,
    "IMPORT_ROLLBACK_FAILED": _GO_ON,
    "UPDATE_ROLLBACK_FAILED": _GO_ON,
}
"""Where a stack cannot be changed before a person has done something, and what."""


class Refused(Exception):
    """Nothing was changed, because somebody said no or a rule did. The text says which."""


@dataclass(frozen=True)
class Operator:
    """Who deploys: is told everything, and is asked before anything is changed."""

    say: Callable[[str], None] = print
    agrees: Callable[[str], bool] = lambda question: False


@dataclass(frozen=True)
class Order:
    """What is to be deployed where, and what may be lost by it.

    ``allowed`` are logical ids of resources with data in them that may be replaced or removed.
    ``base_url`` is where the API is asked, where the stack's own output will not do.
    """

    target: Target
    stage: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    allowed: Collection[str] = ()
    base_url: str | None = None


def deploy(order: Order, package: Package, template: Template, operator: Operator) -> str:
    """Deploy a package; answers the name of its release.

    Args:
        order: where, and with what parameters.
        package: code and layer.
        template: its template, adapted where it goes to an emulator.
        operator: is asked.

    Raises:
        Refused, DeploymentFailed: nothing was changed, or CloudFormation rolled it back.
        SmokeTestFailed: it is deployed, but the API is not well.
    """
    release = release_of(package, template, ROOT)
    operator.say(f"Release {release} to {order.target.describe()}")
    releases, stack = Releases(order.target), Stack(order.target)
    _refuse_while_busy(stack)
    _refuse_where_stuck(stack)
    if releases.ensure_bucket():
        operator.say(f"Made the bucket of releases, {order.target.bucket}.")
    releases.keep(release, package, template)
    _clear_half_made(stack, operator)
    _take_over(order, releases, template, operator)
    _bring_to(order, release, releases, operator)
    return release


def rollback(order: Order, operator: Operator, release: str | None = None) -> str:
    """Deploy a former release again: the one before the present, or the one that is named.

    Raises:
        NoRelease: there is none.
        Refused, DeploymentFailed, SmokeTestFailed: as :func:`deploy`.
    """
    releases, stack = Releases(order.target), Stack(order.target)
    if not stack.exists():
        raise NoRelease(f"There is no stack: {order.target.describe()}.")
    _refuse_while_busy(stack)
    _refuse_where_stuck(stack)
    present = stack.parameters().get("Release", "")
    release = release or former(releases.deployments(), present)
    operator.say(f"Back from release {present} to {release} on {order.target.describe()}")
    _bring_to(order, release, releases, operator, back=True)
    return release


def destroy(order: Order, operator: Operator) -> list[kept.Kept]:
    """Remove the stack, and tell what stays and how to remove that; answers what stays.

    Raises:
        NoRelease: there is no such stack.
        Refused, DeploymentFailed: it was not removed, or not all of it.
    """
    stack = Stack(order.target)
    if stack.status() is None:
        raise NoRelease(f"There is no stack: {order.target.describe()}.")
    _refuse_while_busy(stack)
    resources = stack.resources()
    stays = kept.kept_by(order.target, resources)
    operator.say(f"To remove: {order.target.describe()}")
    for queue, messages in _messages_in(order.target, resources):
        operator.say(f"LOST: {messages} messages in {queue} (open payments are queued again later)")
    operator.say("These stay, with all that is in them:")
    for thing in stays:
        operator.say(f"  {thing.kind.removeprefix('AWS::'):<24}  {thing.physical_id}")
    if not operator.agrees("Remove the API, the functions, the queues and the alarms?"):
        raise Refused("Nothing was removed.")
    stack.delete(operator.say)
    operator.say("The stack is removed. To remove for good, by hand, what stayed:")
    for command in kept.removals(stays):
        operator.say(f"  {command}")
    operator.say(f"  {order.target.bucket}: empty it in the S3 console (all versions), then delete")
    operator.say("A deployment of this stage takes tables, buckets, secrets and staff over.")
    return stays


def _bring_to(
    order: Order, release: str, releases: Releases, operator: Operator, *, back: bool = False
) -> None:
    """Bring the stack to a release that is in the bucket."""
    stack, template = Stack(order.target), releases.template(release)
    change_set = stack.prepare(
        releases.template_url(release), _parameters(order, stack, template, release), _tags(order)
    )
    if change_set is None:
        operator.say("Nothing is to be changed.")
    else:
        _refuse_what_is_there(order, template, stack, change_set)
        _agree(order, stack, change_set, operator)
        stack.execute(change_set, operator.say)
        releases.note(release, back=back)
    url = base_url(order, stack.outputs(), operator.say)
    operator.say("Smoke test:")
    smoke_test(url, release, operator.say)
    operator.say(f"Release {release} is at work at {url}")


def _parameters(order: Order, stack: Stack, template: Template, release: str) -> dict[str, str]:
    """What is not said stays as it is, also where another default would hold now."""
    unknown = set(order.parameters) - set(template["Parameters"])
    if unknown:
        raise Refused(f"The template has no parameters {', '.join(sorted(unknown))}.")
    present = {
        name: value for name, value in stack.parameters().items() if name in template["Parameters"]
    }
    own = {"Stage": order.stage, "Release": release}
    return {**present, **order.parameters, **own}


def _tags(order: Order) -> dict[str, str]:
    """The same at every release: a changed tag of the stack touches all that is in it."""
    return {"project": "mwanga", "stage": order.stage}


def _agree(order: Order, stack: Stack, change_set: ChangeSet, operator: Operator) -> None:
    """Show a change set and have it agreed to; forget it otherwise."""
    operator.say(changes.table(change_set.changes))
    dangerous = changes.refused(change_set.changes, order.allowed)
    if dangerous:
        stack.discard(change_set.id)
        raise Refused(
            "Nothing was changed. This would replace or remove what holds data:\n"
            + changes.table(dangerous)
            + "\nIf that is meant, say so with ALLOW="
            + f'"{" ".join(change.logical_id for change in dangerous)}".'
        )
    if not operator.agrees(f"Change this on {order.target.describe()}?"):
        stack.discard(change_set.id)
        raise Refused("Nothing was changed.")


def _refuse_what_is_there(
    order: Order, template: Template, stack: Stack, change_set: ChangeSet
) -> None:
    """An update that was rolled back leaves the tables that it had made, empty and protected."""
    added = {c.logical_id for c in change_set.changes if c.effect == "added"}
    new = {name: item for name, item in template["Resources"].items() if name in added}
    there = kept.left_over(order.target, {"Resources": new})
    if there:
        stack.discard(change_set.id)
        names = ", ".join(str(item["ResourceIdentifier"]) for item in there)
        raise Refused(
            f"Nothing was changed. The update would make what is there already: {names}. "
            "Most likely an update that was rolled back has left it. See docs/deploy.md."
        )


def _refuse_while_busy(stack: Stack) -> None:
    status = stack.status() or ""
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        raise Refused(f"Somebody is at it: the stack is {status}.")


def _refuse_where_stuck(stack: Stack) -> None:
    status = stack.status()
    if status in STUCK:
        raise Refused(f"The stack is {status}. {STUCK[status]}")


def _clear_half_made(stack: Stack, operator: Operator) -> None:
    if stack.status() == _HALF_MADE:
        operator.say("A first deployment failed before. Its remains are removed.")
        stack.delete(operator.say)


def _take_over(order: Order, releases: Releases, template: Template, operator: Operator) -> None:
    """Let a stack that is to be made take over what one of its name has left.

    An import can do nothing else, so it comes first; the update after it makes the rest.
    """
    stack = Stack(order.target)
    if stack.exists():
        return
    found = kept.left_over(order.target, template)
    if not found:
        return
    operator.say("A stack of this name has left these. They are taken over as they are:")
    part = kept.only(template, found)
    url = releases.keep_text("import.yaml", yaml.safe_dump(part, allow_unicode=True))
    change_set = stack.prepare(url, {"Stage": order.stage}, {}, imports=found)
    if change_set is None:
        raise DeploymentFailed("CloudFormation says that there is nothing to take over.")
    _agree(order, stack, change_set, operator)
    stack.execute(change_set, operator.say)


def base_url(order: Order, outputs: Mapping[str, str], say: Callable[[str], None]) -> str:
    """Where the API can be asked now.

    An emulator serves no domain, whatever the stack's output says. A domain that nobody has made
    known yet, as after a first deployment, leads nowhere: the API's own address is asked then.
    """
    if order.base_url:
        return order.base_url
    if order.target.endpoint:
        return order.target.endpoint + path_of(outputs["RestAPIId"])
    url = outputs["ApiUrl"]
    domain = urlsplit(url).hostname or ""
    if "DomainTarget" in outputs and not _is_known(domain):
        say(f"{domain} leads nowhere yet: make a CNAME from it to {outputs['DomainTarget']}.")
        return outputs["EndpointURL"].rstrip("/")
    return url


def _is_known(domain: str) -> bool:
    try:
        return bool(socket.getaddrinfo(domain, 443))
    except OSError:
        return False


def _messages_in(target: Target, resources: Mapping[str, tuple[str, str]]) -> list[tuple[str, int]]:
    """The queues that are not empty."""
    names = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
    sqs, found = target.client("sqs"), []
    for kind, url in resources.values():
        if kind == "AWS::SQS::Queue":
            given = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[*names])["Attributes"]
            found.append((url.rsplit("/", 1)[-1], sum(int(given.get(name, 0)) for name in names)))
    return [(queue, count) for queue, count in found if count]


# --- the command -----------------------------------------------------------------------------


def _asking(yes: bool) -> Callable[[str], bool]:
    def agrees(question: str) -> bool:
        if yes:
            print(f"{question} yes (said beforehand)")
            return True
        try:
            return input(f"{question} [yes/no] ").strip().lower() == "yes"
        except EOFError:
            return False

    return agrees


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Deploy, roll back or remove an installation.")
    parser.add_argument("what", choices=["deploy", "rollback", "destroy"])
    parser.add_argument("--stage", required=True)
    parser.add_argument("--region", default=os.environ.get("AWS_REGION"))
    parser.add_argument("--endpoint", help="a local emulator, instead of AWS")
    parser.add_argument("--base-url", help="where the API is asked, if not at the stack's output")
    parser.add_argument("--yes", action="store_true", help="agree to everything that is asked")
    parser.add_argument("--allow", default="", help="logical ids that may be replaced or removed")
    parser.add_argument("--parameters", default="", help='"DomainName=… CertificateArn=…"')
    parser.add_argument("--release", help="the release to go back to")
    return parser.parse_args()


def _order(given: argparse.Namespace) -> Order:
    parameters = dict(item.split("=", 1) for item in given.parameters.split())
    target = target_of(given.stage, given.region, given.endpoint)
    return Order(target, given.stage, parameters, given.allow.split(), given.base_url)


def _deploy(order: Order, operator: Operator) -> None:
    operator.say(f"To {order.target.describe()}. Packaging and checking …")
    package = build()
    check(package.template.parent)
    template = load_template(package)
    if order.target.endpoint:
        template = adapt(template, LocalAddresses(sms_log_url=""))
    deploy(order, package, template, operator)


def main() -> None:
    """Does what the command line says, and ends with an error if it could not be done."""
    given = _parse()
    operator = Operator(agrees=_asking(given.yes))
    try:
        order = _order(given)
        if given.what == "deploy":
            _deploy(order, operator)
        elif given.what == "rollback":
            rollback(order, operator, given.release)
        else:
            destroy(order, operator)
    except SmokeTestFailed as error:
        sys.exit(
            f"The release is deployed, but:\n{error}\n"
            f"Go back with: make rollback STAGE={given.stage}"
        )
    except (
        *(
            AmbiguousPool,
            BeingDeleted,
            ChecksFailed,
            DeploymentFailed,
            NoRelease,
            NoTarget,
            PackageError,
        ),
        *(Refused, BotoCoreError, ClientError),
    ) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
