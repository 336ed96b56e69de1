"""Flows: a YAML file becomes a durable run."""
