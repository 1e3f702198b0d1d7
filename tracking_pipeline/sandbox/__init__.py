"""Stand-ins for the platforms that events are sent to, for demo, rehearsal, tests and benchmarks.

One file for each stand-in (`meta.py`); all of them share the scripts (`steps.py`), the random and
the destination-wide faults and the memory (`memory.py`) of one `Stage` (`stage.py`).
`server.py` runs them in a thread, `python -m tracking_pipeline.sandbox` in a process of their own.

A new stand-in is a module with `routes(stage) -> list[web.RouteDef]` under an `ADDRESS` of its own,
named in its destination's row of the registry.

Nothing here may be imported by the code that delivers: a stand-in that shares a rule with what it
checks would agree with every mistake in it.
"""
