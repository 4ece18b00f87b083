"""Plants made up at random: machines that truly move material, what their signals show of it, and the truth."""
