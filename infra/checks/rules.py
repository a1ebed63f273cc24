"""What must be true of our template, whatever it holds: nothing is lost, nothing lies open.

Each rule reads the packaged template and says what breaks it. What the single resources must be
(which tables, which alarms, how large a batch) is in the tests; a deployment need not ask again.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from infra.checks.exceptions import Finding
from infra.checks.reading import (
    FUNCTION,
    QUEUE,
    Template,
    as_list,
    of_type,
    references,
    statements,
    texts,
)
from infra.tags import TAGGED_BY_LIST, TAGGED_BY_MAP, TAGS

VISIBILITY_TIMES_TIMEOUT = 6
"""AWS's advice: a message stays hidden for as many times its function's time-out."""

LAMBDA_DEFAULT_MB = 128
"""What a function has that says nothing. Imports alone need more."""

SECRET_TEXT = re.compile(
    r"AKIA[0-9A-Z]{16}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}"
    r"|sk_(live|test)_[0-9A-Za-z]{16}"
    r"|gh[pousr]_[0-9A-Za-z]{30}"
    r"|xox[abpr]-[0-9A-Za-z-]{20}"
)
"""How well-known secrets look: keys of AWS, private keys, keys of providers, tokens of tools."""

SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|(^|_)KEY", re.IGNORECASE)
"""How a variable is called that may hold a secret."""

LOGGED_OF_A_CALL = {
    "error.responseType",
    "extendedRequestId",
    "httpMethod",
    "identity.sourceIp",
    "integrationLatency",
    "integrationStatus",
    "requestId",
    "requestTime",
    "resourcePath",
    "responseLatency",
    "responseLength",
    "status",
    "xrayTraceId",
}
"""What the API's log may say of a call. ``path`` is not among them: providers call addresses that
have a secret in them; nor are queries, headers and bodies."""

Rule = Callable[[Template], Iterator[str]]


def references_are_met(template: Template) -> Iterator[str]:
    """Whatever is referred to is there."""
    known = {*template["Resources"], *template.get("Parameters", {})}
    named = {name.split(".")[0] for name in references(template)}  # Vend.Version is made of Vend
    for name in sorted(named - known):
        if not name.startswith("AWS::"):
            yield f"{name} is referred to, and is not there"


def batches_are_answered_in_parts(template: Template) -> Iterator[str]:
    """Without the flag a worker's answer is ignored, and failed messages are deleted."""
    for function, source in _queue_sources(template):
        if source.get("FunctionResponseTypes") != ["ReportBatchItemFailures"]:
            yield f"{function} does not report which messages of a batch failed"


def queues_exist_before_they_are_polled(template: Template) -> Iterator[str]:
    """Each worker waits for its queue, and takes from one of this stack."""
    for function, source in _queue_sources(template):
        queue = _queue_of(source)
        if queue not in of_type(template, QUEUE):
            yield f"{function} takes from a queue that is not in the template"
        elif queue not in as_list(template["Resources"][function].get("DependsOn", [])):
            yield f"{function} does not wait until {queue} is made"


def messages_stay_hidden(template: Template) -> Iterator[str]:
    """A slow or throttled batch is not handed out twice."""
    queues = of_type(template, QUEUE)
    for function, source in _queue_sources(template):
        timeout = template["Resources"][function]["Properties"].get("Timeout", 0)
        hidden = queues.get(_queue_of(source), {}).get("VisibilityTimeout", 30)
        if hidden < VISIBILITY_TIMES_TIMEOUT * timeout:
            yield f"a message of {_queue_of(source)} comes back before {function} can be done"


def dead_letters_ring(template: Template) -> Iterator[str]:
    """What could not be worked on waits in a queue of its own, and somebody is told."""
    queues = of_type(template, QUEUE)
    targets = {
        name: set(references(queue.get("RedrivePolicy", {}).get("deadLetterTargetArn")))
        for name, queue in queues.items()
    }
    dead = set().union(*targets.values())
    for name in queues:
        if name not in dead and not targets[name]:
            yield f"{name} has no dead-letter queue"
    rung = {
        queue
        for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
        if alarm.get("MetricName") == "ApproximateNumberOfMessagesVisible"
        and alarm.get("AlarmActions")
        for queue in references(alarm.get("Dimensions"))
    }
    for name in sorted(dead - rung):
        yield f"no alarm rings for a message in {name}"


