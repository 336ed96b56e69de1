"""Sources and sinks, one leaf each."""
