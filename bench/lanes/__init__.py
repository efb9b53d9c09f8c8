"""One module for each lane: its bars, and `measure_lane`, which measures it."""
