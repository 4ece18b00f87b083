"""Sessions with MQTT brokers: over the network (paho), and in memory for tests."""
