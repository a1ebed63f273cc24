"""One module per payment channel. A channel knows its provider's words, and none of the rules.

It authenticates the caller, turns the request into a claim, and our outcome into the provider's
own answer. ``interface`` says what a channel is; a new one is a module that offers ``CHANNEL``.
"""
