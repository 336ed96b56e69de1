"""Penstock: the open-source OpenAI connector for customer data."""

__version__ = "0.1.0"
