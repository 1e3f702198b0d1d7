"""Dead letters go back to the queue, spread over time, a few of each kind first."""

CANARIES = 3
"""How many of each larger group are sent before the others, unless somebody says otherwise."""
