"""Delivery: the state file, the outbox and the sidecar's ledger."""
