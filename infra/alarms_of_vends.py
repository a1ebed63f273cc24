"""Writes ``infra/vend_alarms.yaml``: one alarm for each manufacturer that is called.

``python -m infra.alarms_of_vends``; a test compares the file with the registry. One metric, the
failures of a manufacturer, is 1 or 0 for each answer, so that its average is the share of failures
and its sample count the number of answers.
"""

from __future__ import annotations

from importlib import import_module

from chalicelib.wiring import MANUFACTURERS
from infra.package import ROOT

FILE = ROOT / "infra/vend_alarms.yaml"

_BEGINNING = """\
# Written by `make metrics` from the registry of manufacturers: one alarm for each that is called.
# Decision 27 says why there are so many, and what they cost.

Resources:
"""

_ALARM = """\
  {logical_id}:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: {{"Fn::Sub": "${{AWS::StackName}}-vend-failures-{name}"}}
      AlarmDescription: "{meaning} docs/operations/alarm-vend-failures.md"
      Metrics:
        - Id: share
          Expression: IF(answers >= 5, failed, 0)
          Label: share of failures
          ReturnData: true
        - Id: failed
          MetricStat: &failures_{place}
            Metric:
              Namespace: {{Ref: "AWS::StackName"}}
              MetricName: VendFailures
              Dimensions: [{{Name: manufacturer, Value: {key}}}]
            Period: 900
            Stat: Average
          ReturnData: false
        - Id: answers
          MetricStat:
            <<: *failures_{place}
            Stat: SampleCount
          ReturnData: false
      EvaluationPeriods: 1
      ComparisonOperator: GreaterThanThreshold
      Threshold: 0.2
      TreatMissingData: notBreaching
      AlarmActions: [{{Ref: AlarmsTopic}}]
      OKActions: [{{Ref: AlarmsTopic}}]
"""
_MEANING = (
    "At least five vends of {key} were answered in fifteen minutes, and more than a fifth failed."
)


def called_manufacturers() -> list[str]:
    """The keys of the manufacturers that are called, as the registry has them."""
    return [
        stated.key
        for path in MANUFACTURERS
        for stated in import_module(path).MANUFACTURERS
        if not stated.local and not stated.demo
    ]


def alarms() -> str:
    """The whole file."""
    return _BEGINNING + "\n".join(
        _ALARM.format(
            key=key,
            name=key.replace("_", "-"),
            meaning=_MEANING.format(key=key),
            logical_id="VendFailures" + key.title().replace("_", "") + "Alarm",
            place=place,
        )
        for place, key in enumerate(called_manufacturers())
    )


if __name__ == "__main__":
    FILE.write_text(alarms(), encoding="utf-8")