def tables_are_kept(template: Template) -> Iterator[str]:
    """No slip of the hand loses one: not of the console, not of the stack."""
    for name, table in of_type(template, "AWS::DynamoDB::Table").items():
        resource = template["Resources"][name]
        recovery = table.get("PointInTimeRecoverySpecification", {})
        if recovery.get("PointInTimeRecoveryEnabled") is not True:
            yield f"{name} has no point-in-time recovery"
        if table.get("DeletionProtectionEnabled") is not True:
            yield f"{name} can be deleted"
        if {resource.get(way) for way in ("DeletionPolicy", "UpdateReplacePolicy")} != {"Retain"}:
            yield f"{name} would go with its stack"


def everything_is_encrypted(template: Template) -> Iterator[str]:
    """At rest, with a key of AWS or of ours (see docs/decisions, 24)."""
    for name, table in of_type(template, "AWS::DynamoDB::Table").items():
        if table.get("SSESpecification", {}).get("SSEEnabled") is not True:
            yield f"{name} is not encrypted with a key of the account"
    for name, queue in of_type(template, QUEUE).items():
        if queue.get("SqsManagedSseEnabled") is not True and "KmsMasterKeyId" not in queue:
            yield f"{name} is not encrypted"
    for name, topic in of_type(template, "AWS::SNS::Topic").items():
        if "KmsMasterKeyId" not in topic:
            yield f"{name} is not encrypted"
    for name, bucket in of_type(template, "AWS::S3::Bucket").items():
        if "BucketEncryption" not in bucket:
            yield f"{name} does not say how it is encrypted"
    for name, key in of_type(template, "AWS::KMS::Key").items():
        if key.get("EnableKeyRotation") is not True:
            yield f"{name} is never rotated"


def buckets_are_closed(template: Template) -> Iterator[str]:
    """To the public, and to calls without TLS."""
    ways = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    in_the_clear = {"Bool": {"aws:SecureTransport": "false"}}
    refusing = {
        bucket
        for policy in of_type(template, "AWS::S3::BucketPolicy").values()
        for statement in as_list(policy["PolicyDocument"]["Statement"])
        if statement["Effect"] == "Deny" and statement.get("Condition") == in_the_clear
        for bucket in references(policy["Bucket"])
    }
    for name, bucket in of_type(template, "AWS::S3::Bucket").items():
        block = bucket.get("PublicAccessBlockConfiguration", {})
        if not all(block.get(way) is True for way in ways):
            yield f"{name} can be made public"
        if name not in refusing:
            yield f"{name} answers calls without TLS"


def logs_forget_and_are_encrypted(template: Template) -> Iterator[str]:
    """Each function has a group, made before it, that the template rules over."""
    groups = of_type(template, "AWS::Logs::LogGroup")
    for name, group in groups.items():
        if not group.get("RetentionInDays"):
            yield f"{name} is kept for ever"
        if not group.get("KmsKeyId"):
            yield f"{name} is not encrypted with our key"
    by_name = {str(group.get("LogGroupName")): name for name, group in groups.items()}
    for name, function in of_type(template, FUNCTION).items():
        own = function.get("FunctionName")
        text = own.get("Fn::Sub") if isinstance(own, dict) else own
        own_group = by_name.get(str({"Fn::Sub": f"/aws/lambda/{text}"}))
        if own_group is None:
            yield f"{name} has no log group in the template"
        elif own_group not in as_list(template["Resources"][name].get("DependsOn", [])):
            yield f"{name} could write before {own_group} is made"


def functions_are_of_a_chosen_size(template: Template) -> Iterator[str]:
    """None keeps a default of memory or time, and each is traced."""
    for name, function in of_type(template, FUNCTION).items():
        if function.get("MemorySize", LAMBDA_DEFAULT_MB) <= LAMBDA_DEFAULT_MB:
            yield f"{name} has the memory of a function that says nothing"
        if "Timeout" not in function:
            yield f"{name} has no time-out of its own"
        if function.get("Tracing") != "Active":
            yield f"{name} is not traced"


def roles_are_apart(template: Template) -> Iterator[str]:
    """One for each function, so that each may do what it must, and no more."""
    shared = defaultdict(list)
    for name, function in of_type(template, FUNCTION).items():
        shared[str(function.get("Role"))].append(name)
    for names in shared.values():
        if len(names) > 1:
            yield f"{' and '.join(names)} have one role"


def paths_have_one_name_per_variable(template: Template) -> Iterator[str]:
    """API Gateway refuses two; the emulator does not."""
    names = defaultdict(set)
    for api in of_type(template, "AWS::Serverless::Api").values():
        for path in api["DefinitionBody"]["paths"]:
            parts = path.split("/")
            for place, part in enumerate(parts):
                if part.startswith("{"):
                    names["/".join(parts[:place])].add(part)
    for prefix, found in names.items():
        if len(found) > 1:
            yield f"below {prefix or '/'} one variable has several names: {sorted(found)}"


