"""Measures Liftlock against the peers it finds, in interleaved runs, and prints ratios. Run it with `script/bench`.

Machines are noisy and differ: a single figure says little, a ratio of medians of the same minutes says what it says.
What was not there is "not measured".
"""
