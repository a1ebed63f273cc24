"""One module per manufacturer of devices.

A module states what its manufacturers vend, as data that is read without importing anything
heavy (``MANUFACTURERS``), and makes the one that issues or asks for tokens
(``make(key, secrets)``). Tokens are computed here (``Issuer``) or asked for over the network
(``Vendor``); the ports of the services say what either promises.
"""
