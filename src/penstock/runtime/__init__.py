"""The paid-call path and what it stands on: governor, answers, ledger, store, jobs."""
