"""OTLP: encoding, sending, splitting."""