def calls_are_limited_traced_and_logged(template: Template) -> Iterator[str]:
    """The API slows down who asks too often, and says of each call what is no secret."""
    for name, api in of_type(template, "AWS::Serverless::Api").items():
        settings = api.get("MethodSettings", [])
        if not any(setting.get("ThrottlingRateLimit", 0) > 0 for setting in settings):
            yield f"{name} takes any number of calls"
        if api.get("TracingEnabled") is not True:
            yield f"{name} is not traced"
        logged = set(re.findall(r"\$context\.([\w.]+)", _access_log(api)))
        if "requestId" not in logged:
            yield f"{name} does not log which call it was"
        for variable in sorted(logged - LOGGED_OF_A_CALL):
            yield f"{name} logs {variable} of a call, which may hold a secret"


def secrets_are_secret(template: Template) -> Iterator[str]:
    """They are in Secrets Manager and nowhere else: made empty, filled by a person, kept."""
    for name, secret in of_type(template, "AWS::SecretsManager::Secret").items():
        if secret.get("SecretString") != "{}":
            yield f"{name} has a value in the template"
        if template["Resources"][name].get("DeletionPolicy") != "Retain":
            yield f"{name} would go with its stack"
    for text in texts(template):
        if SECRET_TEXT.search(text):
            yield f"a text in the template looks like a secret: {text[:4]}…"
    for place, variables in _environments(template):
        for name, value in variables.items():
            if SECRET_NAME.search(name) and isinstance(value, str):
                yield f"the variable {name} of {place} may hold a secret"
            if any("{{resolve:" in text for text in texts(value)):
                yield f"the variable {name} of {place} is filled with a secret"


def everything_is_tagged(template: Template) -> Iterator[str]:
    """So that a bill and a search tell installations apart."""
    properties = {**TAGGED_BY_LIST, **TAGGED_BY_MAP}
    for name, resource in template["Resources"].items():
        if resource["Type"] in properties:
            given = resource.get("Properties", {}).get(properties[resource["Type"]], {})
            tags = given if isinstance(given, dict) else {tag["Key"] for tag in given}
            if not set(TAGS) <= set(tags):
                yield f"{name} is not tagged"


RULES: tuple[Rule, ...] = (
    references_are_met,
    batches_are_answered_in_parts,
    queues_exist_before_they_are_polled,
    messages_stay_hidden,
    dead_letters_ring,
    tables_are_kept,
    everything_is_encrypted,
    buckets_are_closed,
    logs_forget_and_are_encrypted,
    functions_are_of_a_chosen_size,
    roles_are_apart,
    paths_have_one_name_per_variable,
    calls_are_limited_traced_and_logged,
    secrets_are_secret,
    everything_is_tagged,
)


def broken_rules(template: Template) -> list[str]:
    """What breaks any of the rules."""
    return [problem for rule in RULES for problem in rule(template)]


def stars(template: Template) -> Iterator[Finding]:
    """Every statement that names everything: any caller, any action of a service, any resource.

    The places of the findings are the logical id of the policy's owner; the rule says what the
    star stands for, and of which actions.
    """
    for statement in statements(template):
        content, actions = statement.content, ", ".join(sorted(statement.actions))
        if any("*" in action for action in statement.actions):
            yield Finding(f"any action: {actions}", statement.resource, statement.sid)
        if "NotAction" in content or "NotResource" in content:
            yield Finding("all but", statement.resource, statement.sid)
        if "*" in as_list(content.get("Resource", [])):
            yield Finding(f"any resource: {actions}", statement.resource, statement.sid)
        if "*" in list(texts(content.get("Principal", []))):
            effect = content["Effect"].lower()
            yield Finding(f"anybody, to {effect}: {actions}", statement.resource, statement.sid)


def _queue_sources(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, function in of_type(template, FUNCTION).items():
        for event in function.get("Events", {}).values():
            if event.get("Type") == "SQS":
                yield name, event["Properties"]


def _queue_of(source: dict[str, Any]) -> str:
    return next(references(source.get("Queue")), "")


def _access_log(api: dict[str, Any]) -> str:
    return str(api.get("AccessLogSetting", {}).get("Format", ""))


def _environments(template: Template) -> Iterator[tuple[str, dict[str, Any]]]:
    everywhere = template.get("Globals", {}).get("Function", {}).get("Environment", {})
    yield "all functions", everywhere.get("Variables", {})
    for name, function in of_type(template, FUNCTION).items():
        yield name, function.get("Environment", {}).get("Variables", {})
