"""Emulators of OpenAI and Brevo, written from the published contracts only."""
