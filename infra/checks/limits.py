"""AWS's limits that no emulator knows: what would be refused, half a stack later.

Names and policies grow with the name of the stack, so they are measured with the longest one that
is allowed. The numbers are those of AWS's quota pages in 2026; where AWS raises one on request it
says so here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.checks.reading import FUNCTION, Template, of_type, size

STACK_NAME_LENGTH_MAX = 20
"""Longer names would make the largest role too large, for it names every table and secret."""

STACK_NAME = re.compile(rf"[a-z][a-z0-9-]{{0,{STACK_NAME_LENGTH_MAX - 1}}}")
"""A bucket is named after the stack, and bucket names have no capitals."""

RESOURCES_MAX = 500
PARAMETERS_MAX = 200
OUTPUTS_MAX = 200
ROLE_POLICIES_CHARACTERS_MAX = 10_240
"""All inline policies of a role together, spaces not counted."""
API_RESOURCES_MAX = 300
"""Every part of a path counts once. (AWS raises it on request.)"""
API_DEFINITION_BYTES_MAX = 6_000_000
ACCESS_LOG_FORMAT_BYTES_MAX = 3_000
ENVIRONMENT_BYTES_MAX = 4_096
INDEXES_MAX = 20
TAGS_MAX = 50
FUNCTION_SECONDS_MAX = 900
API_SECONDS_MAX = 29
HIDDEN_SECONDS_MAX = 43_200
RETENTION_SECONDS_MAX = 1_209_600
FIFO_BATCH_MAX = 10
ALARM_WINDOW_SECONDS_MAX = 604_800
ALARM_WINDOW_OF_SHORT_PERIODS_SECONDS_MAX = 86_400
ALARM_DESCRIPTION_LENGTH_MAX = 1_024
SECRET_DESCRIPTION_LENGTH_MAX = 2_048

NAMES: dict[str, tuple[str, int, str]] = {
    "AWS::CloudWatch::Alarm": ("AlarmName", 255, r"[ -~]+"),
    "AWS::Cognito::UserPool": ("UserPoolName", 128, r"[\w\s+=,.@-]+"),
    "AWS::DynamoDB::Table": ("TableName", 255, r"[a-zA-Z0-9_.-]{3,}"),
    "AWS::Lambda::Function": ("FunctionName", 64, r"[a-zA-Z0-9_-]+"),
    "AWS::Lambda::LayerVersion": ("LayerName", 140, r"[a-zA-Z0-9_-]+"),
    "AWS::Logs::LogGroup": ("LogGroupName", 512, r"[a-zA-Z0-9_./#-]+"),
    "AWS::S3::Bucket": ("BucketName", 63, r"[a-z0-9][a-z0-9.-]+[a-z0-9]"),
    "AWS::SNS::Topic": ("TopicName", 256, r"[a-zA-Z0-9_-]+"),
    "AWS::SQS::Queue": ("QueueName", 80, r"[a-zA-Z0-9_-]+(\.fifo)?"),
    "AWS::SecretsManager::Secret": ("Name", 512, r"[a-zA-Z0-9/_+=.@-]+"),
}
"""The property with the name of a resource, how long it may be and of which characters."""

_PATH_PART = re.compile(r"[a-zA-Z0-9._:-]+|\{[a-zA-Z0-9._:-]+\+?\}")
_SID = re.compile(r"[a-zA-Z0-9]*")


def broken_limits(packaged: Template, expanded: Template) -> list[str]:
    """Every limit of AWS that the stack would exceed."""
    limits = (
        _stack(expanded),
        _names(expanded),
        _roles(expanded),
        _api(packaged),
        _functions(packaged, expanded),
        _queues(expanded),
        _tables(expanded),
        _texts_and_alarms(expanded),
    )
    return [problem for limit in limits for problem in limit]


def api_resources(packaged: Template) -> int:
    """How many resources API Gateway makes out of the paths; the root is one."""
    parts = {
        path[:end]
        for api in of_type(packaged, "AWS::Serverless::Api").values()
        for path in api["DefinitionBody"]["paths"]
        for end in (*(m.start() for m in re.finditer("/", path)), len(path))
    }
    return len(parts - {"", "/"}) + 1


def policy_characters(expanded: Template, role: str, stack: str) -> int:
    """How long a role's inline policies are in a stack of that name, as AWS counts."""
    policies = expanded["Resources"][role]["Properties"].get("Policies", [])
    where = Installation(stack)
    documents = [resolve(expanded, policy["PolicyDocument"], where) for policy in policies]
    return sum(size(document) for document in documents)


