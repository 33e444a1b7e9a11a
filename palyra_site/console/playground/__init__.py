"""The console's playground: have a call explained, which costs nothing, and then make it.

It is a surface like any other. What is asked goes through `governance.calls`, on the budget of the
team that is chosen, and is entered in the ledger with the person who asked.
"""
