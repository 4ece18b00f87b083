"""Devices: what they say comes in as readings and confirmations, what was committed is acknowledged to them."""
