"""Metrics, alarms, dashboards and saved queries agree with the code, with AWS and with the docs."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.domain.payment import RefundState, Status, VendState
from infra import alarms_of_vends, metrics
from infra.metrics import METRICS, Metric
from infra.package import ROOT, merge_resources
from tests.alarm_evaluator import ALARM, NAMESPACE, OK, Sample, evaluate, series_of

Template = dict[str, Any]
Series = tuple[str, str, frozenset[str]]
"""A namespace, a metric, and the names of its dimensions."""

BY_NAME = {metric.name: metric for metric in METRICS}
PAGES = ROOT / "docs/operations"

# What AWS documents of the metrics that alarms and widgets name, and the dimensions of a series.
OF_AWS: dict[str, tuple[frozenset[str], list[set[str]]]] = {
    "AWS/ApiGateway": (
        frozenset({"Count", "4XXError", "5XXError", "Latency"}),
        [{"ApiName"}],
    ),
    "AWS/Lambda": (
        frozenset({"Errors", "Throttles", "Duration", "ConcurrentExecutions"}),
        [{"FunctionName"}, {"FunctionName", "Resource", "ExecutedVersion"}],
    ),
    "AWS/SQS": (
        frozenset({"ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage"}),
        [{"QueueName"}],
    ),
    "AWS/DynamoDB": (
        frozenset(
            {
                "ReadThrottleEvents",
                "WriteThrottleEvents",
                "ConsumedReadCapacityUnits",
                "ConsumedWriteCapacityUnits",
            }
        ),
        [{"TableName"}],
    ),
}
WIDGETS_MAX, METRICS_IN_WIDGET_MAX, BODY_LENGTH_MAX = 500, 500, 1_000_000


def of_type(template: Template, kind: str) -> dict[str, dict[str, Any]]:
    resources = template["Resources"].items()
    return {name: r["Properties"] for name, r in resources if r.get("Type") == kind}


def alarms(template: Template) -> dict[str, dict[str, Any]]:
    """The alarms, by their names without the stack's."""
    found = of_type(template, "AWS::CloudWatch::Alarm").values()
    return {a["AlarmName"]["Fn::Sub"].removeprefix("${AWS::StackName}-"): a for a in found}


def is_there(series: Series) -> bool:
    """Whether somebody writes that very series."""
    namespace, name, dimensions = series
    if namespace == NAMESPACE:
        return name in BY_NAME and dimensions in (frozenset(), {*BY_NAME[name].dimensions})
    names, dimension_sets = OF_AWS[namespace]
    return name in names and dimensions in dimension_sets


# --- the list of metrics --------------------------------------------------------------------------


