"""One CloudFormation stack: its change sets, and waiting for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError

from infra.deployment.changes import Change, change_of
from infra.deployment.target import Target

CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]

SECONDS_MAX = 60 * 60
"""A canary takes five minutes and more; so long nobody has ever waited."""

_GONE = {"DELETE_COMPLETE"}
_NEVER_MADE = {"REVIEW_IN_PROGRESS"}
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")

Say = Callable[[str], None]


class DeploymentFailed(Exception):
    """CloudFormation did not do it. The text says what it reported."""


@dataclass(frozen=True)
class ChangeSet:
    """A change set that can be executed."""

    id: str
    kind: str
    changes: Sequence[Change]


class Stack:
    """One stack. ``pause`` seconds lie between two looks at it."""

    def __init__(self, target: Target, *, pause: float | None = None) -> None:
        self._target = target
        self._name = target.stack
        self._cloudformation = target.client("cloudformation")
        self._pause = pause or (4 if target.endpoint is None else 0.2)

    def described(self) -> dict[str, Any] | None:
        """How the stack is described; nothing where there is none."""
        try:
            found = self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        stack: dict[str, Any] = found
        return None if stack["StackStatus"] in _GONE else stack

    def status(self) -> str | None:
        """Its status; nothing where there is no stack."""
        stack = self.described()
        return str(stack["StackStatus"]) if stack else None

    def exists(self) -> bool:
        """Whether there is a stack that can be updated."""
        return self.status() not in {None, *_NEVER_MADE}

    def outputs(self) -> dict[str, str]:
        """The stack's outputs."""
        stack = self.described() or {}
        return {item["OutputKey"]: item["OutputValue"] for item in stack.get("Outputs", [])}

    def parameters(self) -> dict[str, str]:
        """The stack's parameters, as they stand."""
        stack = self.described() or {}
        return {
            item["ParameterKey"]: item["ParameterValue"] for item in stack.get("Parameters", [])
        }

    def resources(self) -> dict[str, tuple[str, str]]:
        """Logical id → (type, physical id) of all that the stack consists of."""
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(
            StackName=self._name
        )
        return {
            item["LogicalResourceId"]: (item["ResourceType"], item.get("PhysicalResourceId", ""))
            for page in pages
            for item in page["StackResourceSummaries"]
            if item["ResourceStatus"] != "DELETE_COMPLETE"
        }

    # --- change sets -------------------------------------------------------------------------

    def prepare(
        self,
        template_url: str,
        parameters: Mapping[str, str],
        tags: Mapping[str, str],
        *,
        imports: Sequence[Mapping[str, Any]] = (),
    ) -> ChangeSet | None:
        """A change set from the stack as it is to that template; nothing where they are the same.

        Args:
            template_url: where the template is.
            parameters: all that is to have another value than before, or than by default.
            tags: of the stack and all that is in it.
            imports: what exists and is taken over, instead of being made.

        Raises:
            DeploymentFailed: CloudFormation could not make it.
        """
        kind = "IMPORT" if imports else "UPDATE" if self.exists() else "CREATE"
        name = f"release-{uuid4().hex}"
        with _reported():
            change_set = self._cloudformation.create_change_set(
                StackName=self._name,
                ChangeSetName=name,
                ChangeSetType=kind,
                TemplateURL=template_url,
                Capabilities=CAPABILITIES,
                Parameters=[
                    {"ParameterKey": key, "ParameterValue": value}
                    for key, value in parameters.items()
                ],
                Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
                **({"ResourcesToImport": list(imports)} if imports else {}),
            )["Id"]
        described = self._wait_for(change_set)
        reason = described.get("StatusReason", "")
        if described["Status"] == "FAILED" and any(text in reason for text in _NO_CHANGES):
            self.discard(change_set)
            return None
        if described["Status"] == "FAILED" or described["ExecutionStatus"] != "AVAILABLE":
            self.discard(change_set)
            raise DeploymentFailed(f"CloudFormation refuses the change set: {reason}")
        return ChangeSet(change_set, kind, [*map(change_of, self._all_changes(change_set))])

    def _wait_for(self, change_set: str) -> dict[str, Any]:
        for _ in self._while_waiting("the change set"):
            described: dict[str, Any] = self._describe(change_set)
            if described["Status"] in {"CREATE_COMPLETE", "FAILED"}:
                return described
        raise AssertionError  # the waiting raises first

    def _describe(self, change_set: str, **more: str) -> Any:
        return self._cloudformation.describe_change_set(
            StackName=self._name, ChangeSetName=change_set, **more
        )

    def _all_changes(self, change_set: str) -> Iterator[dict[str, Any]]:
        page = self._describe(change_set)
        yield from page["Changes"]
        while page.get("NextToken"):
            page = self._describe(change_set, NextToken=page["NextToken"])
            yield from page["Changes"]

    def discard(self, change_set: str) -> None:
        """Forget a change set, and the empty stack that was made for it alone."""
        self._cloudformation.delete_change_set(StackName=self._name, ChangeSetName=change_set)
        if self.status() in _NEVER_MADE:
            self._cloudformation.delete_stack(StackName=self._name)

    def execute(self, change_set: ChangeSet, say: Say) -> None:
        """Do it, telling each event, and wait for the end.

        Raises:
            DeploymentFailed: it failed, and CloudFormation has rolled the stack back.
        """
        seen = self._seen()
        self._cloudformation.execute_change_set(StackName=self._name, ChangeSetName=change_set.id)
        status = self._wait_for_end(seen, say)
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"}:
            raise DeploymentFailed(self._what_failed(seen, status or "gone"))

    def delete(self, say: Say) -> None:
        """Remove the stack, and all of it that is not to be kept.

        Raises:
            DeploymentFailed: something could not be removed.
        """
        seen, stack = self._seen(), self.described()
        if stack is None:
            return
        self._cloudformation.delete_stack(StackName=self._name)
        status = self._wait_for_end(seen, say, named=str(stack["StackId"]))
        if status is not None:
            raise DeploymentFailed(self._what_failed(seen, status))

    # --- waiting -----------------------------------------------------------------------------

    def _wait_for_end(self, seen: set[str], say: Say, named: str | None = None) -> str | None:
        """The status at the end; ``None`` where the stack is gone.

        Just after it was asked to, a stack may not have begun, and still be at the end of what was
        before. Whatever it does, it tells events of.
        """
        told = set(seen)
        for _ in self._while_waiting("the stack"):
            status = self.status()
            for event in self._events(named or self._name):
                if event["EventId"] not in told:
                    told.add(event["EventId"])
                    say(_line_of(event))
            if status is None or (told > seen and not status.endswith("_IN_PROGRESS")):
                return status
        raise AssertionError  # the waiting raises first

    def _while_waiting(self, what: str) -> Iterator[None]:
        deadline = time.monotonic() + SECONDS_MAX
        while time.monotonic() < deadline:
            yield
            time.sleep(self._pause)
        raise DeploymentFailed(f"{what} is not ready after an hour; see the console")

    def _events(self, name: str) -> list[dict[str, Any]]:
        """The newest hundred or so events, the oldest first."""
        with suppress(ClientError):  # before there is a stack, and where its name is free again
            events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
            return [*reversed(events)]
        return []

    def _seen(self) -> set[str]:
        return {event["EventId"] for event in self._events(self._name)}

    def _what_failed(self, seen: set[str], status: str) -> str:
        failed = [
            f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', 'no reason')}"
            for event in self._events(self._name)
            if event["EventId"] not in seen and event["ResourceStatus"].endswith("_FAILED")
        ]
        return "\n".join([f"The stack {self._name} is {status}. CloudFormation said:", *failed])


def _line_of(event: Mapping[str, Any]) -> str:
    at: datetime = event["Timestamp"]
    reason = event.get("ResourceStatusReason", "")
    text = f"{at:%H:%M:%S}  {event['ResourceStatus']:<28}  {event['LogicalResourceId']}"
    return f"{text}  {reason}".rstrip()


@contextmanager
def _reported() -> Iterator[None]:
    """What CloudFormation refuses is a deployment that failed."""
    try:
        yield
    except ClientError as error:
        raise DeploymentFailed(f"CloudFormation says: {error}") from error
