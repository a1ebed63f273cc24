"""What is checked of a package before it is deployed: ``python -m infra.checks``.

AWS says most of this late (half a stack is made when it refuses the rest) or never (a queue whose
failed messages are deleted works, until one fails). The rules are functions from a template to
what is wrong with it, in words; an empty list is a pass. They know no test and no installation,
so that the tests and the deployment share them.
"""
