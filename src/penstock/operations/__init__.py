"""OpenAI operations, one leaf each."""