@dataclass(frozen=True)
class Installation:
    """What is told apart by nothing but names: one stack, in one region of one account."""

    stack: str
    region: str = "ap-southeast-1"
    """No region where anything is sold here has a longer name."""
    account: str = "123456789012"


def resolve(template: Template, value: Any, where: Installation) -> Any:
    """What CloudFormation would put there. Ids that AWS chooses are those of an example."""
    if isinstance(value, list):
        return [resolve(template, item, where) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": str(name)}:
            return _reference(template, name, where)
        case {"Fn::GetAtt": [str(name), *_]}:
            return _arn(template, name, where)
        case {"Fn::GetAtt": str(name)}:
            return _arn(template, name.split(".")[0], where)
        case {"Fn::Sub": str(text)}:
            return re.sub(r"\${([^!}]+)}", lambda m: _named(template, m[1], where), text)
    return {key: resolve(template, inner, where) for key, inner in value.items()}


def _named(template: Template, name: str, where: Installation) -> str:
    logical, _, attribute = name.partition(".")
    if attribute:
        return _arn(template, logical, where)
    return _reference(template, name, where)


def _reference(template: Template, name: str, where: Installation) -> str:
    pseudo = {
        "AWS::StackName": where.stack,
        "AWS::AccountId": where.account,
        "AWS::Region": where.region,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
    }
    if name in pseudo:
        return pseudo[name]
    if name not in template["Resources"]:
        return str(template.get("Parameters", {}).get(name, {}).get("Default", name))
    own = _name_of(template, name, where)
    if template["Resources"][name]["Type"] == "AWS::SQS::Queue":
        return f"https://sqs.{where.region}.amazonaws.com/{where.account}/{own}"
    return own


def _arn(template: Template, name: str, where: Installation) -> str:
    kind = template["Resources"].get(name, {}).get("Type", "")
    own = _name_of(template, name, where)
    here = f"{where.region}:{where.account}"
    return {
        "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{here}:table/{own}",
        "AWS::S3::Bucket": f"arn:aws:s3:::{own}",
        "AWS::SQS::Queue": f"arn:aws:sqs:{here}:{own}",
        "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{here}:secret:{own}-AbCdEf",
        "AWS::Cognito::UserPool": f"arn:aws:cognito-idp:{here}:userpool/{where.region}_abcdefghi",
    }.get(kind, f"arn:aws:service:{here}:kind/{own}-123456789012")


def _name_of(template: Template, name: str, where: Installation) -> str:
    resource = template["Resources"].get(name, {})
    key, *_ = NAMES.get(resource.get("Type", ""), ("",))
    given = resource.get("Properties", {}).get(key)
    return str(resolve(template, given, where)) if given else name


def _longest_named() -> Installation:
    return Installation("s" * STACK_NAME_LENGTH_MAX)


def _stack(expanded: Template) -> Iterator[str]:
    for part, most in (
        ("Resources", RESOURCES_MAX),
        ("Parameters", PARAMETERS_MAX),
        ("Outputs", OUTPUTS_MAX),
    ):
        count = len(expanded.get(part, {}))
        if count > most:
            yield f"the stack has {count} {part.lower()} of {most}"


def _names(expanded: Template) -> Iterator[str]:
    for kind, (key, most, pattern) in NAMES.items():
        for logical, properties in of_type(expanded, kind).items():
            if key not in properties:
                continue
            name = str(resolve(expanded, properties[key], _longest_named()))
            if len(name) > most:
                yield f"{logical} can have a name of {len(name)} characters of {most}"
            if not re.fullmatch(pattern, name):
                yield f"{logical} can be named {name}, which AWS refuses"


def _roles(expanded: Template) -> Iterator[str]:
    for role in of_type(expanded, "AWS::IAM::Role"):
        characters = policy_characters(expanded, role, _longest_named().stack)
        if characters > ROLE_POLICIES_CHARACTERS_MAX:
            yield f"the policies of {role} have {characters} of {ROLE_POLICIES_CHARACTERS_MAX}"
        for policy in expanded["Resources"][role]["Properties"].get("Policies", []):
            for statement in policy["PolicyDocument"]["Statement"]:
                if not _SID.fullmatch(statement.get("Sid", "")):
                    yield f"{role} has a statement with a name that IAM refuses"


def _api(packaged: Template) -> Iterator[str]:
    count = api_resources(packaged)
    if count > API_RESOURCES_MAX:
        yield f"the API has {count} resources of {API_RESOURCES_MAX}"
    for name, api in of_type(packaged, "AWS::Serverless::Api").items():
        if size(api["DefinitionBody"]) > API_DEFINITION_BYTES_MAX:
            yield f"{name} is described in more than {API_DEFINITION_BYTES_MAX} bytes"
        log_format = str(api.get("AccessLogSetting", {}).get("Format", ""))
        if len(log_format.encode()) > ACCESS_LOG_FORMAT_BYTES_MAX:
            yield f"{name} logs in a format of more than {ACCESS_LOG_FORMAT_BYTES_MAX} bytes"
        for path in api["DefinitionBody"]["paths"]:
            for part in path.strip("/").split("/"):
                if part and not _PATH_PART.fullmatch(part):
                    yield f"{path} has a part that API Gateway refuses, {part}"


def _functions(packaged: Template, expanded: Template) -> Iterator[str]:
    for name, function in of_type(expanded, "AWS::Lambda::Function").items():
        variables = function.get("Environment", {}).get("Variables", {})
        bytes_ = size(resolve(expanded, variables, _longest_named()))
        if bytes_ > ENVIRONMENT_BYTES_MAX:
            yield f"the variables of {name} have {bytes_} bytes of {ENVIRONMENT_BYTES_MAX}"
        if function.get("Timeout", 0) > FUNCTION_SECONDS_MAX:
            yield f"{name} may run longer than Lambda lets it"
    answering = json.dumps(
        [api["DefinitionBody"] for api in of_type(packaged, "AWS::Serverless::Api").values()]
    )
    for name, function in of_type(packaged, FUNCTION).items():
        if f"${{{name}.Arn}}" in answering and function.get("Timeout", 0) > API_SECONDS_MAX:
            yield f"{name} may answer after API Gateway has given up"


def _queues(expanded: Template) -> Iterator[str]:
    queues = of_type(expanded, "AWS::SQS::Queue")
    for name, queue in queues.items():
        if queue.get("VisibilityTimeout", 0) > HIDDEN_SECONDS_MAX:
            yield f"{name} hides messages for longer than SQS can"
        if queue.get("MessageRetentionPeriod", 0) > RETENTION_SECONDS_MAX:
            yield f"{name} keeps messages for longer than SQS does"
    for name, mapping in of_type(expanded, "AWS::Lambda::EventSourceMapping").items():
        source = json.dumps(mapping.get("EventSourceArn", {}))
        fifo = any(queue.get("FifoQueue") and key in source for key, queue in queues.items())
        if fifo and mapping.get("BatchSize", 10) > FIFO_BATCH_MAX:
            yield f"{name} takes more at once than a FIFO queue gives"
        if fifo and mapping.get("MaximumBatchingWindowInSeconds"):
            yield f"{name} waits for more, which Lambda does not do on a FIFO queue"
        most = mapping.get("ScalingConfig", {}).get("MaximumConcurrency", 2)
        if not 2 <= most <= 1_000:
            yield f"{name} runs {most} at once; Lambda takes 2 to 1,000"


def _tables(expanded: Template) -> Iterator[str]:
    for name, table in of_type(expanded, "AWS::DynamoDB::Table").items():
        if len(table.get("GlobalSecondaryIndexes", [])) > INDEXES_MAX:
            yield f"{name} has more than {INDEXES_MAX} indexes"


def _texts_and_alarms(expanded: Template) -> Iterator[str]:
    for name, secret in of_type(expanded, "AWS::SecretsManager::Secret").items():
        if len(secret.get("Description", "")) > SECRET_DESCRIPTION_LENGTH_MAX:
            yield f"the description of {name} is too long"
    for name, alarm in of_type(expanded, "AWS::CloudWatch::Alarm").items():
        if len(alarm.get("AlarmDescription", "")) > ALARM_DESCRIPTION_LENGTH_MAX:
            yield f"the description of {name} is too long"
        period = alarm.get("Period", 0)
        short = period < 3_600
        most = ALARM_WINDOW_OF_SHORT_PERIODS_SECONDS_MAX if short else ALARM_WINDOW_SECONDS_MAX
        if period * alarm.get("EvaluationPeriods", 1) > most:
            yield f"{name} looks back further than CloudWatch does"
    for name, resource in expanded["Resources"].items():
        if len(resource.get("Properties", {}).get("Tags", [])) > TAGS_MAX:
            yield f"{name} has more than {TAGS_MAX} tags"
