"""Values, errors, time, settings and redaction: what every other floor stands on."""
