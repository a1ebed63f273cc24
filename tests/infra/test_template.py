"""What must be true of the template, because AWS would say so late, or never."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

import pytest

from chalicelib.services.reconcile import PASS_EVERY
from infra.checks.reading import of_type, references, statements_of
from infra.package import ROOT

Template = dict[str, Any]

WORKERS = {
    "Settle": "PaymentsQueue",
    "Vend": "VendsQueue",
    "SendMessages": "MessagesQueue",
    "CallProvider": "ProviderCallsQueue",
    "Move": "MovesQueue",
}
SCHEDULES = {"Sweep": "rate(1 minute)", "Reconcile": "rate(5 minutes)"}
BY_HAND = {"CheckManufacturer", "SyncTariffs"}
FUNCTIONS = {"APIHandler", *SCHEDULES, *WORKERS, *BY_HAND}
DEAD_QUEUES = {
    "PaymentsQueue": "PaymentsDeadQueue",
    "VendsQueue": "VendsDeadQueue",
    "MessagesQueue": "MessagesDeadQueue",
    "ProviderCallsQueue": "ProviderCallsDeadQueue",
    "MovesQueue": "MovesDeadQueue",
}
COUNTED_ALARMS = {
    "ReferenceConflicts",
    "ReportsFailed",
    "LateAnswers",
    "LateRefundAnswers",
    "RefundNewsUnplaced",
    "BooksDifferences",
    "SweepFailures",
    "SwitchesOverdue",
    "ReversedByProvider",
    "ResultsLate",
    "StatementDifferences",
    "MessagesCrashed",
}
"""The metrics of which one is enough for a person to look."""

WATCHED_ALARMS = {"BooksChecked", "Paused"}
"""The metrics that are watched over hours."""

TABLE_KEYS = {
    "accounts": {"customer_id": "S"},
    "agents": {"agent_id": "S", "number": "N"},
    "appliances": {"appliance_id": "N"},
    "busy_devices": {"serial_number": "S"},
    "changes": {"subject": "S", "change_id": "S"},
    "circuits": {"manufacturer": "S"},
    "customers": {"customer_id": "S"},
    "devices": {"serial_number": "S"},
    "ended_plans": {"plan_id": "S"},
    "entries": {"customer_id": "S", "account_version": "N"},
    "guards": {"guard_id": "S"},
    "messages": {"payment_id": "S", "number": "N"},
    "moves": {"move_id": "S", "item": "S"},
    "payments": {"payment_id": "S"},
    "reconciliations": {"run_id": "S"},
    "registrations": {"registration_id": "S"},
    "sessions": {"token_hash": "S"},
    "settings": {"name": "S"},
    "settings_changes": {"name": "S", "revision": "N"},
    "sites": {"site_id": "S"},
    "tariffs": {"tariff_id": "N"},
    "wrong_tries": {"whose": "S"},
}


def mappings(expanded: Template) -> dict[str, dict[str, Any]]:
    """The event source mapping of each worker, by the worker's logical id.

    Each hands its messages to the worker's alias.
    """
    aliases = of_type(expanded, "AWS::Lambda::Alias")
    return {
        aliases[mapping["FunctionName"]["Ref"]]["FunctionName"]["Ref"]: mapping
        for mapping in of_type(expanded, "AWS::Lambda::EventSourceMapping").values()
    }


def counted_alarms(template: Template) -> list[dict[str, Any]]:
    """The alarms on what our own functions count."""
    alarms = of_type(template, "AWS::CloudWatch::Alarm").values()
    return [alarm for alarm in alarms if alarm.get("Namespace") == {"Ref": "AWS::StackName"}]


def test_the_transform_accepts_the_template(expanded: Template) -> None:
    assert set(of_type(expanded, "AWS::Lambda::Function")) == FUNCTIONS


class TestFunctions:
    @pytest.mark.parametrize("function", sorted(FUNCTIONS))
    def test_none_keeps_a_default_size_or_time(self, template: Template, function: str) -> None:
        config = json.loads((ROOT / ".chalice/config.json").read_text())
        name = template["Resources"][function]["Properties"]["Handler"].removeprefix("app.")
        own = config["lambda_functions"]["api_handler" if name == "app" else name]
        properties = template["Resources"][function]["Properties"]
        assert properties["MemorySize"] == own["lambda_memory_size"] >= 512
        assert properties["Timeout"] == own["lambda_timeout"]

    def test_the_api_answers_before_the_gateway_gives_up(self, template: Template) -> None:
        assert template["Resources"]["APIHandler"]["Properties"]["Timeout"] <= 29

    @pytest.mark.parametrize("function", sorted(FUNCTIONS))
    def test_each_knows_its_surroundings(self, expanded: Template, function: str) -> None:
        properties = expanded["Resources"][function]["Properties"]
        staff = {
            "STAFF_POOL_ID": {"Ref": "StaffPool"},
            "STAFF_CLIENT_ID": {"Ref": "StaffClient"},
        }
        assert properties["Environment"]["Variables"] == {
            **(staff if function == "APIHandler" else {}),
            "SERVES_ROUTES": "yes" if function == "APIHandler" else "no",
            "MWANGA_STAGE": {"Ref": "Stage"},
            "MWANGA_RELEASE": {"Ref": "Release"},
            "TABLE_PREFIX": {"Fn::Sub": "${AWS::StackName}-"},
            "SECRET_PREFIX": {"Fn::Sub": "${AWS::StackName}/"},
            "PAYMENTS_QUEUE_URL": {"Ref": "PaymentsQueue"},
            "VENDS_QUEUE_URL": {"Ref": "VendsQueue"},
            "MESSAGES_QUEUE_URL": {"Ref": "MessagesQueue"},
            "PROVIDER_CALLS_QUEUE_URL": {"Ref": "ProviderCallsQueue"},
            "MOVES_QUEUE_URL": {"Ref": "MovesQueue"},
            "FILES_BUCKET": {"Ref": "FilesBucket"},
            "REPORTS_BUCKET": {"Ref": "ReportsBucket"},
        }

    @pytest.mark.parametrize("function", sorted(FUNCTIONS))
    def test_each_runs_on_the_python_that_the_project_is_written_for(
        self, template: Template, function: str
    ) -> None:
        properties = template["Resources"][function]["Properties"]
        assert properties["Runtime"] == f"python{(ROOT / '.python-version').read_text().strip()}"
        assert properties["Architectures"] == ["arm64"]

    @pytest.mark.parametrize("worker", ["Vend", "CallProvider", "Move"])
    def test_what_waits_may_put_itself_back_on_its_queue_many_times(
        self, expanded: Template, worker: str
    ) -> None:
        assert expanded["Resources"][worker]["Properties"]["RecursiveLoop"] == "Allow"

    def test_the_schedules_are_the_designed_ones(self, expanded: Template) -> None:
        rules = of_type(expanded, "AWS::Events::Rule").values()
        assert {
            rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]: rule["ScheduleExpression"] for rule in rules
        } == SCHEDULES

    @pytest.mark.parametrize("function", SCHEDULES)
    def test_a_failed_run_of_a_schedule_is_not_repeated(
        self, template: Template, function: str
    ) -> None:
        properties = template["Resources"][function]["Properties"]
        assert properties["EventInvokeConfig"] == {"MaximumRetryAttempts": 0}


class TestEventSources:
    @pytest.mark.parametrize(("worker", "queue"), WORKERS.items())
    def test_each_refers_to_its_queue(self, expanded: Template, worker: str, queue: str) -> None:
        source = mappings(expanded)[worker]["EventSourceArn"]
        assert list(references(source)) == [queue]
        assert queue in expanded["Resources"][worker]["DependsOn"]

    @pytest.mark.parametrize("worker", WORKERS)
    def test_each_returns_failed_messages_one_by_one(self, expanded: Template, worker: str) -> None:
        assert mappings(expanded)[worker]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]

    @pytest.mark.parametrize(
        ("worker", "size"),
        [("Settle", 10), ("Vend", 1), ("SendMessages", 10), ("CallProvider", 1), ("Move", 1)],
    )
    def test_batches_are_of_the_designed_size(
        self, expanded: Template, worker: str, size: int
    ) -> None:
        mapping = mappings(expanded)[worker]
        assert mapping["BatchSize"] == size
        assert mapping["MaximumBatchingWindowInSeconds"] == 0

    @pytest.mark.parametrize("worker", ["Vend", "CallProvider", "Move"])
    def test_calls_to_vendors_are_bounded(self, expanded: Template, worker: str) -> None:
        assert 2 <= mappings(expanded)[worker]["ScalingConfig"]["MaximumConcurrency"] <= 1000


class TestCanary:
    @pytest.mark.parametrize("worker", WORKERS)
    def test_a_new_version_of_a_worker_gets_a_tenth_first(
        self, expanded: Template, worker: str
    ) -> None:
        alias = expanded["Resources"][f"{worker}Aliaslive"]
        group = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]["DeploymentGroupName"]["Ref"]
        deployments = expanded["Resources"][group]["Properties"]
        _, how = deployments["DeploymentConfigName"]["Fn::Sub"]
        assert how == {"ConfigName": "Canary10Percent5Minutes"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in deployments["AutoRollbackConfiguration"]["Events"]
        assert [alarm["Name"]["Ref"] for alarm in deployments["AlarmConfiguration"]["Alarms"]] == [
            f"{worker}NewVersionAlarm",
            f"{worker}NewVersionCrashesAlarm",
        ]

    @pytest.mark.parametrize("worker", WORKERS)
    def test_its_alarm_watches_the_errors_of_the_newest_version_alone(
        self, expanded: Template, worker: str
    ) -> None:
        alarm = expanded["Resources"][f"{worker}NewVersionAlarm"]["Properties"]
        version = expanded["Resources"][f"{worker}Aliaslive"]["Properties"]["FunctionVersion"]
        assert (alarm["Namespace"], alarm["MetricName"]) == ("AWS/Lambda", "Errors")
        assert {item["Name"]: item["Value"] for item in alarm["Dimensions"]} == {
            "FunctionName": {"Ref": worker},
            "Resource": {"Fn::Sub": f"${{{worker}}}:live"},
            "ExecutedVersion": version,
        }

    def test_the_rest_works_without_an_alias(self, expanded: Template) -> None:
        aliases = of_type(expanded, "AWS::Lambda::Alias").values()
        assert {alias["FunctionName"]["Ref"] for alias in aliases} == set(WORKERS)

    @pytest.mark.parametrize("worker", WORKERS)
    def test_another_watches_what_crashes_in_the_newest_version_alone(
        self, expanded: Template, worker: str
    ) -> None:
        """What the version before it could not do either must not stop the one that mends it."""
        alarm = expanded["Resources"][f"{worker}NewVersionCrashesAlarm"]["Properties"]
        version = expanded["Resources"][f"{worker}Aliaslive"]["Properties"]["FunctionVersion"]
        assert alarm["MetricName"] == "MessagesCrashed"
        assert {item["Name"]: item["Value"] for item in alarm["Dimensions"]} == {
            "function": {"Ref": worker},
            "version": version,
        }

    def test_codedeploy_may_turn_each_alias_and_nothing_else(self, template: Template) -> None:
        role = template["Resources"]["CanaryRole"]["Properties"]
        turning, _ = role["Policies"][0]["PolicyDocument"]["Statement"]
        assert {resource["Fn::Sub"].split(":function:")[1] for resource in turning["Resource"]} == {
            template["Resources"][worker]["Properties"]["FunctionName"]["Fn::Sub"] + alias
            for worker in WORKERS
            for alias in ("", ":live")
        }


class TestDomain:
    def test_it_is_optional_regional_and_served_by_tls_1_2_under_api(
        self, template: Template
    ) -> None:
        domain, mapping = (template["Resources"][name] for name in ("Domain", "DomainMapping"))
        assert domain["Condition"] == mapping["Condition"] == "HasDomain"
        assert domain["Properties"]["SecurityPolicy"] == "TLS_1_2"
        assert domain["Properties"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
        assert mapping["Properties"]["BasePath"] == "api"

    @pytest.mark.parametrize(
        ("domain", "taken"),
        [
            ("", True),
            ("pay.example.org", True),
            ("abc.execute-api.eu-west-1.amazonaws.com", False),
            ("mpesa.example.org", False),
            ("PAY.example.org", False),
            ("example", False),
        ],
    )
    def test_a_domain_that_safaricom_refuses_is_refused(
        self, template: Template, domain: str, taken: bool
    ) -> None:
        pattern = template["Parameters"]["DomainName"]["AllowedPattern"]
        assert bool(re.fullmatch(pattern, domain)) is taken


class TestQueues:
    @pytest.mark.parametrize(("queue", "dead"), DEAD_QUEUES.items())
    def test_each_has_a_dead_letter_queue_that_takes_from_it_alone(
        self, template: Template, queue: str, dead: str
    ) -> None:
        queues = of_type(template, "AWS::SQS::Queue")
        redrive = queues[queue]["RedrivePolicy"]
        assert redrive["deadLetterTargetArn"] == {"Fn::GetAtt": [dead, "Arn"]}
        assert redrive["maxReceiveCount"] >= 5
        allowed = queues[dead]["RedriveAllowPolicy"]
        (source,) = allowed["sourceQueueArns"]
        name = queues[queue]["QueueName"]["Fn::Sub"]
        assert allowed["redrivePermission"] == "byQueue"
        assert source["Fn::Sub"].endswith(f":{name}")
        assert queues[dead].get("FifoQueue") == queues[queue].get("FifoQueue")
        kept_longer = queues[dead]["MessageRetentionPeriod"]
        assert kept_longer > queues[queue]["MessageRetentionPeriod"]

    def test_all_are_encrypted(self, template: Template) -> None:
        queues = of_type(template, "AWS::SQS::Queue")
        assert set(queues) == {*DEAD_QUEUES, *DEAD_QUEUES.values()}
        assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())

    def test_equal_payments_are_never_taken_for_one(self, template: Template) -> None:
        queue = template["Resources"]["PaymentsQueue"]["Properties"]
        assert queue["FifoQueue"] is True
        assert queue["ContentBasedDeduplication"] is False

    @pytest.mark.parametrize("dead", DEAD_QUEUES.values())
    def test_one_dead_letter_raises_an_alarm(self, template: Template, dead: str) -> None:
        (alarm,) = (
            alarm
            for alarm in of_type(template, "AWS::CloudWatch::Alarm").values()
            if list(references(alarm.get("Dimensions", []))) == [dead]
        )
        assert (alarm["Namespace"], alarm["MetricName"]) == (
            "AWS/SQS",
            "ApproximateNumberOfMessagesVisible",
        )
        assert (alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "GreaterThanOrEqualToThreshold",
            1,
        )
        assert alarm["AlarmActions"] == [{"Ref": "AlarmsTopic"}]


class TestAlarms:
    def test_what_needs_a_person_rings_at_the_first_one(self, template: Template) -> None:
        rings = {
            alarm["MetricName"]
            for alarm in counted_alarms(template)
            if (alarm["Statistic"], alarm["EvaluationPeriods"]) == ("Sum", 1)
            and alarm["Period"] in {60, 300}
            and alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
            and alarm["Threshold"] == 1
            and alarm["TreatMissingData"] == "notBreaching"
        }
        assert rings == COUNTED_ALARMS

    def test_that_no_proof_of_the_books_ends_rings_although_nothing_is_counted(
        self, template: Template
    ) -> None:
        (alarm,) = (a for a in counted_alarms(template) if a["MetricName"] == "BooksChecked")
        assert (alarm["Statistic"], alarm["ComparisonOperator"], alarm["Threshold"]) == (
            "SampleCount",
            "LessThanThreshold",
            1,
        )
        assert alarm["TreatMissingData"] == "breaching"
        window = timedelta(seconds=alarm["Period"] * alarm["EvaluationPeriods"])
        assert PASS_EVERY + timedelta(hours=1) <= window <= timedelta(days=7)  # CloudWatch's limit
        assert alarm["Period"] >= 3600  # with a shorter one the limit is a day

    def test_a_pause_rings_when_it_has_lasted_a_day(self, template: Template) -> None:
        (alarm,) = (a for a in counted_alarms(template) if a["MetricName"] == "Paused")
        assert (alarm["Statistic"], alarm["Threshold"]) == ("Minimum", 1)
        assert alarm["Period"] * alarm["EvaluationPeriods"] == 24 * 3600


class TestTables:
    def test_they_are_the_ones_of_the_design(self, template: Template) -> None:
        found = {}
        for table in of_type(template, "AWS::DynamoDB::Table").values():
            types = {
                item["AttributeName"]: item["AttributeType"]
                for item in table["AttributeDefinitions"]
            }
            keys = [item["AttributeName"] for item in table["KeySchema"]]
            name = table["TableName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
            found[name] = {key: types[key] for key in keys}
        assert found == TABLE_KEYS

    def test_all_are_encrypted_and_on_demand(self, template: Template) -> None:
        for table in of_type(template, "AWS::DynamoDB::Table").values():
            assert table["SSESpecification"] == {"SSEEnabled": True}
            assert table["BillingMode"] == "PAY_PER_REQUEST"

    def test_the_indexes_of_payments_hold_keys_only(self, template: Template) -> None:
        indexes = template["Resources"]["PaymentsTable"]["Properties"]["GlobalSecondaryIndexes"]
        assert {index["IndexName"] for index in indexes} == {"by_owner", "open"}
        assert all(index["Projection"] == {"ProjectionType": "KEYS_ONLY"} for index in indexes)

    def test_every_declared_attribute_is_a_key(self, template: Template) -> None:
        for table in of_type(template, "AWS::DynamoDB::Table").values():
            schemas = [table["KeySchema"]]
            schemas += [index["KeySchema"] for index in table.get("GlobalSecondaryIndexes", [])]
            keys = {item["AttributeName"] for schema in schemas for item in schema}
            assert {item["AttributeName"] for item in table["AttributeDefinitions"]} == keys


class TestRoles:
    @pytest.mark.parametrize("function", sorted(FUNCTIONS))
    def test_none_may_scan_a_table_but_who_compares_statements_and_closes_the_books(
        self, template: Template, function: str
    ) -> None:
        scanned = {
            name
            for item in statements_of(template, function)
            if "dynamodb:Scan" in item["Action"]
            for name in references(item["Resource"])
        }
        assert scanned == ({"EntriesTable", "PaymentsTable"} if function == "Move" else set())

    @pytest.mark.parametrize("function", sorted(FUNCTIONS))
    def test_none_may_delete_a_table(self, template: Template, function: str) -> None:
        actions = {
            action for item in statements_of(template, function) for action in item["Action"]
        }
        assert "dynamodb:DeleteTable" not in actions

    def test_nobody_may_delete_what_is_money(self, template: Template) -> None:
        deletable = {
            name
            for function in FUNCTIONS
            for statement in statements_of(template, function)
            if "dynamodb:DeleteItem" in statement["Action"]
            for name in references(statement["Resource"])
        }
        assert deletable.isdisjoint(
            {"PaymentsTable", "AccountsTable", "EntriesTable", "EndedPlansTable", "DevicesTable"}
        )

    @pytest.mark.parametrize(("worker", "queue"), WORKERS.items())
    def test_each_worker_may_take_from_its_own_queue_alone(
        self, template: Template, worker: str, queue: str
    ) -> None:
        """Lambda polls a queue in the name of the function's role, though no code of ours does.

        The emulator asks no role for this, so no end-to-end test would miss it.
        """
        taking = [
            statement
            for statement in statements_of(template, worker)
            if "sqs:ReceiveMessage" in statement["Action"]
        ]
        assert [set(references(statement["Resource"])) for statement in taking] == [{queue}]
        assert set(taking[0]["Action"]) == {
            "sqs:ReceiveMessage",
            "sqs:DeleteMessage",
            "sqs:GetQueueAttributes",
        }

    @pytest.mark.parametrize("function", sorted(FUNCTIONS))
    def test_each_may_write_to_its_own_log_alone(self, template: Template, function: str) -> None:
        (log,) = (
            statement
            for statement in statements_of(template, function)
            if "logs:PutLogEvents" in statement["Action"]
        )
        name = template["Resources"][function]["Properties"]["FunctionName"]["Fn::Sub"]
        (resource,) = log["Resource"]
        assert resource["Fn::Sub"].endswith(f":log-group:/aws/lambda/{name}:*")


class TestApi:
    def test_the_stage_is_called_api(self, template: Template) -> None:
        properties = template["Resources"]["RestAPI"]["Properties"]
        assert properties["StageName"] == "api"
        assert properties["EndpointConfiguration"] == "REGIONAL"

    def test_the_gateways_own_answers_have_the_shape_of_a_problem(self, template: Template) -> None:
        body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
        responses = body["x-amazon-apigateway-gateway-responses"]
        assert {"DEFAULT_4XX", "DEFAULT_5XX", "MISSING_AUTHENTICATION_TOKEN", "THROTTLED"} <= set(
            responses
        )
        for response in responses.values():
            text = response["responseTemplates"]["application/json"]
            problem = json.loads(text.replace("$context.error.messageString", '"why"'))
            assert set(problem) == {
                *("type", "title", "status", "code", "detail", "errors", "request_id"),
            }
            assert problem["status"] == response["statusCode"]
            assert response["responseParameters"] == {
                "gatewayresponse.header.Content-Type": "'application/problem+json'",
                "gatewayresponse.header.X-Request-Id": "context.requestId",
            }

    def test_calls_are_throttled(self, expanded: Template) -> None:
        (stage,) = of_type(expanded, "AWS::ApiGateway::Stage").values()
        (settings,) = stage["MethodSettings"]
        assert settings["ResourcePath"] == "/*"
        assert settings["ThrottlingRateLimit"] > 0


class TestSecrets:
    def test_they_are_made_empty_and_outlive_the_stack(self, template: Template) -> None:
        secrets = of_type(template, "AWS::SecretsManager::Secret")
        assert {secret["Name"]["Fn::Sub"] for secret in secrets.values()} == {
            "${AWS::StackName}/device-keys",
            "${AWS::StackName}/channels/direct",
            "${AWS::StackName}/channels/daraja",
            "${AWS::StackName}/channels/paystack",
            "${AWS::StackName}/channels/vodacom_tz",
            "${AWS::StackName}/channels/airtel_tz",
            "${AWS::StackName}/channels/airtel_biller",
            "${AWS::StackName}/channels/airtel",
            "${AWS::StackName}/channels/vodacom_mz",
            "${AWS::StackName}/channels/vodacom_mz_c2b",
            "${AWS::StackName}/channels/wave_money",
            "${AWS::StackName}/channels/swifta",
            "${AWS::StackName}/channels/mesomb",
            "${AWS::StackName}/channels/flutterwave_v3",
            "${AWS::StackName}/channels/flutterwave_v4",
            "${AWS::StackName}/channels/pesapal",
            "${AWS::StackName}/channels/mtn_momo",
            "${AWS::StackName}/channels/sms_parser",
            "${AWS::StackName}/manufacturers/angaza",
            "${AWS::StackName}/manufacturers/calin",
            "${AWS::StackName}/manufacturers/calin_smart",
            "${AWS::StackName}/manufacturers/chint",
            "${AWS::StackName}/manufacturers/gomelong",
            "${AWS::StackName}/manufacturers/sparkmeter",
            "${AWS::StackName}/manufacturers/daly_bms",
            "${AWS::StackName}/manufacturers/microstar",
            "${AWS::StackName}/manufacturers/gomelong_v1",
            "${AWS::StackName}/manufacturers/stron",
            "${AWS::StackName}/manufacturers/spark_shs",
            "${AWS::StackName}/manufacturers/steama",
            "${AWS::StackName}/manufacturers/stron_v3",
            "${AWS::StackName}/manufacturers/sunking",
        }
        for name, secret in secrets.items():
            assert secret["SecretString"] == "{}"
            assert template["Resources"][name]["DeletionPolicy"] == "Retain"

    def test_each_is_explained_on_some_page(self, template: Template) -> None:
        pages = [
            page.read_text()
            for page in (ROOT / "docs").rglob("*.md")
            if page.parent.name != "decisions" and page.name != "roles.md"
        ]
        for secret in of_type(template, "AWS::SecretsManager::Secret").values():
            name = secret["Name"]["Fn::Sub"].removeprefix("${AWS::StackName}/")
            assert any(name in page for page in pages), name


class TestLogs:
    def test_how_long_they_are_kept_is_chosen_and_all_are_kept_as_long(
        self, template: Template
    ) -> None:
        chosen = template["Parameters"]["LogRetentionDays"]
        assert chosen["Default"] in chosen["AllowedValues"]
        for group in of_type(template, "AWS::Logs::LogGroup").values():
            assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}

    def test_the_key_lets_the_log_groups_of_this_stack_use_it(self, template: Template) -> None:
        key = template["Resources"]["OperationsKey"]["Properties"]["KeyPolicy"]
        (logs,) = (item for item in key["Statement"] if item["Sid"] == "LogGroupsOfThisStack")
        (allowed,) = logs["Condition"]["ArnLike"].values()
        patterns = [pattern["Fn::Sub"].partition(":log-group:")[2] for pattern in allowed]
        assert all("${AWS::StackName}-" in pattern for pattern in patterns)
        for group in of_type(template, "AWS::Logs::LogGroup").values():
            name = group["LogGroupName"]["Fn::Sub"]
            assert any(fnmatchcase(name, pattern) for pattern in patterns), name
            assert group["KmsKeyId"] == {"Fn::GetAtt": ["OperationsKey", "Arn"]}

    def test_alarms_may_be_sent_through_the_encrypted_topic(self, template: Template) -> None:
        """Without it an alarm rings, and nobody hears it."""
        key = template["Resources"]["OperationsKey"]["Properties"]["KeyPolicy"]
        (alarms,) = (item for item in key["Statement"] if item["Sid"] == "AlarmsOfThisAccount")
        assert alarms["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
        assert {"kms:Decrypt", "kms:GenerateDataKey"} <= set(alarms["Action"])

    def test_the_api_has_the_role_to_log_before_it_logs(self, template: Template) -> None:
        assert "ApiGatewayAccount" in template["Resources"]["RestAPI"]["DependsOn"]
        assert template["Resources"]["ApiGatewayAccount"]["DeletionPolicy"] == "Retain"

    def test_each_call_of_the_api_is_a_line_of_json(self, template: Template) -> None:
        setting = template["Resources"]["RestAPI"]["Properties"]["AccessLogSetting"]
        assert "${ApiAccessLogGroup}" in setting["DestinationArn"]["Fn::Sub"]
        assert {"request_id", "trace_id", "status", "milliseconds"} <= set(
            json.loads(setting["Format"])
        )
