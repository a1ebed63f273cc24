"""The page on data protection tells of every place in the template where data can be."""

from __future__ import annotations

import re

from infra.package import ROOT
from tests.infra.test_template import Template, of_type

PAGE = (ROOT / "docs" / "data-protection.md").read_text(encoding="utf-8")
PLACES = {
    place
    for line in PAGE.splitlines()
    if re.match(r"\| (table|queues|bucket|user pool|log groups) ", line)
    for place in re.findall("`([^`]+)`", line.split("|")[1])
}
"""What the first column of the table names."""


def plain(name: dict[str, str]) -> str:
    """The name of a resource without the stack's."""
    return name["Fn::Sub"].removeprefix("${AWS::StackName}-")


def test_every_table_is_told_of_and_none_that_is_not_there(template: Template) -> None:
    tables = {plain(t["TableName"]) for t in of_type(template, "AWS::DynamoDB::Table").values()}
    queues = {
        plain(queue["QueueName"])
        for name, queue in of_type(template, "AWS::SQS::Queue").items()
        if not name.endswith("DeadQueue")
    }
    buckets = {
        plain(bucket["BucketName"]).removesuffix("-${AWS::AccountId}")
        for bucket in of_type(template, "AWS::S3::Bucket").values()
    }
    assert tables | queues | buckets | {"staff", "/aws/lambda/<stack>-…"} == PLACES


def test_there_is_one_user_pool(template: Template) -> None:
    """Another one is another row of the table."""
    assert len(of_type(template, "AWS::Cognito::UserPool")) == 1


def test_what_is_said_to_be_forgotten_is(template: Template) -> None:
    tables = of_type(template, "AWS::DynamoDB::Table").values()
    forgotten = {plain(t["TableName"]) for t in tables if "TimeToLiveSpecification" in t}
    assert forgotten == {"messages", "registrations", "sessions", "wrong_tries"}
    files = of_type(template, "AWS::S3::Bucket")["FilesBucket"]
    [rule] = files["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] == 30
