"""From signals to quantities: a pure fold over inputs, without I/O, clock or log."""
