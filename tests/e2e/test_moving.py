"""A company moves in by file, through API Gateway, S3, the queue and its worker, and out again."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from infra.local.client import Answer, Cloud, StaffMember, wait_for
from tests.e2e.company import Company, day, lines_of, phone, serial, unique
from tests.integration.api.moving import file_of

CUSTOMERS = 60
"""So many that they do not fit into one part."""

Cells = dict[str, str]


@pytest.fixture(scope="module")
def rows() -> list[Cells]:
    """A village of its own, with customers who each have a meter; the first has a TV too."""
    cluster, mini_grid, village, tariff, tv = (
        unique(kind) for kind in ("C", "M", "Nyamira ñ", "T", "TV")
    )
    found: list[Cells] = [
        {"record": "cluster", "name": cluster},
        {"record": "mini_grid", "name": mini_grid, "parent": cluster},
        {"record": "village", "name": village, "parent": mini_grid},
        {"record": "tariff", "name": tariff, "price_per_kwh": "100"},
        {"record": "appliance", "name": tv, "kind": "appliance", "price": "3000"},
    ]
    for number in range(CUSTOMERS):
        reference = str(number)
        person = {"customer": reference, "name": unique("N"), "surname": "Otieno"}
        found += [
            {"record": "customer", "phone": phone(), "village": village, "credit": "5", **person},
            {
                "record": "device",
                "customer": reference,
                "serial_number": serial(),
                "manufacturer": "calin",
                "tariff": tariff,
                "carry": "2.50",
            },
        ]
    found.append(
        {
            "record": "plan",
            "customer": "0",
            "appliance": tv,
            "total": "3000",
            "already_paid": "300",
            "instalments": "10",
            "every": "month",
            "first_due": day(-45),
        }
    )
    return found


def settled(admin: StaffMember, path: str, while_in: str) -> Any:
    """The import or export, once it has left a state."""
    return wait_for(
        lambda: admin.get(path).body, lambda body: body["state"] != while_in, path, seconds=60
    )


def test_a_portfolio_is_checked_then_taken_in_and_its_people_can_pay(
    cloud: Cloud, company: Company, rows: list[Cells]
) -> None:
    admin = cloud.staff("admin")
    sent = admin.send_file("/imports", file_of(*rows))
    assert sent.status == 202, sent
    path = f"/imports/{sent.body['import_id']}"
    checked = settled(admin, path, "checking")
    assert (checked["state"], checked["rows"]) == ("checked", len(rows)), admin.get(
        path + "/errors"
    )

    assert admin.post(f"{path}/write", None).status == 202
    done = settled(admin, path, "writing")
    assert (done["state"], done["written_rows"], done["failed_rows"]) == ("done", len(rows), 0)

    first, its_meter = rows[5], rows[6]
    [found] = admin.get("/customers", phone=first["phone"]).body["items"]
    account = cloud.account(found["id"])
    assert (account["credit"], account["plans"][0]["paid"]) == ("5.00", "300.00")
    # The second instalment is overdue; the rest buys energy, with the credit of before.
    payment = company.pay(its_meter["serial_number"], "500")
    assert lines_of(payment) == "appliance 300.00, energy 205.00, credit -5.00"


def test_a_file_that_is_wrong_says_where(cloud: Cloud) -> None:
    admin = cloud.staff("admin")
    content = file_of({"record": "village", "name": "X"}, {"record": "house"})
    path = f"/imports/{admin.send_file('/imports', content).body['import_id']}"
    assert settled(admin, path, "checking")["state"] == "refused"
    errors = admin.get(f"{path}/errors").body["items"]
    assert [(error["row"], error["column"]) for error in errors] == [(2, "parent"), (3, "record")]


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        ("record,name\nvillage,Ñ\n".encode("latin-1"), "application/octet-stream", 422),
        ("record,name\nvillage,Ñ\n".encode("latin-1"), "text/csv", 422),
        ("record,name\n".encode("utf-16"), "text/csv", 422),
        (b"PK\x03\x04\xff\xfe", "application/zip", 422),
        (b"x" * (4 * 1024 * 1024 + 1), "application/octet-stream", 413),
        (b"record\n", "image/png", 415),
    ],
)
def test_a_file_that_cannot_be_one_is_refused_at_the_door(
    cloud: Cloud, content: bytes, content_type: str, status: int
) -> None:
    admin = cloud.staff("admin")
    headers = {**admin.authorization, "Content-Type": content_type}
    answer: Answer = cloud.api.call("POST", "/imports", content, headers=headers)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_zip_arrives_as_it_was_sent(cloud: Cloud) -> None:
    admin, name = cloud.staff("admin"), unique("C")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        exported = {"data": [{"cluster_name": name, "mini_grids": f"{name} 1"}]}
        archive.writestr("clusters.json", json.dumps(exported))
    headers = {**admin.authorization, "Content-Type": "application/zip"}
    query = {"format": "mpm"}
    sent = cloud.api.call("POST", "/imports", packed.getvalue(), headers=headers, query=query)
    assert sent.status == 202, sent
    path = f"/imports/{sent.body['import_id']}"
    state = settled(admin, path, "checking")["state"]
    assert (state, admin.get(f"{path}/errors").body["items"]) == ("checked", [])
    assert f"mini_grid,{name} 1,{name}" in admin.get(f"{path}/portfolio").body


def test_everything_goes_out_as_files(cloud: Cloud, rows: list[Cells]) -> None:
    admin = cloud.staff("admin")
    path = f"/exports/{admin.post('/exports', {'with_keys': True}).body['export_id']}"
    done = settled(admin, path, "running")
    assert done["state"] == "done"
    files = [admin.get(file["path"]) for file in done["files"]]
    assert {file.headers["Content-Type"] for file in files} == {"text/csv; charset=utf-8"}
    assert sum(file["rows"] for file in done["files"]) >= done["customers"]
    text = "".join(file.body for file in files)
    assert rows[0]["name"] in text
    assert cloud.staff("finance").get(done["files"][0]["path"]).status == 404
