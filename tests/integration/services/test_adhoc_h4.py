from datetime import timedelta
from tests.integration.services.conftest import *
from tests.integration.services.test_policies import recorded, allowed, customer_id
from tests.integration.company import *
def test_x(cloud, company, counter, clock, customer_id):
    counter.pay(claim(METER, 500, "T1"))
    wiring = type(counter.wiring)(clock)
    from chalicelib.domain.plan import Terms
    terms = Terms(30000, "week", (NOW).date(), instalments=1, already_paid_minor=30000)
    counter.wiring.sell_plans.sell_appliance(customer_id, terms, appliance_id=None, name="TV", key="k", actor="a")
    with recorded() as made:
        r = wiring.reconcile
        r._pause = lambda s: None
        r.run(clock.now() + timedelta(minutes=1))
    raise SystemError("\nMADE " + str(sorted(made)) + "\nSPARE " + str(sorted(allowed("reconcile")-made)) + "\nMISSING " + str(sorted(made-allowed("reconcile"))))
