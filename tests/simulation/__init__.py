"""The crash simulation: every function dies at every point, and nothing is lost or doubled.

The real services run on an emulated AWS, with manufacturers, a payment provider and a telephone
network as real servers. Everything that a function does to the world outside its own process is
a *side effect* with a number: each request to DynamoDB and SQS, each call of a manufacturer or
provider, each SMS.

============================  ====================================================================
``effects``                   numbers the side effects; lets a test do something at one of them
``outside``                   the manufacturers, the provider and the telephones, which count
``world``                     the deployment: tables, queues, clock, functions; can go back in time
``scenarios``                 what customers, providers and people do, and how that must end
``invariants``                what must be true of every world that has come to rest
``test_crashes_everywhere``   a function is killed before and after each of its side effects
``test_interleavings``        a second function runs in the middle of a first, at each side effect
``test_store_faults``         DynamoDB and SQS fail at each request, in each way they can
============================  ====================================================================

**How a crash is made.** The function that is to die runs in a forked process of its own, which
kills itself with SIGKILL: no ``finally``, no buffers, nothing but what has reached the outside by
then. Its requests to AWS go through a pipe to the emulator in the test's process, its calls and SMS
over HTTP to real servers there. Then SQS hands the message over again, or a caller from outside
repeats (at once, or when the world has come to rest) or never comes back, and the sweeper runs,
until the world is at rest. Functions to which nothing happens run in the test's process.

**Which deaths are run.** A process that dies leaves what it has done outside and nothing else. So
dying after side effect k and dying before side effect k + 1 of the same function are one and the
same death, and so are dying before and after a read. Every point is counted, every different
death is run once: before the first side effect of each function, and after each that may have
changed something; of functions that do the same again (``world.distinct``) the first. In the
same way interleavings and faults leave out what can tell nothing new
(``effects.telling``).

**Going back in time.** The emulator lives in the test's process, so the world can be remembered
before each function and brought back: a death is followed from there, not from the beginning, and
every death starts from the same tables, queues, servers and time.
"""
