"""Turns the packaged template into the local one, and is the complete list of differences.

What is not listed in :data:`DIFFERENCES` is deployed to the emulator as it is to AWS; a test
compares the two templates and knows this list only.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Template = dict[str, Any]

GATEWAY_RESPONSES = "x-amazon-apigateway-gateway-responses"
BINARY_TYPES = "x-amazon-apigateway-binary-media-types"


@dataclass(frozen=True)
class LocalAddresses:
    """What local functions must be told that functions on AWS need not know."""

    sms_log_url: str
    """Where the ``log`` SMS gateway posts each SMS."""


@dataclass(frozen=True)
class Difference:
    """One way in which the local template differs from the packaged one."""

    places: tuple[str, ...]
    """The paths in the template at or below which something changes; ``*`` is any one name."""
    reason: str
    apply: Callable[[Template, LocalAddresses], None]


def adapt(packaged: Template, addresses: LocalAddresses) -> Template:
    """The local template for a packaged one, which is left as it is."""
    local = copy.deepcopy(packaged)
    for difference in DIFFERENCES:
        difference.apply(local, addresses)
    return local


def _without_layer(template: Template, _: LocalAddresses) -> None:
    del template["Resources"]["ManagedLayer"]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            del resource["Properties"]["Layers"]


def _gateway_responses_as_resources(template: Template, _: LocalAddresses) -> None:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    for kind, response in body.pop(GATEWAY_RESPONSES).items():
        name = "GatewayResponse" + kind.title().replace("_", "")
        template["Resources"][name] = {
            "Type": "AWS::ApiGateway::GatewayResponse",
            "Properties": {
                "RestApiId": {"Ref": "RestAPI"},
                "ResponseType": kind,
                "StatusCode": str(response["statusCode"]),
                "ResponseParameters": response["responseParameters"],
                "ResponseTemplates": response["responseTemplates"],
            },
        }


def _binary_types_as_property(template: Template, _: LocalAddresses) -> None:
    api = template["Resources"]["RestAPI"]["Properties"]
    api["BinaryMediaTypes"] = api["DefinitionBody"][BINARY_TYPES]


def _sms_to_log(template: Template, addresses: LocalAddresses) -> None:
    variables = template["Globals"]["Function"]["Environment"]["Variables"]
    variables["SMS_GATEWAY"] = "log"
    variables["SMS_LOG_URL"] = addresses.sms_log_url


def _staff_checked_often(template: Template, _: LocalAddresses) -> None:
    variables = template["Resources"]["APIHandler"]["Properties"]["Environment"]["Variables"]
    variables["STAFF_CHECK_SECONDS"] = "1"


def _files_in_the_clear(template: Template, _: LocalAddresses) -> None:
    for bucket in ("FilesBucket", "ReportsBucket"):
        del template["Resources"][f"{bucket}Policy"]


def _without_what_only_cloudwatch_reads(template: Template, _: LocalAddresses) -> None:
    for name, resource in list(template["Resources"].items()):
        calculated = "Metrics" in resource["Properties"]
        if resource["Type"] == "AWS::Logs::QueryDefinition" or (
            resource["Type"] == "AWS::CloudWatch::Alarm" and calculated
        ):
            del template["Resources"][name]


def _all_at_once(template: Template, _: LocalAddresses) -> None:
    for resource in template["Resources"].values():
        resource.get("Properties", {}).pop("DeploymentPreference", None)


DIFFERENCES = (
    Difference(
        places=("Resources.ManagedLayer", "Resources.*.Properties.Layers"),
        reason=(
            "The layer is built for Lambda's arm64 machines. Local functions import the same "
            "pinned packages from the virtual environment that runs the emulator; what is in the "
            "layer is checked when it is packaged. It also saves unpacking it for each worker."
        ),
        apply=_without_layer,
    ),
    Difference(
        places=(
            f"Resources.RestAPI.Properties.DefinitionBody.{GATEWAY_RESPONSES}",
            "Resources.GatewayResponse*",
        ),
        reason=(
            "The emulator ignores gateway responses in the API's body and takes them as resources; "
            "on AWS such resources reach a stage only with its next deployment."
        ),
        apply=_gateway_responses_as_resources,
    ),
    Difference(
        places=("Resources.RestAPI.Properties.BinaryMediaTypes",),
        reason=(
            "The emulator ignores binary media types in the API's body and takes them as a "
            "property of the API."
        ),
        apply=_binary_types_as_property,
    ),
    Difference(
        places=(
            "Globals.Function.Environment.Variables.SMS_GATEWAY",
            "Globals.Function.Environment.Variables.SMS_LOG_URL",
        ),
        reason="No SMS leaves the machine: each is posted to the fakes, where people can read it.",
        apply=_sms_to_log,
    ),
    Difference(
        places=("Resources.APIHandler.Properties.Environment.Variables.STAFF_CHECK_SECONDS",),
        reason=(
            "On AWS a session's roles are looked up anew after 30 seconds. Nobody who tries it out "
            "here wants to wait that long."
        ),
        apply=_staff_checked_often,
    ),
    Difference(
        places=("Resources.FilesBucketPolicy", "Resources.ReportsBucketPolicy"),
        reason="They deny what does not come by TLS. The emulator is on this machine, without TLS.",
        apply=_files_in_the_clear,
    ),
    Difference(
        places=("Resources.*Query", "Resources.*Alarm"),
        reason=(
            "The emulator takes neither saved queries nor alarms that calculate, and refuses a "
            "template that has them. What such alarms would do is tested apart."
        ),
        apply=_without_what_only_cloudwatch_reads,
    ),
    Difference(
        places=("Resources.*.Properties.DeploymentPreference",),
        reason=(
            "The emulator refuses templates with CodeDeploy, so a new version of a worker gets all "
            "messages at once. Versions, the alias and what hangs on it are the same."
        ),
        apply=_all_at_once,
    ),
)
