"""SMS: what they say (``templates``, ``languages``) and the gateways that take them.

A gateway is a module that offers ``make()`` and answers the port ``SmsGateway``.
"""
