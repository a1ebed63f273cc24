"""What the built template has of everything that costs, or bounds, something."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from infra.package import ROOT

Resource = dict[str, Any]

PRICED = frozenset(
    {
        "AWS::ApiGateway::RestApi",
        "AWS::CloudWatch::Alarm",
        "AWS::CloudWatch::CompositeAlarm",
        "AWS::CloudWatch::Dashboard",
        "AWS::Cognito::UserPool",
        "AWS::DynamoDB::Table",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::SQS::Queue",
        "AWS::SecretsManager::Secret",
        "AWS::Serverless::Api",
        "AWS::Serverless::Function",
    }
)
"""The types of resources that a line of the bill stands for."""

FREE = frozenset(
    {
        "AWS::ApiGateway::Account",
        "AWS::ApiGateway::BasePathMapping",
        "AWS::ApiGateway::DomainName",
        "AWS::CodeDeploy::Application",  # free for Lambda
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::Cognito::UserPoolClient",
        "AWS::Cognito::UserPoolGroup",
        "AWS::IAM::Role",
        "AWS::KMS::Alias",
        "AWS::Lambda::Permission",
        "AWS::Logs::QueryDefinition",
        "AWS::S3::Bucket",  # files of imports, exports and reports: cents
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::Topic",  # an e-mail per alarm
        "AWS::SNS::TopicPolicy",
        "AWS::Serverless::LayerVersion",
    }
)
"""The types that cost nothing, or nothing to speak of."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A function that runs by the clock."""

    function: str
    every_minutes: int


class Built:
    """The template of a package, as the bill and the limits read it."""

    def __init__(self, template: dict[str, Any]) -> None:
        self._resources: dict[str, Resource] = template["Resources"]
        self._parameters: dict[str, Resource] = template.get("Parameters", {})

    @property
    def types(self) -> set[str]:
        """The types of all its resources."""
        return {resource["Type"] for resource in self._resources.values()}

    def count(self, kind: str) -> int:
        """How many resources of a type it has."""
        return len(self._of(kind))

    @property
    def metrics_watched(self) -> int:
        """The metrics that its alarms watch: each is paid for."""
        watched = 0
        for alarm in self._of("AWS::CloudWatch::Alarm"):
            queries = alarm.get("Metrics", ())
            watched += sum("MetricStat" in query for query in queries) or 1
        return watched

    def memory_gb(self, function: str) -> Decimal:
        """The memory of a function, in GB."""
        return Decimal(self.function(function)["MemorySize"]) / 1024

    def function(self, name: str) -> Resource:
        """The properties of a function, by its name in ``app.py``; ``api_handler`` is the API."""
        handler = "app.app" if name == "api_handler" else f"app.{name}"
        for properties in self._of("AWS::Serverless::Function"):
            if properties["Handler"] == handler:
                return properties
        raise KeyError(name)

    @property
    def schedules(self) -> list[Schedule]:
        """The functions that run by the clock."""
        found = []
        for properties in self._of("AWS::Serverless::Function"):
            for event in properties.get("Events", {}).values():
                if event["Type"] == "Schedule":
                    (minutes,) = re.findall(r"rate\((\d+) minutes?\)", _schedule(event))
                    name = properties["Handler"].removeprefix("app.")
                    found.append(Schedule(name, int(minutes)))
        return found

    def polled_queues(self, *, fifo: bool) -> int:
        """How many queues Lambda asks for messages."""
        return sum(self._is_fifo(source) is fifo for source in self._sources())

    def concurrency_max(self, function: str) -> int | None:
        """At most so many instances of a worker run at once; ``None`` where nothing is said."""
        for event in self.function(function)["Events"].values():
            scaling = event["Properties"].get("ScalingConfig", {})
            found: int | None = scaling.get("MaximumConcurrency")
            return found
        return None

    @property
    def fifo_has_high_throughput(self) -> bool:
        """Whether each group of the FIFO queues that are polled has a throughput of its own."""
        return all(
            self._queue(source).get("FifoThroughputLimit") == "perMessageGroupId"
            for source in self._sources()
            if self._is_fifo(source)
        )

    @property
    def tables_with_keys(self) -> int:
        """The tables that are encrypted with a key in KMS."""
        tables = self._of("AWS::DynamoDB::Table")
        return sum(bool(table.get("SSESpecification", {}).get("SSEEnabled")) for table in tables)

    @property
    def log_days(self) -> int:
        """For how long logs are kept, the longest."""
        groups = self._of("AWS::Logs::LogGroup")
        return max(self._number(group["RetentionInDays"]) for group in groups)

    @property
    def access_log_bytes(self) -> int:
        """About what the gateway writes for a request: its format, filled in."""
        settings = self._api.get("AccessLogSetting")
        return 2 * len(str(settings["Format"])) if settings else 0

    @property
    def is_traced(self) -> bool:
        """Whether X-Ray follows requests."""
        return bool(self._api.get("TracingEnabled"))

    @property
    def requests_a_second_max(self) -> int:
        """How many requests the API takes before it answers "too many"."""
        (settings,) = self._api["MethodSettings"]
        return self._number(settings["ThrottlingRateLimit"])

    @property
    def _api(self) -> Resource:
        (api,) = self._of("AWS::Serverless::Api")
        return api

    def _number(self, value: Any) -> int:
        """A number that is written down, or the default of the parameter that it is taken from."""
        return int(self._parameters[value["Ref"]]["Default"] if isinstance(value, dict) else value)

    def _of(self, kind: str) -> list[Resource]:
        return [
            resource.get("Properties", {})
            for resource in self._resources.values()
            if resource["Type"] == kind
        ]

    def _sources(self) -> list[Resource]:
        return [
            event["Properties"]
            for properties in self._of("AWS::Serverless::Function")
            for event in properties.get("Events", {}).values()
            if event["Type"] == "SQS"
        ]

    def _queue(self, source: Resource) -> Resource:
        name = source["Queue"]["Fn::Sub"].removeprefix("${").removesuffix(".Arn}")
        properties: Resource = self._resources[name]["Properties"]
        return properties

    def _is_fifo(self, source: Resource) -> bool:
        return bool(self._queue(source).get("FifoQueue", False))


def _schedule(event: Resource) -> str:
    found = event["Properties"].get("Schedule") or event["Properties"]["ScheduleExpression"]
    return str(found)


@cache
def metrics_counted() -> dict[str, bool]:
    """The metrics that the functions count, and whether each is split by dimensions."""
    found: dict[str, bool] = {}
    for path in (ROOT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="count"),
                    args=[ast.Constant(value=str(name)), *_],
                    keywords=keywords,
                ) if re.fullmatch(r"[A-Z][A-Za-z]+", name):
                    split = any(keyword.arg != "value" for keyword in keywords)
                    found[name] = found.get(name, False) or split
    return found
