"""Proof without a plant: recordings, what a map derives from them, cases, and what two maps would have booked."""