def told_in_code() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Every metric that the code tells: how, its name, and the names of its dimensions."""
    for path in (ROOT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in ("count", "gauge") and "journal" in ast.unparse(node.func.value):
                name = node.args[0]
                assert isinstance(name, ast.Constant), ast.unparse(node)
                yield node.func.attr, name.value, frozenset(k.arg or "" for k in node.keywords)


def test_the_list_has_what_the_code_tells_and_nothing_else() -> None:
    told: dict[str, set[frozenset[str]]] = {}
    for _, name, dimensions in told_in_code():
        told.setdefault(name, set()).add(dimensions)
    told.pop("", None)
    of_list = {metric.name: {frozenset(metric.dimensions)} for metric in METRICS}
    of_list["HeldPayments"].add(frozenset())  # a gauge says by itself what there is over all
    assert told == of_list


def test_what_is_told_as_a_gauge_is_one_in_the_list() -> None:
    gauges = {name for how, name, _ in told_in_code() if how == "gauge"}
    assert gauges <= {metric.name for metric in METRICS if metric.gauge}


def test_each_metric_says_which_functions_print_it(template: Template) -> None:
    functions = {
        p["FunctionName"]["Fn::Sub"].removeprefix("${AWS::StackName}-")
        for p in of_type(template, "AWS::Serverless::Function").values()
    }
    for metric in METRICS:
        assert metric.by
        assert set(metric.by) <= functions, metric.name


def test_the_page_shows_the_list_as_it_is_and_what_it_costs() -> None:
    page = metrics.PAGE.read_text(encoding="utf-8")
    assert metrics.with_table(page) == page
    assert f"{sum(m.series for m in METRICS)} series" in page
    assert f"${metrics.dollars_per_month():.2f}" in page


def test_a_metric_that_is_not_split_is_one_series() -> None:
    assert all(metric.series == 1 for metric in METRICS if not metric.dimensions)
    assert Metric("A", "", (), ("channel",)).unit == "Count"


# --- alarms ---------------------------------------------------------------------------------------


def test_every_alarm_looks_at_series_that_somebody_writes(template: Template) -> None:
    for name, alarm in alarms(template).items():
        for namespace, metric, dimensions in series_of(alarm):
            series = (namespace, metric, frozenset(key for key, _ in dimensions))
            assert is_there(series), (name, series)


def test_every_alarm_says_what_it_means_and_where_to_read_on(template: Template) -> None:
    pages = set()
    for name, alarm in alarms(template).items():
        sentence, _, page = alarm["AlarmDescription"].rpartition(" ")
        assert sentence.endswith("."), name
        assert page.startswith("docs/operations/alarm-"), name
        text = (ROOT / page).read_text(encoding="utf-8")
        assert f"`{name}`" in text or "`vend-failures-<manufacturer>`" in text, name
        pages.add(page)
        assert len(alarm["AlarmDescription"]) <= 1024
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmsTopic"}]
    there = {p.name for p in PAGES.glob("alarm-*.md")}
    assert there == {page.rpartition("/")[2] for page in pages}


def test_every_page_of_an_alarm_says_what_to_do() -> None:
    wanted = ("## What it means", "## Look", "## Do", "## It is over when")
    for page in PAGES.glob("alarm-*.md"):
        text = page.read_text(encoding="utf-8")
        assert [part for part in wanted if part not in text] == [], page.name
        assert "aws " in text, f"{page.name} has no command"


def test_the_table_of_operations_names_every_alarm(template: Template) -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    for name, alarm in alarms(template).items():
        page = alarm["AlarmDescription"].rpartition("/")[2]
        assert f"(operations/{page})" in text, name


def test_the_built_template_has_the_alarms_that_the_faults_are_tested_with(
    template: Template,
) -> None:
    tagged = ("Tags",)  # every resource of a package is
    built = {
        name: {key: value for key, value in alarm.items() if key not in tagged}
        for name, alarm in alarms(template).items()
    }
    assert alarms(merge_resources(ROOT / "infra")) == built


def test_every_alarm_on_our_own_metrics_rings_in_a_test_of_its_fault(template: Template) -> None:
    tests = "".join(
        path.read_text() for path in (ROOT / "tests/integration/services").glob("test_*.py")
    )
    ring = {*re.findall(r'assert diary\.rings\("([\w-]+)"\)', tests)}
    ours = {
        name
        for name, alarm in alarms(template).items()
        if any(namespace == NAMESPACE for namespace, _, _ in series_of(alarm))
    }
    alike = {n for n in ours if n.startswith("vend-failures-")} - {"vend-failures-calin"}
    alike |= {n for n in ours if n.endswith("-new-version-crashes")}  # see below
    of_aws = {"table-throttles"}  # ours is in it to be there; see below
    assert ours - alike - of_aws == ring


def test_each_manufacturer_that_is_called_has_the_same_alarm(template: Template) -> None:
    assert alarms_of_vends.FILE.read_text() == alarms_of_vends.alarms()
    found = {n: a for n, a in alarms(template).items() if n.startswith("vend-failures-")}
    keys = alarms_of_vends.called_manufacturers()
    assert {*found} == {f"vend-failures-{key.replace('_', '-')}" for key in keys}
    texts = {json.dumps(a).replace(n, "").replace(k, "")
             for (n, a), k in zip(sorted(found.items()), sorted(keys), strict=True)}  # fmt: skip
    bare = {text.replace("-".join(["vend", "failures"]), "") for text in texts}
    assert len(bare) == 1


# --- alarms on what AWS counts: its datapoints are made by hand -----------------------------------


def samples(alarm: dict[str, Any], values: dict[str, Any]) -> list[Sample]:
    """So many samples of the metrics of that name in this very minute, of every series of it."""
    return [
        Sample(namespace, metric, value, 990, dimensions)
        for namespace, metric, dimensions in series_of(alarm)
        for value in values.get(metric, ())
    ]


@pytest.mark.parametrize(
    ("name", "faulty", "healthy"),
    [
        *(
            (f"{queue}-dead", {"ApproximateNumberOfMessagesVisible": (1,)},
             {"ApproximateNumberOfMessagesVisible": (0,)})
            for queue in ("payments", "vends", "messages", "provider-calls", "moves")
        ),
        ("api-5xx", {"5XXError": (1,) * 5 + (0,) * 95, "Count": (1,) * 100},
         {"5XXError": (1,) * 4 + (0,) * 6, "Count": (1,) * 10}),
        ("api-5xx", {"5XXError": (1,) * 5, "Count": (1,) * 5},
         {"5XXError": (1,) * 5 + (0,) * 600, "Count": (1,) * 605}),
        ("api-4xx", {"4XXError": (1,) * 100, "Count": (1,) * 150},
         {"4XXError": (1,) * 99, "Count": (1,) * 100}),
        ("function-errors", {"Errors": (1, 0, 0)}, {"Errors": (0, 0, 0)}),
        *(
            (f"{worker}-new-version", {"Errors": (1, 0, 0)}, {"Errors": (0, 0, 0)})
            for worker in ("settle", "vend", "send-messages", "call-provider", "move")
        ),
        *(
            (f"{worker}-new-version-crashes", {"MessagesCrashed": (1,)}, {"MessagesCrashed": (0,)})
            for worker in ("settle", "vend", "send-messages", "call-provider", "move")
        ),
        ("function-throttles", {"Throttles": (10,)}, {"Throttles": (1,)}),
        ("table-throttles", {"WriteThrottleEvents": (10,)},
         {"ReadThrottleEvents": (1,), "Swept": (400,)}),
    ],
)  # fmt: skip
def test_alarms_on_what_aws_counts_ring_in_a_fault_and_not_without_one(
    template: Template, name: str, faulty: dict[str, Any], healthy: dict[str, Any]
) -> None:
    alarm = alarms(template)[name]
    assert evaluate(alarm, samples(alarm, faulty), now=1000) == ALARM
    assert evaluate(alarm, samples(alarm, healthy), now=1000) == OK
    assert evaluate(alarm, [], now=1000) == OK


@pytest.mark.parametrize(
    ("name", "function"), [("function-errors", "Settle"), ("function-throttles", "Vend")]
)
def test_one_function_alone_rings(template: Template, name: str, function: str) -> None:
    alarm = alarms(template)[name]
    one = [
        Sample(namespace, metric, 10, 990, dimensions)
        for namespace, metric, dimensions in series_of(alarm)
        if function in str(dimensions)
    ]
    assert len(one) == 1
    assert evaluate(alarm, one, now=1000) == ALARM


def test_every_function_that_works_by_itself_is_watched(template: Template) -> None:
    by_hand = {"CheckManufacturer", "SyncTariffs"}
    for name in ("function-errors", "function-throttles"):
        watched = {
            json.loads(value)["Ref"]
            for _, _, dimensions in series_of(alarms(template)[name])
            for _, value in dimensions
        }
        functions = {
            n for n, r in template["Resources"].items() if r["Type"] == "AWS::Serverless::Function"
        }
        assert watched == functions - by_hand


# --- dashboards -----------------------------------------------------------------------------------

_SEARCH = re.compile(
    r"SEARCH\('\{\"?([\w$\{:\}]+)\"?,([\w,]+)\} "
    r"MetricName=\"(\w+)\"(?: (\w+)=\"\w+\")?', '\w+', \d+\)"
)


def body_of(dashboard: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    return body


def series_in(widget: dict[str, Any]) -> Iterator[Series]:
    for metric in widget["properties"].get("metrics", ()):
        if isinstance(metric[0], dict):
            found = _SEARCH.fullmatch(metric[0]["expression"])
            assert found, metric
            namespace, dimensions, name, narrowed = found.groups()
            names = frozenset(dimensions.split(","))
            assert narrowed is None or narrowed in names
            yield namespace, name, names
        else:
            plain = [part for part in metric if isinstance(part, str)]
            yield plain[0], plain[1], frozenset(plain[2::2])


def test_there_are_two_dashboards_within_the_limits_of_aws(template: Template) -> None:
    dashboards = of_type(template, "AWS::CloudWatch::Dashboard")
    assert set(dashboards) == {"BusinessDashboard", "TechnicalDashboard"}
    for dashboard in dashboards.values():
        widgets = body_of(dashboard)["widgets"]
        assert len(widgets) <= WIDGETS_MAX
        assert len(dashboard["DashboardBody"]["Fn::Sub"]) <= BODY_LENGTH_MAX
        places = set()
        for widget in widgets:
            assert widget["x"] + widget["width"] <= 24
            places.add((widget["x"], widget["y"]))
            assert len(widget["properties"].get("metrics", ())) <= METRICS_IN_WIDGET_MAX
        assert len(places) == len(widgets)


@pytest.mark.parametrize("name", ["BusinessDashboard", "TechnicalDashboard"])
def test_every_widget_shows_series_that_somebody_writes(template: Template, name: str) -> None:
    for widget in body_of(of_type(template, "AWS::CloudWatch::Dashboard")[name])["widgets"]:
        for series in series_in(widget):
            assert is_there(series), (widget["properties"]["title"], series)


def test_the_technical_dashboard_shows_every_function_and_queue(template: Template) -> None:
    body = template["Resources"]["TechnicalDashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    for queue in of_type(template, "AWS::SQS::Queue"):
        assert f"${{{queue}.QueueName}}" in body
    for function in ("APIHandler", "Settle", "Vend", "SendMessages", "Sweep", "Reconcile"):
        assert f"${{{function}}}" in body


# --- saved queries --------------------------------------------------------------------------------

_EVENTS = {
    *(f"payment_{status.value}" for status in Status),
    *(f"vend_{state.value}" for state in VendState),
    *(f"refund_{state.value}" for state in RefundState),
}
_COMMANDS = frozenset(
    {
        *("fields", "filter", "stats", "sort", "limit", "by", "as", "and", "or", "in", "like"),
        *("desc", "asc", "ispresent", "count", "pct", "max", "earliest", "latest"),
    }
)


def printed() -> tuple[set[str], set[str]]:
    """The fields and the events of all lines that the code writes."""
    fields = {"at", "event", "stage", "function", "request_id", "invocation_id"}
    fields |= {metric.name for metric in METRICS}
    fields |= {name for metric in METRICS for name in metric.dimensions}
    events = set(_EVENTS)
    for path in (ROOT / "chalicelib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr in ("event", "bind", "about"):
                fields |= {k.arg for k in node.keywords if k.arg}
                if node.args and isinstance(node.args[0], ast.Constant):
                    events.add(node.args[0].value)
    steps = (ROOT / "chalicelib/services/told_payments.py").read_text()
    fields |= {*re.findall(r'"(\w+)":', steps)}
    return fields, events


def test_every_query_asks_for_fields_and_events_that_are_printed(template: Template) -> None:
    fields, events = printed()
    queries = of_type(template, "AWS::Logs::QueryDefinition")
    assert len(queries) >= 7
    for name, query in queries.items():
        text = re.sub(r"/[^/]*/", "", query["QueryString"])
        named = {*re.findall(r'event (?:=|in) (?:\[[^\]]*\]|"\w+")', text)}
        for part in named:
            for event in re.findall(r'"(\w+)"', part):
                assert event in events, (name, event)
        bare = re.sub(r'"[^"]*"', "", text)
        given = {*re.findall(r"\bas (\w+)", bare)}
        words = {*re.findall(r"@?[A-Za-z_]\w*", bare)}
        unknown = {w for w in words - fields - given - _COMMANDS if not w.startswith("@")}
        assert unknown == set(), name


def test_every_query_reads_log_groups_of_this_stack(template: Template) -> None:
    groups = {
        p["LogGroupName"]["Fn::Sub"] for p in of_type(template, "AWS::Logs::LogGroup").values()
    }
    for query in of_type(template, "AWS::Logs::QueryDefinition").values():
        assert {group["Fn::Sub"] for group in query["LogGroupNames"]} <= groups
        assert query["Name"]["Fn::Sub"].startswith("${AWS::StackName}/")
