"""What others ask of the agent over MQTT: checked strictly, bounded, counted, answered."""
