"""From stored events to the broker: pure encoding on one side, the relay on the other."""
