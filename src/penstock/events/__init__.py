"""Conversions, from a record to the receipt of OpenAI's Conversions API."""
